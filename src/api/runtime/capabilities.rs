//! The capability manifest on the wire.

use std::collections::BTreeMap;

use poem_openapi::Object;
use poem_openapi::types::Example;
use serde::{Deserialize, Serialize};

use super::{Capacity, Platform, SNAPSHOT_VERSION};
use crate::capability::{self, Manifest};
use crate::task::Timestamp;
use crate::task::spec;

/// What this runtime can do here. A capability is true only because it was tried when the server started.
#[derive(Clone, Debug, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(example)]
#[serde(deny_unknown_fields)]
pub struct CapabilityManifest {
    /// The name of this runtime.
    pub runtime_id: String,
    /// Version of the form of this answer.
    pub snapshot_version: String,
    /// When the capabilities were tried.
    pub collected_at: Timestamp,
    /// On what it runs.
    pub platform: Platform,
    /// Kinds of task.
    pub execution: ExecutionCapabilities,
    /// Kinds of sandbox.
    pub sandbox: SandboxCapabilities,
    /// The data directory.
    pub storage: StorageCapabilities,
    /// Limits that can be enforced, and the ledger.
    pub resources: ResourceCapabilities,
    /// What every ExecGo runtime does.
    pub stable_semantics: Vec<String>,
    /// What this one does beyond.
    pub enhanced_semantics: Vec<String>,
    /// Why each capability that is missing is missing.
    pub warnings: Vec<String>,
    /// A limit or a layer of the sandbox that this version can enforce is missing or switched off here.
    pub degraded: bool,
    /// What the operator switched off: setting by setting.
    pub overrides: BTreeMap<String, String>,
}

/// Kinds of task.
#[derive(Clone, Debug, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(example)]
#[serde(deny_unknown_fields)]
pub struct ExecutionCapabilities {
    /// Commands run.
    pub command: bool,
    /// Scripts run.
    pub script: bool,
    /// Every task has a process group of its own.
    pub process_group: bool,
}

/// Kinds of sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(example, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub struct SandboxCapabilities {
    /// The profile `process`.
    pub process: bool,
    /// The profile `linux_sandbox`.
    pub linux_sandbox: bool,
    /// A root file system of the task's own.
    pub chroot: bool,
    /// Namespace by namespace.
    pub namespaces: NamespaceCapabilities,
    /// Number of processes of a sandboxed task, by `RLIMIT_NPROC` of its own user; used where there is no cgroup for it.
    pub rlimit_processes: bool,
    /// A sandboxed task that shares the host's network is refused by this API.
    pub api_closed_to_tasks: bool,
    /// Version of the interface of Landlock that the kernel has. Absent when sandboxes do without that layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub landlock_abi: Option<u32>,
}

/// Namespaces that a task can have of its own.
#[derive(Clone, Debug, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(example)]
#[serde(deny_unknown_fields)]
pub struct NamespaceCapabilities {
    /// Mount points.
    pub mount: bool,
    /// Process ids.
    pub pid: bool,
    /// Host name.
    pub uts: bool,
    /// System V IPC and POSIX message queues.
    pub ipc: bool,
    /// Network.
    pub net: bool,
}

/// The data directory.
#[derive(Clone, Debug, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(example)]
#[serde(deny_unknown_fields)]
pub struct StorageCapabilities {
    /// It can be written.
    pub data_dir_writable: bool,
}

/// Limits that can be enforced, and the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(example)]
#[serde(deny_unknown_fields)]
pub struct ResourceCapabilities {
    /// CPU time of a process (`RLIMIT_CPU`).
    pub rlimit_cpu: bool,
    /// Address space of a process (`RLIMIT_AS`).
    pub rlimit_memory: bool,
    /// Length of each file that a process writes (`RLIMIT_FSIZE`).
    pub rlimit_file_size: bool,
    /// Open descriptors of a process (`RLIMIT_NOFILE`).
    pub rlimit_open_files: bool,
    /// The cgroup root is in a cgroup version 2 hierarchy.
    pub cgroup_v2: bool,
    /// A group was made, joined and removed, in version 2 below `cgroup_root` or in version 1.
    pub cgroup_writable: bool,
    /// Memory of a whole task, by its cgroup.
    pub memory_limit: bool,
    /// Number of processes of a whole task, by its cgroup.
    pub pids_limit: bool,
    /// A death by the out-of-memory killer is recognised.
    pub oom_detection: bool,
    /// CPU share of a whole task, by its cgroup.
    pub cpu_quota: bool,
    /// Every running task has a reservation.
    pub ledger: bool,
    /// What there is in all.
    pub capacity: Capacity,
}

