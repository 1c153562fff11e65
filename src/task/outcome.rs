//! Judges an exit: facts in, outcome out. Pure; the order of precedence stands in `judge` and nowhere else.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::exit::{Collected, Exit, ExitStatus, OutputFault, OutputStream, Usage, WorkspaceExcess};
use super::id::TaskId;
use super::spec::Limits;
use super::state::Status;
use super::timestamp::Timestamp;

/// How a task ended: exit code for an exit, signal for a death by signal, never both.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    pub ended: Ended,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<TaskError>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_signal: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collected: Option<Box<Collected>>,
    pub finished_at: Timestamp,
}

/// The three ways to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    Success,
    Failed,
    Cancelled,
}

/// Why a task did not succeed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskError {
    pub code: TaskErrorCode,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
}

/// The task-level error codes of `docs/api.md`, Outcomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskErrorCode {
    LaunchFailed,
    Timeout,
    Cancelled,
    MemoryLimitExceeded,
    CpuLimitExceeded,
    ResourceLimitExceeded,
    SandboxSetupFailed,
    ExitNonZero,
    Internal,
}

impl TaskErrorCode {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LaunchFailed => "launch_failed",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::MemoryLimitExceeded => "memory_limit_exceeded",
            Self::CpuLimitExceeded => "cpu_limit_exceeded",
            Self::ResourceLimitExceeded => "resource_limit_exceeded",
            Self::SandboxSetupFailed => "sandbox_setup_failed",
            Self::ExitNonZero => "exit_non_zero",
            Self::Internal => "internal",
        }
    }
}

impl Outcome {
    /// What a task that was cancelled before it started looks like.
    #[must_use]
    pub fn cancelled_while_waiting(now: Timestamp) -> Self {
        Self::never_started(Ended::Cancelled, TaskErrorCode::Cancelled, "cancelled before it started", now)
    }

    /// What a waiting task looks like whose runtime was drained.
    #[must_use]
    pub fn drained(now: Timestamp) -> Self {
        let message = "cancelled before it started: the runtime was drained";
        Self::never_started(Ended::Cancelled, TaskErrorCode::Cancelled, message, now)
    }

    /// What a waiting task looks like that this runtime can no longer start.
    #[must_use]
    pub fn rejected(reason: &str, now: Timestamp) -> Self {
        Self::never_started(Ended::Failed, TaskErrorCode::ResourceLimitExceeded, reason, now)
    }

    /// What a task looks like that has waited for too long.
    #[must_use]
    pub fn expired(expires_at: Timestamp, now: Timestamp) -> Self {
        let message = format!("cancelled before it started: it waited until schedule.expires_at ({expires_at})");
        let details = json!({"expires_at": expires_at});
        Self::never_started(Ended::Cancelled, TaskErrorCode::Cancelled, &message, now).with_details(details)
    }

    /// What a waiting task looks like one of whose dependencies ended otherwise than it had to.
    #[must_use]
    pub fn without_dependency(id: &TaskId, ended: Option<Status>, now: Timestamp) -> Self {
        let how = ended.map_or("left without a trace", Status::as_str);
        let message = format!("cancelled before it started: task {id}, which it depends on, ended as {how}");
        let details = json!({"task_id": id, "status": ended});
        Self::never_started(Ended::Cancelled, TaskErrorCode::Cancelled, &message, now).with_details(details)
    }

    fn with_details(mut self, details: Value) -> Self {
        self.error.iter_mut().for_each(|error| error.details = Some(details.clone()));
        self
    }

    fn never_started(ended: Ended, code: TaskErrorCode, message: &str, now: Timestamp) -> Self {
        Self {
            ended,
            error: Some(TaskError { code, message: message.into(), details: None }),
            exit_code: None,
            exit_signal: None,
            duration_ms: None,
            usage: None,
            collected: None,
            finished_at: now,
        }
    }

    /// Decides by precedence: timeout, cancelled, memory, output, workspace, CPU, the length of files, then what the command itself said.
    #[must_use]
    pub fn judge(exit: &Exit, limits: &Limits) -> Self {
        let (exit_code, exit_signal) = match exit.status {
            ExitStatus::Exited { code } => (Some(code), None),
            ExitStatus::Signaled { signal } => (None, Some(signal)),
            ExitStatus::LaunchFailed { .. } | ExitStatus::SandboxSetupFailed { .. } | ExitStatus::Lost { .. } => {
                (None, None)
            }
        };
        let (ended, error) = match verdict(exit, limits) {
            None => (Ended::Success, None),
            Some(error) if error.code == TaskErrorCode::Cancelled => (Ended::Cancelled, Some(error)),
            Some(error) => (Ended::Failed, Some(error)),
        };
        Self {
            ended,
            error,
            exit_code,
            exit_signal,
            duration_ms: exit.duration_ms,
            usage: exit.usage.clone(),
            collected: exit.collected.clone(),
            finished_at: exit.at,
        }
    }
}

