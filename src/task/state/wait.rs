//! Waiting: where a task stands, for what it waits, and the ends that come of it.

use super::{IllegalTransition, Progress, State, Task, Transition};
use crate::task::schedule::{Schedule, Standing};
use crate::task::{Outcome, Status, TaskId, Timestamp};

impl Transition {
    /// Of a new task: it stands behind what was queued at `last`, whatever the clock says.
    #[must_use]
    pub fn queued_behind(mut self, last: Timestamp) -> Self {
        if last > self.task.head.created_at {
            self.task.progress.queued_at = Some(last);
        }
        self
    }

    /// Of a new task: these of its dependencies have not ended yet.
    #[must_use]
    pub fn waiting_for(mut self, tasks: Vec<TaskId>) -> Self {
        self.task.progress.waits_for = tasks;
        self
    }
}

impl Progress {
    /// Where the task stands, if it is queued.
    #[must_use]
    pub fn standing(&self, schedule: &Schedule, created_at: Timestamp) -> Standing {
        let Schedule { priority, start_after, expires_at, depends_on: _ } = *schedule;
        let queued_at = self.queued_at.unwrap_or(created_at);
        Standing { priority, queued_at, start_after, expires_at, waits_for: self.waits_for.clone() }
    }
}

impl Task {
    /// Where the task stands, if it is queued.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.progress.standing(&self.head.spec.schedule, self.head.created_at)
    }

    /// Those of its dependencies that have not ended.
    #[must_use]
    pub fn waits_for(&self) -> &[TaskId] {
        &self.progress.waits_for
    }

    /// A dependency has ended as it had to. The dependency may be forgotten then.
    ///
    /// # Errors
    /// The task is not queued.
    pub fn dependency_met(&self, id: &TaskId, now: Timestamp) -> Result<Transition, IllegalTransition> {
        let State::Queued = self.progress.state else { return Err(self.illegal("be waiting")) };
        Ok(self.step(now, Vec::new(), |p| {
            p.waits_for.retain(|one| one != id);
            if p.waits_for.is_empty() {
                p.queued_at = Some(now);
            }
        }))
    }

    /// Ends a task one of whose dependencies has ended in another way than it had to; without a status it is not known how.
    ///
    /// # Errors
    /// The task is not queued.
    pub fn dependency_failed(
        &self,
        id: &TaskId,
        ended: Option<Status>,
        now: Timestamp,
    ) -> Result<Transition, IllegalTransition> {
        let State::Queued = self.progress.state else { return Err(self.illegal("be abandoned")) };
        Ok(self.end(Outcome::without_dependency(id, ended, now.max(self.progress.updated_at)), None, Vec::new()))
    }

    /// Waiting may end now.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.head.spec.schedule.expires_at.is_some_and(|time| time <= now)
    }

    /// Ends a task that has waited for too long.
    ///
    /// # Errors
    /// The task is not queued, or may wait on.
    pub fn expire(&self, now: Timestamp) -> Result<Transition, IllegalTransition> {
        match (&self.progress.state, self.head.spec.schedule.expires_at) {
            (State::Queued, Some(expires_at)) if expires_at <= now => {
                Ok(self.end(Outcome::expired(expires_at, now.max(self.progress.updated_at)), None, Vec::new()))
            }
            _ => Err(self.illegal("expire")),
        }
    }
}
