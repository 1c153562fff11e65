//! The execution plan on the wire: what was asked for beside what is enforced.

use std::collections::BTreeMap;

use poem_openapi::types::Example;
use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};

use super::submit::{CapabilityMode, SandboxNetwork, SandboxProfile};
use crate::task;

/// What is enforced for the task, and what was asked for and is not.
#[derive(Clone, Debug, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(example, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub struct ExecutionPlan {
    /// What happens when something that was asked for cannot be enforced.
    pub capability_mode: CapabilityMode,
    /// The sandbox that was asked for.
    pub requested_sandbox: SandboxProfile,
    /// The sandbox in which the task runs.
    pub effective_sandbox: SandboxProfile,
    /// What the task reaches by network.
    pub network: SandboxNetwork,
    /// The user that a plain process runs as: its name, or `uid:gid`. Absent: the runtime's own, or a sandbox's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_as: Option<String>,
    /// Each limit and whether it is enforced.
    pub resource_enforcement: ResourceEnforcement,
    /// Something that was asked for is not enforced; `fallback_reasons` says what.
    pub degraded: bool,
    /// One sentence for each thing that was asked for and is not enforced.
    pub fallback_reasons: Vec<String>,
    /// What the caller should know although nothing that it asked for is missing.
    pub capability_warnings: Vec<String>,
}

/// Each limit of the task and whether it is enforced.
#[derive(Clone, Debug, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(example, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub struct ResourceEnforcement {
    /// Wall-clock limit in milliseconds; always enforced.
    pub wall_time_ms: u64,
    /// CPU time limit in seconds; absent when the task has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_time_sec: Option<u64>,
    /// Whether the CPU time limit is enforced.
    pub cpu_time_enforced: bool,
    /// Memory limit in bytes; absent when the task has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Whether the memory limit is enforced: by the cgroup, swap included, where `oom_detection` is true; else as
    /// address space of each process.
    pub memory_enforced: bool,
    /// Limit on the number of processes; absent when the task has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pids_max: Option<u64>,
    /// Whether the limit on processes is enforced.
    pub pids_enforced: bool,
    /// Limit on the share of CPU time in thousandths of a core; absent when the task has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_millis: Option<u64>,
    /// Whether the limit on the share of CPU time is enforced.
    pub cpu_enforced: bool,
    /// Limit on the length of each file; absent when the task has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_size_bytes: Option<u64>,
    /// Whether the limit on the length of files is enforced.
    pub file_size_enforced: bool,
    /// Limit on the open descriptors of each process; absent when the task has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_files: Option<u64>,
    /// Whether the limit on open descriptors is enforced.
    pub open_files_enforced: bool,
    /// Limit on what the workspace occupies; absent when the task has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace_bytes: Option<u64>,
    /// Whether the limit on the workspace is enforced: it is measured, and no quota.
    pub workspace_enforced: bool,
    /// How many bytes of standard output are kept in its log; more ends the task. Always enforced.
    pub stdout_log_max_bytes: u64,
    /// The same for standard error.
    pub stderr_log_max_bytes: u64,
    /// Whether a cgroup of its own holds the task. Then what is left of it is killed by its cgroup.
    pub cgroup_enforced: bool,
    /// Whether a death by the kernel's out-of-memory killer is recognised: the cgroup has a memory controller.
    pub oom_detection: bool,
    /// By the name of each limit that is enforced: by which means.
    pub enforced_by: BTreeMap<String, EnforcementMeans>,
}

/// By which means a limit is enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum, Serialize, Deserialize)]
#[oai(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum EnforcementMeans {
    /// The clock of the task's shim.
    Timer,
    /// setrlimit(2), of each process.
    Rlimit,
    /// The cgroup, of the whole task.
    Cgroup,
    /// What there is is looked at from time to time, and too much ends the task.
    Measurement,
    /// It comes through a pipe, of which that much is kept.
    Pipe,
}

impl From<&task::ExecutionPlan> for ExecutionPlan {
    fn from(plan: &task::ExecutionPlan) -> Self {
        let task::ExecutionPlan {
            capability_mode,
            requested_sandbox,
            effective_sandbox,
            resource_enforcement,
            degraded,
            fallback_reasons,
            capability_warnings,
            sandbox_layers: _,
            run_as,
        } = plan;
        Self {
            capability_mode: (*capability_mode).into(),
            requested_sandbox: (*requested_sandbox).into(),
            effective_sandbox: (*effective_sandbox).into(),
            network: plan.network().into(),
            run_as: run_as.as_ref().map(ToString::to_string),
            resource_enforcement: resource_enforcement.into(),
            degraded: *degraded,
            fallback_reasons: fallback_reasons.clone(),
            capability_warnings: capability_warnings.clone(),
        }
    }
}

