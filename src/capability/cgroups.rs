//! Which cgroups tasks can have here, found out by doing it: a group is made for the runtime's instance, in it one with
//! a limit, a throwaway process of this program joins that, and it is removed. Version 2 is used where the configured
//! root has it with a controller for tasks, or where a part of it was delegated to us; else version 1 where that is
//! mounted.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::probe::PROBE_ROLE;
use crate::sandbox::cgroup::{
    self, CgroupError, Controller, Delegated, Entry, Group, GroupLimits, GroupSpec, Instance, Version,
};
use crate::sys::fork::{Birthplace, SingleThreaded};
use crate::sys::process::{self, End};

/// What is limited in the probe's group; the probe needs a few MiB.
const PROBE_MEMORY_BYTES: u64 = 256 << 20;
const PROBE_PIDS: u64 = 16;
const PROBE_CPU_MILLIS: u64 = 500;

#[derive(Clone, Debug)]
pub struct CgroupSettings {
    /// For version 2.
    pub root: PathBuf,
    /// Somebody has configured the root; it is not the default.
    pub root_is_given: bool,
    pub disabled: bool,
    /// Absolute; names the instance.
    pub data_dir: PathBuf,
    /// The file that remembers where the groups are.
    pub noted_in: PathBuf,
}

/// What there is, and for each thing that is not there, why.
#[derive(Clone, Debug)]
pub struct Cgroups {
    /// Where the groups of tasks are made; `None` when no controller works.
    pub instance: Option<Instance>,
    /// The instance's groups of former servers too.
    pub known: Vec<PathBuf>,
    /// The root in place of the configured one: a group that was delegated to us.
    pub delegated: Option<PathBuf>,
    pub v2: Option<String>,
    pub memory: Option<String>,
    pub pids: Option<String>,
    pub cpu: Option<String>,
}

impl Cgroups {
    /// Asks the host.
    #[must_use]
    pub fn find(settings: &CgroupSettings) -> Self {
        let name = match cgroup::instance_name(&settings.data_dir) {
            Ok(name) => name,
            Err(error) => return Self::none(&format!("the data directory cannot be read: {error}"), Vec::new()),
        };
        let known = |present| cgroup::known(&settings.noted_in, &name, present);
        if settings.disabled {
            return Self::none("switched off by the operator", known(Vec::new()));
        }
        let mut found = try_v2(settings, &name).unwrap_or_else(|no_v2| try_v1(&name, no_v2));
        found.known = known(found.instance.as_ref().map(Instance::dirs).unwrap_or_default());
        found
    }

    /// Why no group can be made at all.
    #[must_use]
    pub fn writable(&self) -> Option<String> {
        self.instance.is_none().then(|| self.reasons())
    }

    /// Removes the instance's groups in which nothing is left. What is left there, the next server finds.
    pub fn release(&self) {
        cgroup::remove_instances(&self.known);
    }

    fn none(reason: &str, known: Vec<PathBuf>) -> Self {
        let reason = Some(reason.to_owned());
        let [v2, memory, pids, cpu] = [reason.clone(), reason.clone(), reason.clone(), reason];
        Self { instance: None, known, delegated: None, v2, memory, pids, cpu }
    }

    fn reasons(&self) -> String {
        joined([&self.memory, &self.pids, &self.cpu])
    }
}

/// Each reason once.
fn joined(reasons: [&Option<String>; 3]) -> String {
    let mut distinct: Vec<&str> = Vec::new();
    for reason in reasons.into_iter().flatten() {
        if !distinct.contains(&reason.as_str()) {
            distinct.push(reason);
        }
    }
    distinct.join("; ")
}

/// Below the configured root; where that cannot be and nobody asked for it, in a part that was delegated to us.
fn try_v2(settings: &CgroupSettings, name: &str) -> Result<Cgroups, String> {
    let below_root = cgroup::check_v2(&settings.root)
        .map_err(|error| error.to_string())
        .and_then(|()| try_below(&settings.root, name).map_err(|why| format!("{}: {why}", settings.root.display())));
    below_root.or_else(|no_root| {
        if settings.root_is_given {
            return Err(no_root);
        }
        try_delegated(name).map_err(|why| format!("{no_root}; {why}"))
    })
}

/// Moves this process, which has not started anything yet.
fn try_delegated(name: &str) -> Result<Cgroups, String> {
    let delegated = Delegated::find().map_err(|error| error.to_string())?;
    delegated.enter_leaf().map_err(told)?;
    let group = delegated.group();
    match try_below(group, name) {
        Ok(found) => Ok(Cgroups { delegated: Some(group.to_owned()), ..found }),
        Err(why) => {
            let others = if delegated.is_inhabited() { ", which holds other processes" } else { "" };
            delegated.leave_leaf();
            Err(format!("{}{others}: {why}", group.display()))
        }
    }
}

fn try_below(root: &Path, name: &str) -> Result<Cgroups, String> {
    let found = try_all(Version::V2, None, |_| Ok(Instance::v2(root, name)));
    if found.instance.is_some() { Ok(found) } else { Err(found.reasons()) }
}

fn try_v1(name: &str, no_v2: String) -> Cgroups {
    try_all(Version::V1, Some(no_v2), |controller| Instance::v1(controller, name).map_err(|error| error.to_string()))
}

