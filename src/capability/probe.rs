//! The probes: each does the thing once, in a throwaway process of this program, and says why it cannot.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use serde::{Deserialize, Serialize};

use super::cgroups::Cgroups;
use super::manifest::{Manifest, Platform, ResourceCapabilities, SandboxCapabilities, containerized, kubernetes};
use crate::ledger::Capacity;
use crate::sandbox::cgroup;
use crate::sys::rlimit::Limit;
use crate::task::Timestamp;
use crate::task::spec::Namespaces;

/// Name of the hidden role that [`run_probes`] plays.
pub const PROBE_ROLE: &str = "__probe";

/// What the operator decided and what the probes need.
#[derive(Clone, Debug)]
pub struct ProbeSettings {
    pub runtime_id: String,
    pub data_dir: PathBuf,
    pub disable_linux_sandbox: bool,
    pub disable_cgroup: bool,
    pub capacity: Capacity,
}

/// Answers of the child: for each capability nothing, or why not.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Answers {
    rlimit_cpu: Option<String>,
    rlimit_memory: Option<String>,
}

/// Asks the host and writes down the answers.
#[must_use]
pub fn probe(settings: &ProbeSettings, cgroups: &Cgroups) -> Manifest {
    let mut warnings = Vec::new();
    let mut overrides = BTreeMap::new();
    let mut holds = |name: &str, fault: Option<String>| {
        warnings.extend(fault.iter().map(|reason| format!("{name}: {reason}")));
        fault.is_none()
    };
    let answers = ask_child().unwrap_or_else(|error| {
        let reason = Some(format!("the probing process failed: {error}"));
        Answers { rlimit_cpu: reason.clone(), rlimit_memory: reason }
    });
    let rlimit_cpu = holds("rlimit_cpu", answers.rlimit_cpu);
    let rlimit_memory = holds("rlimit_memory", answers.rlimit_memory);
    let data_dir_writable = holds("data_dir_writable", fault(write_probe(&settings.data_dir)));
    if settings.disable_cgroup {
        overrides.insert("disable_cgroup".to_owned(), "true".to_owned());
    }
    let cgroup_v2 = holds("cgroup_v2", cgroups.v2.clone());
    let cgroup_writable = holds("cgroup_writable", cgroups.writable());
    let memory_limit = holds("memory_limit, oom_detection", cgroups.memory.clone());
    let pids_limit = holds("pids_limit", cgroups.pids.clone());
    holds("cpu_quota", Some("this version does not limit the share of CPU time".into()));
    let linux_sandbox = if settings.disable_linux_sandbox {
        overrides.insert("disable_linux_sandbox".to_owned(), "true".to_owned());
        "switched off by the operator"
    } else {
        "this version runs tasks as plain processes only"
    };
    holds("linux_sandbox", Some(linux_sandbox.into()));
    Manifest {
        runtime_id: settings.runtime_id.clone(),
        collected_at: Timestamp::now(),
        platform: Platform {
            os: std::env::consts::OS.into(),
            arch: std::env::consts::ARCH.into(),
            containerized: containerized(),
            kubernetes: kubernetes(),
        },
        sandbox: SandboxCapabilities {
            process: true,
            linux_sandbox: false,
            chroot: false,
            namespaces: Namespaces { mount: false, pid: false, uts: false, ipc: false, net: false },
        },
        data_dir_writable,
        resources: ResourceCapabilities {
            rlimit_cpu,
            rlimit_memory,
            cgroup_v2,
            cgroup_writable,
            memory_limit,
            pids_limit,
            cpu_quota: false,
            oom_detection: memory_limit,
        },
        capacity: settings.capacity,
        degraded: !warnings.is_empty(),
        warnings,
        overrides,
    }
}

/// The hidden role: tries what changes the process that tries it, and prints the answers as JSON. With arguments it
/// joins the cgroups of these files first, and with the last of them that is all.
#[must_use]
pub fn run_probes(gates: impl Iterator<Item = OsString>) -> ExitCode {
    let mut joined = false;
    for gate in gates {
        joined = true;
        if let Err(error) = cgroup::enter(Path::new(&gate)) {
            // Whoever asks reads the reason here.
            drop(write!(io::stderr(), "{error}"));
            return ExitCode::FAILURE;
        }
    }
    if joined {
        return ExitCode::SUCCESS;
    }
    let answers = Answers {
        rlimit_cpu: fault(Limit::CpuTime { seconds: 3600 }.apply()),
        rlimit_memory: fault(Limit::AddressSpace { bytes: 1 << 30 }.apply()),
    };
    match serde_json::to_writer(io::stdout(), &answers) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn ask_child() -> io::Result<Answers> {
    let output = Command::new("/proc/self/exe").arg(PROBE_ROLE).stdin(Stdio::null()).stderr(Stdio::null()).output()?;
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn fault(done: io::Result<()>) -> Option<String> {
    done.err().map(|error| error.to_string())
}

fn write_probe(data_dir: &Path) -> io::Result<()> {
    let path = data_dir.join(format!(".probe-{}", std::process::id()));
    let file = fs::File::create(&path)?;
    let synced = file.sync_all();
    fs::remove_file(&path)?;
    synced
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unwritable_data_directory_is_told() {
        assert!(write_probe(Path::new("/proc")).is_err());
    }
}
