//! fork(2), for processes with a single thread: in their children all of Rust may be used, since no lock can be held
//! by a thread that the child does not have.

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::fd;
use super::process::Pid;

/// What a child exits with when it panics.
pub const PANIC_EXIT_CODE: i32 = 101;

/// The proof that this process has one thread. Whoever holds it starts no thread. Neither `Send` nor `Sync`.
#[derive(Debug)]
pub struct SingleThreaded(PhantomData<*const ()>);

impl SingleThreaded {
    /// Counts the threads, and closes every descriptor but the standard streams: what a careless ancestor left open
    /// must not live on in children that outlive it. To be called first in a process, before it opens anything.
    ///
    /// # Errors
    /// There is a second thread, or `/proc` is not mounted.
    pub fn at_process_start() -> io::Result<Self> {
        if std::fs::read_dir("/proc/self/task")?.count() != 1 {
            return Err(io::Error::other("the process has more than one thread"));
        }
        fd::close_all_but(&mut [])?;
        Ok(Self(PhantomData))
    }

    /// Forks a child that runs `child` and exits with what it returns. The child has no descriptors but the standard
    /// streams and `keep`; what `child` owns is dropped in the parent when this returns, so a descriptor that is moved
    /// into it changes hands.
    ///
    /// # Errors
    /// As fork(2): `EAGAIN` or `ENOMEM`.
    pub fn fork(&self, keep: &[RawFd], child: impl FnOnce() -> i32) -> io::Result<Pid> {
        // SAFETY: there is one thread, so the child finds the allocator and all else unlocked and whole.
        let pid = unsafe { libc::fork() };
        if pid < 0 {
            return Err(io::Error::last_os_error());
        }
        match Pid::from_raw(pid) {
            Some(pid) => Ok(pid),
            None => run_child(keep, child),
        }
    }

    /// As [`Self::fork`], into the given namespaces and cgroup (clone3(2)), with every signal at its default
    /// disposition. Also gives the child's pidfd, close-on-exec.
    ///
    /// # Errors
    /// As clone3(2): `EPERM` where the namespaces are not ours to make, `ENOSPC` and `EUSERS` when there are too many;
    /// with a cgroup, `E2BIG` before Linux 5.7, `EACCES` where it is not ours, `EBUSY` where it has groups below it.
    pub fn clone_into(
        &self,
        birthplace: Birthplace<'_>,
        keep: &[RawFd],
        child: impl FnOnce() -> i32,
    ) -> io::Result<(Pid, OwnedFd)> {
        let mut pidfd: libc::c_int = -1;
        let mut args = clone_args(birthplace.cgroup);
        args.flags |= birthplace.namespaces.0 | u64::from(libc::CLONE_PIDFD.cast_unsigned());
        args.pidfd = (&raw mut pidfd).addr() as u64;
        // SAFETY: the kernel writes to `pidfd`, which lives.
        match Pid::from_raw(unsafe { clone3(&mut args) }?) {
            // SAFETY: the kernel has made this descriptor for us.
            Some(pid) => Ok((pid, unsafe { OwnedFd::from_raw_fd(pidfd) })),
            None => run_child(keep, child),
        }
    }
}

/// For a child that tells its end by SIGCHLD and starts with every signal at its default disposition.
fn clone_args(cgroup: Option<BorrowedFd<'_>>) -> libc::clone_args {
    // From <linux/sched.h>; libc has them as int, which they do not fit.
    const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    // SAFETY: all zero is a valid `clone_args`.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = CLONE_CLEAR_SIGHAND;
    args.exit_signal = u64::from(libc::SIGCHLD.cast_unsigned());
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = u64::from(cgroup.as_raw_fd().cast_unsigned());
    }
    args
}

