//! Submission: the request as a client writes it, and the answer.

use std::collections::BTreeMap;

use poem_openapi::types::Example;
use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};

use super::callback::CallbackRequest;
use super::content::{Content, InputSpec, StdinSpec};
use super::schedule::TaskSchedule;
use super::strict::{self, Words};
use crate::task::spec::{self, Draft, DraftKind, Profile};
use crate::task::{InvalidField, TaskId};

/// A task to be run.
#[derive(Clone, Debug, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(example, deny_unknown_fields, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub struct SubmitTaskRequest {
    /// The name of the task: letters, digits, `-`, `_` and `.`, not starting with `.`. Absent: a UUID.
    #[oai(validator(min_length = 1, max_length = 128))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
    /// What is run.
    #[serde(deserialize_with = "strict::object")]
    pub execution: ExecutionSpec,
    /// Files that are put into the workspace before the start; at most 1,000.
    #[oai(validator(max_items = 1000))]
    #[serde(default, deserialize_with = "strict::optional_objects", skip_serializing_if = "Option::is_none")]
    pub inputs: Option<Vec<InputSpec>>,
    /// Globs of the files below `workspace/` that the task is to leave, such as `out/**`; at most 100. `*` and `?` stay within
    /// a name.
    #[oai(validator(max_items = 100))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collect: Option<Vec<String>>,
    /// Limits of time, memory, processes and inlined output.
    #[serde(default, deserialize_with = "strict::optional_object", skip_serializing_if = "Option::is_none")]
    pub limits: Option<ResourceLimits>,
    /// The sandbox in which the task runs.
    #[serde(default, deserialize_with = "strict::optional_object", skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<SandboxPolicy>,
    /// What happens when something that is asked for cannot be enforced.
    #[serde(default, deserialize_with = "strict::optional_object", skip_serializing_if = "Option::is_none")]
    pub policy: Option<TaskPolicy>,
    /// What the control plane says about the task.
    #[serde(default, deserialize_with = "strict::optional_object", skip_serializing_if = "Option::is_none")]
    pub control_context: Option<ControlContext>,
    /// Where the runtime tells of events of the task.
    #[serde(default, deserialize_with = "strict::optional_object", skip_serializing_if = "Option::is_none")]
    pub callback: Option<CallbackRequest>,
    /// When the task may start, before which others, and how long it may wait.
    #[serde(default, deserialize_with = "strict::optional_object", skip_serializing_if = "Option::is_none")]
    pub schedule: Option<TaskSchedule>,
    /// Free text by text; the status answer gives it back.
    #[serde(default, deserialize_with = "strict::optional_map", skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, String>>,
}

/// What is run: a command or a script.
#[derive(Clone, Debug, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(example, deny_unknown_fields, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub struct ExecutionSpec {
    /// Whether `program` or `script` is run.
    #[serde(deserialize_with = "strict::word")]
    pub kind: ExecutionKind,
    /// The program of a command; found through the task's own `PATH` when it holds no `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// Arguments of the program or of the script.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub args: Option<Vec<String>>,
    /// The text of a script; it is stored in the task directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
    /// The program that runs the script and its own arguments; the path of the script is appended. Absent or empty:
    /// `/bin/sh`. The first word must not be blank.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interpreter: Option<Vec<String>>,
    /// Environment of the task, beside `PATH`, `HOME`, `LANG`, `TMPDIR` and `USER` of the server. Names must not be
    /// empty and must hold neither `=` nor NUL.
    #[serde(default, deserialize_with = "strict::optional_map", skip_serializing_if = "Option::is_none")]
    pub env: Option<BTreeMap<String, String>>,
    /// What standard input holds. Absent: nothing.
    #[serde(default, deserialize_with = "strict::optional_object", skip_serializing_if = "Option::is_none")]
    pub stdin: Option<StdinSpec>,
}

/// The kind of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum, Serialize, Deserialize)]
#[oai(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum ExecutionKind {
    /// Runs `program` with `args`.
    Command,
    /// Runs `script` under `interpreter`.
    Script,
}

