//! The configuration of the server: typed, complete, with every value's origin known.
//!
//! Layers, each over the one before: `config/default.yaml`, the files of `--config`, the environment, the flags
//! (see `docs/configuration.md`). figment and `serde_yaml` are used in this room alone.

mod callback;
mod environment;
mod fault;
mod file;
mod flags;
mod layer;
mod load;
mod quota;
mod schema;
#[cfg(test)]
mod tests;
mod tokens;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use flags::Flags;
#[cfg(any(fuzzing, test))]
pub use load::check_text;
pub use load::{Effective, Loaded, check, load};
pub use tokens::{Role, Token, TokenHash, TokensError, read as read_tokens};

use crate::ledger::Capacity;
use crate::task::{CapabilityMode, Defaults};

/// Every key of `config/default.yaml`, where each is explained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub runtime: Runtime,
    pub server: Server,
    pub access: Access,
    pub queue: Queue,
    pub execution: Execution,
    pub retention: Retention,
    pub files: Files,
    pub ledger: Ledger,
    pub capability: Capability,
    pub sandbox: Sandbox,
    pub callback: Callback,
    pub log: Log,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Runtime {
    /// Absent: made of the host name and the listen address.
    pub id: Option<String>,
    pub data_dir: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    pub listen_addr: SocketAddr,
    /// A UNIX socket to listen on as well.
    pub unix_socket: Option<PathBuf>,
    /// Certificate and key of the server; absent: plain HTTP. Both or none.
    pub tls_cert_file: Option<PathBuf>,
    pub tls_key_file: Option<PathBuf>,
    /// Whether sandboxed tasks that share the host's network may use the API.
    pub allow_tasks: bool,
    pub max_body_bytes: u64,
    /// How long a client may take to send its request's head.
    pub header_timeout_ms: u64,
    /// How long a client may take to send its request's body.
    pub body_timeout_ms: u64,
    /// How long open requests may take to end when the server stops.
    pub shutdown_timeout_ms: u64,
}

/// Who may talk to the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Access {
    /// Absent: whoever reaches the server may everything.
    pub tokens_file: Option<PathBuf>,
    /// Whether a server without tokens may listen on more than loopback.
    pub allow_anonymous: bool,
    /// Whether the metrics need no token.
    pub open_metrics: bool,
    /// Names under which the server may be asked, besides addresses, `localhost` and the machine's own name.
    pub allowed_hosts: Vec<String>,
    /// Origins whose pages may send requests, besides the server's own.
    pub allowed_origins: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    pub max_running_tasks: u64,
    pub max_queued_tasks: u64,
    /// The dispatcher looks again after this long even when nothing woke it.
    pub dispatch_poll_interval_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Execution {
    /// From SIGTERM to SIGKILL.
    pub termination_grace_ms: u64,
    /// The user of plain tasks; absent: the server's own.
    pub run_as: Option<String>,
    /// What each of a task's two logs may hold, where the task names no limit.
    pub log_max_bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    pub result_retention_secs: u64,
    /// Absent: as many as there are.
    pub max_tasks: Option<u64>,
    /// Absent: as much as they occupy.
    pub max_bytes: Option<u64>,
    pub gc_interval_ms: u64,
}

/// What tasks are given and what they leave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Files {
    /// What one blob may hold.
    pub blob_max_bytes: u64,
    /// What all of them may hold together.
    pub blobs_max_bytes: u64,
    /// How many files are collected of one task.
    pub collect_max_files: u64,
    /// How much they may hold together.
    pub collect_max_bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// Absent: memory is not reserved against a capacity.
    pub memory_bytes: Option<u64>,
    pub pids: Option<u64>,
    pub tenants: BTreeMap<String, TenantQuota>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantQuota {
    pub slots: u64,
    #[serde(default)]
    pub memory: Option<u64>,
    #[serde(default)]
    pub pids: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capability {
    pub default_mode: CapabilityMode,
    pub disable_linux_sandbox: bool,
    pub disable_landlock: bool,
    pub disable_seccomp: bool,
    pub disable_cgroup: bool,
    pub cgroup_root: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sandbox {
    /// The first of the users that sandboxes get where the runtime is root: pid 1's; the others are for tasks.
    pub uid_base: u32,
    pub uid_count: u32,
    /// How many are begun before a task asks for one.
    pub warm_sandboxes: u32,
}

/// How the server tells of its tasks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Callback {
    /// Below these.
    pub allowed_urls: Vec<String>,
    /// Holds what the callbacks are signed with.
    pub secret_file: Option<PathBuf>,
    /// For one attempt.
    pub timeout_ms: u64,
    /// From the first attempt to the second.
    pub retry_ms: u64,
    pub max_attempts: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// A filter in the syntax of `RUST_LOG`, which overrides it.
    pub filter: String,
    pub format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    Text,
    Json,
}

impl Default for Config {
    /// `config/default.yaml`.
    fn default() -> Self {
        load::default_config()
    }
}

impl Config {
    /// What this runtime has in all.
    #[must_use]
    pub const fn capacity(&self) -> Capacity {
        Capacity {
            task_slots: self.queue.max_running_tasks,
            memory_bytes: self.ledger.memory_bytes,
            pids: self.ledger.pids,
        }
    }

    /// For what a task does not say.
    #[must_use]
    pub const fn defaults(&self) -> Defaults {
        Defaults { capability_mode: self.capability.default_mode, log_max_bytes: self.execution.log_max_bytes }
    }

    #[must_use]
    pub fn tenant_quotas(&self) -> BTreeMap<String, Capacity> {
        let quota = |q: &TenantQuota| Capacity { task_slots: q.slots, memory_bytes: q.memory, pids: q.pids };
        self.ledger.tenants.iter().map(|(name, q)| (name.clone(), quota(q))).collect()
    }
}