fn verdict(exit: &Exit, limits: &Limits) -> Option<TaskError> {
    let error = |code, message: String, details| Some(TaskError { code, message, details });
    match &exit.status {
        ExitStatus::Lost { reason } => return error(TaskErrorCode::Internal, reason.clone(), None),
        ExitStatus::LaunchFailed { step, errno } => return setup(TaskErrorCode::LaunchFailed, step, *errno),
        ExitStatus::SandboxSetupFailed { step, errno } => {
            return setup(TaskErrorCode::SandboxSetupFailed, step, *errno);
        }
        ExitStatus::Exited { .. } | ExitStatus::Signaled { .. } => {}
    }
    if exit.timed_out {
        let limit = limits.wall_time_ms;
        let message = format!("ran longer than limits.wall_time_ms ({limit} ms)");
        return error(TaskErrorCode::Timeout, message, Some(json!({"wall_time_ms": limit})));
    }
    if exit.killed {
        return error(TaskErrorCode::Cancelled, "cancelled by request".into(), None);
    }
    if exit.oom_killed {
        let details = limits.memory_bytes.map(|bytes| json!({"memory_bytes": bytes}));
        let message = match limits.memory_bytes {
            Some(_) => "used more than limits.memory_bytes",
            // Without a limit of its own it fell to the machine's.
            None => "killed by the kernel, for the machine had no memory left",
        };
        return error(TaskErrorCode::MemoryLimitExceeded, message.into(), details);
    }
    if let Some(fault) = exit.output_fault {
        return Some(output(fault, limits));
    }
    if let Some(excess) = exit.workspace_excess {
        return Some(workspace(excess, limits));
    }
    match exit.status {
        ExitStatus::Exited { code: 0 }
        | ExitStatus::LaunchFailed { .. }
        | ExitStatus::SandboxSetupFailed { .. }
        | ExitStatus::Lost { .. } => None,
        ExitStatus::Exited { code } => {
            error(TaskErrorCode::ExitNonZero, format!("exited with code {code}"), Some(json!({"exit_code": code})))
        }
        ExitStatus::Signaled { signal } if hit_cpu_limit(signal, exit, limits) => {
            let limit = limits.cpu_time_sec;
            let message = format!("used more than limits.cpu_time_sec ({} s)", limit.unwrap_or(0));
            error(TaskErrorCode::CpuLimitExceeded, message, Some(json!({"cpu_time_sec": limit})))
        }
        ExitStatus::Signaled { signal } => Some(signaled(signal, limits)),
    }
}

fn output(fault: OutputFault, limits: &Limits) -> TaskError {
    match fault {
        OutputFault::TooLong { stream } => {
            let (limit, name) = match stream {
                OutputStream::Stdout => (limits.stdout_log_max_bytes, "stdout_log_max_bytes"),
                OutputStream::Stderr => (limits.stderr_log_max_bytes, "stderr_log_max_bytes"),
            };
            TaskError {
                code: TaskErrorCode::ResourceLimitExceeded,
                message: format!("wrote more to {} than limits.{name} ({limit} bytes)", stream.as_str()),
                details: Some(json!({"stream": stream, name: limit})),
            }
        }
        OutputFault::NotKept { stream, errno } => {
            let error = errno_name(errno);
            TaskError {
                code: TaskErrorCode::Internal,
                message: format!("what it wrote to {} could not be kept: {error}", stream.as_str()),
                details: Some(json!({"stream": stream, "errno": errno, "error": error})),
            }
        }
    }
}

fn workspace(excess: WorkspaceExcess, limits: &Limits) -> TaskError {
    let limit = limits.workspace_bytes.unwrap_or(0);
    let message = match excess {
        WorkspaceExcess::TooLarge { .. } => {
            format!("kept more in its workspace than limits.workspace_bytes ({limit} bytes)")
        }
        WorkspaceExcess::TooDeep => {
            "nested directories in its workspace more deeply than limits.workspace_bytes is measured".to_owned()
        }
    };
    let mut details = json!({"workspace_bytes": limit});
    if let WorkspaceExcess::TooLarge { bytes } = excess {
        details["found_bytes"] = json!(bytes);
    }
    TaskError { code: TaskErrorCode::ResourceLimitExceeded, message, details: Some(details) }
}

fn signaled(signal: i32, limits: &Limits) -> TaskError {
    if let (libc::SIGXFSZ, Some((name, limit))) = (signal, file_limit(limits)) {
        let message = format!("wrote a file longer than limits.{name} ({limit} bytes)");
        let details = Some(json!({name: limit}));
        return TaskError { code: TaskErrorCode::ResourceLimitExceeded, message, details };
    }
    let name = signal_name(signal);
    let message = format!("killed by signal {signal} ({name})");
    TaskError {
        code: TaskErrorCode::ExitNonZero,
        message,
        details: Some(json!({"exit_signal": signal, "signal": name})),
    }
}

