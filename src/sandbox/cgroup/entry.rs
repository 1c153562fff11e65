//! The way into a group, which is opened before the fork. Version 1: the process writes itself into each directory's
//! `tasks`. Version 2: it is made in the group, for a write to `cgroup.procs` waits for the kernel's grace period.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};

use super::{CgroupError, GroupSpec, Version, v1};

/// Both parts are empty for a process that joins nothing.
#[derive(Debug, Default)]
pub struct Entry {
    /// To be entered by the process itself.
    pub gates: Vec<Gate>,
    /// To be cloned into by its parent.
    pub directory: Option<GroupDir>,
}

/// The open file by which a process puts itself into a group of version 1. Close-on-exec.
#[derive(Debug)]
pub struct Gate {
    group: PathBuf,
    file: File,
}

/// The open directory of a group of version 2. Close-on-exec.
#[derive(Debug)]
pub struct GroupDir {
    group: PathBuf,
    file: File,
}

impl Entry {
    /// What is to be handed over to a process that shall have it; and there [`Entry::handed_over`] makes it again.
    #[must_use]
    pub fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let gates = self.gates.iter().map(|gate| gate.file.as_fd());
        gates.chain(self.directory.iter().map(|directory| directory.file.as_fd())).collect()
    }

    /// The way into the group of `spec`, opened by another process.
    #[must_use]
    pub fn handed_over(spec: &GroupSpec, descriptors: impl Iterator<Item = OwnedFd>) -> Self {
        let mut dirs = spec.dirs().into_iter().zip(descriptors.map(File::from));
        match spec.version {
            Version::V1 => Self { gates: dirs.map(|(group, file)| Gate { group, file }).collect(), directory: None },
            Version::V2 => {
                let directory = dirs.next().map(|(group, file)| GroupDir { group, file });
                Self { gates: Vec::new(), directory }
            }
        }
    }
}

impl GroupSpec {
    /// Opens the way into the group, which was made before.
    ///
    /// # Errors
    /// Names the group.
    pub fn entry(&self) -> Result<Entry, CgroupError> {
        let mut dirs = self.dirs().into_iter();
        match self.version {
            Version::V1 => Ok(Entry { gates: dirs.map(Gate::open).collect::<Result<_, _>>()?, directory: None }),
            // All controllers of version 2 share one directory.
            Version::V2 => Ok(Entry { gates: Vec::new(), directory: dirs.next().map(GroupDir::open).transpose()? }),
        }
    }
}

impl Gate {
    fn open(group: PathBuf) -> Result<Self, CgroupError> {
        match File::options().write(true).open(group.join(v1::GATE)) {
            Ok(file) => Ok(Self { group, file }),
            Err(error) => Err(CgroupError::new(join_step(&group), error)),
        }
    }

    /// To be kept open in the child.
    #[must_use]
    pub fn fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// Puts the calling process, which has one thread, into the group. Allocates nothing.
    ///
    /// # Errors
    /// As write(2) to that file.
    pub fn enter(&self) -> io::Result<()> {
        // One write of this one byte, whole or not at all.
        (&self.file).write(b"0").map(|_| ())
    }
}

impl GroupDir {
    fn open(group: PathBuf) -> Result<Self, CgroupError> {
        match File::open(&group) {
            Ok(file) => Ok(Self { group, file }),
            Err(error) => Err(CgroupError::new(clone_step(&group), error)),
        }
    }

    /// For `Birthplace::cgroup`.
    #[must_use]
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&join_step(&self.group))
    }
}

impl fmt::Display for GroupDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&clone_step(&self.group))
    }
}

fn join_step(group: &Path) -> String {
    format!("join the cgroup {}", group.display())
}

fn clone_step(group: &Path) -> String {
    format!("clone3 into the cgroup {}", group.display())
}
