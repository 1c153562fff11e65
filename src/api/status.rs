//! The status answer: a task as its client sees it, with the beginning of its output.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::callback::CallbackStatus;
use super::collected::CollectedFiles;
use super::inline;
use super::plan::ExecutionPlan;
use super::row::TaskRow;
use super::schedule::{TaskSchedule, WaitingFor};
use crate::task::spec::Action;
use crate::task::validate::SHOWN_BYTES;
use crate::task::{self, Outcome, State, Status, Task, TaskErrorCode, TaskPaths, Timestamp};

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum, Serialize, Deserialize)]
#[oai(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum TaskStatus {
    /// Stored; waits for its start.
    Accepted,
    /// The command runs.
    Running,
    /// Ended with exit code 0.
    Success,
    /// Ended otherwise; `error` says why.
    Failed,
    /// Ended by request.
    Cancelled,
}

/// A task as it stands.
#[derive(Clone, Debug, PartialEq, Object, Serialize, Deserialize)]
#[oai(example, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub struct TaskStatusResponse {
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
    /// The beginning of standard output: at most `limits.stdout_max_bytes`, invalid bytes replaced by U+FFFD.
    pub stdout: String,
    /// The beginning of standard error: at most `limits.stderr_max_bytes`, invalid bytes replaced by U+FFFD.
    pub stderr: String,
    /// There is more standard output than `stdout` shows.
    pub stdout_truncated: bool,
    /// There is more standard error than `stderr` shows.
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
    /// What is enforced for the task.
    pub execution_plan: ExecutionPlan,
    /// What the task takes of the machine; kept after its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reservation: Option<Reservation>,
    /// Where the task's files stand.
    pub artifacts: Artifacts,
    /// How the events of the task were told, where its client asked for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback: Option<CallbackStatus>,
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

/// Why a task did not succeed.
#[derive(Clone, Debug, PartialEq, Object, Serialize, Deserialize)]
#[oai(example)]
#[serde(deny_unknown_fields)]
pub struct RuntimeErrorInfo {
    /// The reason, for programs.
    pub code: FailureCode,
    /// The reason, for people.
    pub message: String,
    /// More for programs, depending on the code; `null` when there is no more.
    pub details: Option<Value>,
}

/// Why a task did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum, Serialize, Deserialize)]
#[oai(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum FailureCode {
    /// The command could not be started.
    LaunchFailed,
    /// It ran longer than `limits.wall_time_ms`.
    Timeout,
    /// It was killed by request.
    Cancelled,
    /// It used more than `limits.memory_bytes`.
    MemoryLimitExceeded,
    /// It used more than `limits.cpu_time_sec`.
    CpuLimitExceeded,
    /// It met another limit.
    ResourceLimitExceeded,
    /// Its sandbox could not be made.
    SandboxSetupFailed,
    /// It ended with another exit code than 0 or by a signal of its own.
    ExitNonZero,
    /// A fault of the runtime.
    Internal,
}

/// What a task and all its descendants used.
#[derive(Clone, Debug, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(example, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub struct ResourceUsage {
    /// From start to end, in milliseconds.
    pub duration_ms: u64,
    /// CPU time in user mode, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_cpu_ms: Option<u64>,
    /// CPU time in the kernel, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_cpu_ms: Option<u64>,
    /// Peak resident set of the largest single process, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_rss_bytes: Option<u64>,
    /// Peak memory of the whole task, in bytes, where a cgroup held it and the kernel tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_peak_bytes: Option<u64>,
}

/// What a task takes of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(example, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub struct Reservation {
    /// Places among the running tasks.
    pub task_slots: u64,
    /// Bytes of memory, when the task limits it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Processes, when the task limits them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pids: Option<u64>,
}

/// Where the files of a task stand; absolute paths on the host of the runtime.
#[derive(Clone, Debug, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(example, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub struct Artifacts {
    /// The directory of the task.
    pub task_dir: String,
    /// The accepted request.
    pub request_path: String,
    /// The final status answer, once there is one.
    pub result_path: String,
    /// All of standard output.
    pub stdout_path: String,
    /// All of standard error.
    pub stderr_path: String,
    /// The script, when the task is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script_path: Option<String>,
}

