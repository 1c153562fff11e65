//! A task in a row: its status without what is large.

use std::collections::BTreeMap;

use poem_openapi::Object;
use poem_openapi::types::Example;
use serde::{Deserialize, Serialize};

use super::collected::CollectedFiles;
use super::schedule::{TaskSchedule, WaitingFor};
use super::status::{
    Reservation, ResourceUsage, RuntimeErrorInfo, TaskStatus, TaskStatusResponse, duration_ms, shown_bytes,
};
use crate::task::{Task, Timestamp};

/// A task as it stands, without its output, its plan and the places of its files.
#[derive(Clone, Debug, PartialEq, Object, Serialize, Deserialize)]
#[oai(example, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub struct TaskRow {
    /// The name of the task.
    pub task_id: String,
    /// Equals `task_id`.
    pub handle_id: String,
    /// Where the task stands; `success`, `failed` and `cancelled` are final.
    pub status: TaskStatus,
    /// When the task was accepted.
    pub created_at: Timestamp,
    /// When anything about the task last changed.
    pub updated_at: Timestamp,
    /// When the command was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When the command ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// From start to end on a monotonic clock, in milliseconds; for a running task the time so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// Process id of the task's supervisor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shim_pid: Option<i32>,
    /// Process id of the command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// Process group of the command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pgid: Option<i32>,
    /// The command's exit code, when it exited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The signal that ended the command, when one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_signal: Option<i32>,
    /// There is more standard output than a status answer shows.
    pub stdout_truncated: bool,
    /// There is more standard error than a status answer shows.
    pub stderr_truncated: bool,
    /// Why the task did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<RuntimeErrorInfo>,
    /// What the task used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<ResourceUsage>,
    /// What was collected; there once the task has ended, where it was asked for files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collected: Option<CollectedFiles>,
    /// What the task takes of the machine; kept after its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reservation: Option<Reservation>,
    /// As it was submitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<TaskSchedule>,
    /// What it waits for, besides its turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<WaitingFor>,
    /// As it was submitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, String>>,
}

impl TaskRow {
    /// Shows a task whose logs are so long now.
    #[must_use]
    pub fn render(task: &Task, [stdout, stderr]: [u64; 2]) -> Self {
        let limits = &task.spec().limits;
        let truncated = [stdout > shown_bytes(limits.stdout_max_bytes), stderr > shown_bytes(limits.stderr_max_bytes)];
        Self::of(task, truncated)
    }

    /// With what is known of its two streams: that there is more than a status answer shows.
    pub(super) fn of(task: &Task, [stdout_truncated, stderr_truncated]: [bool; 2]) -> Self {
        let (running, outcome) = (task.running(), task.outcome());
        Self {
            task_id: task.id().to_string(),
            handle_id: task.id().to_string(),
            status: task.status().into(),
            created_at: task.head().created_at,
            updated_at: task.updated_at(),
            started_at: running.map(|r| r.started_at),
            finished_at: outcome.map(|o| o.finished_at),
            duration_ms: duration_ms(task.state()),
            shim_pid: running.map(|r| r.shim_pid),
            pid: running.map(|r| r.pid),
            pgid: running.map(|r| r.pgid),
            exit_code: outcome.and_then(|o| o.exit_code),
            exit_signal: outcome.and_then(|o| o.exit_signal),
            stdout_truncated,
            stderr_truncated,
            error: outcome.and_then(|o| o.error.as_ref()).map(Into::into),
            usage: outcome.and_then(ResourceUsage::of),
            collected: outcome.and_then(|o| o.collected.as_deref()).map(Into::into),
            reservation: task.reserved_at().map(|_| task.demand().into()),
            schedule: TaskSchedule::of(&task.spec().schedule),
            waiting_for: WaitingFor::of(task),
            metadata: task.spec().metadata.clone(),
        }
    }
}

impl From<TaskStatusResponse> for TaskRow {
    fn from(status: TaskStatusResponse) -> Self {
        let TaskStatusResponse {
            task_id,
            handle_id,
            status,
            created_at,
            updated_at,
            started_at,
            finished_at,
            duration_ms,
            shim_pid,
            pid,
            pgid,
            exit_code,
            exit_signal,
            stdout: _,
            stderr: _,
            stdout_truncated,
            stderr_truncated,
            error,
            usage,
            collected,
            execution_plan: _,
            reservation,
            artifacts: _,
            callback: _,
            schedule,
            waiting_for,
            metadata,
        } = status;
        Self {
            task_id,
            handle_id,
            status,
            created_at,
            updated_at,
            started_at,
            finished_at,
            duration_ms,
            shim_pid,
            pid,
            pgid,
            exit_code,
            exit_signal,
            stdout_truncated,
            stderr_truncated,
            error,
            usage,
            collected,
            reservation,
            schedule,
            waiting_for,
            metadata,
        }
    }
}

impl Example for TaskRow {
    fn example() -> Self {
        TaskStatusResponse::example().into()
    }
}
