//! File descriptors: closing what a process must not hold, and its standard streams.

use std::fs::{File, OpenOptions};
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{BorrowedFd, RawFd};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::pipe::PipeFlags;

pub use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout};

/// First descriptor behind the standard streams.
const FIRST: libc::c_uint = 3;

/// Marks every descriptor from 3 on close-on-exec.
///
/// # Errors
/// The kernel is older than Linux 5.11.
pub fn close_all_on_exec() -> io::Result<()> {
    close_range(FIRST, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC)
}

/// Closes every descriptor from 3 on that is not in `keep`. Only for a process in which nothing that owns another
/// descriptor will ever be used or dropped: a fresh process before it opens anything, or a forked child that never
/// returns to its parent's code. Hence private to `sys`.
pub(super) fn close_all_but(keep: &mut [RawFd]) -> io::Result<()> {
    keep.sort_unstable();
    let mut first = FIRST;
    for fd in keep.iter().filter_map(|fd| libc::c_uint::try_from(*fd).ok()).filter(|fd| *fd >= FIRST) {
        if fd > first {
            close_range(first, fd - 1, 0)?;
        }
        first = fd.saturating_add(1);
    }
    close_range(first, libc::c_uint::MAX, 0)
}

fn close_range(first: libc::c_uint, last: libc::c_uint, flags: libc::c_uint) -> io::Result<()> {
    // SAFETY: close_range takes three integers. That nobody uses a closed descriptor afterwards is the callers' duty.
    match unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// `/dev/null` for reading and writing, close-on-exec.
///
/// # Errors
/// As open(2).
pub fn dev_null() -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open("/dev/null")
}

/// A pipe, close-on-exec, whose reading end returns `EAGAIN` instead of waiting.
///
/// # Errors
/// `EMFILE`.
pub fn pipe_to_poll() -> io::Result<(PipeReader, PipeWriter)> {
    let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    // The flag is of each end by itself, and nothing else is set on a new pipe.
    fcntl_setfl(&reader, OFlags::NONBLOCK)?;
    Ok((reader.into(), writer.into()))
}

/// Lets reads and writes return `EAGAIN` instead of waiting, for every holder of this open file description.
///
/// # Errors
/// None are known.
pub fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    let flags = fcntl_getfl(fd)?;
    Ok(fcntl_setfl(fd, flags | OFlags::NONBLOCK)?)
}
