//! The facts about an ended task, as its shim saw them. Judging them is `outcome`'s business.

use serde::{Deserialize, Serialize};

use super::timestamp::Timestamp;

/// Everything that a shim (or, for a dead shim, its launcher) knows about the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    pub status: ExitStatus,
    /// The wall-clock limit had passed while the command lived, and SIGTERM was sent for it.
    #[serde(default)]
    pub timed_out: bool,
    /// A kill request reached the living command: SIGTERM was sent for it.
    #[serde(default)]
    pub killed: bool,
    /// The kernel's out-of-memory killer struck inside the task's cgroup.
    #[serde(default)]
    pub oom_killed: bool,
    /// More was found in the workspace than the task may keep there, while it ran or at its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace_excess: Option<WorkspaceExcess>,
    /// Not everything that the task wrote to its standard streams was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_fault: Option<OutputFault>,
    /// When this was seen, on the wall clock.
    pub at: Timestamp,
    /// From exec to exit of the command on the monotonic clock; absent when it never started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// What was found of the files that are to be collected; absent where none are, or the shim did not get that far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collected: Option<Box<Collected>>,
}

/// What was found of the files that a task is to leave.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collected {
    pub files: u64,
    /// All of them together.
    pub bytes: u64,
    /// How many were left out.
    #[serde(default)]
    pub left_out_files: u64,
    /// The first of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
}

/// Something that was not collected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Relative to `workspace/`.
    pub path: String,
    pub reason: WhyLeftOut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhyLeftOut {
    /// There are as many files as are collected.
    TooMany,
    /// With it there would be more bytes than are collected.
    TooLarge,
    /// A link, a pipe, a socket or a device.
    NoFile,
    /// It is another user's.
    NotItsOwn,
    /// Its name is not UTF-8.
    NoText,
    /// A directory, below more others than are looked into.
    TooDeep,
    /// A directory that cannot be read, or a mount.
    Unreadable,
    /// The list of what was found could not be written, for this reason.
    ListNotWritten,
}

/// A line of the list of what was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundFile {
    /// Relative to `workspace/`.
    pub path: String,
    pub size: u64,
    pub modified_at: Timestamp,
}

/// What was found in a workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum WorkspaceExcess {
    /// At least this many bytes.
    TooLarge { bytes: u64 },
    /// More directories inside each other than are measured.
    TooDeep,
}

/// Why output of a task was not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum OutputFault {
    /// There was more of it than the task may write.
    TooLong { stream: OutputStream },
    /// Its log could not be written.
    NotKept { stream: OutputStream, errno: i32 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputStream {
    Stdout,
    Stderr,
}

impl OutputStream {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// How the command ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum ExitStatus {
    Exited {
        code: i32,
    },
    Signaled {
        signal: i32,
    },
    /// The command never ran: `step` is what failed, such as `execve /no/such/file`.
    LaunchFailed {
        step: String,
        errno: i32,
    },
    /// The command never ran, for its sandbox could not be made: `step` is what failed, such as `pivot_root`.
    SandboxSetupFailed {
        step: String,
        errno: i32,
    },
    /// The shim died before it could write an exit record; what was left of the task was killed.
    Lost {
        reason: String,
    },
}

/// What the task and all its descendants used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_cpu_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_cpu_ms: Option<u64>,
    /// Peak resident set of the largest single process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_rss_bytes: Option<u64>,
    /// Peak of the whole task's memory, from its cgroup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_peak_bytes: Option<u64>,
}
