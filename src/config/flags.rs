//! The flags of `serve` as the topmost layers, one per flag. All values come in as text and are read by the key's
//! type, so a wrong one is told in the same words as one in the environment.

use std::path::PathBuf;

use clap::Args;
use figment::value::{Dict, Value};

use super::fault::{Fault, Origin, Problem};
use super::layer::Layer;
use super::quota;
use super::schema::{self, Key, TENANTS};

/// What `serve` and `config show` take. Defaults are named in the help only; they come from `config/default.yaml`.
#[derive(Args, Clone, Debug, Default)]
pub struct Flags {
    /// Reads a YAML file over the defaults; may be given again, a later file beats an earlier one
    #[arg(long = "config", value_name = "FILE")]
    pub files: Vec<PathBuf>,

    /// Address to listen on, port 0 for any free one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "IP:PORT")]
    pub listen_addr: Option<String>,

    /// UNIX socket to listen on as well [default: none]
    #[arg(long, value_name = "PATH")]
    pub unix_socket: Option<String>,

    /// Certificate of the server as PEM, with those that lead to its authority [default: none, plain HTTP]
    #[arg(long, value_name = "FILE")]
    pub tls_cert_file: Option<String>,

    /// Key of the certificate, as PEM [default: none, plain HTTP]
    #[arg(long, value_name = "FILE")]
    pub tls_key_file: Option<String>,

    /// File of the bearer tokens that clients need [default: none, whoever reaches the server may everything]
    #[arg(long, value_name = "FILE")]
    pub tokens_file: Option<String>,

    /// Listens on more than loopback although no tokens are needed [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub allow_anonymous: Option<String>,

    /// Directory of the database and of the tasks [default: data]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<String>,

    /// How many tasks run at once [default: 4]
    #[arg(long, value_name = "N")]
    pub max_running_tasks: Option<String>,

    /// How many accepted tasks may wait [default: 128]
    #[arg(long, value_name = "N")]
    pub max_queued_tasks: Option<String>,

    /// From SIGTERM to SIGKILL, in milliseconds [default: 5000]
    #[arg(long, value_name = "MS")]
    pub termination_grace_ms: Option<String>,

    /// User that plain tasks run as, where the server is root [default: the server's own]
    #[arg(long, value_name = "USER|UID[:GID]")]
    pub run_as: Option<String>,

    /// What a task may write to each of its output streams, in bytes, where it sets no limit [default: 268435456]
    #[arg(long, value_name = "BYTES")]
    pub log_max_bytes: Option<String>,

    /// How long ended tasks are kept, in seconds [default: 604800]
    #[arg(long, value_name = "SECS")]
    pub result_retention_secs: Option<String>,

    /// How many ended tasks are kept at most [default: no bound]
    #[arg(long, value_name = "N")]
    pub retention_max_tasks: Option<String>,

    /// What the directories of ended tasks may occupy together, in bytes [default: no bound]
    #[arg(long, value_name = "BYTES")]
    pub retention_max_bytes: Option<String>,

    /// Pause between two rounds of cleaning, in milliseconds [default: 1000]
    #[arg(long, value_name = "MS")]
    pub gc_interval_ms: Option<String>,

    /// How often the dispatcher looks for work unasked, in milliseconds [default: 250]
    #[arg(long, value_name = "MS")]
    pub dispatch_poll_interval_ms: Option<String>,

    /// Cgroup under which the tasks' cgroups are made [default: /sys/fs/cgroup/execgo-runtime]
    #[arg(long, value_name = "DIR")]
    pub cgroup_root: Option<String>,

    /// Name of this runtime [default: made of host name and listen address]
    #[arg(long, value_name = "NAME")]
    pub runtime_id: Option<String>,

    /// Whether a task runs although something it asks for cannot be enforced: adaptive or strict [default: adaptive]
    #[arg(long, value_name = "MODE")]
    pub default_capability_mode: Option<String>,

    /// Does without namespaces and chroot [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub disable_linux_sandbox: Option<String>,

    /// Does without Landlock in a sandbox [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub disable_landlock: Option<String>,

    /// Does without seccomp in a sandbox [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub disable_seccomp: Option<String>,

    /// Does without cgroups [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub disable_cgroup: Option<String>,

    /// How many sandboxes are prepared before a task needs them, 0 for none [default: 2]
    #[arg(long, value_name = "N")]
    pub warm_sandboxes: Option<String>,