fn try_all(version: Version, v2: Option<String>, dir: impl Fn(Controller) -> Result<PathBuf, String>) -> Cgroups {
    let mut made = Vec::new();
    let mut one = |controller| {
        let proved = dir(controller).and_then(|dir| {
            made.push(dir.clone());
            prove(version, &dir, controller).map(|()| dir)
        });
        match proved {
            Ok(dir) => (Some(dir), None),
            Err(reason) => (None, Some(reason)),
        }
    };
    let [(memory, no_memory), (pids, no_pids), (cpu, no_cpu)] = Controller::ALL.map(&mut one);
    let any = memory.is_some() || pids.is_some() || cpu.is_some();
    let instance = any.then_some(Instance { version, memory, pids, cpu });
    made.retain(|dir| instance.as_ref().is_none_or(|instance| !instance.dirs().contains(dir)));
    cgroup::remove_instances(&made);
    Cgroups { instance, known: Vec::new(), delegated: None, v2, memory: no_memory, pids: no_pids, cpu: no_cpu }
}

/// Does all that a task's launch and end will do with this controller.
fn prove(version: Version, instance: &Path, controller: Controller) -> Result<(), String> {
    cgroup::make_instance(version, instance, &[controller]).map_err(told)?;
    let dir = instance.join(format!("probe-{}", std::process::id()));
    let none = GroupSpec { version, ..GroupSpec::nowhere(GroupLimits::default()) };
    let spec = match controller {
        Controller::Memory => GroupSpec {
            memory: Some(dir.clone()),
            limits: GroupLimits { memory_bytes: Some(PROBE_MEMORY_BYTES), ..none.limits },
            ..none
        },
        Controller::Pids => GroupSpec {
            pids: Some(dir.clone()),
            limits: GroupLimits { pids_max: Some(PROBE_PIDS), ..none.limits },
            ..none
        },
        Controller::Cpu => GroupSpec {
            cpu: Some(dir.clone()),
            limits: GroupLimits { cpu_millis: Some(PROBE_CPU_MILLIS), ..none.limits },
            ..none
        },
    };
    let group = Group::make(&spec).map_err(told)?;
    ask_to_enter(&spec)?;
    if controller == Controller::Memory && group.facts().oom_kills.is_none() {
        return Err(format!("{} does not count kills for want of memory", dir.display()));
    }
    drop(group);
    if dir.exists() { Err(format!("{} cannot be removed", dir.display())) } else { Ok(()) }
}

/// Asks a process with one thread, which only a program of our own surely is at its start, to [`enter`].
fn ask_to_enter(spec: &GroupSpec) -> Result<(), String> {
    let told = |error: &dyn std::fmt::Display| format!("the probing process failed: {error}");
    let spec = serde_json::to_string(spec).map_err(|error| told(&error))?;
    let mut command = Command::new("/proc/self/exe");
    command.arg(PROBE_ROLE).arg(spec).stdin(Stdio::null()).stdout(Stdio::null());
    let asked = command.output().map_err(|error| told(&error))?;
    if asked.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&asked.stderr).into_owned();
    Err(if said.is_empty() { told(&asked.status) } else { said })
}

/// The part of the process that is asked: `spec` is the JSON of a group, which is entered just as a launch does it.
pub(super) fn enter(spec: &str) -> Result<(), String> {
    let single = SingleThreaded::at_process_start().map_err(|error| error.to_string())?;
    let spec: GroupSpec = serde_json::from_str(spec).map_err(|error| error.to_string())?;
    let Entry { gates, directory } = spec.entry().map_err(told)?;
    for gate in gates {
        gate.enter().map_err(|error| format!("{gate}: {error}"))?;
    }
    let Some(directory) = directory else { return Ok(()) };
    let birthplace = Birthplace { cgroup: Some(directory.as_fd()), ..Birthplace::default() };
    let born = single.clone_into(birthplace, &[], || 0).and_then(|(child, _)| process::reap(child));
    match born.map_err(|error| format!("{directory}: {error}"))?.0 {
        End::Exited(0) => Ok(()),
        End::Exited(_) | End::Signaled(_) => Err(format!("{directory}: the child did not live")),
    }
}

fn told(error: CgroupError) -> String {
    format!("{}: {}", error.step, error.source)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(dir: &Path, disabled: bool) -> CgroupSettings {
        let root = dir.join("cgroup");
        CgroupSettings { root, root_is_given: true, disabled, data_dir: dir.to_owned(), noted_in: dir.join("noted") }
    }

    #[test]
    fn a_plain_directory_is_no_cgroup_and_is_left_alone() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let root = settings(dir.path(), false).root;
        assert!(cgroup::check_v2(&root).expect_err("a plain directory").to_string().contains("cgroup v2"));
        assert!(prove(Version::V2, &root.join("x"), Controller::Pids).expect_err("no cgroup").contains("pids"));
        std::fs::remove_dir_all(&root).expect("made");
    }

    #[test]
    fn what_is_switched_off_is_not_tried() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let found = Cgroups::find(&settings(dir.path(), true));
        assert_eq!((&found.instance, found.known.len()), (&None, 0));
        assert!(found.writable().is_some_and(|reason| reason.contains("operator")));
    }
}
