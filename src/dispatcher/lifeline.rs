//! The line to what runs tasks: the launcher of the time, the journals, and the shims that outlived a launcher.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use super::input::{Fact, Input};
use super::journals::Journals;
use super::recovery::{Findings, Orphan, RecoveryError, Survey};
use super::run::StartError;
use super::watch;
use crate::launcher::protocol::{LaunchRequest, Report};
use crate::launcher::{Launcher, LauncherEvent};
use crate::sandbox::cgroup;
use crate::sys::proc_stat;
use crate::sys::process::Pid;
use crate::task::state::{LaunchId, Running};
use crate::task::{State, Task, TaskId, TaskPaths};

/// So many are named at one launch: about as many shims as ever rest.
const MOST_ENDED: usize = 64;

#[derive(Debug)]
pub(super) struct Lifeline {
    run_dir: PathBuf,
    /// Every group in which those of launches may be.
    cgroups: Vec<PathBuf>,
    launcher: Launcher,
    journals: Journals,
    watched: HashSet<LaunchId>,
    /// Of tasks that have ended since the last launch. Whoever asks for the end of a task does it before that is known
    /// here, so no request for a former task reaches the next one of the same shim.
    ended: Vec<LaunchId>,
    inbox: mpsc::Sender<Input>,
}

impl Lifeline {
    /// Finds out what became of the launched tasks of a former server and starts a launcher.
    pub fn start(
        run_dir: &Path,
        cgroups: Vec<PathBuf>,
        launched: Vec<Task>,
        inbox: mpsc::Sender<Input>,
    ) -> Result<(Self, Vec<Fact>), StartError> {
        let (mut survey, findings) = settle(run_dir, &cgroups, &launched)?;
        let launcher = spawn(run_dir, &inbox)?;
        let journals = Journals::new(run_dir, launcher.instance());
        let run_dir = run_dir.to_owned();
        let mut this = Self { run_dir, cgroups, launcher, journals, watched: HashSet::new(), ended: Vec::new(), inbox };
        this.succeed(&mut survey, &launched);
        let mut facts = findings.facts;
        for orphan in findings.orphans {
            facts.push(Fact::Adopted { id: orphan.task.id().clone(), running: orphan.running.clone() });
            this.watch(orphan)?;
        }
        Ok((this, facts))
    }

    /// Whether it is the present launcher that died.
    pub fn lost(&self, instance: &str) -> bool {
        let present = self.launcher.instance() == instance;
        if present {
            tracing::error!(instance, "the launcher died");
        }
        present
    }

    /// Somebody has sent the launcher SIGSTOP: it launches nothing until it gets SIGCONT.
    pub fn is_stopped(&self) -> bool {
        let stat = Pid::from_raw(self.launcher.pid()).and_then(|pid| proc_stat::read(pid).ok());
        stat.is_some_and(|stat| stat.state == b'T')
    }

    /// Starts a launcher in the place of the dead one and finds out what became of its launches. Its shims go on
    /// and still report; but only watching tells when one of them dies without a word.
    pub fn revive(&mut self, launched: Vec<Task>) -> Result<Vec<Fact>, StartError> {
        let (mut survey, findings) = settle(&self.run_dir, &self.cgroups, &launched)?;
        self.launcher = spawn(&self.run_dir, &self.inbox)?;
        self.journals.follow(self.launcher.instance());
        self.ended.clear();
        self.succeed(&mut survey, &launched);
        let mut facts = findings.facts;
        for orphan in findings.orphans {
            if let State::Launching { .. } = orphan.task.state() {
                let running = orphan.running.clone();
                facts.push(Fact::Report(Report::Started { task_id: orphan.task.id().clone(), running }));
            }
            self.watch(orphan)?;
        }
        Ok(facts)
    }

    /// The journal that the next launch of this task is recorded in.
    pub fn journal_for(&mut self, id: &TaskId) -> PathBuf {
        self.journals.enter(id)
    }