impl From<&Manifest> for CapabilityManifest {
    fn from(manifest: &Manifest) -> Self {
        let Manifest {
            runtime_id,
            collected_at,
            platform,
            sandbox,
            data_dir_writable,
            resources,
            capacity,
            run_as: _,
            warnings,
            degraded,
            overrides,
        } = manifest;
        Self {
            runtime_id: runtime_id.clone(),
            snapshot_version: SNAPSHOT_VERSION.to_owned(),
            collected_at: *collected_at,
            platform: platform.into(),
            // What a build for Linux always does.
            execution: ExecutionCapabilities { command: true, script: true, process_group: true },
            sandbox: (*sandbox).into(),
            storage: StorageCapabilities { data_dir_writable: *data_dir_writable },
            resources: ResourceCapabilities::new(*resources, (*capacity).into()),
            stable_semantics: Manifest::STABLE_SEMANTICS.map(str::to_owned).to_vec(),
            enhanced_semantics: manifest.enhanced_semantics().into_iter().map(str::to_owned).collect(),
            warnings: warnings.clone(),
            degraded: *degraded,
            overrides: overrides.clone(),
        }
    }
}

impl From<capability::SandboxCapabilities> for SandboxCapabilities {
    fn from(capabilities: capability::SandboxCapabilities) -> Self {
        let capability::SandboxCapabilities {
            process,
            linux_sandbox,
            chroot,
            namespaces,
            rootless: _,
            landlock_abi,
            seccomp: _,
            rlimit_processes,
            api_closed_to_tasks,
        } = capabilities;
        let spec::Namespaces { mount, pid, uts, ipc, net } = namespaces;
        let namespaces = NamespaceCapabilities { mount, pid, uts, ipc, net };
        Self { process, linux_sandbox, chroot, namespaces, landlock_abi, rlimit_processes, api_closed_to_tasks }
    }
}

impl ResourceCapabilities {
    const fn new(capabilities: capability::ResourceCapabilities, capacity: Capacity) -> Self {
        let capability::ResourceCapabilities {
            rlimit_cpu,
            rlimit_memory,
            rlimit_file_size,
            rlimit_open_files,
            cgroup_v2,
            cgroup_writable,
            memory_limit,
            pids_limit,
            cpu_quota,
            oom_detection,
        } = capabilities;
        Self {
            rlimit_cpu,
            rlimit_memory,
            rlimit_file_size,
            rlimit_open_files,
            cgroup_v2,
            cgroup_writable,
            memory_limit,
            pids_limit,
            oom_detection,
            cpu_quota,
            ledger: true,
            capacity,
        }
    }
}

impl Example for CapabilityManifest {
    fn example() -> Self {
        Self {
            runtime_id: "node-1-127.0.0.1-8080".into(),
            snapshot_version: SNAPSHOT_VERSION.into(),
            collected_at: Timestamp::from_millis(1_760_000_000_000),
            platform: Platform::example(),
            execution: ExecutionCapabilities::example(),
            sandbox: SandboxCapabilities::example(),
            storage: StorageCapabilities::example(),
            resources: ResourceCapabilities::example(),
            stable_semantics: Manifest::STABLE_SEMANTICS.map(str::to_owned).to_vec(),
            enhanced_semantics: vec!["resource_ledger".into(), "linux_sandbox".into(), "namespaces".into()],
            warnings: vec!["there is no writable cgroup for tasks".into()],
            degraded: true,
            overrides: BTreeMap::from([("disable_cgroup".to_owned(), "true".to_owned())]),
        }
    }
}

impl Example for ExecutionCapabilities {
    fn example() -> Self {
        Self { command: true, script: true, process_group: true }
    }
}

impl Example for SandboxCapabilities {
    fn example() -> Self {
        let namespaces = NamespaceCapabilities::example();
        Self {
            process: true,
            linux_sandbox: true,
            chroot: true,
            namespaces,
            landlock_abi: Some(6),
            rlimit_processes: true,
            api_closed_to_tasks: true,
        }
    }
}

impl Example for NamespaceCapabilities {
    fn example() -> Self {
        Self { mount: true, pid: true, uts: true, ipc: true, net: true }
    }
}

impl Example for StorageCapabilities {
    fn example() -> Self {
        Self { data_dir_writable: true }
    }
}

impl Example for ResourceCapabilities {
    fn example() -> Self {
        Self {
            rlimit_cpu: true,
            rlimit_memory: true,
            rlimit_file_size: true,
            rlimit_open_files: true,
            cgroup_v2: true,
            cgroup_writable: false,
            memory_limit: false,
            pids_limit: false,
            oom_detection: false,
            cpu_quota: false,
            ledger: true,
            capacity: Capacity::example(),
        }
    }
}
