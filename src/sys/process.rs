//! What a process says about itself and what it learns of its children.

use std::ffi::CStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::PidfdFlags;

pub use rustix::process::{Pid, Signal, chdir, getpid, getppid, setsid};

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Exited(i32),
    Signaled(i32),
}

/// What a look at the children found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaped {
    Child(Pid, End, Used),
    /// There are children, and all of them live.
    None,
    /// There are no children at all.
    NoChildren,
}

/// CPU time and peak resident set of a child that was waited for, with all that it has waited for itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    pub user_cpu: Duration,
    pub system_cpu: Duration,
    /// Of the largest single process. A forked child starts with the pages of its parent, so this is at least what
    /// the parent had.
    pub max_rss_bytes: u64,
}

impl Used {
    /// With what another child has used.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            user_cpu: self.user_cpu + other.user_cpu,
            system_cpu: self.system_cpu + other.system_cpu,
            max_rss_bytes: self.max_rss_bytes.max(other.max_rss_bytes),
        }
    }
}

/// The mount namespace of a process (namespaces(7)), which lives as long as this descriptor.
///
/// # Errors
/// As open(2); `EACCES` without the right to trace the process.
pub fn mount_namespace(pid: Pid) -> io::Result<OwnedFd> {
    Ok(std::fs::File::open(format!("/proc/{}/ns/mnt", pid.as_raw_pid()))?.into())
}

/// Makes this process the leader of a process group of its own (setpgid(2)).
///
/// # Errors
/// `EPERM`: it leads a session.
pub fn new_group() -> io::Result<()> {
    Ok(rustix::process::setpgid(None, None)?)
}

/// Makes this process the new parent of every descendant whose own parent dies (prctl(2), `PR_SET_CHILD_SUBREAPER`).
///
/// # Errors
/// None are known.
pub fn become_subreaper() -> io::Result<()> {
    Ok(rustix::process::set_child_subreaper(Some(getpid()))?)
}

/// The name in `/proc/<pid>/comm`, at most 15 bytes.
///
/// # Errors
/// None are known.
pub fn set_name(name: &CStr) -> io::Result<()> {
    Ok(rustix::thread::set_name(name)?)
}

/// SIGKILL for this process when `parent` dies (prctl(2), `PR_SET_PDEATHSIG`); also when it is dead already.
///
/// # Errors
/// `ESRCH`: the parent was dead before this could be set.
pub fn die_with(parent: Pid) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    match rustix::process::getppid() {
        Some(pid) if pid == parent => Ok(()),
        Some(_) | None => Err(io::Error::from_raw_os_error(libc::ESRCH)),
    }
}

/// A handle on a process that stays the same process whatever becomes of its pid. It polls readable when the process
/// has exited. Close-on-exec.
///
/// # Errors
/// `ESRCH`, `EMFILE`; `ENOSYS` before Linux 5.3.
pub fn pidfd_open(pid: Pid) -> io::Result<OwnedFd> {
    Ok(rustix::process::pidfd_open(pid, PidfdFlags::empty())?)
}

/// Sends a signal through a pidfd.
///
/// # Errors
/// `ESRCH` when the process has been reaped.
pub fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: Signal) -> io::Result<()> {
    Ok(rustix::process::pidfd_send_signal(pidfd, signal)?)
}

/// Sends an order to a process that takes them ([`Signals::with_orders`](super::signal::Signals::with_orders)), and
/// behind it `beside`, which one that takes none understands.
///
/// # Errors
/// `ESRCH` when the process has been reaped.
pub fn queue_order(pidfd: BorrowedFd<'_>, order: u64, beside: Signal) -> io::Result<()> {
    // Too many signals are queued already (RLIMIT_SIGPENDING): the plain one comes through.
    if send_queued(pidfd, super::signal::order(), order).is_err() {
        return pidfd_send_signal(pidfd, beside);
    }
    send_queued(pidfd, beside.as_raw(), 0)
}

