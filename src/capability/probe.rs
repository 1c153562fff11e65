//! The probes: each does the thing once, in a throwaway process of this program, and says why it cannot.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use serde::{Deserialize, Serialize};

use super::cgroups::{self, Cgroups};
use super::manifest::{Manifest, Platform, ResourceCapabilities, SandboxCapabilities, containerized, kubernetes};
use super::peer;
use super::run_as;
use crate::ledger::Capacity;
use crate::sandbox::{self, BASE_NAME, SandboxAnswers};
use crate::sys::fork::SingleThreaded;
use crate::sys::rlimit::Limit;
use crate::task::spec::Namespaces;
use crate::task::{RunAs, Timestamp};

/// Name of the hidden role that [`run_probes`] plays.
pub const PROBE_ROLE: &str = "__probe";

const SWITCHED_OFF: &str = "switched off by the operator";
/// Every capability that goes with `linux_sandbox`.
const ALL_OF_THE_SANDBOX: &str = "linux_sandbox, chroot, namespaces.mount, namespaces.pid, namespaces.uts, \
                                  namespaces.ipc, namespaces.net, rlimit_processes, api_closed_to_tasks";

/// What the operator decided and what the probes need.
#[derive(Clone, Debug)]
pub struct ProbeSettings {
    pub runtime_id: String,
    pub data_dir: PathBuf,
    /// Where the runtime's processes have their files.
    pub run_dir: PathBuf,
    pub disable_linux_sandbox: bool,
    pub disable_landlock: bool,
    pub disable_seccomp: bool,
    /// A user that a sandboxed task may get.
    pub sandbox_uid: u32,
    pub disable_cgroup: bool,
    /// The operator lets sandboxed tasks use the API.
    pub allow_tasks: bool,
    pub capacity: Capacity,
    pub run_as: Option<RunAs>,
}

/// Answers of the child: for each capability nothing, or why not.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Answers {
    rlimit_cpu: Option<String>,
    rlimit_memory: Option<String>,
    rlimit_file_size: Option<String>,
    rlimit_open_files: Option<String>,
    sandbox: SandboxAnswers,
}

impl Answers {
    /// The same no to everything.
    fn nothing(reason: &str) -> Self {
        let no = || Some(reason.to_owned());
        Self {
            rlimit_cpu: no(),
            rlimit_memory: no(),
            rlimit_file_size: no(),
            rlimit_open_files: no(),
            sandbox: SandboxAnswers::nothing(reason),
        }
    }
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
    let mut answers = ask_child(settings.sandbox_uid, &settings.run_dir.join(BASE_NAME)).unwrap_or_else(|error| {
        let reason = format!("the probing process failed: {error}");
        Answers::nothing(&reason)
    });
    let rlimit_cpu = holds("rlimit_cpu", answers.rlimit_cpu);
    let rlimit_memory = holds("rlimit_memory", answers.rlimit_memory);
    let rlimit_file_size = holds("rlimit_file_size", answers.rlimit_file_size);
    let rlimit_open_files = holds("rlimit_open_files", answers.rlimit_open_files);
    let data_dir_writable = holds("data_dir_writable", fault(write_probe(&settings.data_dir)));
    if settings.disable_cgroup {
        overrides.insert("disable_cgroup".to_owned(), "true".to_owned());
    }
    let cgroup_v2 = holds("cgroup_v2", cgroups.v2.clone());
    let cgroup_writable = holds("cgroup_writable", cgroups.writable());
    let memory_limit = holds("memory_limit, oom_detection", cgroups.memory.clone());
    let pids_limit = holds("pids_limit", cgroups.pids.clone());
    let cpu_quota = holds("cpu_quota", cgroups.cpu.clone());
    let layers = &mut answers.sandbox;
    for (name, disabled, fault) in [
        ("disable_landlock", settings.disable_landlock, &mut layers.landlock),
        ("disable_seccomp", settings.disable_seccomp, &mut layers.seccomp),
    ] {
        if disabled {
            overrides.insert(name.to_owned(), "true".to_owned());
            *fault = Some(SWITCHED_OFF.to_owned());
        }
    }
    let sandbox = if settings.disable_linux_sandbox {
        overrides.insert("disable_linux_sandbox".to_owned(), "true".to_owned());
        holds(ALL_OF_THE_SANDBOX, Some(SWITCHED_OFF.into()));
        SandboxCapabilities::PROCESS_ONLY
    } else {
        let closed = if settings.allow_tasks {
            Some("the operator allows it by server.allow_tasks".to_owned())
        } else {
            fault(peer::prove())
        };
        sandbox(answers.sandbox, closed, &mut holds)
    };
    if settings.allow_tasks {
        overrides.insert("allow_tasks".to_owned(), "true".to_owned());
    }
    Manifest {
        runtime_id: settings.runtime_id.clone(),
        collected_at: Timestamp::now(),
        platform: Platform {
            os: std::env::consts::OS.into(),
            arch: std::env::consts::ARCH.into(),
            containerized: containerized(),
            kubernetes: kubernetes(),
        },
        sandbox,
        data_dir_writable,
        resources: ResourceCapabilities {
            rlimit_cpu,
            rlimit_memory,
            rlimit_file_size,
            rlimit_open_files,
            cgroup_v2,
            cgroup_writable,
            memory_limit,
            pids_limit,
            cpu_quota,
            oom_detection: memory_limit,
        },
        capacity: settings.capacity,
        run_as: settings.run_as.clone(),
        degraded: !(rlimit_cpu
            && rlimit_file_size
            && rlimit_open_files
            && memory_limit
            && pids_limit
            && cpu_quota
            && sandbox.is_whole()),
        warnings,
        overrides,
    }
}

