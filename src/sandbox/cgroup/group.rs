//! The group of one launch: made before the command's process, entered by it, and ended on drop.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{CgroupError, Controller, Entry, GroupSpec, Version, end, make_instance, put, v1, v2};

/// A group that is there. Dropping it kills what is in it and removes it.
#[derive(Debug)]
pub struct Group {
    spec: GroupSpec,
}

/// What a group knows about the whole task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// `None` where the kernel does not count.
    pub oom_kills: Option<u64>,
    pub memory_peak_bytes: Option<u64>,
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
        missing(spec.memory_bytes, &spec.memory, "memory")?;
        missing(spec.pids_max, &spec.pids, "processes")?;
        let group = Self { spec: spec.clone() };
        for dir in spec.dirs() {
            make_dir(spec, &dir)?;
        }
        if let (Some(dir), Some(bytes)) = (&spec.memory, spec.memory_bytes) {
            match spec.version {
                Version::V1 => v1::limit_memory(dir, bytes)?,
                Version::V2 => v2::limit_memory(dir, bytes)?,
            }
        }
        if let (Some(dir), Some(max)) = (&spec.pids, spec.pids_max) {
            // No machine has more, and the kernel refuses a number beyond its own maximum.
            put(dir, "pids.max", &if max < MOST_PIDS { max.to_string() } else { "max".to_owned() })?;
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
        let Some(dir) = &self.spec.memory else { return Facts::default() };
        let (oom_kills, memory_peak_bytes) = match self.spec.version {
            Version::V1 => (v1::oom_kills(dir), v1::memory_peak(dir)),
            Version::V2 => (v2::oom_kills(dir), v2::memory_peak(dir)),
        };
        Facts { oom_kills, memory_peak_bytes }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        end::end_spec(&self.spec);
    }
}

/// `PID_MAX_LIMIT` of 64-bit kernels.
const MOST_PIDS: u64 = 4 << 20;

fn make_dir(spec: &GroupSpec, dir: &Path) -> Result<(), CgroupError> {
    let made = match fs::create_dir(dir) {
        // Whoever found the instance's group empty may have removed it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let used = [(Controller::Memory, &spec.memory), (Controller::Pids, &spec.pids)];
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
        let error = Group::make(&GroupSpec::nowhere(Some(1), None)).expect_err("refused");
        assert!(error.step.contains("memory"), "{error:?}");
        assert!(Group::make(&GroupSpec::nowhere(None, Some(1))).expect_err("refused").step.contains("processes"));
        assert!(Group::make(&GroupSpec::nowhere(None, None)).is_ok());
    }
}
