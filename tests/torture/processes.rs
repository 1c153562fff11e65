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
    /// A shim without a task.
    Spare,
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
        match self.word_of_role(pid)?.as_slice() {
            b"serve" => Some(Role::Server),
            b"__launcher" => Some(self.role_below_launcher(pid)?),
            _ => None,
        }
    }

    /// The first argument of a process of the runtime.
    fn word_of_role(&self, pid: i32) -> Option<Vec<u8>> {
        let command_line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let mut words = command_line.split(|byte| *byte == 0);
        let role = words.nth(1)?.to_vec();
        words.any(|word| String::from_utf8_lossy(word).starts_with(&self.data_dir)).then_some(role)
    }

    /// Whatever was forked from a launcher looks like it until it takes a name or execs, so families tell: a launcher
    /// leads its session, a shim stays in it and is no child of a shim.
    fn role_below_launcher(&self, pid: i32) -> Option<Role> {
        let Stat { parent, session, .. } = stat(pid)?;
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        let is_below_launcher = parent == session || self.word_of_role(parent).is_none();
        Some(match name.trim() {
            "execgo-launcher" if session == pid => Role::Launcher,
            "execgo-launcher" | "execgo-shim" if session != pid && is_below_launcher => Role::Shim,
            "execgo-spare" | "execgo-resting" if session != pid && is_below_launcher => Role::Spare,
            _ => Role::Other,
        })
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

struct Stat {
    is_zombie: bool,
    parent: i32,
    session: i32,
}

fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    let mut fields = rest.split_whitespace();
    let is_zombie = fields.next()? == "Z";
    let parent = fields.next()?.parse().ok()?;
    Some(Stat { is_zombie, parent, session: fields.nth(1)?.parse().ok()? })
}

fn is_alive(pid: i32) -> bool {
    stat(pid).is_some_and(|stat| !stat.is_zombie)
}

fn pids() -> Vec<i32> {
    let names = fs::read_dir("/proc").expect("/proc is there");
    names.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}
