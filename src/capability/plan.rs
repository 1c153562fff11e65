//! From what a task asks for to what will be enforced. Pure: manifest and specification in, plan or refusal out.

use std::collections::BTreeMap;

use super::manifest::{Manifest, ResourceCapabilities};
use crate::task::spec::{Limits, Namespaces, Network, Profile, Sandbox};
use crate::task::{CapabilityMode, ExecutionPlan, Means, ResourceEnforcement, SandboxLayers, TaskSpec};

/// What a strict task asked for and this host cannot enforce.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this runtime cannot enforce what the task requires: {}", missing.join("; "))]
pub struct Unsupported {
    /// One sentence for each.
    pub missing: Vec<String>,
}

/// Decides what will be enforced.
///
/// # Errors
/// Something is missing and the task is strict, or its sandbox is and it requires a strict sandbox.
pub fn plan(spec: &TaskSpec, manifest: &Manifest) -> Result<ExecutionPlan, Unsupported> {
    let Decision { layers, mut missing, mut warnings } = sandbox(&spec.sandbox, manifest);
    let sandbox_degraded = !missing.is_empty();
    let limits = &spec.limits;
    let resources = &manifest.resources;
    let mut enforced_by = BTreeMap::new();
    for Rule { limit, means, otherwise } in
        rules(limits, resources, layers.is_some() && manifest.sandbox.rlimit_processes)
    {
        match means {
            Some(means) => drop(enforced_by.insert(limit.to_owned(), means)),
            None => missing.push(format!("limits.{limit} is not enforced: {otherwise}")),
        }
    }
    warnings.extend(without_effect(&spec.sandbox));
    let profile_fault = profile_mismatch(spec, manifest);
    let strict = spec.capability_mode == CapabilityMode::Strict;
    if let Some(fault) = profile_fault {
        if strict { missing.push(fault) } else { warnings.push(fault) }
    }
    if enforced_by.get("memory_bytes") == Some(&Means::Rlimit) {
        warnings.push(
            "limits.memory_bytes is enforced as address space of each process (RLIMIT_AS), not as memory of the whole task"
                .into(),
        );
    }
    if enforced_by.contains_key("workspace_bytes") {
        warnings.push(
            "limits.workspace_bytes is measured and no quota: the task may exceed it for a moment, and deleted files that it holds open are not seen"
                .into(),
        );
    }
    let refuse = strict || (spec.control.requires_strict_sandbox && sandbox_degraded);
    if refuse && !missing.is_empty() {
        return Err(Unsupported { missing });
    }
    Ok(ExecutionPlan {
        capability_mode: spec.capability_mode,
        requested_sandbox: spec.sandbox.profile,
        effective_sandbox: if layers.is_some() { Profile::LinuxSandbox } else { Profile::Process },
        resource_enforcement: enforcement(limits, resources, enforced_by),
        degraded: !missing.is_empty(),
        fallback_reasons: missing,
        capability_warnings: warnings,
        // A sandbox has users of its own.
        run_as: manifest.run_as.clone().filter(|_| layers.is_none()),
        sandbox_layers: layers,
    })
}

/// One limit that the task asks for.
struct Rule {
    limit: &'static str,
    /// The strongest that there are here.
    means: Option<Means>,
    /// What is said where there are none.
    otherwise: &'static str,
}

