//! A manifest for unit tests: everything holds but cgroups.

use std::collections::BTreeMap;

use super::{Manifest, Platform, ResourceCapabilities, SandboxCapabilities};
use crate::ledger::Capacity;
use crate::task::Timestamp;
use crate::task::spec::Namespaces;

pub fn manifest() -> Manifest {
    Manifest {
        runtime_id: "test".into(),
        collected_at: Timestamp::from_millis(0),
        platform: Platform { os: "linux".into(), arch: "x86_64".into(), containerized: false, kubernetes: false },
        sandbox: SandboxCapabilities {
            process: true,
            linux_sandbox: true,
            chroot: true,
            namespaces: Namespaces { mount: true, pid: true, uts: true, ipc: true, net: true },
            rootless: false,
            landlock_abi: Some(6),
            seccomp: true,
            rlimit_processes: false,
            api_closed_to_tasks: true,
        },
        data_dir_writable: true,
        resources: ResourceCapabilities {
            rlimit_cpu: true,
            rlimit_memory: true,
            rlimit_file_size: true,
            rlimit_open_files: true,
            cgroup_v2: false,
            cgroup_writable: false,
            memory_limit: false,
            pids_limit: false,
            cpu_quota: false,
            oom_detection: false,
        },
        capacity: Capacity { task_slots: 4, memory_bytes: None, pids: None },
        run_as: None,
        warnings: vec![],
        degraded: false,
        overrides: BTreeMap::new(),
    }
}
