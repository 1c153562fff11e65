//! The files of version 1 (kernel document admin-guide/cgroup-v1).

use std::fs;
use std::path::Path;

use super::group::{CPU_PERIOD_US, CpuTime};
use super::{CgroupError, number_in, number_of, put};

/// The file by which one thread joins. Never `cgroup.procs`, which waits for the kernel's grace period.
pub const GATE: &str = "tasks";

/// Memory with swap. The second limit must not be below the first, so it comes second.
pub fn limit_memory(dir: &Path, bytes: u64) -> Result<(), CgroupError> {
    let bytes = bytes.to_string();
    put(dir, "memory.limit_in_bytes", &bytes)?;
    if dir.join("memory.memsw.limit_in_bytes").exists() {
        return put(dir, "memory.memsw.limit_in_bytes", &bytes);
    }
    // Without accounting of swap: what is over the limit should rather not get there. Where even that cannot be said,
    // the limit on memory itself holds all the same.
    let _ = put(dir, "memory.swappiness", "0");
    Ok(())
}

/// `quota_us` of each period; without it there is no limit. The kernel refuses more than a group above allows.
pub fn limit_cpu(dir: &Path, quota_us: Option<u64>) -> Result<(), CgroupError> {
    put(dir, "cpu.cfs_period_us", &CPU_PERIOD_US.to_string())?;
    put(dir, "cpu.cfs_quota_us", &quota_us.map_or("-1".to_owned(), |quota| quota.to_string()))
}

/// How many processes of the group the kernel has killed for want of memory.
pub fn oom_kills(dir: &Path) -> Option<u64> {
    number_of(&fs::read_to_string(dir.join("memory.oom_control")).ok()?, "oom_kill")
}

pub fn memory_peak(dir: &Path) -> Option<u64> {
    number_in(&dir.join("memory.max_usage_in_bytes"))
}

/// The files are there where `cpuacct` shares the hierarchy of `cpu`, as it does on most hosts.
pub fn cpu_time(dir: &Path) -> Option<CpuTime> {
    let millis = |file: &str| Some(number_in(&dir.join(file))? / 1_000_000);
    Some(CpuTime { user_ms: millis("cpuacct.usage_user")?, system_ms: millis("cpuacct.usage_sys")? })
}
