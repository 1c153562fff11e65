//! What a client asked for, after validation: a value of `TaskSpec` is valid and can be made in `validate` alone.

use std::collections::BTreeMap;
use std::ops::Deref;

use serde::{Deserialize, Serialize};

use super::blob::{BlobId, Digest};
use super::callback::{Callback, DraftCallback};
use super::schedule::{DraftSchedule, Schedule};
use super::validate::DEFAULT_LOG_MAX_BYTES;
pub use super::validate::InvalidField;

/// A valid task specification. Reading is free, making one is [`Draft::validate`]'s alone
/// (and serde's, for what the store kept of an earlier validation).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskSpec(Spec);

impl TaskSpec {
    pub(super) const fn from_valid(spec: Spec) -> Self {
        Self(spec)
    }
}

impl Deref for TaskSpec {
    type Target = Spec;

    fn deref(&self) -> &Spec {
        &self.0
    }
}

/// The fields of a valid specification, with every default filled in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    pub execution: Execution,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<InputFile>,
    /// Globs of the files in `workspace/` that are kept track of at the end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub collect: Vec<String>,
    pub limits: Limits,
    pub sandbox: Sandbox,
    pub capability_mode: CapabilityMode,
    pub control: ControlContext,
    #[serde(default, skip_serializing_if = "Schedule::is_default")]
    pub schedule: Schedule,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback: Option<Callback>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, String>>,
}

impl Spec {
    /// Whether a text, given in lower case, stands in what people remember of a task: its program and arguments or its script,
    /// its labels and its metadata.
    #[must_use]
    pub fn mentions(&self, text: &str) -> bool {
        let Self {
            execution,
            inputs: _,
            collect: _,
            limits: _,
            sandbox: _,
            capability_mode: _,
            control,
            callback: _,
            schedule: _,
            metadata,
        } = self;
        let run = match &execution.action {
            Action::Command { program } => program,
            Action::Script { script, interpreter: _ } => script,
        };
        let pairs = control.labels.iter().chain(metadata.iter().flatten());
        let texts = std::iter::once(run).chain(&execution.args).chain(pairs.flat_map(|(key, value)| [key, value]));
        texts.into_iter().any(|held| held.to_lowercase().contains(text))
    }
}

/// What is run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Execution {
    pub action: Action,
    pub args: Vec<String>,
    /// Added to (and overriding) what the task gets of the server's environment.
    pub env: BTreeMap<String, String>,
    /// What standard input holds; absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<BlobId>,
}

/// A file that is put into the workspace before the start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputFile {
    /// Relative to `workspace/`: names alone, none of them `.` or `..`.
    pub path: String,
    pub blob: BlobId,
    /// Permission bits.
    pub mode: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Found through the task's own `PATH` when it holds no `/`.
    Command { program: String },
    /// Stored in the task directory and run by the interpreter with its path appended.
    Script { script: String, interpreter: Vec<String> },
}

/// Limits of one task; absent means unlimited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    pub wall_time_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_time_sec: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids_max: Option<u64>,
    /// Thousandths of a core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_millis: Option<u64>,
    /// Of each single file that the task writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_size_bytes: Option<u64>,
    /// Of each process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_files: Option<u64>,
    /// Allocated by everything below `workspace/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace_bytes: Option<u64>,
    /// How much of the stream a status answer inlines, in bytes.
    pub stdout_max_bytes: u64,
    pub stderr_max_bytes: u64,
    /// How much of the stream is kept, in bytes; more of it ends the task.
    #[serde(default = "default_log_max_bytes")]
    pub stdout_log_max_bytes: u64,
    #[serde(default = "default_log_max_bytes")]
    pub stderr_log_max_bytes: u64,
}

/// For what servers before these limits have stored.
pub(super) const fn default_log_max_bytes() -> u64 {
    DEFAULT_LOG_MAX_BYTES
}

