//! What the dispatcher decides. Pure: inputs in, transitions and effects out; it performs nothing.
//!
//! Memory is changed as if the turn were committed already. When the commit fails, [`Core::undo`] takes all of it
//! back; the facts of the turn come again with a later one.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use tokio::sync::oneshot;

use super::handle::{KillError, SubmitError, Unavailable};
use super::input::{Fact, Input};
use crate::launcher::protocol::Report;
use crate::ledger::Ledger;
use crate::scheduler::Queue;
use crate::store::StoreError;
use crate::task::state::{IllegalTransition, LaunchId, Running};
use crate::task::{Exit, NewTask, State, Task, TaskId, Timestamp, Transition};

/// Looks up tasks that are not live any more.
pub(super) trait Stored {
    fn task(&self, id: &TaskId) -> Result<Option<Task>, StoreError>;
}

/// Queue, ledger and every live task.
#[derive(Debug)]
pub(super) struct Core {
    /// Boxed: a table that grows holds room for many more than there are.
    live: HashMap<TaskId, Box<Live>>,
    queue: Queue,
    ledger: Ledger,
    last_seq: u64,
    max_queued_tasks: u64,
    /// Start nothing and accept nothing.
    pub draining: bool,
    /// Start nothing for now.
    pub paused: bool,
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
type SubmitReply = oneshot::Sender<Result<Task, SubmitError>>;

/// One round of the dispatcher.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// To be committed, all or none.
    pub transitions: Vec<Transition>,
    /// To be performed after the commit, in order.
    pub effects: Vec<Effect>,
    /// To be tried again when the commit fails.
    pub facts: Vec<Fact>,
    undo: Vec<Undo>,
}

