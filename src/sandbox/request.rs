//! What a launch asks of the sandbox.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::sys::fork::NamespaceFlags;
use crate::task::spec::Namespaces;

/// Where the task's workspace is, inside.
pub const WORKSPACE: &str = "/workspace";

/// Where the task's script is, inside.
pub const RUN_DIR: &str = "/run/task";

/// The layers of one task, each as the plan says. A layer that is asked for and cannot be had fails the launch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxRequest {
    /// `mount` is always made, whatever stands here.
    pub namespaces: Namespaces,
    /// The user that the command becomes. Absent: the runtime is no root, and a user namespace holds its own user.
    pub uid: Option<u32>,
    /// The user that pid 1 becomes, who is no task's; absent with [`Self::uid`].
    #[serde(default)]
    pub init_uid: Option<u32>,
    /// The task's root file system, read-only. Absent: the system directories of the host.
    pub rootfs: Option<PathBuf>,
    pub landlock: bool,
    pub seccomp: bool,
    /// How many sandboxes like this one the launcher keeps begun for those to come.
    #[serde(default)]
    pub warm: u32,
}

/// What sandboxes that begin in the same way have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub namespaces: Namespaces,
    /// In a user namespace of its own.
    pub rootless: bool,
}

impl SandboxRequest {
    #[must_use]
    pub const fn shape(&self) -> Shape {
        Shape { namespaces: self.namespaces, rootless: self.uid.is_none() }
    }

    /// Whether it can be begun before it is asked for: it shows the host, whose root is known, and has a pid 1, which can
    /// wait.
    #[must_use]
    pub const fn can_be_warm(&self) -> bool {
        self.rootfs.is_none() && self.namespaces.pid
    }
}

impl Shape {
    /// What the first process of the sandbox is made with.
    #[must_use]
    pub const fn flags(self) -> NamespaceFlags {
        let Namespaces { mount: _, pid, uts, ipc, net } = self.namespaces;
        NamespaceFlags::MOUNT
            .and(NamespaceFlags::PID, pid)
            .and(NamespaceFlags::UTS, uts)
            .and(NamespaceFlags::IPC, ipc)
            .and(NamespaceFlags::NET, net)
            .and(NamespaceFlags::USER, self.rootless)
    }
}
