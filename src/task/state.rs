//! THE state machine of a task. A `Transition` can be made here and nowhere else, and the store accepts nothing
//! but a `Transition`; so no other code can move a task.
//!
//! ```text
//! submit ─▶ queued ─launch─▶ launching ─start─▶ running ─finish─▶ ended (success | failed | cancelled)
//!              │  ◀─requeue──────┘ └──────finish───────────────────▶
//!              └─cancel, drain, reject, expire, dependency_failed─────▶
//! ```
//! On the wire `queued` and `launching` are both `accepted`: a launch that is committed may still turn out never
//! to have happened (the machine or the launcher died first) and then goes back to the queue.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::event::{EventType, NewEvent};
use super::exit::Exit;
use super::id::TaskId;
use super::kill::KillOrder;
use super::outcome::{Ended, Outcome};
use super::plan::ExecutionPlan;
use super::spec::TaskSpec;
use super::timestamp::Timestamp;

/// A task that a client asked for: everything but its place in the queue.
#[derive(Clone, Debug)]
pub struct NewTask {
    pub id: TaskId,
    pub spec: TaskSpec,
    pub plan: ExecutionPlan,
    pub created_at: Timestamp,
    /// The one tenant whose tasks it may depend on; absent: any.
    pub sees: Option<String>,
}

/// What never changes after submission.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    pub id: TaskId,
    /// Order of submission; unique.
    pub seq: u64,
    pub spec: TaskSpec,
    pub plan: ExecutionPlan,
    pub created_at: Timestamp,
}

/// What changes: the part that a transition replaces. Private fields: only this file writes them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    revision: u64,
    updated_at: Timestamp,
    state: State,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reserved_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kill_requested_at: Option<Timestamp>,
    /// The last one that asked for more than the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kill_order: Option<KillOrder>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timeout_at: Option<Timestamp>,
    /// Since when it waits for its turn, where that is not since its submission.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    queued_at: Option<Timestamp>,
    /// Its dependencies that have not ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    waits_for: Vec<TaskId>,
}

/// Where a task stands; what belongs to one state alone is inside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Queued,
    /// The launch is committed; whether the command started is not known yet.
    Launching {
        launch_id: LaunchId,
    },
    Running(Running),
    Ended {
        outcome: Outcome,
        ran: Option<Running>,
    },
}

/// Names one launch of one task; never used again, so that a record of an earlier launch is never taken for this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LaunchId {
    /// The task's place, unique for ever.
    seq: u64,
    /// The revision that committed the launch.
    revision: u64,
}

/// Why a committed launch did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotLaunched {
    /// The launcher was gone before it got to it.
    Lost,
    /// The launcher could not fork.
    Shortage,
}

/// A started command and the shim that watches it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    pub launch_id: LaunchId,
    pub shim_pid: i32,
    /// Field 22 of `/proc/<shim_pid>/stat` (proc_pid_stat(5)): tells the shim from a later process of that pid.
    pub shim_start_ticks: u64,
    pub pid: i32,
    pub pgid: i32,
    pub started_at: Timestamp,
    /// `CLOCK_MONOTONIC` at the start; comparable between processes of one boot.
    pub started_monotonic_ms: u64,
}

/// The status on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Accepted,
    Running,
    Success,
    Failed,
    Cancelled,
}

impl LaunchId {
    /// The task's place in the order of submission, unique for ever.
    #[must_use]
    pub const fn place(self) -> u64 {
        self.seq
    }

    #[cfg(test)]
    pub const fn of_test(seq: u64, revision: u64) -> Self {
        Self { seq, revision }
    }
}

/// `<seq>-<revision>`, as a launch's cgroup is called.
impl std::fmt::Display for LaunchId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.seq, self.revision)
    }
}

impl Status {
    pub const ALL: [Self; 5] = [Self::Accepted, Self::Running, Self::Success, Self::Failed, Self::Cancelled];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Running => "running",
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    #[must_use]
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Accepted | Self::Running => false,
            Self::Success | Self::Failed | Self::Cancelled => true,
        }
    }
}

/// A task as it stands. Cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    head: Arc<Head>,
    progress: Progress,
}

/// One legal step of one task, with the events that it makes. Only [`Task`]'s methods make it.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    task: Task,
    expected_revision: Option<u64>,
    events: Vec<NewEvent>,
}

/// A step that the state does not allow; the caller's view of the task is out of date.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("task {id} cannot {step} while it is {state}")]
pub struct IllegalTransition {
    pub id: TaskId,
    pub step: &'static str,
    pub state: &'static str,
}