/// The hidden role: tries what changes the process that tries it. With a user's number and the directory that is the
/// root of sandboxes it prints all answers as JSON; with the JSON of a cgroup it enters that; with a user and a directory it goes
/// there as that user.
#[must_use]
pub fn run_probes(args: impl Iterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.collect();
    if args.first().is_some_and(|word| word == run_as::PROBE) {
        return run_as::run_probe(&args[1..]);
    }
    let argument = args.first().and_then(|argument| argument.to_str()).unwrap_or_default();
    let Ok(uid) = argument.parse() else { return enter(argument) };
    let base = args.get(1).map_or(Path::new(BASE_NAME), Path::new);
    // The limits come last: they hold for what is forked, too.
    let sandbox = match SingleThreaded::at_process_start() {
        Ok(single) => sandbox::probe_all(&single, uid, base),
        Err(error) => SandboxAnswers::nothing(&error.to_string()),
    };
    let answers = Answers {
        sandbox,
        rlimit_cpu: fault(Limit::CpuTime { seconds: 3600 }.apply()),
        rlimit_memory: fault(Limit::AddressSpace { bytes: 1 << 30 }.apply()),
        rlimit_file_size: fault(Limit::FileSize { bytes: 1 << 30 }.apply()),
        rlimit_open_files: fault(Limit::OpenFiles { count: 1024 }.apply()),
    };
    match serde_json::to_writer(io::stdout(), &answers) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Whoever asks reads the reason of a failure on standard error.
fn enter(cgroup: &str) -> ExitCode {
    match cgroups::enter(cgroup) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(write!(io::stderr(), "{error}"));
            ExitCode::FAILURE
        }
    }
}

/// Each layer by itself; without the first there is no sandbox at all.
fn sandbox(
    answers: SandboxAnswers,
    api_open: Option<String>,
    holds: &mut impl FnMut(&str, Option<String>) -> bool,
) -> SandboxCapabilities {
    let SandboxAnswers { rootless, mount, pid, uts, ipc, net, landlock, landlock_abi, seccomp, processes } = answers;
    let linux_sandbox = holds("linux_sandbox, chroot, namespaces.mount", mount);
    let mut layer = |name: &str, fault: Option<String>| holds(name, fault) && linux_sandbox;
    let landlock = layer("landlock", landlock);
    SandboxCapabilities {
        process: true,
        linux_sandbox,
        chroot: linux_sandbox,
        namespaces: Namespaces {
            mount: linux_sandbox,
            pid: layer("namespaces.pid", pid),
            uts: layer("namespaces.uts", uts),
            ipc: layer("namespaces.ipc", ipc),
            net: layer("namespaces.net", net),
        },
        rootless,
        landlock_abi: landlock_abi.filter(|_| landlock),
        seccomp: layer("seccomp", seccomp),
        rlimit_processes: layer("rlimit_processes", processes),
        api_closed_to_tasks: layer("api_closed_to_tasks", api_open),
    }
}

fn ask_child(uid: u32, base: &Path) -> io::Result<Answers> {
    let mut command = Command::new("/proc/self/exe");
    let output =
        command.arg(PROBE_ROLE).arg(uid.to_string()).arg(base).stdin(Stdio::null()).stderr(Stdio::null()).output()?;
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn fault(done: io::Result<()>) -> Option<String> {
    done.err().map(|error| error.to_string())
}

fn write_probe(data_dir: &Path) -> io::Result<()> {
    let path = data_dir.join(format!(".probe-{}", std::process::id()));
    let file = fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
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
