//! The dispatcher's thread: take what has come in, decide, commit, then act. While a commit is under way more comes
//! in and goes into the next turn together: a burst pays for one fsync.

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use clean::not_cleaned;

use super::bell::Bell;
use super::core::{Core, Effect, Stored, Turn};
use super::files::{Files, WriteResult};
use super::handle::{Dispatcher, Unavailable, Waiting};
use super::input::{Fact, Input, Question};
use super::launch::{self, LaunchSettings};
use super::lifeline::Lifeline;
use super::recovery::RecoveryError;
use super::retention::{Bounds, Retention};
use super::waiters::Waiters;
use crate::ledger::{Capacity, Ledger};
use crate::metrics::Metrics;
use crate::store::{Attempt, Earlier, RequestKey, StoreError, Writer};
use crate::sys::clock::monotonic_ms;
use crate::sys::proc_tree::Process;
use crate::sys::process::{Pid, Signal};
use crate::sys::rlimit;
use crate::task::state::Running;
use crate::task::{KillOrder, Task, TaskId, Timestamp, Transition};

/// Most inputs in one turn, a batch counting for its tasks, and so about as many transitions in one commit; but for one
/// batch, which is in one turn however large.
const MAX_TURN: usize = 256;
/// Pause before a failed commit is tried again.
const RETRY: Duration = Duration::from_millis(200);
/// How long the start of a command waits for something to be committed with: its end, as often as not.
const HOLD: Duration = Duration::from_millis(3);
/// While at least so many tasks are waited for and commits follow each other, everything waits as long for company, for
/// each commit costs processor time that the tasks need; until so many transitions have come together. One client after
/// the other never waits.
const CROWD: usize = 8;
const FULL_COMMIT: usize = 32;

/// Most waiting tasks that are cancelled at a time, so that the ends of running ones do not wait long behind them.
const CANCEL_AT_ONCE: usize = 256;

/// What the dispatcher is told at start.
#[derive(Clone, Debug)]
pub struct Settings {
    pub launch: LaunchSettings,
    /// For locks and journals.
    pub run_dir: PathBuf,
    /// Every group in which those of launches may be, of former servers too.
    pub cgroups: Vec<PathBuf>,
    pub capacity: Capacity,
    pub quotas: BTreeMap<String, Capacity>,
    pub max_queued_tasks: u64,
    /// For ended tasks.
    pub bounds: Bounds,
    pub poll_interval: Duration,
}

/// Why the dispatcher does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    #[error("cannot start the launcher")]
    Launcher(#[source] std::io::Error),
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
}

/// Recovers what a former server left and starts the dispatcher. When this returns, every stored task is where it
/// belongs: ended, running under a watched shim, or queued.
///
/// # Errors
/// See [`StartError`]. Nothing was started then, and nothing is lost.
pub fn start(
    settings: Settings,
    writer: Writer,
    write_result: &WriteResult,
    metrics: Arc<Metrics>,
) -> Result<Dispatcher, StartError> {
    if let Err(error) = rlimit::raise_open_files() {
        tracing::warn!(%error, "the limit on open descriptors could not be raised");
    }
    let (sender, inbox) = mpsc::channel();
    let waiters = Waiters::default();
    let ledger = Ledger::new(settings.capacity, &settings.quotas);
    let mut core = Core::new(ledger, settings.max_queued_tasks, writer.last_seq()?);
    let live = writer.live_tasks()?;
    waiters.restore(live.ids());
    core.restore(live, Timestamp::now());
    core.find_ended_dependencies(&writer)?;
    let (lifeline, facts) =
        Lifeline::start(&settings.run_dir, settings.cgroups.clone(), core.launched(), sender.clone())?;
    let files = Files::start(&settings.launch.data_dir, write_result, &sender).map_err(StartError::Thread)?;
    let retention = Retention::start(settings.bounds, &writer)?;
    let dispatcher = Dispatcher::new(sender, waiters.clone());
    let mut this = Loop {
        core,
        writer,
        inbox,
        lifeline,
        files,
        retention,
        waiters,
        metrics,
        settings,
        launched: HashMap::new(),
        pending: Vec::new(),
        held: None,
        committed_at: Instant::now(),
        unsettled: false,
        draining: dispatcher.draining_flag(),
        callbacks: dispatcher.callbacks(),
        cancels_waiting: false,
        drainers: Vec::new(),
    };
    this.recover(facts)?;
    let run = move || or_abort("dispatcher", || this.run());
    thread::Builder::new().name("dispatcher".into()).spawn(run).map_err(StartError::Thread)?;
    Ok(dispatcher)
}