/// What the server has where a request says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Defaults {
    pub capability_mode: CapabilityMode,
    /// For each stream's log.
    pub log_max_bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sandbox {
    pub profile: Profile,
    /// Relative to `workspace/`, without `..`; the working directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace_subdir: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rootfs: Option<String>,
    pub chroot: bool,
    /// Absent: all but `net`, where the profile has namespaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<Namespaces>,
    /// Absent: as `namespaces.net` says. Never against it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
}

impl Sandbox {
    /// The namespaces that are asked for, in whichever way.
    #[must_use]
    pub fn wanted_namespaces(&self) -> Namespaces {
        let namespaces = self.namespaces.unwrap_or_default();
        Namespaces { net: self.network.map_or(namespaces.net, |network| network == Network::None), ..namespaces }
    }
}

/// What a task reaches by network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// Whatever the host reaches.
    Host,
    /// Its own loopback device alone.
    None,
}

impl Network {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::None => "none",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    Process,
    LinuxSandbox,
}

impl Profile {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::LinuxSandbox => "linux_sandbox",
        }
    }
}

/// Which namespaces a `linux_sandbox` task gets of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespaces {
    pub mount: bool,
    pub pid: bool,
    pub uts: bool,
    pub ipc: bool,
    pub net: bool,
}

impl Default for Namespaces {
    fn default() -> Self {
        Self { mount: true, pid: true, uts: true, ipc: true, net: false }
    }
}

/// What happens when something that was asked for cannot be enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CapabilityMode {
    /// Run all the same and say in the plan what is missing.
    Adaptive,
    /// Refuse the task.
    Strict,
}

impl CapabilityMode {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Adaptive => "adaptive",
            Self::Strict => "strict",
        }
    }
}

/// What the control plane says about the task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlContext {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control_plane_mode: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Whoever kills the task must show this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_runtime_profile: Option<String>,
    pub requires_strict_sandbox: bool,
    pub requires_resource_reservation: bool,
    pub labels: BTreeMap<String, String>,
}

/// A request as it came in: right types, nothing checked, nothing filled in.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    pub kind: DraftKind,
    pub program: Option<String>,
    pub args: Option<Vec<String>>,
    pub script: Option<String>,
    pub interpreter: Option<Vec<String>>,
    pub env: Option<BTreeMap<String, String>>,
    pub stdin: Option<Digest>,
    pub inputs: Vec<DraftInput>,
    pub collect: Vec<String>,
    /// Among whose blobs the contents are: the tenant of the token that the request came with.
    pub giver: Option<String>,
    pub wall_time_ms: Option<u64>,
    pub cpu_time_sec: Option<u64>,
    pub memory_bytes: Option<u64>,
    pub pids_max: Option<u64>,
    pub cpu_millis: Option<u64>,
    pub file_size_bytes: Option<u64>,
    pub open_files: Option<u64>,
    pub workspace_bytes: Option<u64>,
    pub stdout_max_bytes: Option<u64>,
    pub stderr_max_bytes: Option<u64>,
    pub stdout_log_max_bytes: Option<u64>,
    pub stderr_log_max_bytes: Option<u64>,
    pub profile: Option<Profile>,
    pub workspace_subdir: Option<String>,
    pub rootfs: Option<String>,
    pub chroot: Option<bool>,
    pub namespaces: Option<DraftNamespaces>,
    pub network: Option<Network>,
    pub capability_mode: Option<CapabilityMode>,
    pub control_plane_mode: Option<String>,
    pub tenant: Option<String>,
    pub owner: Option<String>,
    pub expected_runtime_profile: Option<String>,
    pub requires_strict_sandbox: Option<bool>,
    pub requires_resource_reservation: Option<bool>,
    pub labels: Option<BTreeMap<String, String>>,
    pub callback: Option<DraftCallback>,
    pub schedule: DraftSchedule,
    pub metadata: Option<BTreeMap<String, String>>,
}

#[derive(Clone, Debug)]
pub struct DraftInput {
    pub path: String,
    pub digest: Digest,
    /// In octal.
    pub mode: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DraftNamespaces {
    pub mount: Option<bool>,
    pub pid: Option<bool>,
    pub uts: Option<bool>,
    pub ipc: Option<bool>,
    pub net: Option<bool>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DraftKind {
    #[default]
    Command,
    Script,
}