/// The limit that bounds each single file: the lower one of the two that do.
fn file_limit(limits: &Limits) -> Option<(&'static str, u64)> {
    let both = [("file_size_bytes", limits.file_size_bytes), ("workspace_bytes", limits.workspace_bytes)];
    both.into_iter().filter_map(|(name, limit)| Some((name, limit?))).min_by_key(|(_, limit)| *limit)
}

fn setup(code: TaskErrorCode, step: &str, errno: i32) -> Option<TaskError> {
    let name = errno_name(errno);
    let details = json!({"step": step, "errno": errno, "error": name});
    Some(TaskError { code, message: format!("{step}: {name}"), details: Some(details) })
}

/// SIGXCPU comes at the soft limit. A command that ignores it dies of SIGKILL at the hard limit one second
/// above, which only the time used tells from any other SIGKILL (setrlimit(2), RLIMIT_CPU).
fn hit_cpu_limit(signal: i32, exit: &Exit, limits: &Limits) -> bool {
    let Some(limit) = limits.cpu_time_sec else { return false };
    let used_ms = exit.usage.as_ref().map_or(0, |u| u.user_cpu_ms.unwrap_or(0) + u.system_cpu_ms.unwrap_or(0));
    match signal {
        libc::SIGXCPU => true,
        // The kernel holds the limit against time counted in ticks, and reports the precise time, which was seen to be
        // 7 % less; so four fifths of the hard limit count as all of it.
        libc::SIGKILL => used_ms / 4 >= limit.saturating_add(1).saturating_mul(1000) / 5,
        _ => false,
    }
}

/// `SIGSEGV` for 11, `SIGRTMIN+2` for 36, `signal 99` for what has no name (signal(7)).
#[must_use]
pub fn signal_name(signal: i32) -> String {
    match nix::sys::signal::Signal::try_from(signal) {
        Ok(known) => known.as_str().to_owned(),
        Err(_) if (libc::SIGRTMIN()..=libc::SIGRTMAX()).contains(&signal) => {
            format!("SIGRTMIN+{}", signal - libc::SIGRTMIN())
        }
        Err(_) => format!("signal {signal}"),
    }
}

