//! What became of launches that no living launcher answers for: after a restart of the server, or when its launcher
//! died. A task is never run twice, never forgotten, never "running" without a process.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::input::Fact;
use crate::launcher::ROLE;
use crate::launcher::protocol::Report;
use crate::shim::journal::{self, JournalError, Record};
use crate::sys::clock::boot_id;
use crate::sys::proc_tree::Process;
use crate::sys::process::{Pid, Signal, pidfd_open};
use crate::sys::{lock, proc_stat, proc_tree};
use crate::task::state::{LaunchId, Running};
use crate::task::{Exit, ExitStatus, State, Task, TaskId, Timestamp};

/// How long a former launcher and the shims that it was just forking may take to leave their records.
const SETTLE: Duration = Duration::from_secs(10);
pub(super) const LOCK_SUFFIX: &str = "lock";

#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("a former launcher still holds {} after {} s", path.display(), SETTLE.as_secs())]
    Held { path: PathBuf },
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// What the journals say about one launch.
#[derive(Clone, Debug)]
pub(super) struct Trace {
    pub journal: PathBuf,
    /// The journal was written in this boot, so its pids mean something.
    this_boot: bool,
    started: Option<Running>,
    exit: Option<Exit>,
}

/// Everything that the journals in the run directory say.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub traces: HashMap<LaunchId, Trace>,
    pub journals: Vec<PathBuf>,
    /// The launchers were of this boot, so everything that they wrote is there to be read.
    this_boot: bool,
    locks: Vec<Lock>,
}

/// The lock of a former launcher, held.
#[derive(Debug)]
struct Lock {
    path: PathBuf,
    _held: File,
}

/// A shim that lives and whose parent is not ours: only watching it tells its end.
#[derive(Clone, Debug)]
pub(super) struct Orphan {
    pub task: Task,
    pub running: Running,
    pub journal: PathBuf,
}

/// What to do about the launched tasks.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub facts: Vec<Fact>,
    pub orphans: Vec<Orphan>,
    /// Their shims died without a word in this boot, so processes of theirs may be left.
    pub bereft: Vec<(TaskId, Running)>,
}

impl Survey {
    /// Waits until no former launcher and no shim that has yet to leave its start record is left, and reads all
    /// journals. A launcher that was spawned and comes late finds its lock held and ends.
    pub fn take(run_dir: &Path) -> Result<Self, RecoveryError> {
        let (mut journals, mut locks, mut this_boot) = (Vec::new(), Vec::new(), false);
        let failed = |source| RecoveryError::Read { path: run_dir.to_owned(), source };
        let boot_id = boot_id().map_err(failed)?;
        for entry in std::fs::read_dir(run_dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            match path.extension().and_then(|e| e.to_str()) {
                Some(LOCK_SUFFIX) => {
                    let (lock, lock_boot_id) = settle(path)?;
                    this_boot |= lock_boot_id == boot_id;
                    locks.push(lock);
                }
                Some(super::journals::SUFFIX) => journals.push(path),
                _ => {}
            }
        }
        let mut survey = Self { traces: HashMap::new(), journals, this_boot, locks };
        for path in &survey.journals {
            read(path, &boot_id, &mut survey.traces)?;
        }
        Ok(survey)
    }

    /// Removes the locks of former launchers. To be called when another launcher has its own: without any lock of
    /// this boot, a server that follows would have to take the machine for restarted.
    pub fn remove_locks(&mut self) {
        for Lock { path, _held } in self.locks.drain(..) {
            if let Err(error) = std::fs::remove_file(&path) {
                tracing::warn!(path = %path.display(), %error, "the lock of a former launcher could not be removed");
            }
        }
    }

    /// The journal that holds the records of this task's launch.
    pub fn journal_of(&self, task: &Task) -> Option<&Path> {
        self.traces.get(&task.launch_id()?).map(|trace| trace.journal.as_path())
    }

    /// Decides for each launched task what happened to it.
    pub fn resolve(&self, launched: &[Task]) -> Result<Findings, RecoveryError> {
        let mut findings = Findings::default();
        for task in launched {
            self.resolve_one(task.clone(), &mut findings)?;
        }
        Ok(findings)
    }