/// The child's pid, or 0 in the child.
///
/// # Safety
/// This process has one thread, and the arguments have neither a stack nor CLONE_VM: then this is a fork, and the child
/// has a copy of our memory in which nothing is locked. What the arguments point to lives.
unsafe fn clone3(args: &mut libc::clone_args) -> io::Result<i32> {
    // SAFETY: by the conditions of this function.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const *args, size_of::<libc::clone_args>()) };
    if pid < 0 { Err(io::Error::last_os_error()) } else { i32::try_from(pid).map_err(io::Error::other) }
}

impl SingleThreaded {
    /// Whether [`Self::vfork`] does as it says here. Elsewhere the child has a copy of the memory, and this process goes on.
    pub const SHARES_MEMORY: bool = cfg!(target_arch = "x86_64");

    /// As [`Self::fork`], but in the memory of this process, which does not go on before the child has exec'ed or ended
    /// (vfork(2)): nothing is copied. What the child writes to memory, this process finds there. Into a cgroup of
    /// version 2, if one is given, as [`Self::clone_into`].
    ///
    /// # Errors
    /// As clone3(2).
    pub fn vfork(&self, cgroup: Option<BorrowedFd<'_>>, keep: &[RawFd], child: &dyn Fn() -> i32) -> io::Result<Pid> {
        let mut args = clone_args(cgroup);
        #[cfg(target_arch = "x86_64")]
        let pid = super::vfork::clone3(&mut args, &|| run_child(keep, child));
        #[cfg(not(target_arch = "x86_64"))]
        // SAFETY: as in `clone_into`.
        let pid = unsafe { clone3(&mut args) };
        match Pid::from_raw(pid?) {
            Some(pid) => Ok(pid),
            None => run_child(keep, child),
        }
    }
}

/// Where a process comes into the world, besides where its parent is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Birthplace<'a> {
    pub namespaces: NamespaceFlags,
    /// The directory of a group of version 2, open. The child does not get the descriptor.
    pub cgroup: Option<BorrowedFd<'a>>,
}

/// Namespaces to be made with a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NamespaceFlags(u64);

impl NamespaceFlags {
    pub const MOUNT: Self = Self::of(libc::CLONE_NEWNS);
    pub const PID: Self = Self::of(libc::CLONE_NEWPID);
    pub const UTS: Self = Self::of(libc::CLONE_NEWUTS);
    pub const IPC: Self = Self::of(libc::CLONE_NEWIPC);
    pub const NET: Self = Self::of(libc::CLONE_NEWNET);
    pub const USER: Self = Self::of(libc::CLONE_NEWUSER);

    const fn of(flag: libc::c_int) -> Self {
        Self(flag.cast_unsigned() as u64)
    }

    /// These and, if `wanted`, those.
    #[must_use]
    pub const fn and(self, other: Self, wanted: bool) -> Self {
        if wanted { Self(self.0 | other.0) } else { self }
    }
}

/// Leaves the cgroup namespace for one of its own, whose roots are the groups that this process is in now
/// (cgroup_namespaces(7)). Needs CAP_SYS_ADMIN.
///
/// # Errors
/// As unshare(2): `EPERM`, and `ENOSPC` beyond `user.max_cgroup_namespaces`.
pub fn new_cgroup_namespace() -> io::Result<()> {
    // SAFETY: with this flag unshare changes what names of groups this process sees, and no memory and no descriptor.
    match unsafe { libc::unshare(libc::CLONE_NEWCGROUP) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The child, to its end.
fn run_child(keep: &[RawFd], child: impl FnOnce() -> i32) -> ! {
    let mut keep = keep.to_vec();
    // A panic must not unwind into the parent's frames, whose destructors are not the child's to run.
    let code = catch_unwind(AssertUnwindSafe(|| match fd::close_all_but(&mut keep) {
        Ok(()) => child(),
        Err(_) => PANIC_EXIT_CODE,
    }));
    // SAFETY: _exit ends the process at once; it runs no destructor and no exit handler of the parent's.
    unsafe { libc::_exit(code.unwrap_or(PANIC_EXIT_CODE)) }
}
