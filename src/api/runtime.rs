//! What the runtime says about itself: identity, configuration and the ledger. Its capabilities have a file of their own.

mod capabilities;
mod examples;

use std::path::Path;

use poem_openapi::Object;
use serde::{Deserialize, Serialize};

use super::status::{Reservation, TaskStatus};
use super::submit::CapabilityMode;
use crate::capability;
use crate::config::Config;
use crate::ledger;
use crate::task::Timestamp;

pub use capabilities::CapabilityManifest;

/// Version of the form of `RuntimeInfo` and `CapabilityManifest`.
pub const SNAPSHOT_VERSION: &str = "v1";

/// Who this runtime is.
#[derive(Clone, Debug, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(example)]
#[serde(deny_unknown_fields)]
pub struct RuntimeInfo {
    /// The name of this runtime.
    pub runtime_id: String,
    /// Version of the runtime.
    pub version: String,
    /// When the server was started.
    pub started_at: Timestamp,
    /// Version of the form of the capability manifest.
    pub snapshot_version: String,
    /// Whether it is being drained: it accepts and starts nothing any more.
    pub draining: bool,
    /// On what it runs.
    pub platform: Platform,
}

/// On what the runtime runs.
#[derive(Clone, Debug, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(example)]
#[serde(deny_unknown_fields)]
pub struct Platform {
    /// Operating system.
    pub os: String,
    /// Processor architecture.
    pub arch: String,
    /// Whether the runtime runs in a container.
    pub containerized: bool,
    /// Whether the runtime runs in Kubernetes.
    pub kubernetes: bool,
}

/// The configuration in force, without anything secret.
#[derive(Clone, Debug, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(example, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub struct RuntimeConfig {
    /// The name of this runtime.
    pub runtime_id: String,
    /// Where the server listens.
    pub listen_addr: String,
    /// The UNIX socket on which the server listens as well; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unix_socket: Option<String>,
    /// Where the runtime keeps its data.
    pub data_dir: String,
    /// How many tasks run at a time.
    pub max_running_tasks: u64,
    /// How many tasks may wait; one more is refused with 429.
    pub max_queued_tasks: u64,
    /// From SIGTERM to SIGKILL, in milliseconds.
    pub termination_grace_ms: u64,
    /// The user of tasks with the profile `process`, as configured; absent: the server's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_as: Option<String>,
    /// What each of a task's two logs may hold where the task sets no limit, in bytes.
    pub log_max_bytes: u64,
    /// How long an ended task is kept, in seconds.
    pub result_retention_secs: u64,
    /// How many ended tasks are kept; absent: no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_max_tasks: Option<u64>,
    /// What the directories of ended tasks may occupy together, in bytes; absent: no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_max_bytes: Option<u64>,
    /// How often ended tasks are looked for, in milliseconds.
    pub gc_interval_ms: u64,
    /// What one blob may hold, in bytes.
    pub blob_max_bytes: u64,
    /// What all blobs may hold together, in bytes.
    pub blobs_max_bytes: u64,
    /// How many files are collected of one task.
    pub collect_max_files: u64,
    /// What they may hold together, in bytes.
    pub collect_max_bytes: u64,
    /// How long the dispatcher sleeps at most, in milliseconds.
    pub dispatch_poll_interval_ms: u64,
    /// The cgroup of version 2 below which tasks get theirs, where it can be used.
    pub cgroup_root: String,
    /// The capability mode of a task that names none.
    pub default_capability_mode: CapabilityMode,
    /// Whether cgroups may be used.
    pub cgroup_enabled: bool,
    /// Whether the Linux sandbox may be used.
    pub linux_sandbox_enabled: bool,
    /// Whether sandboxes may have their Landlock layer.
    pub landlock_enabled: bool,
    /// Whether sandboxes may have their seccomp layer.
    pub seccomp_enabled: bool,
    /// The largest request body, in bytes.
    pub max_body_bytes: u64,
}

/// One consistent view of the ledger: `reserved` + `available` = `capacity`.
#[derive(Clone, Debug, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(example)]
#[serde(deny_unknown_fields)]
pub struct RuntimeResources {
    /// The name of this runtime.
    pub runtime_id: String,
    /// What there is in all.
    pub capacity: Capacity,
    /// The sum of the active reservations.
    pub reserved: Totals,
    /// What is left.
    pub available: Capacity,
    /// Who holds what, by time of reservation.
    pub active_reservations: Vec<ActiveReservation>,
    /// Accepted tasks that hold no reservation.
    pub accepted_waiting_tasks: u64,
    /// The tenants that have a quota, by name.
    pub tenants: Vec<TenantResources>,
}