/// Limits of the task; absent ones are not set, unless a default is named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(example, deny_unknown_fields, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub struct ResourceLimits {
    /// Wall-clock time in milliseconds; then SIGTERM, and SIGKILL after the grace.
    #[oai(validator(minimum(value = "1"), maximum(value = "9007199254740991")))]
    #[serde(default, deserialize_with = "strict::limit", skip_serializing_if = "Option::is_none")]
    pub wall_time_ms: Option<u64>,
    /// CPU time in seconds (`RLIMIT_CPU`).
    #[oai(validator(minimum(value = "1"), maximum(value = "9007199254740991")))]
    #[serde(default, deserialize_with = "strict::limit", skip_serializing_if = "Option::is_none")]
    pub cpu_time_sec: Option<u64>,
    /// Memory in bytes; the execution plan says how it is enforced.
    #[oai(validator(minimum(value = "1"), maximum(value = "9007199254740991")))]
    #[serde(default, deserialize_with = "strict::limit", skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Number of processes and threads at a time.
    #[oai(validator(minimum(value = "1"), maximum(value = "9007199254740991")))]
    #[serde(default, deserialize_with = "strict::limit", skip_serializing_if = "Option::is_none")]
    pub pids_max: Option<u64>,
    /// Share of CPU time of the whole task, in thousandths of a core: 500 is half a core, 2000 two cores.
    #[oai(validator(minimum(value = "10"), maximum(value = "9007199254740991")))]
    #[serde(default, deserialize_with = "strict::cpu_millis", skip_serializing_if = "Option::is_none")]
    pub cpu_millis: Option<u64>,
    /// Bytes of each single file that the task writes (`RLIMIT_FSIZE`).
    #[oai(validator(minimum(value = "1"), maximum(value = "9007199254740991")))]
    #[serde(default, deserialize_with = "strict::limit", skip_serializing_if = "Option::is_none")]
    pub file_size_bytes: Option<u64>,
    /// Descriptors that each process may have open (`RLIMIT_NOFILE`), the three standard streams included.
    #[oai(validator(minimum(value = "16"), maximum(value = "1048576")))]
    #[serde(default, deserialize_with = "strict::open_files", skip_serializing_if = "Option::is_none")]
    pub open_files: Option<u64>,
    /// Bytes that everything in the task's workspace may occupy together. They are measured, so the task may exceed them
    /// for a moment; no single file may be longer (`RLIMIT_FSIZE`).
    #[oai(validator(minimum(value = "1"), maximum(value = "9007199254740991")))]
    #[serde(default, deserialize_with = "strict::limit", skip_serializing_if = "Option::is_none")]
    pub workspace_bytes: Option<u64>,
    /// How many bytes of standard output a status answer inlines.
    #[oai(validator(minimum(value = "1"), maximum(value = "16777216")))]
    #[serde(default, deserialize_with = "strict::shown_bytes", skip_serializing_if = "Option::is_none")]
    pub stdout_max_bytes: Option<u64>,
    /// How many bytes of standard error a status answer inlines.
    #[oai(validator(minimum(value = "1"), maximum(value = "16777216")))]
    #[serde(default, deserialize_with = "strict::shown_bytes", skip_serializing_if = "Option::is_none")]
    pub stderr_max_bytes: Option<u64>,
    /// How many bytes of standard output are kept in `stdout.log`; more of it ends the task. Absent: as the server is
    /// configured (`execution.log_max_bytes`).
    #[oai(validator(minimum(value = "1"), maximum(value = "9007199254740991")))]
    #[serde(default, deserialize_with = "strict::limit", skip_serializing_if = "Option::is_none")]
    pub stdout_log_max_bytes: Option<u64>,
    /// The same for standard error and `stderr.log`.
    #[oai(validator(minimum(value = "1"), maximum(value = "9007199254740991")))]
    #[serde(default, deserialize_with = "strict::limit", skip_serializing_if = "Option::is_none")]
    pub stderr_log_max_bytes: Option<u64>,
}

/// The sandbox of the task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(example, deny_unknown_fields, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub struct SandboxPolicy {
    /// The sandbox that is asked for.
    #[serde(default, deserialize_with = "strict::optional_word", skip_serializing_if = "Option::is_none")]
    pub profile: Option<SandboxProfile>,
    /// The working directory, relative to the task's `workspace/`; no `..`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace_subdir: Option<String>,
    /// The root file system for `chroot`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rootfs: Option<String>,
    /// Whether `rootfs` becomes the task's root; needs the profile `linux_sandbox` and a `rootfs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chroot: Option<bool>,
    /// Which namespaces of its own a `linux_sandbox` task gets.
    #[serde(default, deserialize_with = "strict::optional_object", skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<NamespaceConfig>,
    /// What the task reaches by network. Absent: as `namespaces.net` says, which it must not contradict.
    #[serde(default, deserialize_with = "strict::optional_word", skip_serializing_if = "Option::is_none")]
    pub network: Option<SandboxNetwork>,
}

/// How far a task is kept from the rest of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum, Serialize, Deserialize)]
#[oai(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum SandboxProfile {
    /// A process group of its own.
    Process,
    /// Namespaces of its own.
    LinuxSandbox,
}

