//! Signal mask, dispositions, and signals as something to read.

use std::io;
use std::mem::MaybeUninit;
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

/// A signal that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrived {
    Signal(Signal),
    /// Sent beside an order, for a reader that knows no orders.
    BesideOrder,
    /// By [`queue_order`](super::process::queue_order).
    Order(u64),
}

/// The signal that carries a value: a real-time one, for those are queued, and none is lost behind another.
pub(super) fn order() -> libc::c_int {
    libc::SIGRTMIN()
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

    /// The same, and orders.
    ///
    /// # Errors
    /// `EMFILE`.
    pub fn with_orders(signals: &[Signal]) -> io::Result<Self> {
        let mut set: MaybeUninit<libc::sigset_t> = MaybeUninit::uninit();
        // SAFETY: sigemptyset(3) makes the set whole before anything reads it.
        let set = unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            libc::sigaddset(set.as_mut_ptr(), order());
            set.assume_init()
        };
        // SAFETY: the set is a valid one; it holds a number that nix has no name for, which signalfd(2) takes.
        let mut mask = unsafe { SigSet::from_sigset_t_unchecked(set) };
        signals.iter().for_each(|signal| mask.add(*signal));
        Ok(Self(SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?))
    }

    /// The next signal that is pending, if any. Equal signals that come together are one.
    ///
    /// # Errors
    /// None are known.
    pub fn take(&self) -> io::Result<Option<Signal>> {
        let Some(info) = self.0.read_signal()? else { return Ok(None) };
        Ok(Some(Signal::try_from(number(&info))?))
    }

    /// The same for a reader of orders. Orders that come together are each one of their own.
    ///
    /// # Errors
    /// None are known.
    pub fn take_any(&self) -> io::Result<Option<Arrived>> {
        let Some(info) = self.0.read_signal()? else { return Ok(None) };
        Ok(Some(match number(&info) {
            signo if signo == order() => Arrived::Order(info.ssi_ptr),
            _ if info.ssi_code == libc::SI_QUEUE => Arrived::BesideOrder,
            signo => Arrived::Signal(Signal::try_from(signo)?),
        }))
    }
}

fn number(info: &libc::signalfd_siginfo) -> i32 {
    i32::try_from(info.ssi_signo).unwrap_or(0)
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
