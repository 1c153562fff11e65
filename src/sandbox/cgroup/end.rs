//! The end of groups: killing what is in them and removing them. One way for both versions: `cgroup.kill` where it is
//! (version 2 since Linux 5.14), else every process by itself, after the group was closed to forks.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::{GroupSpec, OWN_NAME, put};
use crate::sys::process::{Pid, Signal, pidfd_open, pidfd_send_signal};

/// Pauses before a group that is still in use is tried again; two seconds together. On a busy machine, what was killed
/// waits for its turn to end.
const PAUSES_MS: [u64; 12] = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];
/// Processes that are killed at one go, for each needs a descriptor.
const AT_ONCE: usize = 256;

/// Kills what is in the group of one launch, as far as one look finds it.
pub fn kill_spec(spec: &GroupSpec) {
    spec.dirs().iter().for_each(|dir| kill_dir(dir));
}

/// Kills what is in the group of one launch and removes it, as far as that can be done.
pub fn end_spec(spec: &GroupSpec) {
    spec.dirs().iter().for_each(|dir| end_dir(dir));
}

/// The same by name, in each of these instances.
pub fn end_launch(instances: &[PathBuf], launch: &str) {
    instances.iter().for_each(|instance| end_dir(&instance.join(launch)));
}

/// Ends every group of these instances whose name is not among the living. Gives back how many there were.
pub fn end_all_but(instances: &[PathBuf], lives: impl Fn(&str) -> bool) -> usize {
    let mut ended = 0;
    for dir in instances.iter().flat_map(|instance| below(instance)) {
        if !dir.file_name().and_then(|name| name.to_str()).is_some_and(&lives) {
            end_dir(&dir);
            ended += 1;
        }
    }
    ended
}

/// Removes the groups of instances in which nothing is left, and their common parent in version 1 with the last.
pub fn remove_instances(dirs: &[PathBuf]) {
    for dir in dirs {
        // In use, or not ours to remove.
        let _ = fs::remove_dir(dir);
        if let Some(parent) = dir.parent().filter(|parent| parent.ends_with(OWN_NAME)) {
            let _ = fs::remove_dir(parent);
        }
    }
}

/// Kills and removes one group with all below it. One that does not go is left for the next start.
pub(super) fn end_dir(dir: &Path) {
    for pause in PAUSES_MS {
        thread::sleep(Duration::from_millis(pause));
        match fs::remove_dir(dir) {
            Ok(()) => return,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(_) => {
                kill_dir(dir);
                // Groups that the task made in its own.
                let mut nested = tree(dir);
                nested.reverse();
                for dir in nested {
                    let _ = fs::remove_dir(dir);
                }
            }
        }
    }
}

fn kill_dir(dir: &Path) {
    if put(dir, "cgroup.kill", "1").is_ok() {
        return;
    }
    // Nobody forks here any more, so that one look finds all. Without this controller it takes more looks.
    let _ = put(dir, "pids.max", "0");
    for group in tree(dir) {
        kill_members(&group);
    }
}

/// Kills the processes of one group and none that got the pid of one: a process is pinned by its pidfd first, and
/// killed only when its pid is a member's still.
fn kill_members(group: &Path) {
    let Ok(members) = members(group) else { return };
    for some in members.chunks(AT_ONCE) {
        let pinned: Vec<_> = some.iter().filter_map(|pid| Some((*pid, pidfd_open(*pid).ok()?))).collect();
        let Ok(still) = self::members(group) else { return };
        for (_, pidfd) in pinned.iter().filter(|(pid, _)| still.contains(pid)) {
            // It may have ended by itself.
            let _ = pidfd_send_signal(pidfd.as_fd(), Signal::KILL);
        }
    }
}

/// The processes of one group that are in our pid namespace.
fn members(group: &Path) -> io::Result<Vec<Pid>> {
    let list = fs::read_to_string(group.join("cgroup.procs"))?;
    Ok(list.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 0).filter_map(Pid::from_raw).collect())
}

/// The group and all below it, parents first.
fn tree(dir: &Path) -> Vec<PathBuf> {
    let mut found = vec![dir.to_owned()];
    let mut next = 0;
    while let Some(dir) = found.get(next) {
        let children = below(dir);
        found.extend(children);
        next += 1;
    }
    found
}

fn below(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let is_dir = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    entries.filter_map(Result::ok).filter(is_dir).map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_the_living_stay_and_others_go_with_what_is_below_them() {
        let dir = tempfile::tempdir().expect("temp dir");
        let instance = dir.path().join("instance");
        for group in ["1-2", "3-4/nested/deep", "probe-9"] {
            fs::create_dir_all(instance.join(group)).expect("made");
        }
        assert_eq!(end_all_but(std::slice::from_ref(&instance), |name| name == "1-2"), 2);
        assert_eq!(below(&instance), [instance.join("1-2")]);
        end_launch(std::slice::from_ref(&instance), "1-2");
        remove_instances(std::slice::from_ref(&instance));
        assert!(!instance.exists() && dir.path().exists());
    }
}
