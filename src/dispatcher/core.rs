//! What the dispatcher decides. Pure: inputs in, transitions and effects out; it performs nothing.
//!
//! Memory is changed as if the turn were committed already. When the commit fails, [`Core::undo`] takes all of it
//! back; the facts of the turn come again with a later one.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use tokio::sync::oneshot;

use self::place::Dependencies;
use super::handle::{KillError, SubmitError, Unavailable};
use super::input::{Fact, Input};
use super::shortage::Shortage;
use crate::launcher::protocol::Report;
use crate::ledger::Ledger;
use crate::scheduler::{Agenda, Queue};
use crate::store::{Earlier, KeptAnswer, LiveTasks, RequestKey, StoreError};
use crate::task::state::{IllegalTransition, LaunchId, NotLaunched, Running};
use crate::task::{Exit, KillOrder, NewTask, State, Status, Task, TaskId, Timestamp, Transition};

/// Of the waiting tasks only so many are kept in memory; those behind them are read when it is their turn.
const AT_HAND: usize = 1024;

/// Looks up what is not in memory: ended tasks and most of those that wait, and answers that were given.
pub(super) trait Stored {
    fn task(&self, id: &TaskId) -> Result<Option<Task>, StoreError>;

    /// What was answered under this key.
    fn earlier(&self, key: &RequestKey) -> Result<Option<Earlier>, StoreError>;
}

/// Queue, ledger, and the live tasks that something is being done with.
#[derive(Debug)]
pub(super) struct Core {
    /// Every task that was launched or whose end is decided. A waiting one may be in the queue and the store alone.
    /// Boxed: a table that grows holds room for many more than there are.
    live: HashMap<TaskId, Box<Live>>,
    queue: Queue,
    agenda: Agenda,
    /// Tasks that have ended and for which others wait, with how they ended, where that is known.
    ended: VecDeque<(TaskId, Option<Status>)>,
    now: Timestamp,
    /// When the last task was queued; no later one is queued before, whatever the clock says.
    last_queued: Timestamp,
    ledger: Ledger,
    last_seq: u64,
    max_queued_tasks: u64,
    /// Start nothing and accept nothing.
    pub draining: bool,
    /// Start nothing for now.
    pub paused: bool,
    pub shortage: Shortage,
}

#[derive(Debug)]
struct Live {
    task: Task,
    /// The last transition, decided and waiting for the files that it promises to be written.
    ending: Option<Box<Transition>>,
    /// Who asked for the end and is answered when the task runs or has ended.
    killers: Vec<KillReply>,
}

type KillReply = oneshot::Sender<Result<Task, KillError>>;
pub(super) type SubmitReply = oneshot::Sender<Result<Task, SubmitError>>;

/// One round of the dispatcher.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// To be committed, all or none.
    pub transitions: Vec<Transition>,
    /// To be committed with them.
    pub answers: Vec<KeptAnswer>,
    /// To be performed after the commit, in order.
    pub effects: Vec<Effect>,
    /// To be tried again when the commit fails.
    pub facts: Vec<Fact>,
    undo: Vec<Undo>,
}

impl Turn {
    /// Nothing in it but that commands run: nobody is answered and nothing follows from it. What short tasks go through
    /// is so committed with their end.
    pub fn can_wait(&self) -> bool {
        let is_quiet = |effect: &Effect| matches!(effect, Effect::Started(_) | Effect::WriteResult(_));
        let runs = |transition: &Transition| matches!(transition.task().state(), State::Running(_));
        self.effects.iter().all(is_quiet) && self.transitions.iter().all(runs)
    }

    /// A task in it has come and gone. Its files are written when it is stored.
    pub fn ends_what_it_creates(&self) -> bool {
        let created = self.transitions.iter().filter(|transition| transition.expected_revision().is_none());
        let mut created = created.map(|transition| transition.task().id());
        created
            .any(|id| self.effects.iter().any(|effect| matches!(effect, Effect::WriteResult(task) if task.id() == id)))
    }

    /// Results may be written before the turn is committed: they promise nothing before the ends are.
    pub fn take_results(&mut self) -> Vec<Task> {
        let mut results = Vec::new();
        let effects = std::mem::take(&mut self.effects);
        self.effects = effects
            .into_iter()
            .filter_map(|effect| match effect {
                Effect::WriteResult(task) => {
                    results.push(task);
                    None
                }
                other => Some(other),
            })
            .collect();
        results
    }
}

