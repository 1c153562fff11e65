//! Signal mask, dispositions, and signals as something to read.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::signal::{SigSet, SigmaskHow, pthread_sigmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};

pub use nix::sys::signal::Signal;

/// Blocks every signal that can be blocked, in this thread and in all processes forked from it.
///
/// # Errors
/// None are known.
pub fn block_all() -> io::Result<()> {
    Ok(SigSet::all().thread_set_mask()?)
}

/// Empties the mask: pending signals arrive now.
///
/// # Errors
/// None are known.
pub fn unblock_all() -> io::Result<()> {
    Ok(pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?)
}

/// The command starts with an empty mask, whatever this process blocks.
pub fn unblock_in(command: &mut Command) {
    // SAFETY: between fork and exec only sigprocmask(2) is called, which is async-signal-safe.
    unsafe { command.pre_exec(unblock_all) };
}

/// Gives every signal its default disposition. An ignored signal stays ignored over fork and exec, so what this
/// process inherited (from nohup(1), or from Rust's own start-up, which ignores SIGPIPE) would reach every command;
/// and an ignored SIGCHLD would reap our children behind our back.
pub fn reset_dispositions() {
    // The kernel's own call, since libc refuses its two private signals, and those may be ignored, too. All zero is
    // SIG_DFL without flags in every architecture's `struct sigaction`, none of which is longer than this.
    let default = [0_u64; 8];
    const SIGSET_BYTES: usize = 8;
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: the kernel reads `default` and writes nothing; SIG_DFL runs no code of ours in a signal's context.
        // What it refuses (SIGKILL, SIGSTOP) changes nothing.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                std::ptr::null_mut::<libc::c_void>(),
                SIGSET_BYTES,
            )
        };
    }
}

/// Blocked signals, to be read (signalfd(2)). Each process makes its own: what it reads are its own signals.
#[derive(Debug)]
pub struct Signals(SignalFd);

impl Signals {
    /// For signals that are blocked already.
    ///
    /// # Errors
    /// `EMFILE`.
    pub fn of(signals: &[Signal]) -> io::Result<Self> {
        let mask = signals.iter().copied().collect();
        Ok(Self(SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?))
    }

    /// The next signal that is pending, if any. Equal signals that come together are one.
    ///
    /// # Errors
    /// None are known.
    pub fn take(&self) -> io::Result<Option<Signal>> {
        let Some(info) = self.0.read_signal()? else { return Ok(None) };
        let number = i32::try_from(info.ssi_signo).unwrap_or(0);
        Ok(Some(Signal::try_from(number)?))
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