/// A server without one of its threads would answer and do nothing. It ends instead: tasks go on under their shims,
/// and the next server recovers.
pub fn or_abort(thread: &str, work: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(work)).is_err() {
        tracing::error!(thread, "a thread panicked; the server ends");
        std::process::abort();
    }
}

struct Loop {
    core: Core,
    writer: Writer,
    inbox: mpsc::Receiver<Input>,
    lifeline: Lifeline,
    files: Files,
    retention: Retention,
    waiters: Waiters,
    metrics: Arc<Metrics>,
    settings: Settings,
    /// When each launch was handed over, by the monotonic clock of [`Running::started_monotonic_ms`].
    launched: HashMap<TaskId, u64>,
    /// Facts whose commit failed; they are tried again with each turn.
    pending: Vec<Fact>,
    /// What is decided and can wait, and since when it waits.
    held: Option<(Turn, Instant)>,
    committed_at: Instant,
    /// The last commit failed. It may lie whole in SQLite's log all the same, where a restart would take it for true,
    /// until the next one is written over it.
    unsettled: bool,
    /// For those who only want to know.
    draining: Arc<AtomicBool>,
    /// For those who tell of events.
    callbacks: Bell,
    /// No task is to wait any more.
    cancels_waiting: bool,
    /// They are answered when none does.
    drainers: Vec<oneshot::Sender<()>>,
}

impl Stored for Writer {
    fn task(&self, id: &TaskId) -> Result<Option<Task>, StoreError> {
        self.task(id)
    }

    fn earlier(&self, key: &RequestKey) -> Result<Option<Earlier>, StoreError> {
        self.earlier(key)
    }
}

impl Loop {
    fn recover(&mut self, facts: Vec<Fact>) -> Result<(), StoreError> {
        let now = Timestamp::now();
        // Nothing starts before it is known what runs and what fits.
        self.core.paused = true;
        let facts = facts.into_iter().map(Input::Fact).collect();
        let turn = self.core.decide(Turn::default(), facts, &self.writer, now);
        self.writer.commit(&turn.transitions)?;
        tracing::info!(transitions = turn.transitions.len(), "recovered");
        self.perform(turn.effects);
        let rejected = self.core.reject_what_never_fits(&self.writer, now)?;
        self.perform(rejected.effects);
        self.core.paused = false;
        let start = self.core.start_waiting(&self.writer, now);
        self.finish(start);
        Ok(())
    }