/// Amounts of which each kind may be unlimited.
#[derive(Clone, Debug, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(example, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub struct Capacity {
    /// Places for running tasks.
    pub task_slots: u64,
    /// Bytes of memory; absent when they are not limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Processes; absent when they are not limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pids: Option<u64>,
}

/// Sums of reservations.
#[derive(Clone, Debug, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(example)]
#[serde(deny_unknown_fields)]
pub struct Totals {
    /// Places of running tasks.
    pub task_slots: u64,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Processes.
    pub pids: u64,
}

/// What one task holds.
#[derive(Clone, Debug, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(example, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub struct ActiveReservation {
    /// The task.
    pub task_id: String,
    /// Where it stands.
    pub status: TaskStatus,
    /// What it holds.
    pub reservation: Reservation,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserved_at: Option<Timestamp>,
}

/// The account of a tenant that has a quota.
#[derive(Clone, Debug, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(example)]
#[serde(deny_unknown_fields)]
pub struct TenantResources {
    /// The tenant.
    pub tenant: String,
    /// What its tasks may hold together.
    pub quota: Capacity,
    /// What they hold.
    pub reserved: Totals,
    /// What is left of the quota.
    pub available: Capacity,
}

impl RuntimeInfo {
    #[must_use]
    pub fn new(runtime_id: &str, started_at: Timestamp, draining: bool, platform: &capability::Platform) -> Self {
        Self {
            runtime_id: runtime_id.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at,
            snapshot_version: SNAPSHOT_VERSION.to_owned(),
            draining,
            platform: platform.into(),
        }
    }
}

impl From<&capability::Platform> for Platform {
    fn from(platform: &capability::Platform) -> Self {
        let capability::Platform { os, arch, containerized, kubernetes } = platform.clone();
        Self { os, arch, containerized, kubernetes }
    }
}

impl RuntimeConfig {
    /// `listen_addr` is where the server really listens: the configured port may be 0.
    #[must_use]
    pub fn new(runtime_id: &str, listen_addr: std::net::SocketAddr, config: &Config) -> Self {
        let Config {
            runtime,
            server,
            access: _,
            queue,
            execution,
            retention,
            files,
            ledger: _,
            capability,
            sandbox: _,
            callback: _,
            log: _,
        } = config;
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let data_dir = absolute(&runtime.data_dir);
        Self {
            runtime_id: runtime_id.to_owned(),
            listen_addr: listen_addr.to_string(),
            unix_socket: server.unix_socket.as_ref().map(|path| absolute(path).to_string_lossy().into_owned()),
            data_dir: data_dir.to_string_lossy().into_owned(),
            max_running_tasks: queue.max_running_tasks,
            max_queued_tasks: queue.max_queued_tasks,
            termination_grace_ms: execution.termination_grace_ms,
            run_as: execution.run_as.clone(),
            log_max_bytes: execution.log_max_bytes,
            result_retention_secs: retention.result_retention_secs,
            retention_max_tasks: retention.max_tasks,
            retention_max_bytes: retention.max_bytes,
            gc_interval_ms: retention.gc_interval_ms,
            blob_max_bytes: files.blob_max_bytes,
            blobs_max_bytes: files.blobs_max_bytes,
            collect_max_files: files.collect_max_files,
            collect_max_bytes: files.collect_max_bytes,
            dispatch_poll_interval_ms: queue.dispatch_poll_interval_ms,
            cgroup_root: capability.cgroup_root.to_string_lossy().into_owned(),
            default_capability_mode: capability.default_mode.into(),
            cgroup_enabled: !capability.disable_cgroup,
            linux_sandbox_enabled: !capability.disable_linux_sandbox,
            landlock_enabled: !capability.disable_landlock,
            seccomp_enabled: !capability.disable_seccomp,
            max_body_bytes: server.max_body_bytes,
        }
    }
}

impl From<ledger::Capacity> for Capacity {
    fn from(capacity: ledger::Capacity) -> Self {
        let ledger::Capacity { task_slots, memory_bytes, pids } = capacity;
        Self { task_slots, memory_bytes, pids }
    }
}

impl From<ledger::Totals> for Totals {
    fn from(totals: ledger::Totals) -> Self {
        let ledger::Totals { task_slots, memory_bytes, pids } = totals;
        Self { task_slots, memory_bytes, pids }
    }
}
