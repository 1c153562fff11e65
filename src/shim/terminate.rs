//! Signals to all descendants of a process, wherever in sessions and groups they went. A descendant whose parent died
//! is a child of the nearest subreaper, so a shim finds all that is left of its task below itself, and a launcher all
//! that is left of a dead shim's task.

use std::collections::HashSet;
use std::io;

use rustix::process::Signal;

use crate::sys::clock::monotonic_ms;
use crate::sys::proc_tree::descendants;
use crate::sys::process::Pid;
use crate::task::KillSignal;

/// Asks every descendant of `root` to end: `signal`, and SIGCONT in case it is stopped. Each is asked once; the rounds
/// are for those that are forked meanwhile. Of a fork bomb that fills the machine not all are asked: a scan takes seconds
/// then, and nothing else is done meanwhile.
///
/// # Errors
/// `/proc` cannot be read.
pub fn ask_all(root: Pid, signal: KillSignal) -> io::Result<()> {
    const MAX_ROUNDS: usize = 10;
    const NO_ROUND_AFTER_MS: u64 = 250;
    let signals = [Signal::from(signal), Signal::CONT];
    let last = monotonic_ms().saturating_add(NO_ROUND_AFTER_MS);
    let mut asked = HashSet::new();
    for _ in 0..MAX_ROUNDS {
        let mut all = descendants(root, |_| false)?;
        all.retain(|process| asked.insert(*process));
        if all.is_empty() {
            break;
        }
        for process in all {
            // It may have ended by itself.
            let _ = process.signal(&signals);
        }
        if monotonic_ms() > last {
            break;
        }
    }
    Ok(())
}

/// Kills every descendant of `root` that one scan finds, but for the children in `skip` and what is below them.
///
/// # Errors
/// `/proc` cannot be read.
pub fn kill_all(root: Pid, skip: impl Fn(Pid) -> bool) -> io::Result<()> {
    for process in descendants(root, skip)? {
        // It may have ended by itself; and one that has become another user's is beyond us.
        let _ = process.signal(&[Signal::KILL]);
    }
    Ok(())
}

impl From<KillSignal> for Signal {
    fn from(signal: KillSignal) -> Self {
        match signal {
            KillSignal::Hup => Self::HUP,
            KillSignal::Int => Self::INT,
            KillSignal::Quit => Self::QUIT,
            KillSignal::Abrt => Self::ABORT,
            KillSignal::Kill => Self::KILL,
            KillSignal::Usr1 => Self::USR1,
            KillSignal::Usr2 => Self::USR2,
            KillSignal::Term => Self::TERM,
        }
    }
}