/// One line for each limit: its name, whether it is asked for, by which means it can be enforced, what is said without.
fn rules(limits: &Limits, resources: &ResourceCapabilities, rlimit_processes: bool) -> Vec<Rule> {
    let by = |means, had: bool| had.then_some(means);
    let memory = by(Means::Cgroup, resources.memory_limit).or(by(Means::Rlimit, resources.rlimit_memory));
    let pids = by(Means::Cgroup, resources.pids_limit).or(by(Means::Rlimit, rlimit_processes));
    let no_memory = "there is no cgroup with a memory controller for tasks, and RLIMIT_AS cannot be set here";
    let no_pids = "there is no cgroup with a pids controller for tasks";
    let no_cpu = "there is no cgroup with a cpu controller for tasks";
    let no_cpu_time = "RLIMIT_CPU cannot be set here";
    let no_file_size = "RLIMIT_FSIZE cannot be set here";
    let no_open_files = "RLIMIT_NOFILE cannot be set here";
    let all = [
        ("wall_time_ms", true, Some(Means::Timer), ""),
        ("cpu_time_sec", limits.cpu_time_sec.is_some(), by(Means::Rlimit, resources.rlimit_cpu), no_cpu_time),
        ("memory_bytes", limits.memory_bytes.is_some(), memory, no_memory),
        ("pids_max", limits.pids_max.is_some(), pids, no_pids),
        ("cpu_millis", limits.cpu_millis.is_some(), by(Means::Cgroup, resources.cpu_quota), no_cpu),
        (
            "file_size_bytes",
            limits.file_size_bytes.is_some(),
            by(Means::Rlimit, resources.rlimit_file_size),
            no_file_size,
        ),
        ("open_files", limits.open_files.is_some(), by(Means::Rlimit, resources.rlimit_open_files), no_open_files),
        (
            "workspace_bytes",
            limits.workspace_bytes.is_some(),
            by(Means::Measurement, resources.rlimit_file_size),
            no_file_size,
        ),
        ("stdout_log_max_bytes", true, Some(Means::Pipe), ""),
        ("stderr_log_max_bytes", true, Some(Means::Pipe), ""),
    ];
    let asked = all.into_iter().filter(|(_, asked, ..)| *asked);
    asked.map(|(limit, _, means, otherwise)| Rule { limit, means, otherwise }).collect()
}

fn enforcement(
    limits: &Limits,
    resources: &ResourceCapabilities,
    enforced_by: BTreeMap<String, Means>,
) -> ResourceEnforcement {
    let enforced = |limit: &str| enforced_by.contains_key(limit);
    ResourceEnforcement {
        wall_time_ms: limits.wall_time_ms,
        cpu_time_sec: limits.cpu_time_sec,
        cpu_time_enforced: enforced("cpu_time_sec"),
        memory_bytes: limits.memory_bytes,
        memory_enforced: enforced("memory_bytes"),
        pids_max: limits.pids_max,
        pids_enforced: enforced("pids_max"),
        cpu_millis: limits.cpu_millis,
        cpu_enforced: enforced("cpu_millis"),
        file_size_bytes: limits.file_size_bytes,
        file_size_enforced: enforced("file_size_bytes"),
        open_files: limits.open_files,
        open_files_enforced: enforced("open_files"),
        workspace_bytes: limits.workspace_bytes,
        workspace_enforced: enforced("workspace_bytes"),
        stdout_log_max_bytes: limits.stdout_log_max_bytes,
        stderr_log_max_bytes: limits.stderr_log_max_bytes,
        cgroup_enforced: resources.cgroup_writable,
        oom_detection: resources.oom_detection,
        enforced_by,
    }
}

/// What becomes of the requested sandbox.
struct Decision {
    /// Absent: the task runs as a plain process.
    layers: Option<SandboxLayers>,
    missing: Vec<String>,
    warnings: Vec<String>,
}

fn sandbox(requested: &Sandbox, manifest: &Manifest) -> Decision {
    match requested.profile {
        Profile::Process => {
            let missing = unisolated(requested, "with sandbox.profile process").into_iter().collect();
            Decision { layers: None, missing, warnings: Vec::new() }
        }
        Profile::LinuxSandbox if manifest.sandbox.linux_sandbox => linux_sandbox(requested, manifest),
        Profile::LinuxSandbox => {
            let mut missing = vec![
                "sandbox.profile linux_sandbox is not available on this runtime; the task runs as a plain process"
                    .to_owned(),
            ];
            if requested.chroot {
                missing.push("sandbox.chroot is not available on this runtime; the task sees the host's files".into());
            }
            missing.extend(unisolated(requested, "on this runtime"));
            Decision { layers: None, missing, warnings: Vec::new() }
        }
    }
}