#[derive(Debug)]
pub(super) enum Effect {
    AnswerSubmit {
        reply: SubmitReply,
        answer: Result<Task, SubmitError>,
    },
    AnswerKill {
        reply: KillReply,
        answer: Result<Task, KillError>,
    },
    Launch(Task),
    /// SIGTERM to the shim, which terminates its task.
    Terminate(Running),
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
            ledger,
            last_seq,
            max_queued_tasks,
            draining: false,
            paused: false,
        }
    }

    /// Takes back the live tasks that the store kept.
    pub fn restore(&mut self, tasks: Vec<Task>) {
        for task in tasks {
            self.enter(&task);
            self.live.insert(task.id().clone(), Box::new(Live::new(task)));
        }
    }

    /// Decides one turn.
    pub fn decide(&mut self, inputs: Vec<Input>, stored: &impl Stored, now: Timestamp) -> Turn {
        let mut turn = Turn::default();
        for input in inputs {
            match input {
                Input::Submit { new, reply } => self.on_submit(&mut turn, *new, reply, stored),
                Input::Kill { id, owner, reply } => self.on_kill(&mut turn, &id, owner, reply, stored, now),
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
            self.start_what_fits(&mut turn, now);
        }
        // Also when nothing came in: what is waiting may be so because a commit failed, or because there was no launcher.
        self.start_what_fits(&mut turn, now);
        turn
    }

    /// Takes the turn back, newest change first, and answers those who wait for it.
    pub fn undo(&mut self, turn: Turn) -> Vec<Fact> {
        for step in turn.undo.into_iter().rev() {
            match step {
                Undo::Created(id) => {
                    if let Some(live) = self.live.remove(&id) {
                        self.leave(&live.task);
                    }
                }
                Undo::Changed(before) => {
                    if let Some(live) = self.live.get_mut(before.id()) {
                        live.turn_killers_away();
                        let after = std::mem::replace(&mut live.task, (*before).clone());
                        self.leave(&after);
                        self.enter(&before);
                    }
                }
                Undo::Removed(id, live) => {
                    self.live.insert(id, live);
                }
                Undo::EndingSet(id) => {
                    if let Some(live) = self.live.get_mut(&id) {
                        live.turn_killers_away();
                        live.ending = None;
                        let task = live.task.clone();
                        self.enter(&task);
                    }
                }
            }
        }
        for effect in turn.effects {
            effect.abandon();
        }
        turn.facts
    }

    /// Starts what fits without anything new.
    pub fn start_waiting(&mut self, now: Timestamp) -> Turn {
        let mut turn = Turn::default();
        self.start_what_fits(&mut turn, now);
        turn
    }

    /// Queued tasks that this runtime can never start: its capacity shrank since they were accepted.
    pub fn reject_what_never_fits(&mut self, now: Timestamp) -> Turn {
        let mut turn = Turn::default();
        let waiting = self.live.values().filter(|l| matches!(l.task.state(), State::Queued)).map(|l| l.task.clone());
        for task in waiting.collect::<Vec<_>>() {
            let tenant = task.spec().control.tenant.as_deref();
            if let Err(reason) = self.ledger.check_ever_fits(task.demand(), tenant)
                && let Ok(transition) = task.reject(&reason.to_string(), now)
            {
                self.end(&mut turn, transition);
            }
        }
        turn
    }

    fn on_submit(&mut self, turn: &mut Turn, new: NewTask, reply: SubmitReply, stored: &impl Stored) {
        let answer = self.submit(turn, new, stored);
        turn.effects.push(Effect::AnswerSubmit { reply, answer });
    }

    fn submit(&mut self, turn: &mut Turn, new: NewTask, stored: &impl Stored) -> Result<Task, SubmitError> {
        if self.draining {
            return Err(Unavailable::Draining.into());
        }
        let known = match self.live.get(&new.id) {
            Some(live) => Some(live.task.clone()),
            None => stored.task(&new.id).map_err(|error| storage_fault(&error))?,
        };
        if let Some(task) = known {
            return Err(SubmitError::Conflict { task_id: new.id, status: task.status() });
        }
        let submitted = Task::submit(new, self.last_seq + 1);
        let task = submitted.task().clone();
        self.ledger.check_ever_fits(task.demand(), task.spec().control.tenant.as_deref())?;
        if self.queue.len() as u64 >= self.max_queued_tasks {
            return Err(SubmitError::QueueFull { max_queued_tasks: self.max_queued_tasks });
        }
        self.last_seq += 1;
        self.apply(turn, submitted);
        Ok(task)
    }

    fn on_kill(
        &mut self,
        turn: &mut Turn,
        id: &TaskId,
        owner: Option<String>,
        reply: KillReply,
        stored: &impl Stored,
        now: Timestamp,
    ) {
        let Some(live) = self.live.get_mut(id) else {
            let answer = match stored.task(id) {
                Ok(Some(task)) => may_kill(&task, owner.as_deref()).map(|()| task),
                Ok(None) => Err(KillError::NotFound(id.clone())),
                Err(error) => Err(storage_fault(&error).into()),
            };
            return turn.effects.push(Effect::AnswerKill { reply, answer });
        };
        if let Err(refusal) = may_kill(&live.task, owner.as_deref()) {
            return turn.effects.push(Effect::AnswerKill { reply, answer: Err(refusal) });
        }
        live.killers.push(reply);
        if live.ending.is_some() {
            return;
        }
        let task = live.task.clone();
        if let Ok(cancelled) = task.cancel(now) {
            return self.end(turn, cancelled);
        }
        if let Ok(Some(requested)) = task.request_kill(now) {
            self.apply(turn, requested);
        }
        // A second request repeats the signal: it is harmless, and the first may have been lost with a server. While
        // the task is launching there is nobody to signal yet; its start brings signal and answer.
        if let Some(running) = task.running() {
            turn.effects.push(Effect::Terminate(running.clone()));
            self.answer_killers(turn, id);
        }
    }

    fn answer_killers(&mut self, turn: &mut Turn, id: &TaskId) {
        let Some(live) = self.live.get_mut(id) else { return };
        for reply in std::mem::take(&mut live.killers) {
            turn.effects.push(Effect::AnswerKill { reply, answer: Ok(live.task.clone()) });
        }
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
            Fact::Adopted { id, running } => self.on_adopted(turn, &id, &running, now),
            Fact::NeverStarted { id, launch_id } => self.on_never_started(turn, &id, launch_id, now),
            Fact::ResultWritten { id } => {
                self.on_result_written(turn, &id);
                Ok(())
            }
        }
    }

    fn on_started(&mut self, turn: &mut Turn, id: &TaskId, running: &Running) -> Result<(), IllegalTransition> {
        let Some(task) = self.launched_as(id, running.launch_id) else { return Ok(()) };
        let transition = task.start(running)?;
        turn.effects.push(Effect::Started(transition.task().clone()));
        if task.kill_requested() {
            turn.effects.push(Effect::Terminate(running.clone()));
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
            turn.effects.push(Effect::Terminate(running.clone()));
        }
        self.apply(turn, transition);
        Ok(())
    }

    fn on_never_started(
        &mut self,
        turn: &mut Turn,
        id: &TaskId,
        launch_id: LaunchId,
        now: Timestamp,
    ) -> Result<(), IllegalTransition> {
        let Some(task) = self.launched_as(id, launch_id) else { return Ok(()) };
        let requeued = task.requeue(now)?;
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

    fn start_what_fits(&mut self, turn: &mut Turn, now: Timestamp) {
        while !self.draining && !self.paused {
            let Some(id) = self.queue.choose(&self.ledger) else { return };
            let launched = self.live.get(&id).map(|live| live.task.launch(now));
            let Some(Ok(transition)) = launched else {
                unreachable!("only queued tasks are in the queue: {launched:?}")
            };
            let task = transition.task().clone();
            self.apply(turn, transition);
            turn.effects.push(Effect::Launch(task));
        }
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

    /// Puts a live task where its state belongs: in the queue or in the ledger.
    fn enter(&mut self, task: &Task) {
        let tenant = task.spec().control.tenant.as_deref();
        if task.holds_reservation() {
            self.ledger.reserve(task.id(), task.demand(), tenant);
        } else if !task.status().is_terminal() && self.live.get(task.id()).is_none_or(|live| live.ending.is_none()) {
            let lane = tenant.filter(|tenant| self.ledger.has_quota(tenant));
            self.queue.push(task.head().seq, task.id().clone(), task.demand(), lane);
        }
    }

    fn leave(&mut self, task: &Task) {
        let lane = task.spec().control.tenant.as_deref().filter(|tenant| self.ledger.has_quota(tenant));
        self.queue.remove(task.head().seq, lane);
        self.ledger.release(task.id());
    }
}

impl Live {
    const fn new(task: Task) -> Self {
        Self { task, ending: None, killers: Vec::new() }
    }

    /// What they asked for could not be committed.
    fn turn_killers_away(&mut self) {
        for reply in self.killers.drain(..) {
            drop(reply.send(Err(Unavailable::Storage.into())));
        }
    }
}

impl Effect {
    /// The commit failed: whoever waits is told so.
    fn abandon(self) {
        // A receiver that is gone does not care.
        match self {
            Self::AnswerSubmit { reply, answer } => drop(reply.send(answer.and(Err(Unavailable::Storage.into())))),
            Self::AnswerKill { reply, answer } => drop(reply.send(answer.and(Err(Unavailable::Storage.into())))),
            Self::Launch(_) | Self::Terminate(_) | Self::WriteResult(_) | Self::Started(_) | Self::Ended(_) => {}
        }
    }
}

fn may_kill(task: &Task, owner: Option<&str>) -> Result<(), KillError> {
    match &task.spec().control.owner {
        Some(needed) if owner != Some(needed.as_str()) => Err(KillError::NotOwner),
        _ => Ok(()),
    }
}

fn storage_fault(error: &StoreError) -> Unavailable {
    tracing::error!(error = error as &dyn std::error::Error, "the store could not be read");
    Unavailable::Storage
}

mod drain;
#[cfg(test)]
mod tests;
mod view;