/// What a task reaches by network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum, Serialize, Deserialize)]
#[oai(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum SandboxNetwork {
    /// Whatever the host reaches.
    Host,
    /// Its own loopback device alone.
    None,
}

/// Namespaces that the task gets of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(example, deny_unknown_fields, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub struct NamespaceConfig {
    /// Mount points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount: Option<bool>,
    /// Process ids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<bool>,
    /// Host name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uts: Option<bool>,
    /// System V IPC and POSIX message queues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipc: Option<bool>,
    /// Network: with true the task has none, as with `network` `none`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub net: Option<bool>,
}

/// How the task deals with what this runtime cannot enforce.
#[derive(Clone, Debug, Default, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(example, deny_unknown_fields, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub struct TaskPolicy {
    /// Absent: the server's default, see `/api/v1/runtime/config`.
    #[serde(default, deserialize_with = "strict::optional_word", skip_serializing_if = "Option::is_none")]
    pub capability_mode: Option<CapabilityMode>,
}

/// What happens when something that is asked for cannot be enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum, Serialize, Deserialize)]
#[oai(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum CapabilityMode {
    /// The task runs all the same, and its plan says what is missing.
    Adaptive,
    /// The task is refused.
    Strict,
}

/// What the control plane says about the task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(example, deny_unknown_fields, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub struct ControlContext {
    /// In which mode the control plane runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_plane_mode: Option<String>,
    /// Whose quota the task counts against.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Whoever kills the task must name this owner in `x-execgo-owner`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The profile that this runtime should have; another one is a warning, or a refusal for a strict task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_runtime_profile: Option<String>,
    /// Refuse the task when its sandbox cannot be had in full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requires_strict_sandbox: Option<bool>,
    /// Resources are always reserved; kept for the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requires_resource_reservation: Option<bool>,
    /// Text by text. Keys must not be empty and must not hold `=`.
    #[serde(default, deserialize_with = "strict::optional_map", skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
}

/// The task is stored durably and queued.
#[derive(Clone, Debug, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(example)]
#[serde(deny_unknown_fields)]
pub struct SubmitTaskResponse {
    /// The name of the task.
    pub task_id: String,
    /// Equals `task_id`.
    pub handle_id: String,
    /// Always `accepted`.
    pub status: super::status::TaskStatus,
}

impl SubmitTaskRequest {
    /// The id that the client gave, if any, everything else as a draft to be validated, and what the files are to hold
    /// that it names.
    ///
    /// # Errors
    /// `task_id` is none, or a file is not given in one way.
    pub fn into_draft(self) -> Result<(Option<TaskId>, Draft, Vec<Content>), InvalidField> {
        let Self {
            task_id,
            execution,
            inputs,
            collect,
            limits,
            sandbox,
            policy,
            control_context,
            callback,
            schedule,
            metadata,
        } = self;
        let parse = |raw: String| TaskId::parse(&raw).map_err(|e| InvalidField::new("task_id", e.to_string()));
        let task_id = task_id.map(parse).transpose()?;
        let (callback, collect) = (callback.map(Into::into), collect.unwrap_or_default());
        let mut draft = Draft { callback, metadata, collect, ..Draft::default() };
        let mut contents = Vec::new();
        execution.fill(&mut draft, &mut contents)?;
        let inputs = inputs.unwrap_or_default().into_iter().enumerate();
        draft.inputs = inputs.map(|(index, input)| input.take(index, &mut contents)).collect::<Result<_, _>>()?;
        limits.unwrap_or_default().fill(&mut draft);
        sandbox.unwrap_or_default().fill(&mut draft);
        let TaskPolicy { capability_mode } = policy.unwrap_or_default();
        draft.capability_mode = capability_mode.map(Into::into);
        control_context.unwrap_or_default().fill(&mut draft);
        draft.schedule = schedule.unwrap_or_default().into_draft();
        Ok((task_id, draft, contents))
    }
}

impl ExecutionSpec {
    fn fill(self, draft: &mut Draft, contents: &mut Vec<Content>) -> Result<(), InvalidField> {
        let Self { kind, program, args, script, interpreter, env, stdin } = self;
        draft.kind = match kind {
            ExecutionKind::Command => DraftKind::Command,
            ExecutionKind::Script => DraftKind::Script,
        };
        (draft.program, draft.args, draft.env) = (program, args, env);
        (draft.script, draft.interpreter) = (script, interpreter);
        draft.stdin = stdin.map(|stdin| stdin.take(contents)).transpose()?;
        Ok(())
    }
}

