//! The descendants of a process, found through `/proc`, and signals that reach exactly them.
//!
//! A scan is a snapshot of something that moves: who must reach all, scans again until nothing is left.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::proc_stat::{self, ProcStat};
use super::process::{Pid, queue_order};

/// A process as a scan saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Process {
    pub pid: Pid,
    pub start_ticks: u64,
}

impl Process {
    /// Sends `signals` to this process and to no later one that got its pid.
    ///
    /// # Errors
    /// `ESRCH` when the process is gone, `EPERM` when it has become somebody else's.
    pub fn signal(&self, signals: &[Signal]) -> io::Result<()> {
        let pidfd = self.pin()?;
        for signal in signals {
            pidfd_send_signal(&pidfd, *signal)?;
        }
        Ok(())
    }

    /// Sends an order to this process alone, see [`queue_order`].
    ///
    /// # Errors
    /// As [`Self::signal`].
    pub fn order(&self, order: u64, beside: Signal) -> io::Result<()> {
        queue_order(self.pin()?.as_fd(), order, beside)
    }

    /// The pidfd pins whoever had the pid when it was opened; only then can the start time be compared.
    fn pin(&self) -> io::Result<OwnedFd> {
        let pidfd = pidfd_open(self.pid, PidfdFlags::empty())?;
        if proc_stat::read(self.pid)?.start_ticks != self.start_ticks {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        Ok(pidfd)
    }

    /// Whether it works in `dir`, or has it or something below it open. What cannot be seen counts as no.
    #[must_use]
    pub fn uses(&self, dir: &Path) -> bool {
        let Ok(dir) = dir.canonicalize() else { return false };
        let of = PathBuf::from(format!("/proc/{}", self.pid));
        let open = std::fs::read_dir(of.join("fd")).into_iter().flatten().filter_map(|fd| Some(fd.ok()?.path()));
        std::iter::once(of.join("cwd")).chain(open).any(|link| link.read_link().is_ok_and(|to| to.starts_with(&dir)))
    }
}

/// All descendants of `root`, parents before their children, but for those children of `root` that `skip` names and
/// what is below them. Zombies are left out, since nothing reaches them.
///
/// # Errors
/// `/proc` cannot be read.
pub fn descendants(root: Pid, skip: impl Fn(Pid) -> bool) -> io::Result<Vec<Process>> {
    match children_files(root) {
        Ok(children) => Ok(walk(children, &skip, |pid| children_files(pid).unwrap_or_default())),
        // Without CONFIG_PROC_CHILDREN there are no such files.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let all = all_processes()?;
            let children = |pid| child_of(&all, pid);
            Ok(walk(children(root), &skip, children))
        }
        Err(error) => Err(error),
    }
}

/// The living processes of one session.
///
/// # Errors
/// `/proc` cannot be read.
pub fn in_session(session: Pid) -> io::Result<Vec<Process>> {
    let members = all_processes()?.into_iter().filter(|s| s.session == session.as_raw_pid() && s.state != b'Z');
    Ok(members.filter_map(|s| Some(Process { pid: Pid::from_raw(s.pid)?, start_ticks: s.start_ticks })).collect())
}

/// The processes that somebody has stopped.
///
/// # Errors
/// `/proc` cannot be read.
pub fn stopped() -> io::Result<Vec<Process>> {
    let stopped = all_processes()?.into_iter().filter(|stat| stat.state == b'T');
    Ok(stopped.filter_map(|s| Some(Process { pid: Pid::from_raw(s.pid)?, start_ticks: s.start_ticks })).collect())
}

fn walk(first: Vec<ProcStat>, skip: &impl Fn(Pid) -> bool, children: impl Fn(Pid) -> Vec<ProcStat>) -> Vec<Process> {
    let known = |stat: &ProcStat| Pid::from_raw(stat.pid);
    let mut queue: Vec<ProcStat> = first.into_iter().filter(|s| known(s).is_some_and(|pid| !skip(pid))).collect();
    let mut found = Vec::new();
    let mut next = 0;
    while let Some(stat) = queue.get(next).copied() {
        next += 1;
        let Some(pid) = known(&stat) else { continue };
        if stat.state != b'Z' {
            found.push(Process { pid, start_ticks: stat.start_ticks });
        }
        // A zombie leader may have living threads, and those may have children.
        queue.extend(children(pid));
    }
    found
}

/// The children of `pid` that have not been reaped, dead ones too.
///
/// # Errors
/// `/proc` cannot be read.
pub fn children(pid: Pid) -> io::Result<Vec<Pid>> {
    match listed_children(pid) {
        Ok(children) => Ok(children),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Ok(child_of(&all_processes()?, pid).iter().filter_map(|stat| Pid::from_raw(stat.pid)).collect())
        }
        Err(error) => Err(error),
    }
}

fn children_files(pid: Pid) -> io::Result<Vec<ProcStat>> {
    // A pid that was taken over since the list was made has another parent now.
    let stats = listed_children(pid)?.into_iter().filter_map(|child| proc_stat::read(child).ok());
    Ok(stats.filter(|stat| stat.ppid == pid.as_raw_pid()).collect())
}

/// The children of every thread of `pid` (`/proc/<pid>/task/<tid>/children`, proc_tid_children(5)).
fn listed_children(pid: Pid) -> io::Result<Vec<Pid>> {
    let mut children = Vec::new();
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let list = std::fs::read_to_string(thread?.path().join("children"))?;
        children.extend(list.split_ascii_whitespace().filter_map(|p| p.parse().ok()).filter_map(Pid::from_raw));
    }
    Ok(children)
}

fn child_of(all: &[ProcStat], pid: Pid) -> Vec<ProcStat> {
    all.iter().filter(|stat| stat.ppid == pid.as_raw_pid()).copied().collect()
}

fn all_processes() -> io::Result<Vec<ProcStat>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let pid = entry?.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
        all.extend(pid.and_then(|pid| proc_stat::read(pid).ok()));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    #[test]
    fn both_ways_find_a_grandchild_and_a_signal_reaches_it() {
        let mut shell = Command::new("sh")
            .args(["-c", "sleep 60 & echo $!; wait"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh starts");
        let mut line = String::new();
        BufReader::new(shell.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        let sleep = Pid::from_raw(line.trim().parse().expect("a pid")).expect("positive");
        let root = Pid::from_raw(i32::try_from(shell.id()).expect("a pid")).expect("positive");

        let found = descendants(root, |_| false).expect("readable");
        assert_eq!(found.iter().map(|p| p.pid).collect::<Vec<_>>(), [sleep]);
        let all = all_processes().expect("readable");
        assert_eq!(walk(child_of(&all, root), &|_| false, |pid| child_of(&all, pid)), found);
        assert_eq!(descendants(root, |pid| pid == sleep).expect("readable"), []);
        assert_eq!(children(root).expect("readable"), [sleep]);

        let here = std::env::current_dir().expect("there");
        assert!(found[0].uses(&here) && !found[0].uses(&here.join("src")));
        let impostor = Process { start_ticks: found[0].start_ticks + 1, ..found[0] };
        assert_eq!(impostor.signal(&[Signal::KILL]).expect_err("refused").raw_os_error(), Some(libc::ESRCH));
        found[0].signal(&[Signal::KILL]).expect("sent");
        // `wait` in the shell ends with its last child.
        assert_eq!(shell.wait().expect("reaped").code(), Some(0));
    }
}
