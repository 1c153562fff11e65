//! The list of keys: what each may hold and by which other names it is known. Everything that names a key (files,
//! environment, flags, messages, documentation) asks here. It knows nothing of layers.

use std::net::SocketAddr;
use std::path::Path;

use figment::value::{Empty, Tag, Value};
use tracing_subscriber::EnvFilter;

use super::callback::target;
use super::fault::Problem;
use crate::task::validate::MAX_INTEGER;

/// What every variable of ours begins with.
pub const PREFIX: &str = "EXECGO_RUNTIME_";

/// Also the variable that overrides `log.filter` above every layer.
pub const RUST_LOG: &str = "RUST_LOG";

pub const TENANTS: &str = "ledger.tenants";

/// The largest number that the store can keep.
const MOST: u64 = i64::MAX as u64;
const HOUR_MS: u64 = 3_600_000;

/// One key of the configuration.
#[derive(Debug)]
pub struct Key {
    /// `section.name`.
    pub path: &'static str,
    pub kind: Kind,
    /// May be absent: `null` in a file takes a lower layer's value away.
    pub optional: bool,
    /// A second, shorter environment variable.
    pub alias: Option<&'static str>,
    pub flag: Option<&'static str>,
}

/// What a key may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Name,
    Path,
    AbsolutePath,
    Address,
    User,
    Number { min: u64, max: u64 },
    Switch,
    Hosts,
    Origins,
    Urls,
    Choice(&'static [&'static str]),
    LogFilter,
    Tenants,
}

pub const KEYS: &[Key] = &[
    key("runtime.id", Kind::Name).optional().alias("EXECGO_RUNTIME_ID").flag("--runtime-id"),
    key("runtime.data_dir", Kind::Path).flag("--data-dir"),
    key("server.listen_addr", Kind::Address).flag("--listen-addr"),
    key("server.unix_socket", Kind::Path).optional().flag("--unix-socket"),
    key("server.tls_cert_file", Kind::Path).optional().flag("--tls-cert-file"),
    key("server.tls_key_file", Kind::Path).optional().flag("--tls-key-file"),
    key("server.allow_tasks", Kind::Switch),
    key("server.max_body_bytes", number(1, 512 << 20)),
    key("server.header_timeout_ms", number(1, HOUR_MS)),
    key("server.body_timeout_ms", number(1, HOUR_MS)),
    key("server.shutdown_timeout_ms", number(0, HOUR_MS)),
    key("access.tokens_file", Kind::Path).optional().flag("--tokens-file"),
    key("access.allow_anonymous", Kind::Switch).flag("--allow-anonymous"),
    key("access.open_metrics", Kind::Switch),
    key("access.allowed_hosts", Kind::Hosts),
    key("access.allowed_origins", Kind::Origins),
    key("queue.max_running_tasks", number(1, 1_000_000)).flag("--max-running-tasks"),
    key("queue.max_queued_tasks", number(1, 1_000_000_000)).flag("--max-queued-tasks"),
    key("queue.dispatch_poll_interval_ms", number(1, HOUR_MS)).flag("--dispatch-poll-interval-ms"),
    key("execution.termination_grace_ms", number(0, HOUR_MS)).flag("--termination-grace-ms"),
    key("execution.run_as", Kind::User).optional().flag("--run-as"),
    key("execution.log_max_bytes", number(1, MAX_INTEGER)).flag("--log-max-bytes"),
    key("retention.result_retention_secs", number(0, 100 * 365 * 86_400)).flag("--result-retention-secs"),
    key("retention.max_tasks", number(0, MAX_INTEGER)).optional().flag("--retention-max-tasks"),
    key("retention.max_bytes", number(0, MAX_INTEGER)).optional().flag("--retention-max-bytes"),
    key("retention.gc_interval_ms", number(1, 24 * HOUR_MS)).flag("--gc-interval-ms"),
    key("files.blob_max_bytes", number(1, MAX_INTEGER)),
    key("files.blobs_max_bytes", number(1, MAX_INTEGER)),
    key("files.collect_max_files", number(0, 1_000_000)),
    key("files.collect_max_bytes", number(0, MAX_INTEGER)),
    key("ledger.memory_bytes", number(1, MOST))
        .optional()
        .alias("EXECGO_RUNTIME_CAPACITY_MEMORY_BYTES")
        .flag("--capacity-memory-bytes"),
    key("ledger.pids", number(1, MOST)).optional().alias("EXECGO_RUNTIME_CAPACITY_PIDS").flag("--capacity-pids"),
    key(TENANTS, Kind::Tenants).flag("--tenant-quota"),
    key("capability.default_mode", Kind::Choice(&["adaptive", "strict"]))
        .alias("EXECGO_RUNTIME_DEFAULT_CAPABILITY_MODE")
        .flag("--default-capability-mode"),
    key("capability.disable_linux_sandbox", Kind::Switch)
        .alias("EXECGO_RUNTIME_DISABLE_LINUX_SANDBOX")
        .flag("--disable-linux-sandbox"),
    key("capability.disable_landlock", Kind::Switch)
        .alias("EXECGO_RUNTIME_DISABLE_LANDLOCK")
        .flag("--disable-landlock"),
    key("capability.disable_seccomp", Kind::Switch).alias("EXECGO_RUNTIME_DISABLE_SECCOMP").flag("--disable-seccomp"),
    key("capability.disable_cgroup", Kind::Switch).alias("EXECGO_RUNTIME_DISABLE_CGROUP").flag("--disable-cgroup"),
    key("capability.cgroup_root", Kind::AbsolutePath).flag("--cgroup-root"),
    key("sandbox.uid_base", number(1_000, 2_000_000_000)),
    key("sandbox.uid_count", number(2, 2_000_000_000)),
    key("sandbox.warm_sandboxes", number(0, 64)).flag("--warm-sandboxes"),
    key("callback.allowed_urls", Kind::Urls),
    key("callback.secret_file", Kind::Path).optional(),
    key("callback.timeout_ms", number(1, HOUR_MS)),
    key("callback.retry_ms", number(1, HOUR_MS)),
    key("callback.max_attempts", number(1, 1000)),
    key("log.filter", Kind::LogFilter),
    key("log.format", Kind::Choice(&["text", "json"])),
];

