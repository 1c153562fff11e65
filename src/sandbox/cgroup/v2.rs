//! The files of version 2 (kernel document admin-guide/cgroup-v2).

use std::fs;
use std::io;
use std::path::Path;

use super::group::{CPU_PERIOD_US, CpuTime};
use super::{CgroupError, Controller, number_in, number_of, put};

pub const SUBTREE: &str = "cgroup.subtree_control";

/// Gives the children of `instance` the controller, and the instance's parent before it. What is above the parent is
/// asked only when the parent does not have the controller: that is no limit, and takes nothing from anybody.
pub fn enable(instance: &Path, controller: &str) -> Result<(), CgroupError> {
    let Some(root) = instance.parent() else { return Ok(()) };
    let plus = format!("+{controller}");
    if !lists(&root.join("cgroup.controllers"), controller) {
        let above = root.parent().filter(|above| lists(&above.join("cgroup.controllers"), controller));
        let missing = || io::Error::other(format!("there is no {controller} controller"));
        let above = above.ok_or_else(|| CgroupError::new(format!("look into {}", root.display()), missing()))?;
        put(above, SUBTREE, &plus)?;
    }
    for dir in [root, instance] {
        if !lists(&dir.join(SUBTREE), controller) {
            put(dir, SUBTREE, &plus)?;
        }
    }
    Ok(())
}

/// Whether the group may give the controller to its children.
pub fn has(group: &Path, controller: Controller) -> bool {
    lists(&group.join("cgroup.controllers"), controller.name())
}

fn lists(file: &Path, controller: &str) -> bool {
    fs::read_to_string(file).is_ok_and(|text| text.split_ascii_whitespace().any(|name| name == controller))
}

pub fn limit_memory(dir: &Path, bytes: u64) -> Result<(), CgroupError> {
    put(dir, "memory.max", &bytes.to_string())?;
    if dir.join("memory.swap.max").exists() {
        put(dir, "memory.swap.max", "0")?;
    }
    // All of the task or nothing: half of it helps nobody. The shim is not in the group.
    put(dir, "memory.oom.group", "1")
}

/// `quota_us` of each period; without it there is no limit.
pub fn limit_cpu(dir: &Path, quota_us: Option<u64>) -> Result<(), CgroupError> {
    let quota = quota_us.map_or("max".to_owned(), |quota| quota.to_string());
    put(dir, "cpu.max", &format!("{quota} {CPU_PERIOD_US}"))
}

/// How many processes of the group, and of groups below it, the kernel has killed for want of memory.
pub fn oom_kills(dir: &Path) -> Option<u64> {
    number_of(&fs::read_to_string(dir.join("memory.events")).ok()?, "oom_kill")
}

/// Since Linux 5.19.
pub fn memory_peak(dir: &Path) -> Option<u64> {
    number_in(&dir.join("memory.peak"))
}

/// Every group has it, also without the cpu controller.
pub fn cpu_time(dir: &Path) -> Option<CpuTime> {
    let stat = fs::read_to_string(dir.join("cpu.stat")).ok()?;
    let millis = |key| Some(number_of(&stat, key)? / 1000);
    Some(CpuTime { user_ms: millis("user_usec")?, system_ms: millis("system_usec")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_controller_that_is_nowhere_is_named() {
        let dir = tempfile::tempdir().expect("temp dir");
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("instance")).expect("made");
        fs::write(root.join("cgroup.controllers"), "cpu pids\n").expect("written");
        let error = enable(&root.join("instance"), "memory").expect_err("missing");
        assert!(error.source.to_string().contains("memory"), "{error:?}");
    }

    #[test]
    fn cpu_time_is_told_in_milliseconds() {
        let dir = tempfile::tempdir().expect("temp dir");
        fs::write(dir.path().join("cpu.stat"), "usage_usec 3500\nuser_usec 2999\nsystem_usec 1000\n").expect("written");
        assert_eq!(cpu_time(dir.path()), Some(CpuTime { user_ms: 2, system_ms: 1 }));
        assert_eq!(cpu_time(&dir.path().join("none")), None);
    }

    #[test]
    fn only_what_is_missing_is_enabled() {
        let dir = tempfile::tempdir().expect("temp dir");
        let instance = dir.path().join("instance");
        fs::create_dir_all(&instance).expect("made");
        fs::write(dir.path().join("cgroup.controllers"), "pids\n").expect("written");
        fs::write(dir.path().join(SUBTREE), "pids\n").expect("written");
        fs::write(instance.join(SUBTREE), "").expect("written");
        enable(&instance, "pids").expect("enabled");
        assert_eq!(fs::read_to_string(dir.path().join(SUBTREE)).expect("readable"), "pids\n");
        assert_eq!(fs::read_to_string(instance.join(SUBTREE)).expect("readable"), "+pids");
    }
}
