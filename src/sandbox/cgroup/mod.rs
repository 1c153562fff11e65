//! Control groups, versions 1 and 2 (cgroups(7)): one group for the runtime's instance, below it one for each launch.
//!
//! Nothing is ever moved but a child of ours, and the server itself at its start in a group that was given to it. In version 1 it joins by itself: a single-threaded process that writes `0`
//! into `tasks` waits for nobody. In version 2 it is made in its group (`CLONE_INTO_CGROUP`, Linux 5.7). A pid that is
//! written into `cgroup.procs` would wait for the kernel's grace period, 8 to 16 ms. No limit is written outside our own
//! groups, and no mount is touched.

mod delegated;
mod end;
mod entry;
mod group;
mod known;
mod mounts;
mod v1;
mod v2;

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use delegated::Delegated;
pub use end::{end_all_but, end_launch, end_spec, kill_spec, remove_instances};
pub use entry::{Entry, Gate, GroupDir};
pub use group::{CpuTime, Facts, Group};
pub use known::known;

/// The parent of all instances' groups on a host of version 1.
const OWN_NAME: &str = "execgo-runtime";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Version {
    V1,
    V2,
}

/// What a group is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Controller {
    Memory,
    Pids,
    Cpu,
}

impl Controller {
    pub const ALL: [Self; 3] = [Self::Memory, Self::Pids, Self::Cpu];

    /// The kernel's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Pids => "pids",
            Self::Cpu => "cpu",
        }
    }
}

/// Where the groups of launches are made: a directory for each controller in version 1, the same one in version 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    pub version: Version,
    pub memory: Option<PathBuf>,
    pub pids: Option<PathBuf>,
    pub cpu: Option<PathBuf>,
}

/// The group of one launch, to be made by its shim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupSpec {
    pub version: Version,
    /// The directory whose `memory` controller holds the task.
    pub memory: Option<PathBuf>,
    /// The directory whose `pids` controller holds the task.
    pub pids: Option<PathBuf>,
    /// The directory whose `cpu` controller holds the task.
    pub cpu: Option<PathBuf>,
    #[serde(default)]
    pub limits: GroupLimits,
}

/// What a group limits; absent is unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupLimits {
    /// Bytes, swap included.
    pub memory_bytes: Option<u64>,
    /// Processes and threads.
    pub pids_max: Option<u64>,
    /// Thousandths of a core.
    pub cpu_millis: Option<u64>,
}

/// A step with a cgroup failed: "mkdir /sys/fs/cgroup/x".
#[derive(Debug, thiserror::Error)]
#[error("{step}")]
pub struct CgroupError {
    pub step: String,
    pub source: io::Error,
}

impl CgroupError {
    fn new(step: impl Into<String>, source: io::Error) -> Self {
        Self { step: step.into(), source }
    }
}

/// The name of the instance's group: no two data directories of a host share it, also when one takes the path or the
/// inode of another that is gone.
///
/// # Errors
/// The directory cannot be read.
pub fn instance_name(data_dir: &Path) -> io::Result<String> {
    let found = fs::metadata(data_dir)?;
    let path = crc32fast::hash(data_dir.as_os_str().as_bytes());
    Ok(format!("{path:08x}-{:x}-{:x}", found.dev(), found.ino()))
}

impl Instance {
    /// The instance's group below `root`, which is or will be in a hierarchy of version 2.
    #[must_use]
    pub fn v2(root: &Path, name: &str) -> PathBuf {
        root.join(name)
    }

    /// The instance's group in the hierarchy of version 1 that has this controller.
    ///
    /// # Errors
    /// There is none.
    pub fn v1(controller: Controller, name: &str) -> io::Result<PathBuf> {
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        let own = fs::read_to_string("/proc/self/cgroup")?;
        Ok(mounts::v1_dir(controller.name(), &mounts, &own)?.join(OWN_NAME).join(name))
    }

    /// The group of one launch. Each directory costs a launch its part, and that of version 1's `cpu` is for limits
    /// alone: memory is counted in the other, and `pids` closes a group to forks when it is killed.
    #[must_use]
    pub fn launch(&self, name: &str, limits: GroupLimits) -> GroupSpec {
        let Self { version, memory, pids, cpu } = self;
        let below = |dir: &Option<PathBuf>| dir.as_ref().map(|dir| dir.join(name));
        let alone = memory.is_none() && pids.is_none();
        let cpu = below(cpu).filter(|_| limits.cpu_millis.is_some() || alone);
        GroupSpec { version: *version, memory: below(memory), pids: below(pids), cpu, limits }
    }

    /// Each directory once.
    #[must_use]
    pub fn dirs(&self) -> Vec<PathBuf> {
        let Self { version: _, memory, pids, cpu } = self;
        distinct([memory, pids, cpu])
    }
}