/// How large a tenant's quota of anything may be.
pub const QUOTA: Kind = number(1, MOST);

const fn key(path: &'static str, kind: Kind) -> Key {
    Key { path, kind, optional: false, alias: None, flag: None }
}

const fn number(min: u64, max: u64) -> Kind {
    Kind::Number { min, max }
}

impl Key {
    const fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    const fn alias(mut self, variable: &'static str) -> Self {
        self.alias = Some(variable);
        self
    }

    const fn flag(mut self, flag: &'static str) -> Self {
        self.flag = Some(flag);
        self
    }

    #[must_use]
    pub fn section(&self) -> &'static str {
        self.path.split_once('.').map_or(self.path, |(section, _)| section)
    }

    #[must_use]
    pub fn name(&self) -> &'static str {
        self.path.split_once('.').map_or(self.path, |(_, name)| name)
    }

    /// The environment variable that every key has.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("{PREFIX}{}__{}", self.section(), self.name()).to_uppercase()
    }
}

/// # Panics
/// When the program itself names a key that does not exist.
#[must_use]
pub fn find(path: &str) -> &'static Key {
    KEYS.iter().find(|key| key.path == path).expect("every key the program names is in KEYS")
}

#[must_use]
pub fn lookup(section: &str, name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.section() == section && key.name() == name)
}

#[must_use]
pub fn is_section(name: &str) -> bool {
    KEYS.iter().any(|key| key.section() == name)
}

impl Kind {
    /// What belongs here, in the words of every message and of the documentation.
    #[must_use]
    pub fn allowed(self) -> String {
        match self {
            Self::Name => "text of 1 to 128 characters, not blank, without control characters".to_owned(),
            Self::Path => "a path".to_owned(),
            Self::AbsolutePath => "an absolute path".to_owned(),
            Self::Address => "an IP address and a port, such as 127.0.0.1:8080 or [::1]:8080".to_owned(),
            Self::User => "a user name, UID or UID:GID".to_owned(),
            Self::Number { min, max } => format!("a whole number from {min} to {max}"),
            Self::Switch => "true or false".to_owned(),
            Self::Hosts => "host names without a port, such as runtime.example.com; or * for any".to_owned(),
            Self::Origins => "origins, such as https://example.com or http://example.com:3000".to_owned(),
            Self::Urls => "http:// or https:// URLs without query, such as https://example.com/hooks".to_owned(),
            Self::Choice(words) => words.join(" or "),
            Self::LogFilter => "a log filter, such as info or info,execgo_runtime=debug".to_owned(),
            Self::Tenants => "quotas by tenant name, such as acme: {slots: 2, memory: 1073741824, pids: 64}".to_owned(),
        }
    }

