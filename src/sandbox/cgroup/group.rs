//! The group of one launch: made before the command's process, entered by it, and ended on drop.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{CgroupError, Controller, Entry, GroupLimits, GroupSpec, Version, end, make_instance, put, v1, v2};

/// A group that is there. Dropping it kills what is in it and removes it.
#[derive(Debug)]
pub struct Group {
    spec: GroupSpec,
}

/// What a group knows about the whole task, waited for or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// `None` where the group has no file for it.
    pub cpu: Option<CpuTime>,
    /// `None` where the kernel does not count.
    pub oom_kills: Option<u64>,
    pub memory_peak_bytes: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuTime {
    pub user_ms: u64,
    pub system_ms: u64,
}

impl Group {
    /// Makes the group and writes its limits.
    ///
    /// # Errors
    /// Names the directory or the file. Nothing is left then.
    pub fn make(spec: &GroupSpec) -> Result<Self, CgroupError> {
        let missing = |limit: Option<u64>, dir: &Option<PathBuf>, what: &str| match (limit, dir) {
            (Some(_), None) => Err(CgroupError::new(
                format!("limit {what} by a cgroup, as the plan says"),
                io::Error::from_raw_os_error(libc::EOPNOTSUPP),
            )),
            (Some(_) | None, _) => Ok(()),
        };
        let GroupLimits { memory_bytes, pids_max, cpu_millis } = spec.limits;
        missing(memory_bytes, &spec.memory, "memory")?;
        missing(pids_max, &spec.pids, "processes")?;
        missing(cpu_millis, &spec.cpu, "the share of CPU time")?;
        let group = Self { spec: spec.clone() };
        for dir in spec.dirs() {
            make_dir(spec, &dir)?;
        }
        if let (Some(dir), Some(bytes)) = (&spec.memory, memory_bytes) {
            match spec.version {
                Version::V1 => v1::limit_memory(dir, bytes)?,
                Version::V2 => v2::limit_memory(dir, bytes)?,
            }
        }
        if let (Some(dir), Some(max)) = (&spec.pids, pids_max) {
            // No machine has more, and the kernel refuses a number beyond its own maximum.
            put(dir, "pids.max", &if max < MOST_PIDS { max.to_string() } else { "max".to_owned() })?;
        }
        if let (Some(dir), Some(millis)) = (&spec.cpu, cpu_millis) {
            // The same of cores.
            let quota_us = (millis < MOST_CPU_MILLIS).then(|| millis * CPU_PERIOD_US / 1000);
            match spec.version {
                Version::V1 => v1::limit_cpu(dir, quota_us)?,
                Version::V2 => v2::limit_cpu(dir, quota_us)?,
            }
        }
        Ok(group)
    }

    /// Opens the way into it.
    ///
    /// # Errors
    /// Names the group.
    pub fn entry(&self) -> Result<Entry, CgroupError> {
        self.spec.entry()
    }

    /// Kills what is in the group, as far as one look finds it.
    pub fn kill(&self) {
        end::kill_spec(&self.spec);
    }

    #[must_use]
    pub fn facts(&self) -> Facts {
        let GroupSpec { version, memory, cpu, .. } = &self.spec;
        match version {
            Version::V1 => Facts {
                cpu: cpu.as_deref().and_then(v1::cpu_time),
                oom_kills: memory.as_deref().and_then(v1::oom_kills),
                memory_peak_bytes: memory.as_deref().and_then(v1::memory_peak),
            },
            Version::V2 => Facts {
                cpu: self.spec.dirs().first().and_then(|dir| v2::cpu_time(dir)),
                oom_kills: memory.as_deref().and_then(v2::oom_kills),
                memory_peak_bytes: memory.as_deref().and_then(v2::memory_peak),
            },
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        end::end_spec(&self.spec);
    }
}

/// `PID_MAX_LIMIT` of 64-bit kernels.
const MOST_PIDS: u64 = 4 << 20;

/// Sixty-four thousand cores.
const MOST_CPU_MILLIS: u64 = 64_000_000;

/// Microseconds; the kernel's own default. In each such time a group may use its quota.
pub(super) const CPU_PERIOD_US: u64 = 100_000;

fn make_dir(spec: &GroupSpec, dir: &Path) -> Result<(), CgroupError> {
    let made = match fs::create_dir(dir) {
        // Whoever found the instance's group empty may have removed it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let used =
                [(Controller::Memory, &spec.memory), (Controller::Pids, &spec.pids), (Controller::Cpu, &spec.cpu)];
            let used: Vec<_> = used.into_iter().filter(|(_, dir)| dir.is_some()).map(|(each, _)| each).collect();
            let instance = dir.parent().unwrap_or(dir);
            make_instance(spec.version, instance, &used)?;
            fs::create_dir(dir)
        }
        // No launch has the name of another, so this one is nobody's any more.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            end::end_dir(dir);
            fs::create_dir(dir)
        }
        made => made,
    };
    made.map_err(|error| CgroupError::new(format!("mkdir {}", dir.display()), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_without_a_group_is_refused_by_name() {
        let none = GroupLimits::default();
        let refused = |limits| Group::make(&GroupSpec::nowhere(limits)).expect_err("refused").step;
        assert!(refused(GroupLimits { memory_bytes: Some(1), ..none }).contains("memory"));
        assert!(refused(GroupLimits { pids_max: Some(1), ..none }).contains("processes"));
        assert!(refused(GroupLimits { cpu_millis: Some(10), ..none }).contains("CPU"));
        assert!(Group::make(&GroupSpec::nowhere(none)).is_ok());
    }
}
