//! fork(2), for processes with a single thread: in their children all of Rust may be used, since no lock can be held
//! by a thread that the child does not have.

use std::io;
use std::marker::PhantomData;
use std::os::fd::RawFd;
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
        let mut keep = keep.to_vec();
        // SAFETY: there is one thread, so the child finds the allocator and all else unlocked and whole.
        let pid = unsafe { libc::fork() };
        match Pid::from_raw(pid) {
            Some(_) if pid < 0 => Err(io::Error::last_os_error()),
            Some(pid) => Ok(pid),
            None => {
                // A panic must not unwind into the parent's frames, whose destructors are not the child's to run.
                let code = catch_unwind(AssertUnwindSafe(|| match fd::close_all_but(&mut keep) {
                    Ok(()) => child(),
                    Err(_) => PANIC_EXIT_CODE,
                }));
                // SAFETY: _exit ends the process at once; it runs no destructor and no exit handler of the parent's.
                unsafe { libc::_exit(code.unwrap_or(PANIC_EXIT_CODE)) }
            }
        }
    }
}
