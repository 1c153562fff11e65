//! What is left of a task whose shim died: killed here, for the launcher is the parent of its orphans now. Rounds of
//! SIGKILL until nothing is left; in between, the launcher goes on with its work, since one process that hangs in the
//! kernel must not keep others from starting.

use std::io;
use std::rc::Rc;

use crate::sandbox::cgroup::{self, GroupSpec};
use crate::shim::journal::Journal;
use crate::shim::terminate;
use crate::sys::clock::monotonic_ms;
use crate::sys::fork::PANIC_EXIT_CODE;
use crate::sys::proc_tree;
use crate::sys::process::{self, End, Pid};
use crate::task::outcome::signal_name;
use crate::task::state::LaunchId;
use crate::task::{Exit, ExitStatus, TaskId, Timestamp};

const FIRST_PAUSE_MS: u64 = 2;
const LONGEST_PAUSE_MS: u64 = 250;

/// A task that a shim watches, or watched.
#[derive(Debug)]
pub struct Charge {
    pub task_id: TaskId,
    pub launch_id: LaunchId,
    pub journal: Rc<Journal>,
    pub cgroup: Option<GroupSpec>,
}

/// Tasks that lost their shim and may have living processes. Whose orphan is whose cannot be told, so all are
/// over when no orphan is left.
#[derive(Debug, Default)]
pub struct Orphans {
    lost: Vec<(Charge, ExitStatus)>,
    next_round: u64,
    pause: u64,
    /// The last look found no orphan.
    quiet: bool,
}

impl Orphans {
    /// Takes over the task of a shim that ended like this.
    pub fn adopt(&mut self, charge: Charge, end: End) {
        self.lost.push((charge, ExitStatus::Lost { reason: reason(end) }));
        self.next_round = 0;
        self.pause = FIRST_PAUSE_MS;
        self.quiet = false;
    }

    /// Milliseconds until the next round, if one is needed.
    #[must_use]
    pub fn next_round_in(&self) -> Option<u64> {
        (!self.lost.is_empty()).then(|| self.next_round.saturating_sub(monotonic_ms()))
    }

    /// An orphan was reaped, and it may have left children.
    pub fn on_reaped(&mut self) {
        self.next_round = 0;
    }

    /// Kills what is there, if it is time for it, and gives back the tasks of which nothing is left.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub fn round(&mut self, is_shim: impl Fn(Pid) -> bool) -> io::Result<Vec<(Charge, Exit)>> {
        let now = monotonic_ms();
        if self.lost.is_empty() || now < self.next_round {
            return Ok(Vec::new());
        }
        let own = process::getpid();
        // Every orphan is our child, dead ones until they are reaped. While children come and go, one listing may miss
        // one of them, so it takes two that agree.
        let quiet = proc_tree::children(own)?.into_iter().all(&is_shim);
        if quiet && self.quiet {
            self.quiet = false;
            return Ok(self.give_back());
        }
        self.quiet = quiet;
        if !quiet {
            // Closed to forks, so that the scan finds all.
            self.lost.iter().filter_map(|(charge, _)| charge.cgroup.as_ref()).for_each(cgroup::kill_spec);
            terminate::kill_all(own, is_shim)?;
        }
        // From the end of this round, which may have taken long.
        self.next_round = monotonic_ms().saturating_add(self.pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE_MS);
        Ok(Vec::new())
    }

    /// The launcher ends: kills once more and gives all tasks back.
    pub fn last_round(&mut self, is_shim: impl Fn(Pid) -> bool) -> Vec<(Charge, Exit)> {
        if !self.lost.is_empty() {
            // Nothing more can be done about a `/proc` that cannot be read.
            let _ = terminate::kill_all(process::getpid(), is_shim);
        }
        self.give_back()
    }

    /// The tasks, without their groups.
    fn give_back(&mut self) -> Vec<(Charge, Exit)> {
        let over = self.lost.drain(..).map(|(charge, status)| {
            charge.cgroup.iter().for_each(cgroup::end_spec);
            (charge, exit(status))
        });
        over.collect()
    }
}

fn reason(end: End) -> String {
    match end {
        End::Exited(PANIC_EXIT_CODE) => "the task's shim panicked".to_owned(),
        End::Exited(code) => format!("the task's shim exited with code {code}"),
        End::Signaled(signal) => format!("the task's shim was killed by signal {signal} ({})", signal_name(signal)),
    }
}

fn exit(status: ExitStatus) -> Exit {
    Exit {
        status,
        timed_out: false,
        killed: false,
        oom_killed: false,
        workspace_excess: None,
        output_fault: None,
        at: Timestamp::now(),
        duration_ms: None,
        usage: None,
        collected: None,
    }
}