    /// Ends when everybody who could send is gone.
    fn run(mut self) {
        loop {
            let wait = if self.unsettled { RETRY } else { self.settings.poll_interval };
            let held = self.held.as_ref().map(|(_, since)| HOLD.saturating_sub(since.elapsed()));
            let due = self.core.shortage.due_in().into_iter().chain(self.core.due_in(Timestamp::now()));
            let wait = due.chain(held).fold(wait, Duration::min);
            let first = match self.inbox.recv_timeout(wait) {
                Ok(input) => Some(input),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            // What could not be committed comes first, as it was: a start is before its exit.
            let mut inputs: Vec<Input> = std::mem::take(&mut self.pending).into_iter().map(Input::Fact).collect();
            let mut room = MAX_TURN;
            for input in first.into_iter().chain(self.inbox.try_iter()) {
                room = room.saturating_sub(input.weight());
                inputs.push(input);
                if room == 0 {
                    break;
                }
            }
            self.turn(inputs);
        }
    }

    fn turn(&mut self, inputs: Vec<Input>) {
        let mut questions = Vec::new();
        let mut decided = Vec::new();
        for input in inputs {
            match input {
                Input::Question(question) => questions.push(question),
                Input::LauncherDied { instance } => self.core.paused |= self.lifeline.lost(&instance),
                Input::Submit { .. } | Input::SubmitBatch { .. } | Input::Kill { .. } | Input::Fact(_) => {
                    decided.push(input);
                }
            }
        }
        if self.core.paused {
            decided.extend(self.revive().into_iter().map(Input::Fact));
        }
        self.core.shortage.tick(monotonic_ms());
        let (held, since) = self.held.take().unwrap_or_else(|| (Turn::default(), Instant::now()));
        let mut turn = self.core.decide(held, decided, &self.writer, Timestamp::now());
        let may_wait = questions.is_empty() && !self.core.paused && !self.unsettled && since.elapsed() < HOLD;
        if may_wait && !turn.transitions.is_empty() && (turn.can_wait() || self.has_company(&turn)) {
            turn.take_results().into_iter().for_each(|task| self.files.write_result(task));
            self.held = Some((turn, since));
        } else {
            self.finish(turn);
        }
        self.settle();
        for question in questions {
            self.answer(question);
        }
        if self.cancels_waiting {
            self.cancel_waiting();
        }
        let resources = self.core.load();
        self.metrics.set_load(resources.queued, resources.reserved, &resources.account);
        let ended = self.retention.stock();
        self.metrics.set_ended(ended.tasks, ended.bytes);
    }

    /// A new launcher in the place of the dead one, and what became of the launches that it had.
    fn revive(&mut self) -> Vec<Fact> {
        match self.lifeline.revive(self.core.launched()) {
            Ok(facts) => {
                self.core.paused = false;
                facts
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the launcher cannot be replaced yet");
                Vec::new()
            }
        }
    }

    /// More to be committed is about to come, and nobody alone waits for this.
    fn has_company(&self, turn: &Turn) -> bool {
        let commits_follow = self.committed_at.elapsed() < HOLD;
        let has_room = turn.transitions.len() < FULL_COMMIT && !turn.ends_what_it_creates();
        commits_follow && has_room && self.waiters.count() >= CROWD
    }

    /// Commit, then act; or take it all back.
    fn finish(&mut self, turn: Turn) {
        if turn.transitions.is_empty() {
            return self.perform(turn.effects);
        }
        let begun = Instant::now();
        match self.writer.commit_with(&turn.transitions, &turn.answers) {
            Ok(()) => {
                self.settled();
                self.committed_at = Instant::now();
                self.metrics.observe_commit(begun.elapsed(), turn.transitions.len());
                for transition in &turn.transitions {
                    self.waiters.publish(transition.task());
                }
                self.waiters.committed();
                if turn.transitions.iter().any(Transition::is_to_be_told) {
                    self.callbacks.ring();
                }
                self.core.settle(&turn.transitions);
                self.perform(turn.effects);
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a commit failed and will be tried again");
                self.pending.extend(self.core.undo(turn));
                self.unsettled = true;
            }
        }
    }

    /// Writes over what a failed commit has left, when nothing else does.
    fn settle(&mut self) {
        if self.unsettled && self.pending.is_empty() && self.writer.check(Timestamp::now()).is_ok() {
            self.settled();
        }
    }

    fn settled(&mut self) {
        if std::mem::take(&mut self.unsettled) {
            tracing::info!("the store takes commits again");
        }
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                // Whoever asked may have gone; the task is stored all the same.
                Effect::AnswerSubmit { reply, answer: Ok(task), request } => self.files.keep(task, request, reply),
                Effect::AnswerSubmit { reply, answer, request: _ } => drop(reply.send(answer)),
                Effect::AnswerEarlier { reply, earlier } => drop(reply.send(earlier)),
                Effect::AnswerKill { reply, answer } => drop(reply.send(answer)),
                Effect::Launch(task) => self.launch(&task),
                Effect::Terminate(running, order) => terminate(&running, order),
                Effect::WriteResult(task) => self.files.write_result(task),
                Effect::Started(task) => self.observe_launch(&task),
                Effect::Ended(task) => {
                    self.lifeline.ended(&task);
                    self.launched.remove(task.id());
                    if let Some(outcome) = task.outcome() {
                        self.metrics.on_ended(outcome);
                        self.retention.on_ended(outcome.finished_at);
                    }
                }
            }
        }
    }

    fn launch(&mut self, task: &Task) {
        self.launched.insert(task.id().clone(), monotonic_ms());
        let journal = self.lifeline.journal_for(task.id());
        match launch::request(task, &self.settings.launch, &journal) {
            Some(request) => self.lifeline.launch(request),
            None => tracing::error!(task_id = %task.id(), "a task that is not launching was to be launched"),
        }
    }

    fn observe_launch(&mut self, task: &Task) {
        // A launch of a former server is not known here.
        let (Some(launched), Some(running)) = (self.launched.remove(task.id()), task.running()) else { return };
        self.metrics.observe_launch(Duration::from_millis(running.started_monotonic_ms.saturating_sub(launched)));
    }

    fn answer(&mut self, question: Question) {
        // A client that is gone needs no answer.
        match question {
            Question::Resources { reply } => drop(reply.send(self.core.resources())),
            Question::Check { reply } => drop(reply.send(self.check())),
            Question::Forget { before, reply } => drop(reply.send(self.forget(before).unwrap_or_else(not_cleaned))),
            Question::Delete { id, owner, reply } => drop(reply.send(self.delete(&id, owner.as_deref()))),
            Question::Unmeasured { reply } => drop(reply.send(self.unmeasured().unwrap_or_else(not_cleaned))),
            Question::Measured { sizes, reply } => drop(reply.send(self.measured(&sizes))),
            Question::Attempts { attempts, reply } => drop(reply.send(self.note_attempts(&attempts))),
            Question::Drain { waiting, reply } => self.drain(waiting, reply),
        }
    }

    fn drain(&mut self, waiting: Waiting, reply: oneshot::Sender<()>) {
        self.core.draining = true;
        self.draining.store(true, Ordering::Relaxed);
        match waiting {
            Waiting::Keep => {
                let _ = reply.send(());
            }
            Waiting::Cancel => {
                self.cancels_waiting = true;
                self.drainers.push(reply);
            }
        }
    }

    /// Goes on when the files of the former ones are written; also for a task that comes back from a launch that was lost.
    fn cancel_waiting(&mut self) {
        match self.core.cancel_waiting(CANCEL_AT_ONCE, &self.writer, Timestamp::now()) {
            Some(turn) => self.perform(turn.effects),
            None => {
                for reply in self.drainers.drain(..) {
                    let _ = reply.send(());
                }
            }
        }
    }

    fn check(&self) -> Result<(), Unavailable> {
        if self.core.draining {
            return Err(Unavailable::Draining);
        }
        if self.core.paused || self.lifeline.is_stopped() {
            return Err(Unavailable::Launcher);
        }
        self.writer.check(Timestamp::now()).map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "the store cannot be written");
            Unavailable::Storage
        })
    }

    fn note_attempts(&mut self, attempts: &[Attempt]) -> Result<(), Unavailable> {
        self.writer.note_attempts(attempts).map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "what came of callbacks cannot be noted");
            Unavailable::Storage
        })
    }
}

/// A shim of a version that knows no orders takes SIGTERM as the request to end its task.
fn terminate(running: &Running, order: KillOrder) {
    let Some(pid) = Pid::from_raw(running.shim_pid) else { return };
    let shim = Process { pid, start_ticks: running.shim_start_ticks };
    if let Err(error) = shim.order(order.to_bits(), Signal::TERM) {
        // It has ended by itself; its exit record is on the way.
        tracing::debug!(%error, shim_pid = running.shim_pid, "the shim was gone before the kill");
    }
}

mod clean;