/// A plain process has no network of its own.
fn unisolated(requested: &Sandbox, here: &str) -> Option<String> {
    (requested.network == Some(Network::None))
        .then(|| format!("sandbox.network none is not enforced {here}; the task shares the host's network"))
}

/// Each layer that this host has; one that it lacks is named.
fn linux_sandbox(requested: &Sandbox, manifest: &Manifest) -> Decision {
    let had = &manifest.sandbox;
    let wanted = requested.wanted_namespaces();
    let net = if requested.network.is_some() { "sandbox.network none" } else { "sandbox.namespaces.net" };
    let mut missing = Vec::new();
    let mut layer = |name: &str, wanted: bool, had: bool| {
        if wanted && !had {
            missing.push(format!("{name} is not available on this runtime; the task runs without it"));
        }
        wanted && had
    };
    let layers = SandboxLayers {
        namespaces: Namespaces {
            mount: true,
            pid: layer("sandbox.namespaces.pid", wanted.pid, had.namespaces.pid),
            uts: layer("sandbox.namespaces.uts", wanted.uts, had.namespaces.uts),
            ipc: layer("sandbox.namespaces.ipc", wanted.ipc, had.namespaces.ipc),
            net: layer(net, wanted.net, had.namespaces.net),
        },
        rootless: had.rootless,
        landlock: layer("the Landlock layer of linux_sandbox", true, had.landlock_abi.is_some()),
        seccomp: layer("the seccomp layer of linux_sandbox", true, had.seccomp),
    };
    let mut warnings = Vec::new();
    let mut warn = |holds: bool, text: &str| warnings.extend(holds.then(|| text.to_owned()));
    warn(
        !layers.namespaces.net && !had.api_closed_to_tasks,
        "the task shares the host's network and can use the runtime's own API; sandbox.network none closes it",
    );
    warn(
        !layers.namespaces.net && had.api_closed_to_tasks,
        "the task shares the host's network, where it reaches whatever this machine reaches but the runtime's own API",
    );
    warn(!wanted.mount, "sandbox.namespaces.mount false has no effect: linux_sandbox always has a root of its own");
    warn(requested.rootfs.is_some() && !requested.chroot, "sandbox.rootfs has no effect without sandbox.chroot");
    warn(
        layers.rootless && !layers.namespaces.pid,
        "the task has no /proc: a runtime that is not root can give one only with a pid namespace",
    );
    warn(layers.rootless, "the runtime is not root: the task has the runtime's own user, alone in a user namespace");
    Decision { layers: Some(layers), missing, warnings }
}

/// What a plain process is asked for and has no use for.
fn without_effect(sandbox: &Sandbox) -> Vec<String> {
    let given = [("sandbox.rootfs", sandbox.rootfs.is_some()), ("sandbox.namespaces", sandbox.namespaces.is_some())];
    let plain = sandbox.profile == Profile::Process;
    let idle = given.into_iter().filter(|(_, given)| plain && *given);
    idle.map(|(field, _)| format!("{field} has no effect with sandbox.profile process")).collect()
}

