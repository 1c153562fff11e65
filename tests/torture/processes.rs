//! The processes of one runtime and of its tasks, found by what they carry, never by their name alone: those of the
//! runtime have its data directory in their command line, those of its tasks the campaign's mark in their environment.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::plan::MARK;

#[derive(Clone, Debug)]
pub struct Processes {
    data_dir: String,
    mark: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Server,
    Launcher,
    Shim,
    /// A command before its exec, or pid 1 of a sandbox.
    Other,
}

/// One process of the runtime, held so that its pid cannot come to mean another.
#[derive(Debug)]
pub struct Held {
    pub pid: i32,
    pub role: Role,
    pidfd: OwnedFd,
}

impl Processes {
    pub fn new(data_dir: &Path, mark: &str) -> Self {
        Self { data_dir: data_dir.display().to_string(), mark: mark.to_owned() }
    }

    /// Those of the runtime: server, launcher, shims, and what has not become a command yet.
    pub fn of_runtime(&self) -> Vec<Held> {
        pids().into_iter().filter_map(|pid| self.hold(pid)).collect()
    }

    fn hold(&self, pid: i32) -> Option<Held> {
        self.role(pid)?;
        let pidfd = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
        // Whoever has the pid now has it for as long as the descriptor is held.
        Some(Held { pid, role: self.role(pid)?, pidfd })
    }

    fn role(&self, pid: i32) -> Option<Role> {
        let command_line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let mut words = command_line.split(|byte| *byte == 0);
        let role = words.nth(1)?;
        if !words.any(|word| String::from_utf8_lossy(word).starts_with(&self.data_dir)) {
            return None;
        }
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        match (role, name.trim()) {
            (b"serve", _) => Some(Role::Server),
            (b"__launcher", "execgo-launcher") => Some(Role::Launcher),
            (b"__launcher", "execgo-shim") => Some(Role::Shim),
            (b"__launcher", _) => Some(Role::Other),
            _ => None,
        }
    }

    /// The ids of tasks that have a process.
    pub fn running_tasks(&self) -> BTreeSet<String> {
        self.of_tasks().into_iter().map(|(_, id)| id).collect()
    }

    /// Pid and task of each process of a task.
    pub fn of_tasks(&self) -> Vec<(i32, String)> {
        let mark = format!("{MARK}={}/", self.mark);
        let task = |pid: i32| {
            let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
            let mut variables = environment.split(|byte| *byte == 0);
            let id = variables.find_map(|variable| variable.strip_prefix(mark.as_bytes()))?;
            // A zombie has no environment, but one may be dying right now.
            is_alive(pid).then(|| (pid, String::from_utf8_lossy(id).into_owned()))
        };
        pids().into_iter().filter_map(task).collect()
    }

    /// Ends everything that a campaign has left, for the sake of who comes after.
    pub fn end_all(&self) {
        for held in self.of_runtime() {
            held.kill();
        }
        for (pid, _) in self.of_tasks() {
            let Some(pidfd) = Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) else {
                continue;
            };
            if self.of_tasks().iter().any(|(of_task, _)| *of_task == pid) {
                let _ = pidfd_send_signal(&pidfd, Signal::KILL);
            }
        }
    }
}

impl Held {
    /// Whether it was there to be killed.
    pub fn kill(&self) -> bool {
        pidfd_send_signal(&self.pidfd, Signal::KILL).is_ok()
    }
}

fn is_alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

fn pids() -> Vec<i32> {
    let names = fs::read_dir("/proc").expect("/proc is there");
    names.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}