    /// Reads a string of the environment or of the command line as this key's type: it is never guessed from the
    /// value's looks. Tenants have a syntax of their own, see `quota`.
    ///
    /// # Errors
    /// Says what is allowed.
    pub fn read_text(self, raw: &str) -> Result<Value, Problem> {
        let value = match self {
            Self::Number { min, max } => digits(raw).filter(|n| (min..=max).contains(n)).map(Value::from),
            Self::Switch => switch(raw).map(Value::from),
            Self::Hosts | Self::Origins | Self::Urls => {
                self.checked_list(raw.split(',').map(str::trim).filter(|one| !one.is_empty()))
            }
            _ => self.checked_text(raw),
        };
        value.ok_or_else(|| self.refuse(format!("{raw:?}")))
    }

    /// Reads a value of a YAML file; the types of YAML must fit.
    ///
    /// # Errors
    /// Says what is allowed.
    pub fn read_yaml(self, raw: &serde_yaml::Value, optional: bool) -> Result<Value, Problem> {
        use serde_yaml::Value as Yaml;
        let value = match (self, raw) {
            (_, Yaml::Null) if optional => Some(Value::Empty(Tag::Default, Empty::None)),
            (Self::Number { min, max }, Yaml::Number(n)) => {
                n.as_u64().filter(|n| (min..=max).contains(n)).map(Value::from)
            }
            (Self::Switch, Yaml::Bool(on)) => Some(Value::from(*on)),
            (Self::Hosts | Self::Origins | Self::Urls, Yaml::Sequence(all)) => {
                let texts: Option<Vec<&str>> = all.iter().map(Yaml::as_str).collect();
                texts.and_then(|texts| self.checked_list(texts.into_iter()))
            }
            (Self::Number { .. } | Self::Switch | Self::Hosts | Self::Origins | Self::Urls, _) => None,
            (_, Yaml::String(text)) => self.checked_text(text),
            _ => None,
        };
        value.ok_or_else(|| self.refuse(describe(raw)))
    }

    fn checked_list<'a>(self, all: impl Iterator<Item = &'a str>) -> Option<Value> {
        let values: Option<Vec<Value>> = all.map(|one| self.checked_text(one)).collect();
        values.map(Value::from)
    }

    /// A text, or one item of a list.
    fn checked_text(self, raw: &str) -> Option<Value> {
        let printable = !raw.trim().is_empty() && !raw.contains('\0');
        let fits = match self {
            Self::Name => printable && raw.chars().count() <= 128 && !raw.chars().any(char::is_control),
            Self::Path => printable,
            Self::AbsolutePath => printable && Path::new(raw).is_absolute(),
            Self::Address => raw.parse::<SocketAddr>().is_ok(),
            Self::User => printable && !raw.contains(|c: char| c.is_control() || c.is_whitespace() || c == '/'),
            Self::Hosts => raw == "*" || is_host(raw),
            Self::Origins => is_origin(raw),
            Self::Urls => target(raw).is_some(),
            Self::Choice(words) => words.contains(&raw),
            Self::LogFilter => printable && EnvFilter::builder().parse(raw).is_ok(),
            Self::Number { .. } | Self::Switch | Self::Tenants => false,
        };
        fits.then(|| Value::from(raw))
    }

    #[must_use]
    pub fn refuse(self, found: String) -> Problem {
        Problem::Wrong { allowed: self.allowed(), found }
    }
}

fn is_host(raw: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !raw.is_empty() && raw.len() <= 253 && raw.chars().all(plain)
}

/// Scheme and authority alone (RFC 6454).
fn is_origin(raw: &str) -> bool {
    let authority = raw.strip_prefix("http://").or_else(|| raw.strip_prefix("https://"));
    authority
        .and_then(|text| text.parse::<http::uri::Authority>().ok())
        .is_some_and(|found| !found.as_str().contains('@'))
}

fn digits(raw: &str) -> Option<u64> {
    let plain = !raw.is_empty() && raw.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| raw.parse().ok()).flatten()
}

fn switch(raw: &str) -> Option<bool> {
    match raw.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// A YAML value as a message calls it.
#[must_use]
pub fn describe(value: &serde_yaml::Value) -> String {
    use serde_yaml::Value as Yaml;
    match value {
        Yaml::Null => "nothing".to_owned(),
        Yaml::Bool(on) => on.to_string(),
        Yaml::Number(n) => format!("the number {n}"),
        Yaml::String(text) => format!("the text {text:?}"),
        Yaml::Sequence(_) => "a list".to_owned(),
        Yaml::Mapping(_) => "a map".to_owned(),
        Yaml::Tagged(tagged) => format!("a value with the tag {}", tagged.tag),
    }
}