#[derive(Debug)]
pub(super) enum Effect {
    /// Write the request beside the task that was accepted, then answer.
    AnswerSubmit {
        reply: SubmitReply,
        answer: Result<Task, SubmitError>,
        request: Vec<u8>,
    },
    AnswerEarlier {
        reply: oneshot::Sender<Earlier>,
        earlier: Earlier,
    },
    AnswerKill {
        reply: KillReply,
        answer: Result<Task, KillError>,
    },
    Launch(Task),
    /// An order to the shim, which ends its task.
    Terminate(Running, KillOrder),
    /// Write the files of the ended task, then say [`Fact::ResultWritten`].
    WriteResult(Task),
    Started(Task),
    Ended(Task),
}

#[derive(Debug)]
enum Undo {
    Created(TaskId),
    Changed(Box<Task>),
    Removed(TaskId, Box<Live>),
    EndingSet(TaskId),
}

impl Core {
    pub fn new(ledger: Ledger, max_queued_tasks: u64, last_seq: u64) -> Self {
        Self {
            live: HashMap::new(),
            queue: Queue::default(),
            agenda: Agenda::default(),
            ended: VecDeque::new(),
            now: Timestamp::from_millis(0),
            last_queued: Timestamp::from_millis(0),
            ledger,
            last_seq,
            max_queued_tasks,
            draining: false,
            paused: false,
            shortage: Shortage::default(),
        }
    }

    /// Takes back the live tasks that the store kept.
    pub fn restore(&mut self, live: LiveTasks, now: Timestamp) {
        self.now = now;
        let LiveTasks { launched, queued } = live;
        for task in launched {
            self.enter(&task);
            self.live.insert(task.id().clone(), Box::new(Live::new(task)));
        }
        for task in queued {
            self.last_queued = self.last_queued.max(task.standing.queued_at);
            self.wait(task);
        }
    }

    /// The turn is committed: what waits far behind leaves memory.
    pub fn settle(&mut self, committed: &[Transition]) {
        if self.waiting_len() <= AT_HAND {
            return;
        }
        for transition in committed {
            if let Entry::Occupied(entry) = self.live.entry(transition.task().id().clone())
                && entry.get().only_waits()
            {
                entry.remove();
            }
        }
    }

    /// Decides one turn; `turn` is what is decided already and not committed yet.
    pub fn decide(&mut self, mut turn: Turn, inputs: Vec<Input>, stored: &impl Stored, now: Timestamp) -> Turn {
        self.on_time(&mut turn, stored, now);
        for input in inputs {
            match input {
                Input::Submit { new, request, reply } => {
                    let answer = self.submit(&mut turn, *new, stored, now);
                    turn.effects.push(Effect::AnswerSubmit { reply, answer, request });
                }
                Input::SubmitBatch { submissions, atomic, once } => {
                    self.on_batch(&mut turn, submissions, atomic, once, stored, now);
                }
                Input::Kill { kill, reply } => self.on_kill(&mut turn, kill, reply, stored, now),
                Input::Fact(fact) => {
                    turn.facts.push(fact.clone());
                    if let Err(stale) = self.on_fact(&mut turn, fact, now) {
                        tracing::debug!(%stale, "ignored a fact that changes nothing");
                    }
                }
                Input::Question(_) | Input::LauncherDied { .. } => {
                    unreachable!("the loop answers these after the turn")
                }
            }
            self.start_what_fits(&mut turn, stored, now);
        }
        self.tell_dependents(&mut turn, stored, now);
        // Also when nothing came in: what is waiting may be so because a commit failed, or because there was no launcher.
        self.start_what_fits(&mut turn, stored, now);
        turn
    }

    /// Starts what fits without anything new.
    pub fn start_waiting(&mut self, stored: &impl Stored, now: Timestamp) -> Turn {
        let mut turn = Turn::default();
        self.start_what_fits(&mut turn, stored, now);
        turn
    }