impl ResourceLimits {
    fn fill(self, draft: &mut Draft) {
        let Self {
            wall_time_ms,
            cpu_time_sec,
            memory_bytes,
            pids_max,
            cpu_millis,
            file_size_bytes,
            open_files,
            workspace_bytes,
            stdout_max_bytes,
            stderr_max_bytes,
            stdout_log_max_bytes,
            stderr_log_max_bytes,
        } = self;
        (draft.wall_time_ms, draft.cpu_time_sec) = (wall_time_ms, cpu_time_sec);
        (draft.memory_bytes, draft.pids_max, draft.cpu_millis) = (memory_bytes, pids_max, cpu_millis);
        (draft.file_size_bytes, draft.open_files) = (file_size_bytes, open_files);
        draft.workspace_bytes = workspace_bytes;
        (draft.stdout_max_bytes, draft.stderr_max_bytes) = (stdout_max_bytes, stderr_max_bytes);
        (draft.stdout_log_max_bytes, draft.stderr_log_max_bytes) = (stdout_log_max_bytes, stderr_log_max_bytes);
    }
}

impl SandboxPolicy {
    fn fill(self, draft: &mut Draft) {
        let Self { profile, workspace_subdir, rootfs, chroot, namespaces, network } = self;
        draft.profile = profile.map(Into::into);
        (draft.workspace_subdir, draft.rootfs, draft.chroot) = (workspace_subdir, rootfs, chroot);
        draft.namespaces = namespaces.map(Into::into);
        draft.network = network.map(Into::into);
    }
}

impl ControlContext {
    fn fill(self, draft: &mut Draft) {
        let Self {
            control_plane_mode,
            tenant,
            owner,
            expected_runtime_profile,
            requires_strict_sandbox,
            requires_resource_reservation,
            labels,
        } = self;
        (draft.control_plane_mode, draft.tenant, draft.owner) = (control_plane_mode, tenant, owner);
        draft.expected_runtime_profile = expected_runtime_profile;
        draft.requires_strict_sandbox = requires_strict_sandbox;
        draft.requires_resource_reservation = requires_resource_reservation;
        draft.labels = labels;
    }
}

impl From<NamespaceConfig> for spec::DraftNamespaces {
    fn from(config: NamespaceConfig) -> Self {
        let NamespaceConfig { mount, pid, uts, ipc, net } = config;
        Self { mount, pid, uts, ipc, net }
    }
}

impl Words for ExecutionKind {
    const WORDS: &'static [(&'static str, Self)] = &[("command", Self::Command), ("script", Self::Script)];
}

impl Words for SandboxProfile {
    const WORDS: &'static [(&'static str, Self)] =
        &[(Profile::Process.as_str(), Self::Process), (Profile::LinuxSandbox.as_str(), Self::LinuxSandbox)];
}

impl Words for SandboxNetwork {
    const WORDS: &'static [(&'static str, Self)] =
        &[(spec::Network::Host.as_str(), Self::Host), (spec::Network::None.as_str(), Self::None)];
}

impl Words for CapabilityMode {
    const WORDS: &'static [(&'static str, Self)] = &[
        (spec::CapabilityMode::Adaptive.as_str(), Self::Adaptive),
        (spec::CapabilityMode::Strict.as_str(), Self::Strict),
    ];
}

impl From<SandboxProfile> for Profile {
    fn from(profile: SandboxProfile) -> Self {
        match profile {
            SandboxProfile::Process => Self::Process,
            SandboxProfile::LinuxSandbox => Self::LinuxSandbox,
        }
    }
}

impl From<Profile> for SandboxProfile {
    fn from(profile: Profile) -> Self {
        match profile {
            Profile::Process => Self::Process,
            Profile::LinuxSandbox => Self::LinuxSandbox,
        }
    }
}

impl From<SandboxNetwork> for spec::Network {
    fn from(network: SandboxNetwork) -> Self {
        match network {
            SandboxNetwork::Host => Self::Host,
            SandboxNetwork::None => Self::None,
        }
    }
}

impl From<spec::Network> for SandboxNetwork {
    fn from(network: spec::Network) -> Self {
        match network {
            spec::Network::Host => Self::Host,
            spec::Network::None => Self::None,
        }
    }
}

impl From<CapabilityMode> for spec::CapabilityMode {
    fn from(mode: CapabilityMode) -> Self {
        match mode {
            CapabilityMode::Adaptive => Self::Adaptive,
            CapabilityMode::Strict => Self::Strict,
        }
    }
}

impl From<spec::CapabilityMode> for CapabilityMode {
    fn from(mode: spec::CapabilityMode) -> Self {
        match mode {
            spec::CapabilityMode::Adaptive => Self::Adaptive,
            spec::CapabilityMode::Strict => Self::Strict,
        }
    }
}

mod examples;
