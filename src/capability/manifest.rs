//! The manifest: the answers of the probes, collected once at start and published as they are.

use std::collections::BTreeMap;
use std::path::Path;

use crate::ledger::Capacity;
use crate::task::spec::Namespaces;
use crate::task::{RunAs, Timestamp};

/// A capability is true only because a probe did the thing (see `docs/api.md`, Capabilities).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    pub runtime_id: String,
    pub collected_at: Timestamp,
    pub platform: Platform,
    pub sandbox: SandboxCapabilities,
    pub data_dir_writable: bool,
    pub resources: ResourceCapabilities,
    pub capacity: Capacity,
    /// The user of plain tasks; absent: the runtime's own.
    pub run_as: Option<RunAs>,
    /// Why each "no" is a no.
    pub warnings: Vec<String>,
    /// Something that this version can enforce is switched off or missing here.
    pub degraded: bool,
    /// What the operator switched off: name of the setting → its value.
    pub overrides: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    pub os: String,
    pub arch: String,
    pub containerized: bool,
    pub kubernetes: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SandboxCapabilities {
    pub process: bool,
    pub linux_sandbox: bool,
    pub chroot: bool,
    pub namespaces: Namespaces,
    /// The runtime is no root: sandboxes are in user namespaces, and tasks stay its own user.
    pub rootless: bool,
    /// Version of Landlock's interface; absent: there is no such layer.
    pub landlock_abi: Option<u32>,
    pub seccomp: bool,
    /// `RLIMIT_NPROC` limits the processes of one sandbox alone.
    pub rlimit_processes: bool,
    /// A sandboxed task that reaches the runtime by the host's network is told from a client, and refused.
    pub api_closed_to_tasks: bool,
}

impl SandboxCapabilities {
    /// No sandbox at all.
    pub const PROCESS_ONLY: Self = Self {
        process: true,
        linux_sandbox: false,
        chroot: false,
        namespaces: Namespaces { mount: false, pid: false, uts: false, ipc: false, net: false },
        rootless: false,
        landlock_abi: None,
        seccomp: false,
        rlimit_processes: false,
        api_closed_to_tasks: false,
    };

    /// Every layer that there is.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        let Namespaces { mount, pid, uts, ipc, net } = self.namespaces;
        self.linux_sandbox && self.landlock_abi.is_some() && self.seccomp && mount && pid && uts && ipc && net
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResourceCapabilities {
    pub rlimit_cpu: bool,
    pub rlimit_memory: bool,
    pub rlimit_file_size: bool,
    pub rlimit_open_files: bool,
    pub cgroup_v2: bool,
    pub cgroup_writable: bool,
    /// The three below: by a cgroup, for every process of the task together.
    pub memory_limit: bool,
    pub pids_limit: bool,
    pub cpu_quota: bool,
    pub oom_detection: bool,
}

impl Manifest {
    /// What every ExecGo runtime does.
    pub const STABLE_SEMANTICS: [&str; 9] = [
        "submit",
        "status",
        "events",
        "stdout_stderr",
        "timeout",
        "kill",
        "artifacts",
        "result_persistence",
        "recovery",
    ];

    /// What this one does beyond, here and now.
    #[must_use]
    pub fn enhanced_semantics(&self) -> Vec<&'static str> {
        let Namespaces { mount, pid, uts, ipc, net } = self.sandbox.namespaces;
        let offered = [
            ("resource_ledger", true),
            ("linux_sandbox", self.sandbox.linux_sandbox),
            ("namespaces", mount || pid || uts || ipc || net),
            ("chroot", self.sandbox.chroot),
            ("cgroup_memory", self.resources.memory_limit),
            ("cgroup_pids", self.resources.pids_limit),
            ("cgroup_cpu", self.resources.cpu_quota),
            ("oom_detection", self.resources.oom_detection),
        ];
        offered.into_iter().filter(|(_, holds)| *holds).map(|(name, _)| name).collect()
    }

    /// The strongest profile that this runtime offers; `control_context.expected_runtime_profile` is held against it.
    #[must_use]
    pub const fn runtime_profile(&self) -> &'static str {
        if self.sandbox.linux_sandbox { "linux_sandbox" } else { "process" }
    }
}

/// Whether this process runs in a container, by the marks that engines leave.
#[must_use]
pub fn containerized() -> bool {
    let marked = ["/.dockerenv", "/run/.containerenv"].iter().any(|mark| Path::new(mark).exists());
    marked || std::env::var_os("container").is_some()
}

#[must_use]
pub fn kubernetes() -> bool {
    std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
}
