//! Looking at a task and at a transition; nothing here changes either.

use super::{Head, LaunchId, Progress, Running, State, Status, Task, Transition};
use crate::task::event::NewEvent;
use crate::task::kill::KillOrder;
use crate::task::outcome::{Ended, Outcome};
use crate::task::plan::ExecutionPlan;
use crate::task::reservation::Reservation;
use crate::task::spec::TaskSpec;
use crate::task::{TaskId, Timestamp};

impl Transition {
    /// The task after the step.
    #[must_use]
    pub const fn task(&self) -> &Task {
        &self.task
    }

    /// The revision that the store must still hold; `None` creates the task.
    #[must_use]
    pub const fn expected_revision(&self) -> Option<u64> {
        self.expected_revision
    }

    #[must_use]
    pub fn events(&self) -> &[NewEvent] {
        &self.events
    }

    /// One of its events is one that the task's client wants to hear of.
    #[must_use]
    pub fn is_to_be_told(&self) -> bool {
        let callback = self.task.spec().callback.as_ref();
        callback.is_some_and(|callback| self.events.iter().any(|event| callback.wants(event.event_type)))
    }
}

impl Progress {
    #[must_use]
    pub const fn is_queued(&self) -> bool {
        matches!(self.state, State::Queued)
    }
}

impl Task {
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    #[must_use]
    pub const fn progress(&self) -> &Progress {
        &self.progress
    }

    #[must_use]
    pub fn id(&self) -> &TaskId {
        &self.head.id
    }

    #[must_use]
    pub fn spec(&self) -> &TaskSpec {
        &self.head.spec
    }

    #[must_use]
    pub fn plan(&self) -> &ExecutionPlan {
        &self.head.plan
    }

    #[must_use]
    pub const fn state(&self) -> &State {
        &self.progress.state
    }

    #[must_use]
    pub const fn revision(&self) -> u64 {
        self.progress.revision
    }

    #[must_use]
    pub const fn updated_at(&self) -> Timestamp {
        self.progress.updated_at
    }

    #[must_use]
    pub const fn reserved_at(&self) -> Option<Timestamp> {
        self.progress.reserved_at
    }

    #[must_use]
    pub const fn kill_requested(&self) -> bool {
        self.progress.kill_requested_at.is_some()
    }

    /// How the task was last asked to end, if it was.
    #[must_use]
    pub fn kill_order(&self) -> KillOrder {
        self.progress.kill_order.unwrap_or_default()
    }

    /// The launch that is on its way or running.
    #[must_use]
    pub const fn launch_id(&self) -> Option<LaunchId> {
        match &self.progress.state {
            State::Launching { launch_id } => Some(*launch_id),
            State::Running(running) => Some(running.launch_id),
            State::Queued | State::Ended { .. } => None,
        }
    }

    /// What the task reserves when it starts.
    #[must_use]
    pub fn demand(&self) -> Reservation {
        Reservation::of(&self.head.spec)
    }

    /// The task counts in the ledger now.
    #[must_use]
    pub const fn holds_reservation(&self) -> bool {
        match self.progress.state {
            State::Launching { .. } | State::Running(_) => true,
            State::Queued | State::Ended { .. } => false,
        }
    }

    #[must_use]
    pub fn running(&self) -> Option<&Running> {
        match &self.progress.state {
            State::Queued | State::Launching { .. } => None,
            State::Running(running) => Some(running),
            State::Ended { ran, .. } => ran.as_ref(),
        }
    }

    #[must_use]
    pub fn outcome(&self) -> Option<&Outcome> {
        match &self.progress.state {
            State::Queued | State::Launching { .. } | State::Running(_) => None,
            State::Ended { outcome, .. } => Some(outcome),
        }
    }

    #[must_use]
    pub fn status(&self) -> Status {
        match &self.progress.state {
            State::Queued | State::Launching { .. } => Status::Accepted,
            State::Running(_) => Status::Running,
            State::Ended { outcome, .. } => match outcome.ended {
                Ended::Success => Status::Success,
                Ended::Failed => Status::Failed,
                Ended::Cancelled => Status::Cancelled,
            },
        }
    }
}
