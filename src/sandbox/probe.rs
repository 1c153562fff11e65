//! The probes of the sandbox: each layer is made once, by the very steps of a launch, in a child that then ends.

use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::base::Base;
use super::plan::{Place, ahead, plan};
use super::request::SandboxRequest;
use super::step::{Mounts, SandboxStep};
use crate::sys::fork::{Birthplace, SingleThreaded};
use crate::sys::rlimit::Limit;
use crate::sys::socket::{self, Blocking, Received};
use crate::sys::{identity, landlock, process};
use crate::task::spec::Namespaces;

const NONE: Namespaces = Namespaces { mount: true, pid: false, uts: false, ipc: false, net: false };

/// For each layer nothing, or why it cannot be had.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct SandboxAnswers {
    /// Whether this process is not root, so that each sandbox is in a user namespace.
    pub rootless: bool,
    /// A mount namespace with a root of its own, a user of its own (or a user namespace), and no capabilities.
    pub mount: Option<String>,
    /// With a /proc of its own.
    pub pid: Option<String>,
    pub uts: Option<String>,
    pub ipc: Option<String>,
    /// With its loopback device up.
    pub net: Option<String>,
    pub landlock: Option<String>,
    /// Version of Landlock's interface, where there is one.
    pub landlock_abi: Option<u32>,
    pub seccomp: Option<String>,
    /// That a user who has no other processes is held by `RLIMIT_NPROC`.
    pub processes: Option<String>,
}

impl SandboxAnswers {
    /// The same reason for all.
    #[must_use]
    pub fn nothing(reason: &str) -> Self {
        let no = || Some(reason.to_owned());
        Self {
            rootless: false,
            mount: no(),
            pid: no(),
            uts: no(),
            ipc: no(),
            net: no(),
            landlock: no(),
            landlock_abi: None,
            seccomp: no(),
            processes: no(),
        }
    }
}

/// Tries everything. `uid` is a user that a task could get; the root is made in `base`, as for a launch.
#[must_use]
pub fn probe_all(single: &SingleThreaded, uid: u32, base: &Path) -> SandboxAnswers {
    let own_ids = identity::own_ids();
    let uid = (own_ids.0 == 0).then_some(uid);
    let base = match Base::make(base) {
        Ok(base) => base,
        Err(error) => return SandboxAnswers::nothing(&format!("make {}: {}", error.path.display(), error.source)),
    };
    // Any directory will do, for nothing is written.
    let place = Place { workspace: PathBuf::from("/usr"), script: None, stdin: false };
    let attempt_and = |namespaces, landlock, seccomp, then: fn(&SingleThreaded) -> Option<String>| {
        let request = SandboxRequest { namespaces, uid, init_uid: None, rootfs: None, landlock, seccomp, warm: 0 };
        let ahead = ahead(request.shape(), base.layout(), own_ids);
        let plan = plan(&request, base.layout(), &place);
        let steps: Vec<_> = ahead.into_iter().chain(plan.place).chain(plan.confinement).collect();
        made(single, &request, &steps, then)
    };
    let attempt = |namespaces, landlock, seccomp| attempt_and(namespaces, landlock, seccomp, |_| None);
    SandboxAnswers {
        rootless: uid.is_none(),
        mount: attempt(NONE, false, false),
        pid: attempt(Namespaces { pid: true, ..NONE }, false, false),
        uts: attempt(Namespaces { uts: true, ..NONE }, false, false),
        ipc: attempt(Namespaces { ipc: true, ..NONE }, false, false),
        net: attempt(Namespaces { net: true, ..NONE }, false, false),
        landlock: attempt(NONE, true, false),
        landlock_abi: landlock::abi(),
        seccomp: attempt(NONE, false, true),
        processes: attempt_and(NONE, false, false, |single| limited_processes(single).err()),
    }
}

/// With two processes allowed the first child starts, and a second does not.
fn limited_processes(single: &SingleThreaded) -> Result<(), String> {
    Limit::Processes { count: 2 }.apply().map_err(|error| format!("setrlimit: {error}"))?;
    let (ours, theirs) = socket::pair().map_err(|error| format!("socketpair: {error}"))?;
    let keep = [theirs.as_raw_fd()];
    let first = single.fork(&keep, move || {
        // Until the second was tried.
        let _ = socket::receive(theirs.as_fd(), &mut [0], Blocking::Yes);
        0
    });
    let first = first.map_err(|error| format!("fork of the first of two processes: {error}"))?;
    let second = single.fork(&[], || 0);
    drop(ours);
    let _ = process::reap(first);
    match second {
        Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => Ok(()),
        Err(error) => Err(format!("fork: {error}")),
        Ok(pid) => {
            let _ = process::reap(pid);
            Err("RLIMIT_NPROC does not hold".to_owned())
        }
    }
}

/// Makes a sandbox with these steps, and does more in it; says what failed.
fn made(
    single: &SingleThreaded,
    request: &SandboxRequest,
    steps: &[SandboxStep],
    then: fn(&SingleThreaded) -> Option<String>,
) -> Option<String> {
    let (ours, theirs) = match socket::pair() {
        Ok(pair) => pair,
        Err(error) => return Some(format!("socketpair: {error}")),
    };
    let keep = [theirs.as_raw_fd()];
    let child = single.clone_into(Birthplace { namespaces: request.shape().flags(), cgroup: None }, &keep, move || {
        let answer = failure_of(steps).or_else(|| then(single)).unwrap_or_default();
        // One byte more than the answer, for no message is empty.
        let _ = socket::send(theirs.as_fd(), format!("{answer}\n").as_bytes(), Blocking::Yes);
        0
    });
    let (pid, _pidfd) = match child {
        Ok(child) => child,
        Err(error) => return Some(format!("clone3: {error}")),
    };
    let mut answer = [0; 1024];
    let received = socket::receive(ours.as_fd(), &mut answer, Blocking::Yes);
    let _ = process::reap(pid);
    match received {
        Ok(Received::Message(length)) => {
            let answer = String::from_utf8_lossy(&answer[..length]).trim().to_owned();
            (!answer.is_empty()).then_some(answer)
        }
        Ok(Received::Cut | Received::End) | Err(_) => Some("the probing process was killed".to_owned()),
    }
}

fn failure_of(steps: &[SandboxStep]) -> Option<String> {
    let mut mounts = Mounts::default();
    steps.iter().find_map(|step| step.perform(&mut mounts).err().map(|error| format!("{step}: {error}")))
}