fn profile_mismatch(spec: &TaskSpec, manifest: &Manifest) -> Option<String> {
    let expected = spec.control.expected_runtime_profile.as_deref()?;
    let own = manifest.runtime_profile();
    (expected != own).then(|| {
        format!("control_context.expected_runtime_profile is {expected:?}, and the profile of this runtime is {own:?}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::testing::manifest;
    use crate::task::spec::DraftNamespaces;
    use crate::task::testing::DEFAULTS;
    use crate::task::{Draft, RunAs};

    fn draft() -> Draft {
        Draft { program: Some("/bin/true".into()), ..Draft::default() }
    }

    fn decide(draft: Draft, manifest: &Manifest) -> Result<ExecutionPlan, Unsupported> {
        plan(&draft.validate(DEFAULTS).expect("valid"), manifest)
    }

    fn without_sandbox() -> Manifest {
        let mut manifest = manifest();
        manifest.sandbox.linux_sandbox = false;
        manifest.sandbox.chroot = false;
        manifest.sandbox.namespaces = Namespaces { mount: false, pid: false, uts: false, ipc: false, net: false };
        manifest
    }

    #[test]
    fn a_plain_task_is_not_degraded() {
        let plan = decide(draft(), &manifest()).expect("planned");
        assert!(!plan.degraded && plan.fallback_reasons.is_empty() && plan.capability_warnings.is_empty());
    }

    #[test]
    fn what_has_no_effect_is_warned_of() {
        let idle = Draft { rootfs: Some("/r".into()), namespaces: Some(DraftNamespaces::default()), ..draft() };
        let plan = decide(idle, &manifest()).expect("planned");
        assert!(!plan.degraded);
        assert!(plan.capability_warnings[0].contains("rootfs") && plan.capability_warnings[1].contains("namespaces"));
    }

    #[test]
    fn adaptive_runs_and_says_what_is_missing() {
        let sandboxed = Draft { profile: Some(Profile::LinuxSandbox), pids_max: Some(4), ..draft() };
        let plan = decide(sandboxed, &without_sandbox()).expect("planned");
        assert_eq!((plan.requested_sandbox, plan.effective_sandbox), (Profile::LinuxSandbox, Profile::Process));
        assert!(plan.degraded && !plan.resource_enforcement.pids_enforced);
        assert!(plan.fallback_reasons[0].contains("linux_sandbox"));
        assert!(plan.fallback_reasons[1].contains("limits.pids_max"));
    }

    #[test]
    fn a_cgroup_limits_what_rlimits_cannot_and_without_a_warning() {
        let mut with_groups = manifest();
        let resources = &mut with_groups.resources;
        (resources.cgroup_writable, resources.memory_limit, resources.oom_detection) = (true, true, true);
        let limited = Draft { memory_bytes: Some(1 << 20), pids_max: Some(4), ..draft() };
        let plan = decide(limited.clone(), &with_groups).expect("planned");
        let enforced = &plan.resource_enforcement;
        assert!(enforced.memory_enforced && enforced.cgroup_enforced && enforced.oom_detection);
        assert!(!enforced.pids_enforced && plan.degraded, "no pids controller");
        assert!(plan.capability_warnings.is_empty(), "{plan:?}");
        with_groups.resources.pids_limit = true;
        with_groups.resources.rlimit_memory = false;
        let plan = decide(limited.clone(), &with_groups).expect("planned");
        assert!(plan.resource_enforcement.pids_enforced && !plan.degraded, "{plan:?}");
        let share = Draft { cpu_millis: Some(500), ..limited.clone() };
        let plan = decide(share.clone(), &with_groups).expect("planned");
        assert!(!plan.resource_enforcement.cpu_enforced && plan.fallback_reasons[0].contains("limits.cpu_millis"));
        let strict = Draft { capability_mode: Some(CapabilityMode::Strict), ..share.clone() };
        assert_eq!(decide(strict, &with_groups).expect_err("strict").missing, plan.fallback_reasons);
        with_groups.resources.cpu_quota = true;
        let plan = decide(share, &with_groups).expect("planned");
        assert!(plan.resource_enforcement.cpu_enforced && !plan.degraded, "{plan:?}");
        let plan = decide(limited, &manifest()).expect("planned");
        assert!(plan.capability_warnings[0].contains("RLIMIT_AS") && !plan.resource_enforcement.oom_detection);
    }

    #[test]
    fn the_plan_says_by_which_means_each_limit_is_enforced() {
        let limited = Draft {
            cpu_time_sec: Some(1),
            memory_bytes: Some(1 << 20),
            pids_max: Some(4),
            file_size_bytes: Some(1 << 20),
            open_files: Some(64),
            workspace_bytes: Some(1 << 30),
            ..draft()
        };
        let means = |manifest: &Manifest| {
            let plan = decide(limited.clone(), manifest).expect("planned").resource_enforcement;
            plan.enforced_by.into_iter().map(|(limit, means)| format!("{limit} {means:?}")).collect::<Vec<_>>()
        };
        let rlimits = ["cpu_time_sec Rlimit", "file_size_bytes Rlimit", "memory_bytes Rlimit", "open_files Rlimit"];
        let pipes = ["stderr_log_max_bytes Pipe", "stdout_log_max_bytes Pipe"];
        let rest = ["wall_time_ms Timer", "workspace_bytes Measurement"];
        assert_eq!(means(&manifest()), [&rlimits[..], &pipes, &rest].concat());
        let mut other = manifest();
        (other.resources.memory_limit, other.resources.pids_limit) = (true, true);
        (other.resources.rlimit_file_size, other.resources.rlimit_open_files) = (false, false);
        assert_eq!(
            means(&other),
            [&["cpu_time_sec Rlimit", "memory_bytes Cgroup", "pids_max Cgroup"][..], &pipes, &rest[..1]].concat()
        );
        let plan = decide(limited, &other).expect("adaptive");
        assert!(plan.fallback_reasons[0].starts_with("limits.file_size_bytes is not enforced"), "{plan:?}");
        assert!(plan.fallback_reasons[1].starts_with("limits.open_files is not enforced"), "{plan:?}");
        assert!(plan.fallback_reasons[2].starts_with("limits.workspace_bytes is not enforced"), "{plan:?}");
        assert!(!plan.resource_enforcement.file_size_enforced && !plan.resource_enforcement.open_files_enforced);
        assert!(decide(draft(), &manifest()).expect("planned").resource_enforcement.enforced_by.len() == 3);
    }

    #[test]
    fn plain_tasks_run_as_the_named_user_and_sandboxed_ones_as_their_own() {
        let mut manifest = manifest();
        manifest.run_as = Some(RunAs { name: None, uid: 7, gid: 8, groups: vec![] });
        let sandboxed = Draft { profile: Some(Profile::LinuxSandbox), ..draft() };
        assert_eq!(decide(draft(), &manifest).expect("planned").run_as, manifest.run_as);
        assert_eq!(decide(sandboxed.clone(), &manifest).expect("planned").run_as, None);
        manifest.sandbox.linux_sandbox = false;
        assert_eq!(decide(sandboxed, &manifest).expect("adaptive").run_as, manifest.run_as);
    }

    #[test]
    fn without_a_cgroup_the_user_of_a_sandbox_limits_its_processes_and_a_plain_process_has_none() {
        let mut manifest = manifest();
        manifest.sandbox.rlimit_processes = true;
        let plain = Draft { pids_max: Some(4), ..draft() };
        assert!(decide(plain.clone(), &manifest).expect("adaptive").degraded);
        let sandboxed = Draft { profile: Some(Profile::LinuxSandbox), ..plain };
        let means = |manifest: &Manifest| {
            let plan = decide(sandboxed.clone(), manifest).expect("planned");
            assert!(!plan.degraded && plan.resource_enforcement.pids_enforced, "{plan:?}");
            plan.resource_enforcement.enforced_by["pids_max"]
        };
        assert_eq!(means(&manifest), Means::Rlimit);
        manifest.resources.pids_limit = true;
        assert_eq!(means(&manifest), Means::Cgroup);
    }

    #[test]
    fn each_layer_that_is_missing_is_named_and_the_rest_is_enforced() {
        let sandboxed = Draft { profile: Some(Profile::LinuxSandbox), ..draft() };
        let whole = decide(sandboxed.clone(), &manifest()).expect("planned");
        assert!(!whole.degraded && whole.effective_sandbox == Profile::LinuxSandbox);
        assert!(whole.capability_warnings[0].contains("runtime's own API"), "{:?}", whole.capability_warnings);
        let mut manifest = manifest();
        manifest.sandbox.namespaces.pid = false;
        manifest.sandbox.landlock_abi = None;
        let plan = decide(sandboxed.clone(), &manifest).expect("adaptive");
        let layers = plan.sandbox_layers.expect("a sandbox");
        assert!(layers.seccomp && layers.namespaces.ipc && !layers.landlock && !layers.namespaces.pid);
        assert!(plan.fallback_reasons[0].contains("namespaces.pid") && plan.fallback_reasons[1].contains("Landlock"));
        let strict = Draft { capability_mode: Some(CapabilityMode::Strict), ..sandboxed };
        assert_eq!(decide(strict, &manifest).expect_err("strict").missing.len(), 2);
    }

    #[test]
    fn a_task_without_network_has_none_or_its_plan_says_so() {
        let offline = Draft { network: Some(Network::None), ..draft() };
        let sandboxed = Draft { profile: Some(Profile::LinuxSandbox), ..offline.clone() };
        let plan = decide(sandboxed.clone(), &manifest()).expect("planned");
        assert!(plan.network() == Network::None && !plan.degraded && plan.capability_warnings.is_empty(), "{plan:?}");
        let mut without_net = manifest();
        without_net.sandbox.namespaces.net = false;
        for (draft, manifest) in
            [(offline, manifest()), (sandboxed.clone(), without_sandbox()), (sandboxed, without_net)]
        {
            let plan = decide(draft.clone(), &manifest).expect("adaptive");
            assert_eq!((plan.network(), plan.degraded), (Network::Host, true));
            assert!(plan.fallback_reasons.iter().any(|r| r.starts_with("sandbox.network none")), "{plan:?}");
            assert!(decide(Draft { requires_strict_sandbox: Some(true), ..draft }, &manifest).is_err());
        }
        let online = Draft { network: Some(Network::Host), ..draft() };
        assert!(!decide(online, &manifest()).expect("planned").degraded);
    }

    #[test]
    fn strict_refuses_and_names_each_missing_capability() {
        let mode = Some(CapabilityMode::Strict);
        let sandboxed = Draft { profile: Some(Profile::LinuxSandbox), capability_mode: mode, ..draft() };
        let refusal = decide(sandboxed, &without_sandbox()).expect_err("strict").to_string();
        assert!(refusal.contains("linux_sandbox"), "{refusal}");
        let mut manifest = manifest();
        manifest.resources.rlimit_cpu = false;
        let limited = Draft { cpu_time_sec: Some(1), capability_mode: mode, ..draft() };
        assert!(decide(limited, &manifest).expect_err("strict").missing[0].contains("cpu_time_sec"));
    }

    #[test]
    fn requires_strict_sandbox_refuses_a_sandbox_degradation_and_nothing_else() {
        let strict_sandbox = Draft { requires_strict_sandbox: Some(true), ..draft() };
        let sandboxed = Draft { profile: Some(Profile::LinuxSandbox), ..strict_sandbox.clone() };
        assert!(decide(sandboxed, &without_sandbox()).is_err());
        let limited = Draft { pids_max: Some(4), cpu_millis: Some(500), ..strict_sandbox };
        assert!(decide(limited, &without_sandbox()).expect("adaptive").degraded);
    }

    #[test]
    fn another_expected_profile_warns_or_refuses() {
        let expecting = Draft { expected_runtime_profile: Some("gpu".into()), ..draft() };
        let plan = decide(expecting.clone(), &manifest()).expect("adaptive");
        assert!(!plan.degraded && plan.capability_warnings[0].contains("gpu"));
        let strict = Draft { capability_mode: Some(CapabilityMode::Strict), ..expecting };
        assert!(decide(strict, &manifest()).is_err());
        let same = Draft { expected_runtime_profile: Some("process".into()), ..draft() };
        assert!(decide(same, &without_sandbox()).expect("same").capability_warnings.is_empty());
    }
}
