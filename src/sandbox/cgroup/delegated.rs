//! A part of the hierarchy of version 2 that was given to this process: the group of a systemd unit with `Delegate=yes`,
//! or of a container with a cgroup namespace of its own. A group with processes in it gives no controllers to groups
//! below it, so the runtime goes into a leaf of its own first, and the tasks' groups are made beside that.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use super::{CgroupError, Controller, mounts, put, v2};

/// The runtime's own group below the given one: of server, launcher and shims.
const LEAF: &str = "runtime";

/// A group that is ours to divide.
#[derive(Debug, PartialEq, Eq)]
pub struct Delegated {
    group: PathBuf,
    /// Whoever started us has put us there: systemd by `DelegateSubgroup=`, or a server that was in it.
    in_leaf: bool,
}

impl Delegated {
    /// Looks at the group of this process.
    ///
    /// # Errors
    /// There is none of version 2, or it is not ours to divide.
    pub fn find() -> io::Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        let own = fs::read_to_string("/proc/self/cgroup")?;
        Self::of(&mounts::v2_dir(&mounts, &own)?)
    }

    fn of(own: &Path) -> io::Result<Self> {
        let above = own.parent().filter(|above| own.ends_with(LEAF) && may_divide(above).is_ok());
        match above {
            Some(above) => Ok(Self { group: above.to_owned(), in_leaf: true }),
            None => may_divide(own).map(|()| Self { group: own.to_owned(), in_leaf: false }),
        }
    }

    /// Where the instances' groups are made.
    #[must_use]
    pub fn group(&self) -> &Path {
        &self.group
    }

    /// Moves this process into the leaf, with the pid 1 that runs it in a container, and nobody else.
    ///
    /// # Errors
    /// Names the directory or the file.
    pub fn enter_leaf(&self) -> Result<(), CgroupError> {
        if self.in_leaf {
            return Ok(());
        }
        let leaf = self.group.join(LEAF);
        match fs::create_dir(&leaf) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(CgroupError::new(format!("mkdir {}", leaf.display()), error));
            }
            Ok(()) | Err(_) => {}
        }
        movable().try_for_each(|process| put(&leaf, PROCESSES, process))
    }

    /// Back to where it was, when the leaf was of no use. As far as that can be done: it is no worse there.
    pub fn leave_leaf(&self) {
        if !self.in_leaf && movable().all(|process| put(&self.group, PROCESSES, process).is_ok()) {
            let _ = fs::remove_dir(self.group.join(LEAF));
        }
    }

    /// Whether there is a process in the group itself, which then keeps it from giving controllers to others.
    #[must_use]
    pub fn is_inhabited(&self) -> bool {
        fs::read_to_string(self.group.join(PROCESSES)).is_ok_and(|processes| !processes.is_empty())
    }
}

const PROCESSES: &str = "cgroup.procs";

/// This process, and our own pid 1 where there is one (`src/init.rs`): this program as the parent of this process.
fn movable() -> impl Iterator<Item = &'static str> {
    let is_ours = || Some(fs::read_link("/proc/1/exe").ok()? == fs::read_link("/proc/self/exe").ok()?);
    let init = std::os::unix::process::parent_id() == 1 && is_ours() == Some(true);
    std::iter::once("0").chain(init.then_some("1"))
}

/// A group with a controller for tasks, its files writable.
fn may_divide(group: &Path) -> io::Result<()> {
    let told = |what: &str| io::Error::other(format!("{} {what}", group.display()));
    // The root of the whole hierarchy has no type. It is the host's.
    if !group.join("cgroup.type").exists() {
        return Err(told("is nobody's own group"));
    }
    if !Controller::ALL.iter().any(|controller| v2::has(group, *controller)) {
        return Err(told("has no controller for tasks"));
    }
    for path in [group.to_owned(), group.join(PROCESSES), group.join(v2::SUBTREE)] {
        access(&path, AccessFlags::W_OK)
            .map_err(|errno| io::Error::other(format!("{} may not be written: {}", path.display(), errno.desc())))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plain files, which take what is written to them.
    fn group(dir: &Path, controllers: &str) {
        fs::create_dir_all(dir).expect("made");
        let files =
            [("cgroup.type", "domain\n"), ("cgroup.controllers", controllers), (PROCESSES, ""), (v2::SUBTREE, "")];
        for (file, text) in files {
            fs::write(dir.join(file), text).expect("written");
        }
    }

    #[test]
    fn our_own_group_is_divided_and_we_go_into_its_leaf() {
        let dir = tempfile::tempdir().expect("temp dir");
        group(dir.path(), "cpu memory\n");
        group(&dir.path().join(LEAF), "");
        let found = Delegated::of(dir.path()).expect("ours");
        assert_eq!((found.group(), found.in_leaf, found.is_inhabited()), (dir.path(), false, false));
        found.enter_leaf().expect("entered");
        let written = |path: &Path| fs::read_to_string(path.join(PROCESSES)).expect("readable");
        assert_eq!((written(&dir.path().join(LEAF)).as_str(), written(dir.path()).as_str()), ("0", ""));
        found.leave_leaf();
        assert_eq!(written(dir.path()), "0");
        assert!(found.is_inhabited());
    }

    #[test]
    fn who_is_in_the_leaf_already_stays_there() {
        let dir = tempfile::tempdir().expect("temp dir");
        let leaf = dir.path().join(LEAF);
        group(dir.path(), "memory\n");
        group(&leaf, "memory\n");
        let found = Delegated::of(&leaf).expect("ours");
        assert_eq!((found.group(), found.in_leaf), (dir.path(), true));
        found.enter_leaf().expect("nothing to do");
        found.leave_leaf();
        assert_eq!(fs::read_to_string(leaf.join(PROCESSES)).expect("readable"), "");
        // Somebody's group of this name, in one that is not ours.
        fs::remove_file(dir.path().join("cgroup.type")).expect("removed");
        assert_eq!(Delegated::of(&leaf).expect("ours").group(), leaf);
    }

    #[test]
    fn what_is_not_ours_is_told() {
        let dir = tempfile::tempdir().expect("temp dir");
        let fault = || Delegated::of(dir.path()).expect_err("not ours").to_string();
        assert!(fault().contains("nobody's own group"), "{}", fault());
        group(dir.path(), "hugetlb\n");
        assert!(fault().contains("no controller"), "{}", fault());
        group(dir.path(), "memory\n");
        fs::remove_file(dir.path().join(v2::SUBTREE)).expect("removed");
        assert!(fault().contains("cgroup.subtree_control may not be written"), "{}", fault());
    }
}
