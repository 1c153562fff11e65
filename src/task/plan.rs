//! What will be enforced for one task, as decided at submission: requested beside effective, with every difference named.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::run_as::RunAs;
use super::spec::{CapabilityMode, Namespaces, Network, Profile, default_log_max_bytes};

/// The honest account: nothing in it is a wish. See `docs/api.md`, Execution plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutionPlan {
    pub capability_mode: CapabilityMode,
    pub requested_sandbox: Profile,
    pub effective_sandbox: Profile,
    pub resource_enforcement: ResourceEnforcement,
    /// Something that was asked for is not enforced.
    pub degraded: bool,
    /// One sentence for each thing that was asked for and is not enforced.
    pub fallback_reasons: Vec<String>,
    /// What the caller should know although nothing that it asked for is missing.
    pub capability_warnings: Vec<String>,
    /// The layers of an effective `linux_sandbox`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox_layers: Option<SandboxLayers>,
    /// The user that the task runs as, where that is neither the runtime's own nor a sandbox's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_as: Option<RunAs>,
}

impl ExecutionPlan {
    /// What the task reaches by network.
    #[must_use]
    pub fn network(&self) -> Network {
        if self.sandbox_layers.is_some_and(|layers| layers.namespaces.net) { Network::None } else { Network::Host }
    }
}

/// What of the sandbox is enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxLayers {
    pub namespaces: Namespaces,
    /// The runtime is no root: the task stays the runtime's user, alone in a user namespace.
    pub rootless: bool,
    pub landlock: bool,
    pub seccomp: bool,
}

/// Each limit of the task and whether it is enforced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceEnforcement {
    pub wall_time_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_time_sec: Option<u64>,
    pub cpu_time_enforced: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    pub memory_enforced: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids_max: Option<u64>,
    pub pids_enforced: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_millis: Option<u64>,
    /// Plans of earlier servers do not have it.
    #[serde(default)]
    pub cpu_enforced: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_size_bytes: Option<u64>,
    #[serde(default)]
    pub file_size_enforced: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_files: Option<u64>,
    #[serde(default)]
    pub open_files_enforced: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace_bytes: Option<u64>,
    #[serde(default)]
    pub workspace_enforced: bool,
    /// Always enforced.
    #[serde(default = "default_log_max_bytes")]
    pub stdout_log_max_bytes: u64,
    #[serde(default = "default_log_max_bytes")]
    pub stderr_log_max_bytes: u64,
    pub cgroup_enforced: bool,
    pub oom_detection: bool,
    /// By the limit's name, for those that are enforced.
    #[serde(default)]
    pub enforced_by: BTreeMap<String, Means>,
}

/// By which means a limit is enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Means {
    /// The shim's clock.
    Timer,
    /// setrlimit(2), of each process.
    Rlimit,
    /// The cgroup, of the whole task.
    Cgroup,
    /// What there is is looked at from time to time, and too much ends the task.
    Measurement,
    /// It comes through a pipe, of which the shim keeps that much.
    Pipe,
}
