//! One example of each type, for the document.

use poem_openapi::types::Example;

use super::{
    ActiveReservation, CapabilityMode, Capacity, Platform, Reservation, RuntimeConfig, RuntimeInfo, RuntimeResources,
    SNAPSHOT_VERSION, TaskStatus, TenantResources, Timestamp, Totals,
};

const RUNTIME_ID: &str = "node-1-127.0.0.1-8080";

impl Example for RuntimeInfo {
    fn example() -> Self {
        Self {
            runtime_id: RUNTIME_ID.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            started_at: Timestamp::from_millis(1_760_000_000_000),
            snapshot_version: SNAPSHOT_VERSION.into(),
            draining: false,
            platform: Platform::example(),
        }
    }
}

impl Example for Platform {
    fn example() -> Self {
        Self { os: "linux".into(), arch: "x86_64".into(), containerized: false, kubernetes: false }
    }
}

impl Example for RuntimeConfig {
    fn example() -> Self {
        Self {
            runtime_id: RUNTIME_ID.into(),
            listen_addr: "127.0.0.1:8080".into(),
            unix_socket: Some("/run/execgo-runtime/api.sock".into()),
            data_dir: "/var/lib/execgo-runtime".into(),
            max_running_tasks: 4,
            max_queued_tasks: 128,
            termination_grace_ms: 5000,
            run_as: Some("runner".into()),
            log_max_bytes: 268_435_456,
            result_retention_secs: 604_800,
            retention_max_tasks: Some(100_000),
            retention_max_bytes: Some(53_687_091_200),
            gc_interval_ms: 1000,
            blob_max_bytes: 1_073_741_824,
            blobs_max_bytes: 10_737_418_240,
            collect_max_files: 10_000,
            collect_max_bytes: 1_073_741_824,
            dispatch_poll_interval_ms: 250,
            cgroup_root: "/sys/fs/cgroup/execgo-runtime".into(),
            default_capability_mode: CapabilityMode::Adaptive,
            cgroup_enabled: true,
            linux_sandbox_enabled: true,
            landlock_enabled: true,
            seccomp_enabled: true,
            max_body_bytes: 4_194_304,
        }
    }
}

impl Example for RuntimeResources {
    fn example() -> Self {
        Self {
            runtime_id: RUNTIME_ID.into(),
            capacity: Capacity::example(),
            reserved: Totals::example(),
            available: Capacity { task_slots: 3, memory_bytes: Some(8_321_499_136), pids: Some(448) },
            active_reservations: vec![ActiveReservation::example()],
            accepted_waiting_tasks: 0,
            tenants: vec![TenantResources::example()],
        }
    }
}

impl Example for Capacity {
    fn example() -> Self {
        Self { task_slots: 4, memory_bytes: Some(8_589_934_592), pids: Some(512) }
    }
}

impl Example for Totals {
    fn example() -> Self {
        Self { task_slots: 1, memory_bytes: 268_435_456, pids: 64 }
    }
}

impl Example for ActiveReservation {
    fn example() -> Self {
        Self {
            task_id: "build-42".into(),
            status: TaskStatus::Running,
            reservation: Reservation::example(),
            reserved_at: Some(Timestamp::from_millis(1_760_000_000_090)),
        }
    }
}

impl Example for TenantResources {
    fn example() -> Self {
        Self {
            tenant: "acme".into(),
            quota: Capacity { task_slots: 2, memory_bytes: None, pids: None },
            reserved: Totals::example(),
            available: Capacity { task_slots: 1, memory_bytes: None, pids: None },
        }
    }
}
