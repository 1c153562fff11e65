//! The probes of the sandbox: each layer is made once, by the very steps of a launch, in a child that then ends.

use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::base::Base;
use super::plan::{Place, plan};
use super::request::SandboxRequest;
use super::step::{Mounts, SandboxStep};
use crate::sys::fork::{Birthplace, SingleThreaded};
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
    let place = Place { workspace: PathBuf::from("/usr"), script: None, own_ids };
    let attempt = |namespaces, landlock, seccomp| {
        let request = SandboxRequest { namespaces, uid, init_uid: None, rootfs: None, landlock, seccomp };
        let plan = plan(&request, base.layout(), &place);
        let steps: Vec<_> = plan.place.into_iter().chain(plan.confinement).collect();
        made(single, &request, &steps)
    };
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
    }
}

/// Makes a sandbox with these steps; says which of them failed.
fn made(single: &SingleThreaded, request: &SandboxRequest, steps: &[SandboxStep]) -> Option<String> {
    let (ours, theirs) = match socket::pair() {
        Ok(pair) => pair,
        Err(error) => return Some(format!("socketpair: {error}")),
    };
    let keep = [theirs.as_raw_fd()];
    let child = single.clone_into(Birthplace { namespaces: request.flags(), cgroup: None }, &keep, move || {
        let answer = failure_of(steps).unwrap_or_default();
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
