//! Where a live task stands: in the ledger, in the queue, or apart until it may be queued. What the clock and the ends of
//! other tasks bring to those who wait.

use std::time::Duration;

use super::{Core, Stored, SubmitError, Turn, storage_fault};
use crate::scheduler::{Apart, Rank};
use crate::store::{QueuedTask, StoreError};
use crate::task::{NewTask, Reservation, Status, Task, TaskId, Timestamp};

/// Most waiting tasks that one turn moves because of the clock, or of the end of another task.
const AT_ONCE: usize = 256;
/// Before more of them are moved.
const PAUSE: Duration = Duration::from_millis(10);

/// The dependencies of a new task.
pub(super) enum Dependencies {
    /// These have not ended.
    Open(Vec<TaskId>),
    /// This one has ended in another way than it had to.
    Failed(TaskId, Status),
}

impl Core {
    /// Puts a live task where its state belongs.
    pub(super) fn enter(&mut self, task: &Task) {
        let tenant = task.spec().control.tenant.as_deref();
        if task.holds_reservation() {
            self.ledger.reserve(task.id(), task.demand(), tenant);
        } else if !task.status().is_terminal() && self.live.get(task.id()).is_none_or(|live| live.ending.is_none()) {
            self.wait(QueuedTask {
                seq: task.head().seq,
                id: task.id().clone(),
                demand: task.demand(),
                tenant: tenant.map(str::to_owned),
                standing: task.standing(),
            });
        }
    }

    pub(super) fn wait(&mut self, task: QueuedTask) {
        let QueuedTask { seq, id, demand, tenant, standing } = task;
        let lane = tenant.filter(|tenant| self.ledger.has_quota(tenant));
        self.agenda.note(seq, &id, &standing);
        if standing.may_start(self.now) {
            self.queue.push(Rank::of(&standing, seq), id, demand, lane.as_deref());
        } else {
            self.agenda.set_apart(seq, Apart { id, demand, lane, standing });
        }
    }

    pub(super) fn leave(&mut self, task: &Task) {
        let lane = task.spec().control.tenant.as_deref().filter(|tenant| self.ledger.has_quota(tenant));
        let (seq, standing) = (task.head().seq, task.standing());
        self.queue.remove(Rank::of(&standing, seq), lane);
        self.agenda.remove(seq, &standing);
        self.ledger.release(task.id());
    }

    /// How many wait, in the queue or apart.
    pub(super) fn waiting_len(&self) -> usize {
        self.queue.len() + self.agenda.len()
    }

    /// Every waiting task with what it asks for, and its tenant if that has a quota.
    pub(super) fn waiting(&self) -> impl Iterator<Item = (&TaskId, Reservation, Option<&str>)> {
        self.queue.iter().chain(self.agenda.iter())
    }

    /// Queued tasks that this runtime can never start: its capacity shrank since they were accepted.
    pub fn reject_what_never_fits(&mut self, stored: &impl Stored, now: Timestamp) -> Result<Turn, StoreError> {
        let mut turn = Turn::default();
        let never = self.waiting().filter_map(|(id, demand, lane)| {
            Some((id.clone(), self.ledger.check_ever_fits(demand, lane).err()?.to_string()))
        });
        for (id, reason) in never.collect::<Vec<_>>() {
            if let Some(live) = self.at_hand(&id, stored)?
                && let Ok(transition) = live.task.reject(&reason, now)
            {
                self.end(&mut turn, transition);
            }
        }
        Ok(turn)
    }

    /// Somebody waits for this task, which must not be forgotten before.
    pub fn is_awaited(&self, id: &TaskId) -> bool {
        self.agenda.is_awaited(id)
    }

    /// When the clock brings something, or there is more to be moved.
    pub fn due_in(&self, now: Timestamp) -> Option<Duration> {
        if !self.ended.is_empty() {
            return Some(PAUSE);
        }
        let left = self.agenda.next_due()?.as_millis().saturating_sub(now.as_millis());
        Some(Duration::from_millis(u64::try_from(left).unwrap_or(0)).max(PAUSE))
    }