    fn submit(
        &mut self,
        turn: &mut Turn,
        new: NewTask,
        stored: &impl Stored,
        now: Timestamp,
    ) -> Result<Task, SubmitError> {
        if self.draining {
            return Err(Unavailable::Draining.into());
        }
        let known = match self.live.get(&new.id) {
            Some(live) => Some(live.task.clone()),
            None => stored.task(&new.id).map_err(|error| storage_fault(&error))?,
        };
        if let Some(task) = known {
            return Err(SubmitError::conflict(&task));
        }
        let dependencies = self.dependencies(turn, &new, stored)?;
        // Now: times of acceptance have the order of acceptance, which lists go by.
        let new = NewTask { created_at: now, ..new };
        let mut submitted = Task::submit(new, self.last_seq + 1).queued_behind(self.last_queued);
        if let Dependencies::Open(open) = &dependencies {
            submitted = submitted.waiting_for(open.clone());
        }
        let task = submitted.task().clone();
        self.ledger.check_ever_fits(task.demand(), task.spec().control.tenant.as_deref())?;
        if self.waiting_len() as u64 >= self.max_queued_tasks {
            return Err(SubmitError::QueueFull { max_queued_tasks: self.max_queued_tasks });
        }
        self.last_seq += 1;
        self.last_queued = task.standing().queued_at;
        self.apply(turn, submitted);
        if let Dependencies::Failed(id, status) = dependencies
            && let Ok(cancelled) = task.dependency_failed(&id, Some(status), now)
        {
            self.end(turn, cancelled);
        }
        Ok(task)
    }

    fn on_fact(&mut self, turn: &mut Turn, fact: Fact, now: Timestamp) -> Result<(), IllegalTransition> {
        match fact {
            Fact::Report(Report::Started { task_id, running }) => self.on_started(turn, &task_id, &running),
            Fact::Report(Report::TimedOut { task_id, launch_id, at }) => {
                let Some(task) = self.launched_as(&task_id, launch_id) else { return Ok(()) };
                if let Some(transition) = task.time_out(at)? {
                    self.apply(turn, transition);
                }
                Ok(())
            }
            Fact::Report(Report::Exited { task_id, launch_id, exit }) => {
                self.on_exited(turn, &task_id, launch_id, &exit)
            }
            Fact::Report(Report::NotForked { task_id, launch_id, failure }) => {
                if self.launched_as(&task_id, launch_id).is_some() && !self.shortage.on_refused(&task_id) {
                    return self.on_exited(turn, &task_id, launch_id, &failure);
                }
                self.on_never_started(turn, &task_id, launch_id, NotLaunched::Shortage, now)
            }
            Fact::Adopted { id, running } => self.on_adopted(turn, &id, &running, now),
            Fact::NeverStarted { id, launch_id } => self.on_never_started(turn, &id, launch_id, NotLaunched::Lost, now),
            Fact::ResultWritten { id } => {
                self.on_result_written(turn, &id);
                Ok(())
            }
        }
    }

    fn on_started(&mut self, turn: &mut Turn, id: &TaskId, running: &Running) -> Result<(), IllegalTransition> {
        let Some(task) = self.launched_as(id, running.launch_id) else { return Ok(()) };
        let transition = task.start(running)?;
        self.shortage.on_started(id);
        turn.effects.push(Effect::Started(transition.task().clone()));
        if task.kill_requested() {
            turn.effects.push(Effect::Terminate(running.clone(), task.kill_order()));
        }
        self.apply(turn, transition);
        self.answer_killers(turn, id);
        Ok(())
    }

    fn on_exited(
        &mut self,
        turn: &mut Turn,
        id: &TaskId,
        launch_id: LaunchId,
        exit: &Exit,
    ) -> Result<(), IllegalTransition> {
        let Some(task) = self.launched_as(id, launch_id) else { return Ok(()) };
        let transition = task.finish(exit)?;
        self.end(turn, transition);
        Ok(())
    }

    fn on_adopted(
        &mut self,
        turn: &mut Turn,
        id: &TaskId,
        running: &Running,
        now: Timestamp,
    ) -> Result<(), IllegalTransition> {
        if let Some(State::Launching { .. }) = self.live.get(id).map(|live| live.task.state()) {
            self.on_started(turn, id, running)?;
        }
        let Some(task) = self.launched_as(id, running.launch_id) else { return Ok(()) };
        let transition = task.adopt(now)?;
        if task.kill_requested() {
            turn.effects.push(Effect::Terminate(running.clone(), task.kill_order()));
        }
        self.apply(turn, transition);
        Ok(())
    }

    fn on_never_started(
        &mut self,
        turn: &mut Turn,
        id: &TaskId,
        launch_id: LaunchId,
        because: NotLaunched,
        now: Timestamp,
    ) -> Result<(), IllegalTransition> {
        let Some(task) = self.launched_as(id, launch_id) else { return Ok(()) };
        let requeued = task.requeue(because, now)?;
        let task = requeued.task().clone();
        self.apply(turn, requeued);
        if task.kill_requested() {
            let cancelled = task.cancel(now)?;
            self.end(turn, cancelled);
        }
        Ok(())
    }