/// `struct siginfo` as sigqueue(3) fills it.
#[repr(C)]
struct QueuedInfo {
    signo: libc::c_int,
    errno: libc::c_int,
    code: libc::c_int,
    sender: Sender,
    /// The kernel reads 128 bytes.
    rest: [u64; 13],
}

#[repr(C)]
struct Sender {
    pid: libc::pid_t,
    uid: libc::uid_t,
    value: usize,
}

fn send_queued(pidfd: BorrowedFd<'_>, signo: libc::c_int, value: u64) -> io::Result<()> {
    let sender = Sender {
        pid: getpid().as_raw_pid(),
        uid: rustix::process::getuid().as_raw(),
        value: usize::try_from(value).map_err(|_| io::Error::from_raw_os_error(libc::EOVERFLOW))?,
    };
    let info = QueuedInfo { signo, errno: 0, code: libc::SI_QUEUE, sender, rest: [0; 13] };
    // SAFETY: the kernel reads one siginfo, which `info` is as long as, and writes nothing.
    let sent = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signo, &raw const info, 0) };
    if sent == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

const _: () = assert!(size_of::<QueuedInfo>() >= size_of::<libc::siginfo_t>());

/// Sends a signal to a process group. The leader must be a child of ours that was not reaped, which alone keeps the
/// number from naming another group.
///
/// # Errors
/// `ESRCH` when there is no such group.
pub fn signal_group(leader: Pid, signal: Signal) -> io::Result<()> {
    Ok(rustix::process::kill_process_group(leader, signal)?)
}

/// Reaps one child that has exited, whichever it is.
///
/// # Errors
/// None are known.
pub fn reap_any() -> io::Result<Reaped> {
    match wait4(None, libc::WNOHANG) {
        Ok(Some((pid, end, used))) => Ok(Reaped::Child(pid, end, used)),
        Ok(None) => Ok(Reaped::None),
        Err(Errno::CHILD) => Ok(Reaped::NoChildren),
        Err(error) => Err(error.into()),
    }
}

/// Waits for the end of a child and reaps it.
///
/// # Errors
/// `ECHILD` when it is none of ours.
pub fn reap(child: Pid) -> io::Result<(End, Used)> {
    loop {
        match wait4(Some(child), 0) {
            Ok(Some((_, end, used))) => return Ok((end, used)),
            Ok(None) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// wait4(2): for this child, or for any.
fn wait4(child: Option<Pid>, options: i32) -> Result<Option<(Pid, End, Used)>, Errno> {
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    let child = child.map_or(-1, Pid::as_raw_pid);
    // SAFETY: the kernel writes to both, which live.
    let reaped = unsafe { libc::wait4(child, &raw mut status, options, usage.as_mut_ptr()) };
    if reaped < 0 {
        return Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO));
    }
    // SAFETY: all zero is a valid `rusage`, and so is what the kernel writes.
    let usage = unsafe { usage.assume_init() };
    Ok(Pid::from_raw(reaped).map(|pid| (pid, end(status), used(&usage))))
}

fn used(usage: &libc::rusage) -> Used {
    let time = |time: libc::timeval| {
        let micros = time.tv_sec.saturating_mul(1_000_000).saturating_add(time.tv_usec);
        Duration::from_micros(u64::try_from(micros).unwrap_or(0))
    };
    Used {
        user_cpu: time(usage.ru_utime),
        system_cpu: time(usage.ru_stime),
        max_rss_bytes: u64::try_from(usage.ru_maxrss).unwrap_or(0).saturating_mul(1024),
    }
}

fn end(status: i32) -> End {
    if libc::WIFEXITED(status) {
        End::Exited(libc::WEXITSTATUS(status))
    } else {
        // Without WUNTRACED and WCONTINUED nothing but exits and deaths by signal is reported.
        End::Signaled(libc::WTERMSIG(status))
    }
}