impl Task {
    /// Creates a queued task with the place `seq`.
    #[must_use]
    pub fn submit(new: NewTask, seq: u64) -> Transition {
        let NewTask { id, spec, plan, created_at, sees: _ } = new;
        let mut events = vec![
            event(EventType::Submitted, created_at, None, None),
            event(EventType::Accepted, created_at, None, None),
            event(
                EventType::Planned,
                created_at,
                None,
                Some(json!({
                    "capability_mode": plan.capability_mode,
                    "requested_sandbox": plan.requested_sandbox,
                    "effective_sandbox": plan.effective_sandbox,
                    "degraded": plan.degraded,
                })),
            ),
        ];
        if plan.degraded {
            let data = json!({"fallback_reasons": plan.fallback_reasons});
            events.push(event(EventType::Degraded, created_at, Some(plan.fallback_reasons.join("; ")), Some(data)));
        }
        let progress = Progress {
            revision: 1,
            updated_at: created_at,
            state: State::Queued,
            reserved_at: None,
            kill_requested_at: None,
            kill_order: None,
            timeout_at: None,
            queued_at: None,
            waits_for: Vec::new(),
        };
        let head = Arc::new(Head { id, seq, spec, plan, created_at });
        Transition { task: Self { head, progress }, expected_revision: None, events }
    }

    /// Puts together what the store kept.
    #[must_use]
    pub fn restore(head: Head, progress: Progress) -> Self {
        Self { head: Arc::new(head), progress }
    }

    /// Commits the launch and its reservation.
    ///
    /// # Errors
    /// The task is not queued.
    pub fn launch(&self, now: Timestamp) -> Result<Transition, IllegalTransition> {
        let State::Queued = self.progress.state else { return Err(self.illegal("launch")) };
        let launch_id = LaunchId { seq: self.head.seq, revision: self.progress.revision + 1 };
        let reserved = event(EventType::ResourceReserved, now, None, serde_json::to_value(self.demand()).ok());
        Ok(self.step(now, vec![reserved], |p| {
            p.state = State::Launching { launch_id };
            p.reserved_at = Some(now);
        }))
    }

    /// A committed launch that never happened: back to the queue, at its old place.
    ///
    /// # Errors
    /// The task is not launching.
    pub fn requeue(&self, because: NotLaunched, now: Timestamp) -> Result<Transition, IllegalTransition> {
        let State::Launching { .. } = self.progress.state else { return Err(self.illegal("be requeued")) };
        let message = match because {
            NotLaunched::Lost => "the launch was lost before the command started; queued again",
            NotLaunched::Shortage => "the machine had no process or no memory for it; queued again",
        };
        let events = vec![
            event(EventType::ResourceReleased, now, None, serde_json::to_value(self.demand()).ok()),
            event(EventType::Recovered, now, Some(message.into()), Some(json!({"action": "requeued"}))),
        ];
        Ok(self.step(now, events, |p| {
            p.state = State::Queued;
            p.reserved_at = None;
        }))
    }

    /// The command was started.
    ///
    /// # Errors
    /// The task is not launching.
    pub fn start(&self, running: &Running) -> Result<Transition, IllegalTransition> {
        let State::Launching { .. } = self.progress.state else { return Err(self.illegal("start")) };
        let mut running = running.clone();
        running.started_at = running.started_at.max(self.head.created_at);
        let data = json!({"pid": running.pid, "pgid": running.pgid, "shim_pid": running.shim_pid});
        let at = running.started_at;
        let events = vec![event(EventType::Started, at, None, Some(data))];
        Ok(self.step(at, events, |p| p.state = State::Running(running)))
    }

    /// A new server found the running command and its shim alive.
    ///
    /// # Errors
    /// The task is not running.
    pub fn adopt(&self, now: Timestamp) -> Result<Transition, IllegalTransition> {
        let State::Running(_) = self.progress.state else { return Err(self.illegal("be adopted")) };
        let message = "the server restarted; the running command was found and is watched again";
        let events = vec![event(EventType::Recovered, now, Some(message.into()), Some(json!({"action": "adopted"})))];
        Ok(self.step(now, events, |_| {}))
    }

    /// The shim began to terminate the command because its wall-clock limit passed. `None`: already noted.
    ///
    /// # Errors
    /// The task is not running.
    pub fn time_out(&self, at: Timestamp) -> Result<Option<Transition>, IllegalTransition> {
        let State::Running(_) = self.progress.state else { return Err(self.illegal("time out")) };
        if self.progress.timeout_at.is_some() {
            return Ok(None);
        }
        Ok(Some(self.step(at, vec![self.timeout_event(at)], |p| p.timeout_at = Some(at))))
    }

    /// Somebody asked for the end of a launching or running task. `None`: already noted, and in this way.
    ///
    /// # Errors
    /// The task is queued (cancel it) or ended.
    pub fn request_kill(&self, order: KillOrder, now: Timestamp) -> Result<Option<Transition>, IllegalTransition> {
        match self.progress.state {
            State::Launching { .. } | State::Running(_) => {}
            State::Queued | State::Ended { .. } => return Err(self.illegal("be killed")),
        }
        if self.progress.kill_requested_at.is_some() && self.kill_order() == order {
            return Ok(None);
        }
        let asked = Some(order).filter(|order| *order != KillOrder::default());
        let data = asked.and_then(|order| serde_json::to_value(order).ok());
        let events = vec![event(EventType::KillRequested, now, None, data)];
        Ok(Some(self.step(now, events, |p| {
            p.kill_requested_at.get_or_insert(now);
            p.kill_order = asked;
        })))
    }