impl From<&task::ResourceEnforcement> for ResourceEnforcement {
    fn from(enforcement: &task::ResourceEnforcement) -> Self {
        let task::ResourceEnforcement {
            wall_time_ms,
            cpu_time_sec,
            cpu_time_enforced,
            memory_bytes,
            memory_enforced,
            pids_max,
            pids_enforced,
            cpu_millis,
            cpu_enforced,
            file_size_bytes,
            file_size_enforced,
            open_files,
            open_files_enforced,
            workspace_bytes,
            workspace_enforced,
            stdout_log_max_bytes,
            stderr_log_max_bytes,
            cgroup_enforced,
            oom_detection,
            ref enforced_by,
        } = *enforcement;
        Self {
            wall_time_ms,
            cpu_time_sec,
            cpu_time_enforced,
            memory_bytes,
            memory_enforced,
            pids_max,
            pids_enforced,
            cpu_millis,
            cpu_enforced,
            file_size_bytes,
            file_size_enforced,
            open_files,
            open_files_enforced,
            workspace_bytes,
            workspace_enforced,
            stdout_log_max_bytes,
            stderr_log_max_bytes,
            cgroup_enforced,
            oom_detection,
            enforced_by: enforced_by.iter().map(|(name, means)| (name.clone(), (*means).into())).collect(),
        }
    }
}

impl From<task::Means> for EnforcementMeans {
    fn from(means: task::Means) -> Self {
        match means {
            task::Means::Timer => Self::Timer,
            task::Means::Rlimit => Self::Rlimit,
            task::Means::Cgroup => Self::Cgroup,
            task::Means::Measurement => Self::Measurement,
            task::Means::Pipe => Self::Pipe,
        }
    }
}

impl Example for ExecutionPlan {
    fn example() -> Self {
        Self {
            capability_mode: CapabilityMode::Adaptive,
            requested_sandbox: SandboxProfile::Process,
            effective_sandbox: SandboxProfile::Process,
            network: SandboxNetwork::Host,
            run_as: Some("runner".into()),
            resource_enforcement: ResourceEnforcement::example(),
            degraded: true,
            fallback_reasons: vec![
                "limits.pids_max is not enforced: there is no cgroup with a pids controller for tasks".into(),
                "limits.cpu_millis is not enforced: there is no cgroup with a cpu controller for tasks".into(),
            ],
            capability_warnings: vec![],
        }
    }
}

impl Example for ResourceEnforcement {
    fn example() -> Self {
        Self {
            wall_time_ms: 60_000,
            cpu_time_sec: Some(30),
            cpu_time_enforced: true,
            memory_bytes: Some(268_435_456),
            memory_enforced: true,
            pids_max: Some(64),
            pids_enforced: false,
            cpu_millis: Some(1500),
            cpu_enforced: false,
            file_size_bytes: Some(1_073_741_824),
            file_size_enforced: true,
            open_files: Some(1024),
            open_files_enforced: true,
            workspace_bytes: Some(4_294_967_296),
            workspace_enforced: true,
            stdout_log_max_bytes: 268_435_456,
            stderr_log_max_bytes: 268_435_456,
            cgroup_enforced: false,
            oom_detection: false,
            enforced_by: [
                ("wall_time_ms".to_owned(), EnforcementMeans::Timer),
                ("cpu_time_sec".to_owned(), EnforcementMeans::Rlimit),
                ("memory_bytes".to_owned(), EnforcementMeans::Rlimit),
                ("file_size_bytes".to_owned(), EnforcementMeans::Rlimit),
                ("open_files".to_owned(), EnforcementMeans::Rlimit),
                ("workspace_bytes".to_owned(), EnforcementMeans::Measurement),
                ("stdout_log_max_bytes".to_owned(), EnforcementMeans::Pipe),
                ("stderr_log_max_bytes".to_owned(), EnforcementMeans::Pipe),
            ]
            .into(),
        }
    }
}
