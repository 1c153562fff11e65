//! One example of each type, for the document.

use super::{
    BTreeMap, CapabilityMode, ControlContext, Example, ExecutionKind, ExecutionSpec, InputSpec, NamespaceConfig,
    ResourceLimits, SandboxNetwork, SandboxPolicy, SandboxProfile, StdinSpec, SubmitTaskRequest, SubmitTaskResponse,
    TaskPolicy,
};
use crate::api::schedule::TaskSchedule;
use crate::api::status::TaskStatus;

fn map(key: &str, value: &str) -> Option<BTreeMap<String, String>> {
    Some(BTreeMap::from([(key.to_owned(), value.to_owned())]))
}

impl Example for SubmitTaskRequest {
    fn example() -> Self {
        Self {
            task_id: Some("build-42".into()),
            execution: ExecutionSpec::example(),
            inputs: Some(vec![InputSpec::example()]),
            collect: Some(vec!["out/**".into()]),
            limits: Some(ResourceLimits::example()),
            sandbox: Some(SandboxPolicy { chroot: None, rootfs: None, ..SandboxPolicy::example() }),
            policy: Some(TaskPolicy::example()),
            control_context: Some(ControlContext::example()),
            // Sent as it stands the example works, where no callbacks are allowed too.
            callback: None,
            schedule: Some(TaskSchedule { depends_on: None, ..TaskSchedule::example() }),
            metadata: map("commit", "81944e9"),
        }
    }
}

impl Example for ExecutionSpec {
    fn example() -> Self {
        Self {
            kind: ExecutionKind::Command,
            program: Some("make".into()),
            args: Some(vec!["-j2".into(), "test".into()]),
            script: None,
            interpreter: None,
            env: map("CI", "true"),
            stdin: Some(StdinSpec::example()),
        }
    }
}

impl Example for ResourceLimits {
    fn example() -> Self {
        Self {
            wall_time_ms: Some(60_000),
            cpu_time_sec: Some(30),
            memory_bytes: Some(268_435_456),
            pids_max: Some(64),
            cpu_millis: Some(1500),
            file_size_bytes: Some(1_073_741_824),
            open_files: Some(1024),
            workspace_bytes: Some(4_294_967_296),
            stdout_max_bytes: Some(65_536),
            stderr_max_bytes: Some(65_536),
            stdout_log_max_bytes: Some(16_777_216),
            stderr_log_max_bytes: Some(16_777_216),
        }
    }
}

impl Example for SandboxPolicy {
    fn example() -> Self {
        Self {
            profile: Some(SandboxProfile::LinuxSandbox),
            workspace_subdir: Some("src".into()),
            rootfs: Some("/srv/rootfs/debian".into()),
            chroot: Some(true),
            namespaces: Some(NamespaceConfig::example()),
            network: Some(SandboxNetwork::None),
        }
    }
}

impl Example for NamespaceConfig {
    fn example() -> Self {
        Self { mount: Some(true), pid: Some(true), uts: Some(true), ipc: Some(true), net: Some(true) }
    }
}

impl Example for TaskPolicy {
    fn example() -> Self {
        Self { capability_mode: Some(CapabilityMode::Adaptive) }
    }
}

impl Example for ControlContext {
    fn example() -> Self {
        Self {
            control_plane_mode: Some("standalone".into()),
            tenant: Some("acme".into()),
            owner: Some("ci".into()),
            expected_runtime_profile: Some("linux_sandbox".into()),
            requires_strict_sandbox: Some(false),
            requires_resource_reservation: Some(true),
            labels: map("team", "platform"),
        }
    }
}

impl Example for SubmitTaskResponse {
    fn example() -> Self {
        Self { task_id: "build-42".into(), handle_id: "build-42".into(), status: TaskStatus::Accepted }
    }
}
