//! Which process holds a socket, as ss(8) finds out: by the links in `/proc/<pid>/fd` (proc_pid_fd(5)).

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Looks for holders among the processes of our own user and our own user namespace.
#[derive(Debug, Default)]
pub struct Holders {
    /// Who held the last one: a client that comes again is found at once.
    last: AtomicU32,
}

impl Holders {
    /// Whether a process of ours holds the socket of this inode: `likely` is looked at first. One in another user
    /// namespace does not count, nor one whose descriptors we may not see, nor a descriptor that is on its way from one
    /// process to another.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub fn has_one_of_ours(&self, inode: u32, likely: Option<u32>) -> io::Result<bool> {
        let own_uid = fs::metadata("/proc/self")?.uid();
        let own_namespace = fs::read_link("/proc/self/ns/user")?;
        let link = PathBuf::from(format!("socket:[{inode}]"));
        let holds = |pid: u32| {
            let process = PathBuf::from(format!("/proc/{pid}"));
            // The namespace once more at the end: a process that leaves ours while we look is none of ours.
            is_in(&process, &own_namespace) && has_link(&process, &link) && is_in(&process, &own_namespace)
        };
        let last = self.last.load(Ordering::Relaxed);
        if likely.is_some_and(holds) || (last != 0 && holds(last)) {
            return Ok(true);
        }
        for entry in fs::read_dir("/proc")? {
            let Ok(entry) = entry else { continue };
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            if entry.metadata().is_ok_and(|found| found.uid() == own_uid) && holds(pid) {
                self.last.store(pid, Ordering::Relaxed);
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn is_in(process: &Path, namespace: &Path) -> bool {
    fs::read_link(process.join("ns/user")).is_ok_and(|found| found == namespace)
}

fn has_link(process: &Path, link: &Path) -> bool {
    let Ok(descriptors) = fs::read_dir(process.join("fd")) else { return false };
    descriptors.filter_map(Result::ok).any(|entry| fs::read_link(entry.path()).is_ok_and(|found| found == link))
}
