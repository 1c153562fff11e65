//! Pid 1 of a container that has no other init: the server runs as its child, signals are passed on to that, and whatever
//! is orphaned is reaped. Any other process is not affected, and a container that has an init needs none of this.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use crate::sys::poll::{self, Interest};
use crate::sys::process::{self, End, Pid, Reaped};
use crate::sys::signal::{self, Signal, Signals};

/// What a container's owner sends, and the terminal.
const PASSED_ON: [Signal; 6] =
    [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM, Signal::SIGUSR1, Signal::SIGUSR2];
/// Added to the number of the signal that ended the server, as shells do.
const SIGNALED: u8 = 128;

/// Whether this process has the duties of an init beside its own.
#[must_use]
pub fn is_needed() -> bool {
    process::getpid().as_raw_pid() == 1
}

/// Runs this program with `args` as a child until it ends, and ends as it did. The kernel then ends all that is left.
pub fn run(args: impl Iterator<Item = OsString>) -> ExitCode {
    match until_the_end(args) {
        Ok(End::Exited(code)) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        Ok(End::Signaled(signal)) => ExitCode::from(SIGNALED.saturating_add(u8::try_from(signal).unwrap_or(0))),
        Err(error) => {
            eprintln!("error: the server cannot be run as a child of pid 1: {error}");
            ExitCode::FAILURE
        }
    }
}

fn until_the_end(args: impl Iterator<Item = OsString>) -> io::Result<End> {
    // First of all, so that none is lost: nothing kills a pid 1 that handles no signals.
    signal::block_all()?;
    let signals = Signals::of(&[&PASSED_ON[..], &[Signal::SIGCHLD]].concat())?;
    let mut command = Command::new("/proc/self/exe");
    // In a group of its own, so that what a terminal sends comes once.
    command.args(args).process_group(0);
    signal::unblock_in(&mut command);
    let server = command.spawn()?.id();
    let server = i32::try_from(server).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidData)?;
    let pidfd = process::pidfd_open(server)?;
    loop {
        while let Some(signal) = signals.take()? {
            if let Some(signal) =
                (signal != Signal::SIGCHLD).then(|| process::Signal::from_named_raw(signal as i32)).flatten()
            {
                // One that has just ended is reaped below.
                let _ = process::pidfd_send_signal(pidfd.as_fd(), signal);
            }
        }
        while let Reaped::Child(pid, end, _) = process::reap_any()? {
            if pid == server {
                return Ok(end);
            }
        }
        let [_] = poll::poll([Some(Interest::read(signals.as_fd()))], None)?;
    }
}