    pub fn launch(&mut self, request: LaunchRequest) {
        let ended = std::mem::take(&mut self.ended);
        self.launcher.launch(LaunchRequest { ended, ..request });
    }

    /// The task's end is committed; its records are needed no more, and nothing will be asked of its shim.
    pub fn ended(&mut self, task: &Task) {
        if let Some(journal) = self.journals.leave(task.id()) {
            delete(&journal);
        }
        if let Some(running) = task.running()
            && self.ended.len() < MOST_ENDED
        {
            self.ended.push(running.launch_id);
        }
    }

    fn watch(&mut self, orphan: Orphan) -> Result<(), StartError> {
        if self.watched.insert(orphan.running.launch_id) {
            watch::watch(orphan, self.cgroups.clone(), self.inbox.clone()).map_err(StartError::Thread)?;
        }
        Ok(())
    }

    /// Takes over from a former launcher, when the new one is there: its locks can go, and those of its journals
    /// that hold nothing of a living task. The others stay until the ends of their tasks are committed.
    fn succeed(&mut self, survey: &mut Survey, launched: &[Task]) {
        survey.remove_locks();
        for task in launched {
            if let Some(journal) = survey.journal_of(task) {
                self.journals.keep(task.id(), journal);
            }
        }
        for journal in survey.journals.iter().filter(|journal| !self.journals.is_needed(journal)) {
            delete(journal);
        }
    }
}

/// What became of the launches of a former launcher, and the end of what is left of the dead ones. Before there is
/// another launcher, so that nothing new is taken for old.
fn settle(run_dir: &Path, cgroups: &[PathBuf], launched: &[Task]) -> Result<(Survey, Findings), RecoveryError> {
    let survey = Survey::take(run_dir)?;
    let findings = survey.resolve(launched)?;
    end_dead_groups(cgroups, &findings.orphans);
    end_sessions(run_dir, &findings.bereft);
    Ok((survey, findings))
}

/// Where there are no groups, the rest of a task is found by its session. The shim may have died long ago and the
/// session's number be another's by now, so only what uses the task's directory is taken for a process of it.
fn end_sessions(run_dir: &Path, bereft: &[(TaskId, Running)]) {
    let data_dir = run_dir.parent().unwrap_or(run_dir);
    for (id, running) in bereft {
        let paths = TaskPaths::new(data_dir, id);
        watch::end_session(running, |process| process.uses(paths.task_dir()));
    }
}

/// Before anything new is launched: a group that no living shim answers for is that of a launch whose shim died, with
/// whatever is left of its task.
fn end_dead_groups(cgroups: &[PathBuf], living: &[Orphan]) {
    let living: HashSet<String> = living.iter().map(|orphan| orphan.running.launch_id.to_string()).collect();
    let ended = cgroup::end_all_but(cgroups, |name| living.contains(name));
    if ended > 0 {
        tracing::info!(ended, "ended the cgroups of dead launches");
    }
}

fn spawn(run_dir: &Path, inbox: &mpsc::Sender<Input>) -> Result<Launcher, StartError> {
    let inbox = inbox.clone();
    let tell = move |event| {
        let input = match event {
            LauncherEvent::Report(report) => Input::Fact(Fact::Report(report)),
            LauncherEvent::Died { instance } => Input::LauncherDied { instance },
        };
        // Without a dispatcher the next server reads the journal.
        let _ = inbox.send(input);
    };
    let launcher = Launcher::spawn(run_dir, tell).map_err(StartError::Launcher)?;
    tracing::info!(pid = launcher.pid(), instance = launcher.instance(), "the launcher is there");
    Ok(launcher)
}

fn delete(journal: &Path) {
    if let Err(error) = std::fs::remove_file(journal) {
        tracing::warn!(journal = %journal.display(), %error, "an old journal could not be deleted");
    }
}