    fn resolve_one(&self, task: Task, findings: &mut Findings) -> Result<(), RecoveryError> {
        let Some(launch_id) = task.launch_id() else { return Ok(()) };
        let id = task.id().clone();
        let trace = self.traces.get(&launch_id);
        let exited = |exit| Fact::Report(Report::Exited { task_id: id.clone(), launch_id, exit });
        let started = |running: Running| Fact::Report(Report::Started { task_id: id.clone(), running });
        let Some(trace) = trace else {
            findings.facts.push(match task.state() {
                State::Launching { .. } if self.this_boot => Fact::NeverStarted { id, launch_id },
                // Journals are not synced: a power loss may have taken the record of a command that ran.
                State::Launching { .. } => exited(lost("the machine restarted while it was being launched")),
                _ => exited(lost("its start and its end are in no journal")),
            });
            return Ok(());
        };
        let is_launching = matches!(task.state(), State::Launching { .. });
        if let Some(exit) = &trace.exit {
            let ran = !matches!(exit.status, ExitStatus::LaunchFailed { .. } | ExitStatus::SandboxSetupFailed { .. });
            findings.facts.extend(trace.started.clone().filter(|_| is_launching && ran).map(started));
            findings.facts.push(exited(exit.clone()));
            return Ok(());
        }
        let Some(running) = trace.started.clone().or_else(|| task.running().cloned()) else { return Ok(()) };
        if trace.this_boot && is_alive(&running) {
            findings.orphans.push(Orphan { task, running, journal: trace.journal.clone() });
            return Ok(());
        }
        // The shim may have written its last record after the journal was read and before it was found dead.
        let exit = match exit_in(&trace.journal, launch_id)? {
            Some(exit) => exit,
            None if trace.this_boot => {
                findings.bereft.push((id.clone(), running.clone()));
                lost("the task's shim died without a word")
            }
            None => lost("the machine restarted while the task ran"),
        };
        findings.facts.extend(is_launching.then(|| started(running)));
        findings.facts.push(exited(exit));
        Ok(())
    }
}

/// The lock, and the boot in which its launcher was started.
fn settle(path: PathBuf) -> Result<(Lock, String), RecoveryError> {
    let failed = |source| RecoveryError::Read { path: path.clone(), source };
    let file = lock::open(&path).map_err(failed)?;
    let is_free = || lock::exclusive_by(&file, Instant::now() + SETTLE).map_err(failed);
    let mut free = is_free()?;
    if !free && end_stopped_holders(&path).map_err(failed)? {
        free = is_free()?;
    }
    if !free {
        return Err(RecoveryError::Held { path });
    }
    let boot_id = std::fs::read_to_string(&path).map_err(failed)?;
    Ok((Lock { path, _held: file }, boot_id))
}

/// Says whether there were any. A stopped launcher may launch nothing for a server that is gone, and a stopped shim that
/// has yet to leave its start record has let no command go: their deaths are told from the journals like any other.
fn end_stopped_holders(lock: &Path) -> io::Result<bool> {
    let is_holder = |process: &Process| is_of_launcher(process) && process.uses(lock);
    let holders: Vec<_> = proc_tree::stopped()?.into_iter().filter(is_holder).collect();
    for holder in &holders {
        tracing::warn!(pid = holder.pid.as_raw_pid(), lock = %lock.display(), "ended a stopped process of a former launcher");
        // Gone already is as good.
        let _ = holder.signal(&[Signal::KILL]);
    }
    Ok(!holders.is_empty())
}

/// A launcher, or one that it forked, and nobody who looks into its lock.
fn is_of_launcher(process: &Process) -> bool {
    let command_line = std::fs::read(format!("/proc/{}/cmdline", process.pid)).unwrap_or_default();
    command_line.split(|byte| *byte == 0).nth(1) == Some(ROLE.as_bytes())
}

fn read(path: &Path, boot_id: &str, traces: &mut HashMap<LaunchId, Trace>) -> Result<(), RecoveryError> {
    let contents = journal::read(path)?;
    if contents.damaged > 0 {
        tracing::warn!(journal = %path.display(), records = contents.damaged, "ignored damaged records");
    }
    let mut this_boot = false;
    for record in contents.records {
        let new = || Trace { journal: path.to_owned(), this_boot, started: None, exit: None };
        match record {
            Record::Header { boot_id: written, .. } => this_boot = written == boot_id,
            Record::Started { running, .. } => {
                let launch_id = running.launch_id;
                traces.entry(launch_id).or_insert_with(new).started = Some(running);
            }
            Record::Exited { launch_id, exit, .. } => {
                traces.entry(launch_id).or_insert_with(new).exit.get_or_insert(exit);
            }
        }
    }
    Ok(())
}

/// The exit record of one launch, read afresh.
pub(super) fn exit_in(path: &Path, launch_id: LaunchId) -> Result<Option<Exit>, JournalError> {
    let records = journal::read(path)?.records;
    Ok(records.into_iter().find_map(|record| match record {
        Record::Exited { launch_id: of, exit, .. } if of == launch_id => Some(exit),
        Record::Header { .. } | Record::Started { .. } | Record::Exited { .. } => None,
    }))
}

/// The shim is the very process that was recorded, and no later one of that pid.
pub(super) fn is_alive(running: &Running) -> bool {
    let Some(pid) = Pid::from_raw(running.shim_pid) else { return false };
    // The pidfd pins whoever has the pid; only then does the start time say who that is.
    pidfd_open(pid).is_ok()
        && proc_stat::read(pid).is_ok_and(|s| s.start_ticks == running.shim_start_ticks && s.state != b'Z')
}

pub(super) fn lost(reason: &str) -> Exit {
    Exit {
        status: ExitStatus::Lost { reason: format!("the task was lost: {reason}") },
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