    /// Memory that running tasks may reserve together, in bytes [default: not counted]
    #[arg(long, value_name = "BYTES")]
    pub capacity_memory_bytes: Option<String>,

    /// Processes that running tasks may reserve together [default: not counted]
    #[arg(long, value_name = "N")]
    pub capacity_pids: Option<String>,

    /// What one tenant may hold at once; may be given again for other tenants
    #[arg(long = "tenant-quota", value_name = "NAME=slots:N[,memory:BYTES][,pids:N]")]
    pub tenant_quotas: Vec<String>,
}

impl Flags {
    /// The layers of the flags that were given, and the faults in them.
    #[must_use]
    pub fn layers(&self) -> (Vec<Layer>, Vec<Fault>) {
        let mut layers = Vec::new();
        let mut faults = Vec::new();
        let single = self.single_values().into_iter();
        let given = single.filter_map(|(path, raw)| raw.as_ref().map(|raw| (schema::find(path), raw)));
        let mut add = |key: &Key, value: Result<Value, Problem>| match value {
            Ok(value) => layers.push(Layer::of_key(origin(key), key, value)),
            Err(problem) => faults.push(Fault { origin: origin(key), key: Some(key.path.to_owned()), problem }),
        };
        for (key, raw) in given {
            add(key, key.kind.read_text(raw));
        }
        let mut seen = Vec::new();
        for raw in &self.tenant_quotas {
            add(schema::find(TENANTS), tenant(raw, &mut seen));
        }
        (layers, faults)
    }

    fn single_values(&self) -> [(&'static str, &Option<String>); 27] {
        let Self {
            files: _,
            listen_addr,
            unix_socket,
            tls_cert_file,
            tls_key_file,
            tokens_file,
            allow_anonymous,
            data_dir,
            max_running_tasks,
            max_queued_tasks,
            termination_grace_ms,
            run_as,
            log_max_bytes,
            result_retention_secs,
            retention_max_tasks,
            retention_max_bytes,
            gc_interval_ms,
            dispatch_poll_interval_ms,
            cgroup_root,
            runtime_id,
            default_capability_mode,
            disable_linux_sandbox,
            disable_landlock,
            disable_seccomp,
            disable_cgroup,
            warm_sandboxes,
            capacity_memory_bytes,
            capacity_pids,
            tenant_quotas: _,
        } = self;
        [
            ("server.listen_addr", listen_addr),
            ("server.unix_socket", unix_socket),
            ("server.tls_cert_file", tls_cert_file),
            ("server.tls_key_file", tls_key_file),
            ("access.tokens_file", tokens_file),
            ("access.allow_anonymous", allow_anonymous),
            ("runtime.data_dir", data_dir),
            ("queue.max_running_tasks", max_running_tasks),
            ("queue.max_queued_tasks", max_queued_tasks),
            ("execution.termination_grace_ms", termination_grace_ms),
            ("execution.run_as", run_as),
            ("execution.log_max_bytes", log_max_bytes),
            ("retention.result_retention_secs", result_retention_secs),
            ("retention.max_tasks", retention_max_tasks),
            ("retention.max_bytes", retention_max_bytes),
            ("retention.gc_interval_ms", gc_interval_ms),
            ("queue.dispatch_poll_interval_ms", dispatch_poll_interval_ms),
            ("capability.cgroup_root", cgroup_root),
            ("runtime.id", runtime_id),
            ("capability.default_mode", default_capability_mode),
            ("capability.disable_linux_sandbox", disable_linux_sandbox),
            ("capability.disable_landlock", disable_landlock),
            ("capability.disable_seccomp", disable_seccomp),
            ("capability.disable_cgroup", disable_cgroup),
            ("sandbox.warm_sandboxes", warm_sandboxes),
            ("ledger.memory_bytes", capacity_memory_bytes),
            ("ledger.pids", capacity_pids),
        ]
    }
}

fn origin(key: &Key) -> Origin {
    Origin::Flag(key.flag.expect("only keys that have a flag are asked"))
}

fn tenant(raw: &str, seen: &mut Vec<String>) -> Result<Value, Problem> {
    let (name, quota) = quota::read_text(raw)?;
    if seen.contains(&name) {
        return Err(Problem::Quota(format!("{raw:?} is the tenant's second one")));
    }
    seen.push(name.clone());
    Ok(Dict::from([(name, quota::to_value(quota))]).into())
}
