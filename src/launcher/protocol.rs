//! What server, launcher and shims say to each other.
//!
//! Server → launcher: a pipe (the launcher's standard input) of frames, each a little-endian `u32` length and that
//! many bytes of JSON, one [`LaunchRequest`]. End of file means that the server is gone; the launcher then exits
//! without starting what is still in the pipe. Shims and launcher → server: one datagram of JSON for each [`Report`]
//! on a `SOCK_SEQPACKET` socket (the launcher's standard output), which all shims inherit. Everything that must survive the
//! server is appended to the journal first, see `shim::journal`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::sandbox::cgroup::GroupSpec;
pub use crate::sandbox::{RUN_DIR, SandboxRequest, WORKSPACE};
use crate::task::state::{LaunchId, Running};
use crate::task::{Exit, RunAs, TaskId, Timestamp};

/// Version of the messages and of the journal's records.
pub const PROTOCOL_VERSION: u32 = 1;

/// Everything a shim needs; it reads neither configuration nor database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchRequest {
    pub version: u32,
    pub task_id: TaskId,
    pub launch_id: LaunchId,
    /// The file to which the shim appends its start and exit records. A change of name starts a new file.
    pub journal: PathBuf,
    /// `<data_dir>/tasks/<task_id>`; made (with `workspace/`, mode 0700) when missing.
    pub task_dir: PathBuf,
    /// Absolute working directory inside `workspace/`; made when missing.
    pub working_dir: PathBuf,
    /// The program and its arguments, `argv[0]` first; for a script the interpreter, its words, the path and the arguments.
    pub argv: Vec<String>,
    pub script: Option<ScriptFile>,
    /// The file that is the command's standard input. Absent: `/dev/null`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<PathBuf>,
    /// Files to be put into `workspace/` before the command starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<InputFile>,
    /// Files to be looked for when nothing is left of the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collect: Option<Collect>,
    /// The whole environment of the command, `(name, value)`.
    pub env: Vec<(String, String)>,
    pub wall_time_ms: u64,
    /// From SIGTERM to SIGKILL.
    pub grace_ms: u64,
    /// RLIMIT_CPU: soft limit here, hard limit one second above (both clamped to the current hard limit).
    pub cpu_time_sec: Option<u64>,
    /// RLIMIT_AS in bytes.
    pub address_space_bytes: Option<u64>,
    /// RLIMIT_FSIZE in bytes.
    #[serde(default)]
    pub file_size_bytes: Option<u64>,
    /// RLIMIT_NOFILE.
    #[serde(default)]
    pub open_files: Option<u64>,
    /// RLIMIT_NPROC of a sandbox, whose user has no other processes.
    #[serde(default)]
    pub processes: Option<u64>,
    /// What `workspace/` may hold; measured by the shim.
    #[serde(default)]
    pub workspace_bytes: Option<u64>,
    /// What `stdout.log` may hold.
    pub stdout_log_max_bytes: u64,
    pub stderr_log_max_bytes: u64,
    /// The user that a plain process becomes. Absent: the runtime's own.
    #[serde(default)]
    pub run_as: Option<RunAs>,
    /// The cgroup that holds the task, with its limits.
    #[serde(default)]
    pub cgroup: Option<GroupSpec>,
    /// Absent: a plain process.
    #[serde(default)]
    pub sandbox: Option<SandboxRequest>,
    /// Launches that have ended as far as the server is concerned, named once each: it asks nothing of their shims any
    /// more. Those that rest may get this task and others.
    #[serde(default)]
    pub ended: Vec<LaunchId>,
}

impl LaunchRequest {
    /// Whether the task leaves its shim as it was: a process that becomes another user marks the memory that it shares with
    /// its shim.
    #[must_use]
    pub const fn lets_its_shim_rest(&self) -> bool {
        self.run_as.is_none()
    }
}

/// A script to be written to `path` (inside the task directory, mode 0700) before the command starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScriptFile {
    pub path: PathBuf,
    pub text: String,
}

/// A copy of `source` to be made at `path`, relative to `workspace/`: names alone, none of them `.` or `..`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputFile {
    pub path: PathBuf,
    pub source: PathBuf,
    /// Permission bits.
    pub mode: u32,
}

/// Which files in `workspace/` are listed, and how many, with how many bytes together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collect {
    pub globs: Vec<String>,
    pub max_files: u64,
    pub max_bytes: u64,
}

impl LaunchRequest {
    /// The task's own user and group, where they are not the runtime's.
    #[must_use]
    pub fn owner(&self) -> Option<(u32, u32)> {
        let sandboxed = self.sandbox.as_ref().and_then(|sandbox| sandbox.uid).map(|uid| (uid, uid));
        sandboxed.or_else(|| self.run_as.as_ref().map(|run_as| (run_as.uid, run_as.gid)))
    }
}

/// What happened to a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "report")]
pub enum Report {
    /// The command was exec'ed.
    Started { task_id: TaskId, running: Running },
    /// The wall-clock limit passed; SIGTERM was sent to the whole task.
    TimedOut { task_id: TaskId, launch_id: LaunchId, at: Timestamp },
    /// The task and all its descendants are gone; the exit record is in the journal.
    Exited { task_id: TaskId, launch_id: LaunchId, exit: Exit },
    /// There was no process or no memory for the shim, or for the shim's first process of the task. Nothing ran and
    /// nothing is in the journal; `failure` is the end of the task when this launch is not tried again.
    NotForked { task_id: TaskId, launch_id: LaunchId, failure: Exit },
}