impl TaskStatusResponse {
    /// Shows a task, with its output as it is on the disk now. Blocks on the disk.
    ///
    /// # Errors
    /// An output file is there and cannot be read.
    pub fn render(task: &Task, data_dir: &Path) -> io::Result<Self> {
        let paths = TaskPaths::new(data_dir, task.id());
        let limits = &task.spec().limits;
        let stdout = inline::read(&paths.stdout(), shown_bytes(limits.stdout_max_bytes))?;
        let stderr = inline::read(&paths.stderr(), shown_bytes(limits.stderr_max_bytes))?;
        let TaskRow {
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
        } = TaskRow::of(task, [stdout.truncated, stderr.truncated]);
        Ok(Self {
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
            stdout: stdout.text,
            stderr: stderr.text,
            execution_plan: task.plan().into(),
            artifacts: Artifacts::new(&paths, &task.spec().execution.action),
            callback: None,
        })
    }
}

/// A task that an earlier version accepted may ask for more than any answer shows.
pub(super) fn shown_bytes(asked: u64) -> u64 {
    asked.min(*SHOWN_BYTES.end())
}

pub(super) fn duration_ms(state: &State) -> Option<u64> {
    match state {
        State::Queued | State::Launching { .. } => None,
        State::Running(running) => Some(monotonic_ms().saturating_sub(running.started_monotonic_ms)),
        State::Ended { outcome, .. } => outcome.duration_ms,
    }
}

/// The clock of `Running::started_monotonic_ms`.
fn monotonic_ms() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let (seconds, nanos) = (u64::try_from(now.tv_sec).unwrap_or(0), u64::try_from(now.tv_nsec).unwrap_or(0));
    seconds * 1000 + nanos / 1_000_000
}

impl ResourceUsage {
    /// `None` for a command that never ran.
    pub(super) fn of(outcome: &Outcome) -> Option<Self> {
        let duration_ms = outcome.duration_ms?;
        let task::Usage { user_cpu_ms, system_cpu_ms, max_rss_bytes, memory_peak_bytes } =
            outcome.usage.clone().unwrap_or_default();
        Some(Self { duration_ms, user_cpu_ms, system_cpu_ms, max_rss_bytes, memory_peak_bytes })
    }
}

impl Artifacts {
    fn new(paths: &TaskPaths, action: &Action) -> Self {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        Self {
            task_dir: text(paths.task_dir()),
            request_path: text(&paths.request()),
            result_path: text(&paths.result()),
            stdout_path: text(&paths.stdout()),
            stderr_path: text(&paths.stderr()),
            script_path: match action {
                Action::Command { .. } => None,
                Action::Script { interpreter, .. } => Some(text(&paths.script(interpreter))),
            },
        }
    }
}

impl From<task::Reservation> for Reservation {
    fn from(reservation: task::Reservation) -> Self {
        let task::Reservation { task_slots, memory_bytes, pids } = reservation;
        Self { task_slots, memory_bytes, pids }
    }
}

impl From<&task::TaskError> for RuntimeErrorInfo {
    fn from(error: &task::TaskError) -> Self {
        let task::TaskError { code, message, details } = error;
        Self { code: (*code).into(), message: message.clone(), details: details.clone() }
    }
}

impl From<Status> for TaskStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Accepted => Self::Accepted,
            Status::Running => Self::Running,
            Status::Success => Self::Success,
            Status::Failed => Self::Failed,
            Status::Cancelled => Self::Cancelled,
        }
    }
}

impl From<TaskErrorCode> for FailureCode {
    fn from(code: TaskErrorCode) -> Self {
        match code {
            TaskErrorCode::LaunchFailed => Self::LaunchFailed,
            TaskErrorCode::Timeout => Self::Timeout,
            TaskErrorCode::Cancelled => Self::Cancelled,
            TaskErrorCode::MemoryLimitExceeded => Self::MemoryLimitExceeded,
            TaskErrorCode::CpuLimitExceeded => Self::CpuLimitExceeded,
            TaskErrorCode::ResourceLimitExceeded => Self::ResourceLimitExceeded,
            TaskErrorCode::SandboxSetupFailed => Self::SandboxSetupFailed,
            TaskErrorCode::ExitNonZero => Self::ExitNonZero,
            TaskErrorCode::Internal => Self::Internal,
        }
    }
}

mod examples;