    fn on_result_written(&mut self, turn: &mut Turn, id: &TaskId) {
        let Some(live) = self.live.get_mut(id) else { return };
        let Some(transition) = live.ending.as_deref().cloned() else { return };
        let task = transition.task().clone();
        for reply in std::mem::take(&mut live.killers) {
            turn.effects.push(Effect::AnswerKill { reply, answer: Ok(task.clone()) });
        }
        self.apply(turn, transition);
        self.on_end(&task);
        self.shortage.on_ended(id);
        turn.effects.push(Effect::Ended(task));
    }

    /// The live task, if it has this launch and nobody decided its end yet.
    fn launched_as(&self, id: &TaskId, launch_id: LaunchId) -> Option<Task> {
        let live = self.live.get(id)?;
        (live.task.launch_id() == Some(launch_id) && live.ending.is_none()).then(|| live.task.clone())
    }

    /// The end is decided; it is committed when the files that it promises are written.
    fn end(&mut self, turn: &mut Turn, transition: Transition) {
        let id = transition.task().id().clone();
        let Some(live) = self.live.get_mut(&id) else { return };
        turn.effects.push(Effect::WriteResult(transition.task().clone()));
        live.ending = Some(Box::new(transition));
        turn.undo.push(Undo::EndingSet(id));
        let task = live.task.clone();
        if !task.holds_reservation() {
            self.leave(&task);
        }
    }

    fn start_what_fits(&mut self, turn: &mut Turn, stored: &impl Stored, now: Timestamp) {
        while !self.draining && !self.paused && !self.shortage.holds() {
            let Some(choice) = self.queue.choose(&self.ledger) else { return };
            // What cannot be read stays where it is, and so does everybody behind it.
            let launched = match self.at_hand(choice.id(), stored) {
                Ok(Some(live)) if live.task.is_expired(now) => Some(live.task.expire(now)),
                Ok(live) => live.map(|live| live.task.launch(now)),
                Err(error) => {
                    storage_fault(&error);
                    return;
                }
            };
            let Some(Ok(transition)) = launched else {
                let error = launched.and_then(Result::err).map(|error| error.to_string());
                tracing::error!(task_id = %choice.id(), error, "a waiting task is not in the store as it was");
                return;
            };
            if transition.task().status().is_terminal() {
                self.end(turn, transition);
                continue;
            }
            self.queue.passed(&choice);
            let task = transition.task().clone();
            self.apply(turn, transition);
            turn.effects.push(Effect::Launch(task));
        }
    }

    /// The task in memory, read where it is not.
    fn at_hand(&mut self, id: &TaskId, stored: &impl Stored) -> Result<Option<&Live>, StoreError> {
        if !self.live.contains_key(id)
            && let Some(task) = stored.task(id)?
        {
            self.live.insert(id.clone(), Box::new(Live::new(task)));
        }
        Ok(self.live.get(id).map(Box::as_ref))
    }

    /// Makes the transition true in memory and notes how to take it back.
    fn apply(&mut self, turn: &mut Turn, transition: Transition) {
        let after = transition.task().clone();
        let id = after.id().clone();
        turn.transitions.push(transition);
        let entry = match self.live.entry(id.clone()) {
            Entry::Vacant(place) => {
                place.insert(Box::new(Live::new(after.clone())));
                turn.undo.push(Undo::Created(id));
                return self.enter(&after);
            }
            Entry::Occupied(entry) => entry,
        };
        let before = entry.get().task.clone();
        if after.status().is_terminal() {
            let live = entry.remove();
            self.leave(&before);
            // `Removed` brings the whole entry back, `Changed` then enters it in queue and ledger again.
            turn.undo.push(Undo::Changed(Box::new(before)));
            turn.undo.push(Undo::Removed(id, live));
        } else {
            entry.into_mut().task = after.clone();
            turn.undo.push(Undo::Changed(Box::new(before.clone())));
            self.leave(&before);
            self.enter(&after);
        }
    }
}

impl Live {
    const fn new(task: Task) -> Self {
        Self { task, ending: None, killers: Vec::new() }
    }

    fn only_waits(&self) -> bool {
        matches!(self.task.state(), State::Queued) && self.ending.is_none() && self.killers.is_empty()
    }
}

fn storage_fault(error: &StoreError) -> Unavailable {
    tracing::error!(error = error as &dyn std::error::Error, "the store could not be read");
    Unavailable::Storage
}

mod batch;
mod drain;
mod kill;
mod once;
mod place;
#[cfg(test)]
mod tests;
mod undo;
mod view;

pub(super) use kill::is_owner;
