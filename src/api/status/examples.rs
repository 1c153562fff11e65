//! One example of each type, for the document: a task that failed.

use std::path::Path;

use poem_openapi::types::Example;
use serde_json::json;

use super::{
    Artifacts, CollectedFiles, FailureCode, Reservation, ResourceUsage, RuntimeErrorInfo, TaskStatus,
    TaskStatusResponse,
};
use crate::api::callback::CallbackStatus;
use crate::api::plan::ExecutionPlan;
use crate::api::schedule::TaskSchedule;
use crate::task::spec::Action;
use crate::task::{TaskId, TaskPaths, Timestamp};

const CREATED_MS: i64 = 1_760_000_000_000;

impl Example for TaskStatusResponse {
    fn example() -> Self {
        Self {
            task_id: "build-42".into(),
            handle_id: "build-42".into(),
            status: TaskStatus::Failed,
            created_at: Timestamp::from_millis(CREATED_MS),
            updated_at: Timestamp::from_millis(CREATED_MS + 250),
            started_at: Some(Timestamp::from_millis(CREATED_MS + 100)),
            finished_at: Some(Timestamp::from_millis(CREATED_MS + 250)),
            duration_ms: Some(150),
            shim_pid: Some(4711),
            pid: Some(4712),
            pgid: Some(4712),
            exit_code: Some(1),
            exit_signal: None,
            stdout: "make: Entering directory\n".into(),
            stderr: "make: *** [test] Error 1\n".into(),
            stdout_truncated: false,
            stderr_truncated: false,
            error: Some(RuntimeErrorInfo::example()),
            collected: Some(CollectedFiles::example()),
            usage: Some(ResourceUsage::example()),
            execution_plan: ExecutionPlan::example(),
            reservation: Some(Reservation::example()),
            artifacts: Artifacts::example(),
            callback: Some(CallbackStatus::example()),
            schedule: Some(TaskSchedule::example()),
            waiting_for: None,
            metadata: Some([("commit".to_owned(), "81944e9".to_owned())].into()),
        }
    }
}

impl Example for RuntimeErrorInfo {
    fn example() -> Self {
        Self {
            code: FailureCode::ExitNonZero,
            message: "exited with code 1".into(),
            details: Some(json!({"exit_code": 1})),
        }
    }
}

impl Example for ResourceUsage {
    fn example() -> Self {
        Self {
            duration_ms: 150,
            user_cpu_ms: Some(80),
            system_cpu_ms: Some(20),
            max_rss_bytes: Some(12_582_912),
            memory_peak_bytes: Some(16_777_216),
        }
    }
}

impl Example for Reservation {
    fn example() -> Self {
        Self { task_slots: 1, memory_bytes: Some(268_435_456), pids: Some(64) }
    }
}

impl Example for Artifacts {
    fn example() -> Self {
        let id = TaskId::parse("build-42").expect("the example's id is valid");
        let script = Action::Script { script: String::new(), interpreter: vec!["bash".into()] };
        Self::new(&TaskPaths::new(Path::new("/var/lib/execgo-runtime"), &id), &script)
    }
}