    /// Queues those whose time has come, and ends those who have waited for too long.
    pub(super) fn on_time(&mut self, turn: &mut Turn, stored: &impl Stored, now: Timestamp) {
        self.now = now;
        for (seq, Apart { id, demand, lane, standing }) in self.agenda.take_ready(now) {
            self.queue.push(Rank::of(&standing, seq), id, demand, lane.as_deref());
        }
        for id in self.agenda.expired(now, AT_ONCE) {
            let expired = match self.at_hand(&id, stored) {
                Ok(live) => live.and_then(|live| live.task.expire(now).ok()),
                Err(error) => {
                    // It stays where it is, and is tried again.
                    storage_fault(&error);
                    return;
                }
            };
            if let Some(transition) = expired {
                self.end(turn, transition);
            }
        }
    }

    /// What the new task has to wait for.
    pub(super) fn dependencies(
        &self,
        turn: &Turn,
        new: &NewTask,
        stored: &impl Stored,
    ) -> Result<Dependencies, SubmitError> {
        let mut open = Vec::new();
        for (index, dependency) in new.spec.schedule.depends_on.iter().enumerate() {
            let id = &dependency.task_id;
            let known = self.known(turn, id, stored).map_err(|error| storage_fault(&error))?;
            let may_see = |task: &Task| new.sees.is_none() || new.sees == task.spec().control.tenant;
            let Some(task) = known.filter(may_see) else {
                return Err(SubmitError::UnknownDependency { index, task_id: id.clone() });
            };
            if !task.status().is_terminal() {
                open.push(id.clone());
            } else if !dependency.on.is_met_by(task.status()) {
                return Ok(Dependencies::Failed(id.clone(), task.status()));
            }
        }
        Ok(Dependencies::Open(open))
    }

    /// A task as it is with this turn, which the store does not know yet.
    fn known(&self, turn: &Turn, id: &TaskId, stored: &impl Stored) -> Result<Option<Task>, StoreError> {
        if let Some(live) = self.live.get(id) {
            return Ok(Some(live.task.clone()));
        }
        let ended = turn.transitions.iter().rev().map(|transition| transition.task()).find(|task| task.id() == id);
        match ended {
            Some(task) => Ok(Some(task.clone())),
            None => stored.task(id),
        }
    }

    /// The end of this task is in the turn.
    pub(super) fn on_end(&mut self, task: &Task) {
        if self.agenda.is_awaited(task.id()) {
            self.ended.push_back((task.id().clone(), Some(task.status())));
        }
    }

    /// Finds the ends that a former server had no time to tell to those who wait for them.
    pub fn find_ended_dependencies(&mut self, stored: &impl Stored) -> Result<(), StoreError> {
        for id in self.agenda.awaited().filter(|id| !self.live.contains_key(*id)).cloned().collect::<Vec<_>>() {
            match stored.task(&id)?.map(|task| task.status()) {
                Some(status) if !status.is_terminal() => {}
                ended => self.ended.push_back((id, ended)),
            }
        }
        Ok(())
    }

    /// Tells the ends of tasks to some of those who wait for them; those who are left have their turn later.
    pub(super) fn tell_dependents(&mut self, turn: &mut Turn, stored: &impl Stored, now: Timestamp) {
        // Only those of an earlier turn: what this one does for the last dependent may be taken back.
        while let Some((id, _)) = self.ended.front()
            && (self.live.contains_key(id) || !self.agenda.is_awaited(id))
        {
            self.ended.pop_front();
        }
        let mut room = AT_ONCE;
        for (id, ended) in self.ended.iter().take(AT_ONCE).cloned().collect::<Vec<_>>() {
            if self.live.contains_key(&id) {
                continue;
            }
            for (seq, waiter) in self.agenda.dependents(&id, room) {
                room -= 1;
                let told = match self.at_hand(&waiter, stored) {
                    Ok(live) => live.map(|live| live.task.clone()),
                    Err(error) => {
                        storage_fault(&error);
                        return;
                    }
                };
                match told {
                    Some(task) => self.tell(turn, &task, &id, ended, now),
                    None => self.agenda.drop_dependent(&id, seq),
                }
            }
            if room == 0 {
                return;
            }
        }
    }

    fn tell(&mut self, turn: &mut Turn, waiter: &Task, id: &TaskId, ended: Option<Status>, now: Timestamp) {
        let needs = waiter.spec().schedule.depends_on.iter().find(|dependency| dependency.task_id == *id);
        let is_met = ended.is_some_and(|status| needs.is_none_or(|needs| needs.on.is_met_by(status)));
        if is_met {
            if let Ok(transition) = waiter.dependency_met(id, now) {
                self.apply(turn, transition);
            }
        } else if let Ok(transition) = waiter.dependency_failed(id, ended, now) {
            self.end(turn, transition);
        }
    }
}