impl GroupSpec {
    /// A group that cannot be had: making it fails when a limit is asked for.
    #[must_use]
    pub const fn nowhere(limits: GroupLimits) -> Self {
        Self { version: Version::V2, memory: None, pids: None, cpu: None, limits }
    }

    /// Each directory once; that of `pids` first, since nothing is forked any more where it has been closed.
    #[must_use]
    pub fn dirs(&self) -> Vec<PathBuf> {
        let Self { version: _, memory, pids, cpu, limits: _ } = self;
        distinct([pids, memory, cpu])
    }

    /// The groups in which it is made.
    #[must_use]
    pub fn instances(&self) -> Vec<PathBuf> {
        self.dirs().iter().filter_map(|dir| dir.parent()).map(Path::to_owned).collect()
    }
}

fn distinct(dirs: [&Option<PathBuf>; 3]) -> Vec<PathBuf> {
    let mut distinct: Vec<PathBuf> = Vec::new();
    for dir in dirs.into_iter().flatten() {
        if !distinct.contains(dir) {
            distinct.push(dir.clone());
        }
    }
    distinct
}

/// Makes the instance's group and what is missing above it, and gives its children the controllers of version 2.
///
/// # Errors
/// Names the directory or the file.
pub fn make_instance(version: Version, dir: &Path, controllers: &[Controller]) -> Result<(), CgroupError> {
    // Another runtime may be removing the parent that it found empty.
    const TRIES: usize = 16;
    let gone = |made: &io::Result<()>| made.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    let mut made = fs::create_dir_all(dir);
    for _ in 1..TRIES {
        if !gone(&made) {
            break;
        }
        made = fs::create_dir_all(dir);
    }
    made.map_err(|error| CgroupError::new(format!("mkdir {}", dir.display()), error))?;
    match version {
        Version::V1 => Ok(()),
        Version::V2 => controllers.iter().try_for_each(|controller| v2::enable(dir, controller.name())),
    }
}

/// Whether `dir`, or its nearest parent that exists, is in a hierarchy of version 2. A path alone proves nothing: below
/// `/sys/fs/cgroup` may be a tmpfs.
///
/// # Errors
/// It is not, or cannot be looked at.
pub fn check_v2(dir: &Path) -> io::Result<()> {
    let existing = dir.ancestors().find(|path| path.exists()).unwrap_or(dir);
    if mounts::is_v2(existing)? {
        return Ok(());
    }
    Err(io::Error::other(format!("{} is not in a cgroup v2 hierarchy", dir.display())))
}

/// Writes `value` into a file of a group, which must be there.
fn put(dir: &Path, file: &str, value: &str) -> Result<(), CgroupError> {
    let path = dir.join(file);
    let write = || io::Write::write_all(&mut fs::File::options().write(true).open(&path)?, value.as_bytes());
    write().map_err(|error| CgroupError::new(format!("write {value} to {}", path.display()), error))
}

/// The number behind `key` in a file of lines `key number`.
fn number_of(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

fn number_in(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_matched_whole() {
        let text = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n";
        assert_eq!(number_of(text, "oom_kill"), Some(3));
        assert_eq!(number_of("oom 1\noom_group_kill 2\n", "oom_kill"), None);
    }

    #[test]
    fn a_launch_has_one_directory_where_the_controllers_share_a_hierarchy() {
        let dir = || Some(PathBuf::from("/c/i"));
        let limits = GroupLimits { cpu_millis: Some(500), ..GroupLimits::default() };
        let v2 = Instance { version: Version::V2, memory: dir(), pids: dir(), cpu: dir() };
        assert_eq!(v2.launch("1-2", limits).dirs(), [PathBuf::from("/c/i/1-2")]);
        let v1 = Instance { version: Version::V1, memory: dir(), pids: Some("/p/i".into()), cpu: Some("/q/i".into()) };
        let three = ["/p/i/1-2", "/c/i/1-2", "/q/i/1-2"].map(PathBuf::from);
        assert_eq!(v1.launch("1-2", limits).dirs(), three);
        assert_eq!(v1.launch("1-2", GroupLimits::default()).dirs(), three[..2], "no share of CPU time is asked for");
        let cpu_alone = Instance { memory: None, pids: None, ..v1 };
        assert_eq!(cpu_alone.launch("1-2", GroupLimits::default()).dirs(), three[2..]);
    }

    #[test]
    fn two_data_directories_have_two_names() {
        let (one, other) = (tempfile::tempdir().expect("temp dir"), tempfile::tempdir().expect("temp dir"));
        let name = |dir: &Path| instance_name(dir).expect("readable");
        assert_ne!(name(one.path()), name(other.path()));
        assert_eq!(name(one.path()), name(one.path()));
    }
}
