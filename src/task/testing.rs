//! Values for the unit tests of every room.

use super::plan::{Means, ResourceEnforcement};
use super::spec::Profile;
use super::state::{LaunchId, Running};
use super::{CapabilityMode, Defaults, Draft, ExecutionPlan, Exit, ExitStatus, NewTask, TaskId, Timestamp};

/// What a server has where a request says nothing.
pub const DEFAULTS: Defaults = Defaults { capability_mode: CapabilityMode::Adaptive, log_max_bytes: 1 << 20 };

pub fn new_task(id: &str) -> NewTask {
    let draft = Draft { program: Some("/bin/true".into()), ..Draft::default() };
    NewTask {
        id: TaskId::parse(id).expect("valid"),
        spec: draft.validate(DEFAULTS).expect("valid"),
        plan: ExecutionPlan {
            capability_mode: CapabilityMode::Adaptive,
            requested_sandbox: Profile::Process,
            effective_sandbox: Profile::Process,
            resource_enforcement: ResourceEnforcement {
                wall_time_ms: 300_000,
                cpu_time_sec: None,
                cpu_time_enforced: false,
                memory_bytes: None,
                memory_enforced: false,
                pids_max: None,
                pids_enforced: false,
                cpu_millis: None,
                cpu_enforced: false,
                file_size_bytes: None,
                file_size_enforced: false,
                open_files: None,
                open_files_enforced: false,
                workspace_bytes: None,
                workspace_enforced: false,
                stdout_log_max_bytes: 1 << 20,
                stderr_log_max_bytes: 1 << 20,
                cgroup_enforced: false,
                oom_detection: false,
                enforced_by: [("wall_time_ms".to_owned(), Means::Timer)].into(),
            },
            degraded: false,
            fallback_reasons: vec![],
            capability_warnings: vec![],
            sandbox_layers: None,
            run_as: None,
        },
        created_at: at(1000),
        sees: None,
    }
}

pub const fn at(ms: i64) -> Timestamp {
    Timestamp::from_millis(ms)
}

pub fn running(ms: i64) -> Running {
    Running {
        launch_id: LaunchId::of_test(1, 2),
        shim_pid: 10,
        shim_start_ticks: 5,
        pid: 11,
        pgid: 11,
        started_at: at(ms),
        started_monotonic_ms: 0,
    }
}

pub fn exit(code: i32) -> Exit {
    Exit {
        status: ExitStatus::Exited { code },
        timed_out: false,
        killed: false,
        oom_killed: false,
        workspace_excess: None,
        output_fault: None,
        at: at(1200),
        duration_ms: Some(100),
        usage: None,
        collected: None,
    }
}