/// `ENOENT: No such file or directory` for 2 (errno(3)).
#[must_use]
pub fn errno_name(errno: i32) -> String {
    let known = nix::errno::Errno::from_raw(errno);
    format!("{known:?}: {}", known.desc())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        wall_time_ms: 1000,
        cpu_time_sec: Some(2),
        memory_bytes: Some(1 << 20),
        pids_max: None,
        cpu_millis: None,
        file_size_bytes: Some(4096),
        open_files: None,
        workspace_bytes: Some(8192),
        stdout_max_bytes: 1,
        stderr_max_bytes: 1,
        stdout_log_max_bytes: 10,
        stderr_log_max_bytes: 20,
    };

    fn exit(status: ExitStatus) -> Exit {
        Exit {
            status,
            timed_out: false,
            killed: false,
            oom_killed: false,
            workspace_excess: None,
            output_fault: None,
            at: Timestamp::from_millis(1),
            duration_ms: Some(5),
            usage: None,
            collected: None,
        }
    }

    fn code(exit: &Exit) -> Option<TaskErrorCode> {
        Outcome::judge(exit, &LIMITS).error.map(|e| e.code)
    }

    #[test]
    fn timeout_beats_cancelled_beats_memory_beats_output_beats_workspace_beats_cpu_beats_exit_code() {
        let mut facts = exit(ExitStatus::Signaled { signal: libc::SIGXCPU });
        assert_eq!(code(&facts), Some(TaskErrorCode::CpuLimitExceeded));
        facts.workspace_excess = Some(WorkspaceExcess::TooLarge { bytes: 9000 });
        let error = Outcome::judge(&facts, &LIMITS).error.expect("failed");
        assert_eq!(error.code, TaskErrorCode::ResourceLimitExceeded);
        assert_eq!(error.details, Some(json!({"workspace_bytes": 8192, "found_bytes": 9000})));
        facts.status = ExitStatus::Exited { code: 0 };
        assert_eq!(code(&facts), Some(TaskErrorCode::ResourceLimitExceeded));
        facts.output_fault = Some(OutputFault::TooLong { stream: OutputStream::Stderr });
        let error = Outcome::judge(&facts, &LIMITS).error.expect("failed");
        assert_eq!(error.code, TaskErrorCode::ResourceLimitExceeded);
        assert_eq!(error.details, Some(json!({"stream": "stderr", "stderr_log_max_bytes": 20})));
        facts.oom_killed = true;
        assert_eq!(code(&facts), Some(TaskErrorCode::MemoryLimitExceeded));
        facts.killed = true;
        assert_eq!(code(&facts), Some(TaskErrorCode::Cancelled));
        assert_eq!(Outcome::judge(&facts, &LIMITS).ended, Ended::Cancelled);
        facts.timed_out = true;
        assert_eq!(code(&facts), Some(TaskErrorCode::Timeout));
        assert_eq!(Outcome::judge(&facts, &LIMITS).ended, Ended::Failed);
    }

    #[test]
    fn exit_codes_and_signals_are_never_both() {
        let ok = Outcome::judge(&exit(ExitStatus::Exited { code: 0 }), &LIMITS);
        assert_eq!((ok.ended, ok.error, ok.exit_code, ok.exit_signal), (Ended::Success, None, Some(0), None));
        let seven = Outcome::judge(&exit(ExitStatus::Exited { code: 7 }), &LIMITS);
        assert_eq!((seven.exit_code, seven.exit_signal), (Some(7), None));
        assert_eq!(seven.error.expect("failed").details, Some(json!({"exit_code": 7})));
        let segv = Outcome::judge(&exit(ExitStatus::Signaled { signal: 11 }), &LIMITS);
        assert_eq!((segv.exit_code, segv.exit_signal), (None, Some(11)));
        let error = segv.error.expect("failed");
        assert_eq!(error.message, "killed by signal 11 (SIGSEGV)");
        assert_eq!(error.details, Some(json!({"exit_signal": 11, "signal": "SIGSEGV"})));
    }

    #[test]
    fn sigkill_is_the_cpu_limit_only_when_the_time_was_used() {
        let mut facts = exit(ExitStatus::Signaled { signal: libc::SIGKILL });
        assert_eq!(code(&facts), Some(TaskErrorCode::ExitNonZero));
        facts.usage = Some(Usage { user_cpu_ms: Some(2700), system_cpu_ms: Some(90), ..Usage::default() });
        assert_eq!(code(&facts), Some(TaskErrorCode::CpuLimitExceeded));
        facts.usage = Some(Usage { user_cpu_ms: Some(2000), ..Usage::default() });
        assert_eq!(code(&facts), Some(TaskErrorCode::ExitNonZero));
    }

    #[test]
    fn sigxfsz_is_the_limit_on_files_only_where_there_is_one() {
        let facts = exit(ExitStatus::Signaled { signal: libc::SIGXFSZ });
        let error = Outcome::judge(&facts, &LIMITS).error.expect("failed");
        assert_eq!(error.code, TaskErrorCode::ResourceLimitExceeded);
        assert_eq!(error.message, "wrote a file longer than limits.file_size_bytes (4096 bytes)");
        let of_workspace = Limits { file_size_bytes: Some(10_000), ..LIMITS };
        let error = Outcome::judge(&facts, &of_workspace).error.expect("failed");
        assert_eq!(error.details, Some(json!({"workspace_bytes": 8192})));
        let unlimited = Limits { file_size_bytes: None, workspace_bytes: None, ..LIMITS };
        let error = Outcome::judge(&facts, &unlimited).error.expect("failed");
        assert_eq!(error.code, TaskErrorCode::ExitNonZero);
    }

    #[test]
    fn a_failed_launch_names_the_step_and_the_errno() {
        let boxed = exit(ExitStatus::SandboxSetupFailed { step: "pivot_root".into(), errno: libc::EINVAL });
        let error = Outcome::judge(&boxed, &LIMITS).error.expect("failed");
        assert_eq!((error.code, &error.message[..18]), (TaskErrorCode::SandboxSetupFailed, "pivot_root: EINVAL"));
        let facts = exit(ExitStatus::LaunchFailed { step: "execve /no/such".into(), errno: libc::ENOENT });
        let error = Outcome::judge(&facts, &LIMITS).error.expect("failed");
        assert_eq!(error.code, TaskErrorCode::LaunchFailed);
        assert_eq!(error.message, "execve /no/such: ENOENT: No such file or directory");
    }

    #[test]
    fn a_lost_task_is_our_fault_whatever_else_is_known() {
        let mut facts = exit(ExitStatus::Lost { reason: "shim died".into() });
        facts.killed = true;
        assert_eq!(code(&facts), Some(TaskErrorCode::Internal));
    }

    #[test]
    fn signals_have_names() {
        assert_eq!(signal_name(9), "SIGKILL");
        assert_eq!(signal_name(libc::SIGRTMIN() + 2), "SIGRTMIN+2");
        assert_eq!(signal_name(99), "signal 99");
    }
}