    /// Ends a task that never started.
    ///
    /// # Errors
    /// The task is not queued.
    pub fn cancel(&self, now: Timestamp) -> Result<Transition, IllegalTransition> {
        let State::Queued = self.progress.state else { return Err(self.illegal("be cancelled")) };
        // A kill may have been noted while it was launching, before the launch was lost and it came back here.
        let mut events = Vec::new();
        if !self.kill_requested() {
            events.push(event(EventType::KillRequested, now, None, None));
        }
        let now = now.max(self.progress.updated_at);
        Ok(self.end(Outcome::cancelled_while_waiting(now), None, events))
    }

    /// Ends a waiting task because the runtime is drained. Nobody asked for the end of this one.
    ///
    /// # Errors
    /// The task is not queued.
    pub fn drain(&self, now: Timestamp) -> Result<Transition, IllegalTransition> {
        let State::Queued = self.progress.state else { return Err(self.illegal("be drained")) };
        Ok(self.end(Outcome::drained(now.max(self.progress.updated_at)), None, Vec::new()))
    }

    /// Ends a waiting task that can never start on this runtime any more.
    ///
    /// # Errors
    /// The task is not queued.
    pub fn reject(&self, reason: &str, now: Timestamp) -> Result<Transition, IllegalTransition> {
        let State::Queued = self.progress.state else { return Err(self.illegal("be rejected")) };
        Ok(self.end(Outcome::rejected(reason, now.max(self.progress.updated_at)), None, Vec::new()))
    }

    /// Ends a launching or running task by what its shim reported.
    ///
    /// # Errors
    /// The task is queued or already ended.
    pub fn finish(&self, exit: &Exit) -> Result<Transition, IllegalTransition> {
        let ran = match &self.progress.state {
            State::Launching { .. } => None,
            State::Running(running) => Some(running.clone()),
            State::Queued | State::Ended { .. } => return Err(self.illegal("finish")),
        };
        let mut outcome = Outcome::judge(exit, &self.head.spec.limits);
        outcome.finished_at = match (&ran, outcome.duration_ms) {
            // The monotonic duration decides, so that a step of the wall clock cannot reorder the two times.
            (Some(running), Some(duration)) => running.started_at.plus_millis(duration),
            _ => exit.at.max(self.progress.updated_at),
        };
        let mut events = Vec::new();
        if exit.timed_out && self.progress.timeout_at.is_none() {
            events.push(self.timeout_event(exit.at.min(outcome.finished_at)));
        }
        Ok(self.end(outcome, ran, events))
    }

    fn end(&self, outcome: Outcome, ran: Option<Running>, mut events: Vec<NewEvent>) -> Transition {
        let at = outcome.finished_at;
        if self.holds_reservation() {
            events.push(event(EventType::ResourceReleased, at, None, serde_json::to_value(self.demand()).ok()));
        }
        let event_type = match outcome.ended {
            Ended::Success => EventType::Finished,
            Ended::Failed => EventType::Failed,
            Ended::Cancelled => EventType::Cancelled,
        };
        let message = outcome.error.as_ref().map(|e| e.message.clone());
        events.push(event(event_type, at, message, Some(end_data(&outcome))));
        self.step(at, events, |p| p.state = State::Ended { outcome, ran })
    }

    /// No event is older than the one before it: a command may have started before the kill that is on record already,
    /// and the wall clock may step back.
    fn step(&self, at: Timestamp, mut events: Vec<NewEvent>, change: impl FnOnce(&mut Progress)) -> Transition {
        events.iter_mut().for_each(|event| event.timestamp = event.timestamp.max(self.progress.updated_at));
        let mut progress = self.progress.clone();
        change(&mut progress);
        progress.revision += 1;
        progress.updated_at = progress.updated_at.max(at);
        let task = Self { head: Arc::clone(&self.head), progress };
        Transition { task, expected_revision: Some(self.progress.revision), events }
    }

    fn timeout_event(&self, at: Timestamp) -> NewEvent {
        let data = json!({"wall_time_ms": self.head.spec.limits.wall_time_ms});
        event(EventType::TimeoutTriggered, at, None, Some(data))
    }

    fn illegal(&self, step: &'static str) -> IllegalTransition {
        let state = match self.progress.state {
            State::Queued => "queued",
            State::Launching { .. } => "launching",
            State::Running(_) => "running",
            State::Ended { .. } => "ended",
        };
        IllegalTransition { id: self.head.id.clone(), step, state }
    }
}

fn event(event_type: EventType, timestamp: Timestamp, message: Option<String>, data: Option<Value>) -> NewEvent {
    NewEvent { event_type, timestamp, message, data }
}

fn end_data(outcome: &Outcome) -> Value {
    let mut data = serde_json::Map::new();
    let mut put = |key: &str, value: Option<Value>| value.and_then(|v| data.insert(key.to_owned(), v));
    put("exit_code", outcome.exit_code.map(Value::from));
    put("exit_signal", outcome.exit_signal.map(Value::from));
    put("duration_ms", outcome.duration_ms.map(Value::from));
    put("code", outcome.error.as_ref().map(|e| Value::from(e.code.as_str())));
    Value::Object(data)
}

mod read;
#[cfg(test)]
mod tests;
mod wait;
