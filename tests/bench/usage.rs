//! What processes hold of the machine, by /proc.

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

/// Of /proc/<pid>/stat, on every machine that Linux runs servers on.
const TICKS_PER_SECOND: f64 = 100.0;

/// A server, its launcher and the launcher's children: shims, and whatever else it keeps.
#[derive(Debug)]
pub struct Family {
    pub server: u32,
    pub launcher: u32,
    pub shims: Vec<u32>,
}

/// CPU time in seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu {
    pub client: f64,
    pub server: f64,
    pub launcher: f64,
    /// Of shims and of their tasks that have ended.
    pub tasks: f64,
}

/// What is used from here on.
#[derive(Debug)]
pub struct Meter {
    family: Family,
    before: Cpu,
    begun: Instant,
}

impl Family {
    pub fn of(server: u32) -> Self {
        let launcher = children(server).into_iter().find(|pid| {
            fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains("__launcher"))
        });
        let launcher = launcher.expect("a server has a launcher");
        Self { server, launcher, shims: children(launcher) }
    }

    pub fn all(&self) -> impl Iterator<Item = u32> {
        [self.server, self.launcher].into_iter().chain(self.shims.iter().copied())
    }

    /// CPU time of their threads, to the nanosecond.
    pub fn run_time(&self) -> Duration {
        let nanos = self.all().flat_map(|pid| {
            let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
            threads.filter_map(|thread| {
                let line = fs::read_to_string(thread.path().join("schedstat")).ok()?;
                line.split(' ').next()?.parse::<u64>().ok()
            })
        });
        Duration::from_nanos(nanos.sum())
    }

    fn cpu(&self) -> Cpu {
        let client = own(UsageWho::RUSAGE_SELF);
        let (server, _) = cpu_seconds(self.server);
        let (launcher, ended) = cpu_seconds(self.launcher);
        // A shim may live on for other tasks.
        let living = children(self.launcher).into_iter().filter_map(stat).map(|fields| seconds(&fields));
        let tasks = ended + living.map(|(own, reaped)| own + reaped).sum::<f64>();
        Cpu { client, server, launcher, tasks }
    }
}

impl Meter {
    pub fn start(server: u32) -> Self {
        let family = Family::of(server);
        Self { before: family.cpu(), family, begun: Instant::now() }
    }

    /// In seconds.
    pub fn spent(&self) -> Cpu {
        let (now, before) = (self.family.cpu(), self.before);
        Cpu {
            client: now.client - before.client,
            server: now.server - before.server,
            launcher: now.launcher - before.launcher,
            tasks: now.tasks - before.tasks,
        }
    }

    /// As parts of one core.
    pub fn shares(&self) -> Cpu {
        self.spent().per(self.begun.elapsed().as_secs_f64())
    }
}

impl Cpu {
    pub fn and(self, other: Self) -> Self {
        Self {
            client: self.client + other.client,
            server: self.server + other.server,
            launcher: self.launcher + other.launcher,
            tasks: self.tasks + other.tasks,
        }
    }

    pub fn per(self, divisor: f64) -> Self {
        let Self { client, server, launcher, tasks } = self;
        Self {
            client: client / divisor,
            server: server / divisor,
            launcher: launcher / divisor,
            tasks: tasks / divisor,
        }
    }
}

/// CPU time of this process and of the children that it has waited for, in seconds.
pub fn of_self_and_children() -> f64 {
    own(UsageWho::RUSAGE_SELF) + own(UsageWho::RUSAGE_CHILDREN)
}

fn own(who: UsageWho) -> f64 {
    let usage = getrusage(who).expect("one's own usage");
    (usage.user_time() + usage.system_time()).num_microseconds() as f64 / 1e6
}

/// What a process has in memory, its part of what it shares with others; in MiB.
pub fn memory(pid: u32) -> f64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    kib(&rollup, "Pss:") / 1024.0
}

/// All that a process has in memory, in MiB.
pub fn resident(pid: u32) -> f64 {
    kib(&fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default(), "VmRSS:") / 1024.0
}

/// A process that nobody has reaped yet has ended, too.
pub fn has_ended(pid: u32) -> bool {
    stat(pid).is_none_or(|fields| fields[0] == "Z")
}

/// 0 for a process that has ended.
fn kib(text: &str, field: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or(0.0)
}

fn children(parent: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("/proc is there").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|&pid| stat(pid).is_some_and(|fields| fields[1].parse() == Ok(parent))).collect()
}

/// Its own, and that of the children that it has reaped.
fn cpu_seconds(pid: u32) -> (f64, f64) {
    seconds(&stat(pid).expect("it lives"))
}

fn seconds(fields: &[String]) -> (f64, f64) {
    let ticks = |number: usize| fields[number].parse::<f64>().expect("a number") / TICKS_PER_SECOND;
    (ticks(11) + ticks(12), ticks(13) + ticks(14))
}

/// The fields of /proc/<pid>/stat behind the name, which may hold anything.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<_> = text.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect();
    (fields.len() > 14).then_some(fields)
}
