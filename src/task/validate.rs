//! The only way from a draft to a valid specification. Every refusal names the field by its JSON path,
//! says what is wrong with the value and what is allowed (see `docs/api.md`, Submit).

pub mod files;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Component, Path};

use super::blob::BlobId;
use super::callback::DraftCallback;
use super::spec::{
    Action, ControlContext, Defaults, Draft, DraftKind, DraftNamespaces, Execution, Limits, Namespaces, Network,
    Profile, Sandbox, Spec, TaskSpec,
};

/// Largest integer that every JSON client can hold exactly (2^53 − 1); the bound of every limit.
pub const MAX_INTEGER: u64 = 9_007_199_254_740_991;
/// `limits.wall_time_ms` when the client names none: five minutes.
pub const DEFAULT_WALL_TIME_MS: u64 = 300_000;
/// `limits.stdout_max_bytes` and `stderr_max_bytes` when the client names none: 4 MiB.
pub const DEFAULT_STREAM_MAX_BYTES: u64 = 4_194_304;
/// `limits.stdout_log_max_bytes` and `stderr_log_max_bytes` when neither client nor operator names one: 256 MiB.
pub const DEFAULT_LOG_MAX_BYTES: u64 = 268_435_456;
/// `limits.open_files`: below, hardly a program starts; above, no kernel's default (`fs.nr_open`) lets a process go.
pub const OPEN_FILES: RangeInclusive<u64> = 16..=1_048_576;
/// `limits.cpu_millis`, in thousandths of a core: the kernel's least quota is a millisecond, here of each 100.
pub const CPU_MILLIS: RangeInclusive<u64> = 10..=MAX_INTEGER;
/// `limits.stdout_max_bytes` and `stderr_max_bytes`: an answer holds in memory what it shows, escaped besides.
pub const SHOWN_BYTES: RangeInclusive<u64> = 1..=16_777_216;
/// What every other limit may be.
pub const LIMIT: RangeInclusive<u64> = 1..=MAX_INTEGER;
const DEFAULT_INTERPRETER: &str = "/bin/sh";

/// One field of a request that cannot be accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct InvalidField {
    /// JSON path, such as `execution.args[1]`.
    pub path: String,
    /// What is wrong and what is allowed.
    pub message: String,
}

impl InvalidField {
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}

/// The path of a member of `path`: a plain name behind a dot, any other key as a JSON string in brackets.
#[must_use]
pub fn member(path: &str, key: &str) -> String {
    let begins = |c: char| c.is_ascii_alphabetic() || c == '_';
    let is_plain = key.starts_with(begins) && key.chars().all(|c| begins(c) || c.is_ascii_digit());
    match (is_plain, path) {
        (true, "") => key.to_owned(),
        (true, _) => format!("{path}.{key}"),
        (false, _) => format!("{path}[{}]", serde_json::Value::from(key)),
    }
}

type Checked<T> = Result<T, InvalidField>;

impl Draft {
    /// Checks every field and fills in the defaults, the server's included.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn validate(self, defaults: Defaults) -> Checked<TaskSpec> {
        let Self {
            kind,
            program,
            args,
            script,
            interpreter,
            env,
            stdin,
            inputs,
            collect,
            giver,
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
            profile,
            workspace_subdir,
            rootfs,
            chroot,
            namespaces,
            network,
            capability_mode,
            control_plane_mode,
            tenant,
            owner,
            expected_runtime_profile,
            requires_strict_sandbox,
            requires_resource_reservation,
            labels,
            callback,
            schedule,
            metadata,
        } = self;
        let action = match kind {
            DraftKind::Command => command(program, script.as_deref(), interpreter.as_deref())?,
            DraftKind::Script => script_action(program.as_deref(), script, interpreter)?,
        };
        let stdin = stdin.map(|digest| BlobId::new(digest, giver.as_deref()));
        let execution = Execution { action, args: texts("execution.args", args)?, env: env_map(env)?, stdin };
        let shown = |path, value| Ok(within(path, value, &SHOWN_BYTES)?.unwrap_or(DEFAULT_STREAM_MAX_BYTES));
        let kept = |path, value| Ok(positive(path, value)?.unwrap_or(defaults.log_max_bytes));
        let limits = Limits {
            wall_time_ms: positive("limits.wall_time_ms", wall_time_ms)?.unwrap_or(DEFAULT_WALL_TIME_MS),
            cpu_time_sec: positive("limits.cpu_time_sec", cpu_time_sec)?,
            memory_bytes: positive("limits.memory_bytes", memory_bytes)?,
            pids_max: positive("limits.pids_max", pids_max)?,
            cpu_millis: within("limits.cpu_millis", cpu_millis, &CPU_MILLIS)?,
            file_size_bytes: positive("limits.file_size_bytes", file_size_bytes)?,
            open_files: within("limits.open_files", open_files, &OPEN_FILES)?,
            workspace_bytes: positive("limits.workspace_bytes", workspace_bytes)?,
            stdout_max_bytes: shown("limits.stdout_max_bytes", stdout_max_bytes)?,
            stderr_max_bytes: shown("limits.stderr_max_bytes", stderr_max_bytes)?,
            stdout_log_max_bytes: kept("limits.stdout_log_max_bytes", stdout_log_max_bytes)?,
            stderr_log_max_bytes: kept("limits.stderr_log_max_bytes", stderr_log_max_bytes)?,
        };
        let sandbox = sandbox(Sandbox {
            profile: profile.unwrap_or(Profile::Process),
            workspace_subdir: subdir(workspace_subdir)?,
            rootfs: rootfs.filter(|r| !is_blank(r)).map(|r| text("sandbox.rootfs", r)).transpose()?,
            chroot: chroot.unwrap_or(false),
            network: agreed_network(network, namespaces)?,
            namespaces: namespaces.map(filled_in),
        })?;
        let control = ControlContext {
            control_plane_mode: named("control_context.control_plane_mode", control_plane_mode)?,
            tenant: named("control_context.tenant", tenant)?,
            owner: named("control_context.owner", owner)?,
            expected_runtime_profile: named("control_context.expected_runtime_profile", expected_runtime_profile)?,
            requires_strict_sandbox: requires_strict_sandbox.unwrap_or(false),
            requires_resource_reservation: requires_resource_reservation.unwrap_or(false),
            labels: keyed("control_context.labels", labels.unwrap_or_default())?,
        };
        Ok(TaskSpec::from_valid(Spec {
            execution,
            inputs: files::inputs(inputs, giver.as_deref())?,
            collect: files::collect(collect)?,
            limits,
            sandbox,
            capability_mode: capability_mode.unwrap_or(defaults.capability_mode),
            control,
            callback: callback.map(DraftCallback::validate).transpose()?,
            schedule: schedule.validate()?,
            metadata: metadata.map(|m| plain_map("metadata", m)).transpose()?,
        }))
    }
}

fn command(program: Option<String>, script: Option<&str>, interpreter: Option<&[String]>) -> Checked<Action> {
    let program = program.filter(|p| !is_blank(p)).ok_or_else(|| {
        InvalidField::new("execution.program", "is required and must not be blank when `execution.kind` is `command`")
    })?;
    if script.is_some_and(|s| !is_blank(s)) {
        let message = "must be absent when `execution.kind` is `command`; use kind `script` to run a script";
        return Err(InvalidField::new("execution.script", message));
    }
    if interpreter.is_some_and(|words| words.iter().any(|w| !is_blank(w))) {
        let message = "must be absent when `execution.kind` is `command`; name the program in `execution.program`";
        return Err(InvalidField::new("execution.interpreter", message));
    }
    Ok(Action::Command { program: text("execution.program", program)? })
}

fn script_action(program: Option<&str>, script: Option<String>, interpreter: Option<Vec<String>>) -> Checked<Action> {
    let script = script.filter(|s| !is_blank(s)).ok_or_else(|| {
        InvalidField::new("execution.script", "is required and must not be blank when `execution.kind` is `script`")
    })?;
    if program.is_some_and(|p| !is_blank(p)) {
        let message = "must be absent when `execution.kind` is `script`; use `execution.interpreter`";
        return Err(InvalidField::new("execution.program", message));
    }
    let interpreter = texts("execution.interpreter", interpreter.filter(|words| !words.is_empty()))?;
    if interpreter.first().is_some_and(|w| is_blank(w)) {
        return Err(InvalidField::new("execution.interpreter[0]", "must not be blank: it names the interpreter"));
    }
    let interpreter = if interpreter.is_empty() { vec![DEFAULT_INTERPRETER.to_owned()] } else { interpreter };
    Ok(Action::Script { script: text("execution.script", script)?, interpreter })
}

fn sandbox(sandbox: Sandbox) -> Checked<Sandbox> {
    if sandbox.chroot && sandbox.profile != Profile::LinuxSandbox {
        return Err(InvalidField::new("sandbox.chroot", "needs `sandbox.profile` to be `linux_sandbox`"));
    }
    if sandbox.chroot && sandbox.rootfs.is_none() {
        return Err(InvalidField::new(
            "sandbox.rootfs",
            "is required and must not be blank when `sandbox.chroot` is true",
        ));
    }
    Ok(sandbox)
}

/// Two ways to ask for the same thing may not say different things.
fn agreed_network(network: Option<Network>, namespaces: Option<DraftNamespaces>) -> Checked<Option<Network>> {
    match (network, namespaces.and_then(|namespaces| namespaces.net)) {
        (Some(Network::Host), Some(true)) => Err(InvalidField::new(
            "sandbox.network",
            "must not be `host` when `sandbox.namespaces.net` is true; leave out one of them",
        )),
        (Some(Network::None), Some(false)) => Err(InvalidField::new(
            "sandbox.network",
            "must not be `none` when `sandbox.namespaces.net` is false; leave out one of them",
        )),
        (network, _) => Ok(network),
    }
}

fn filled_in(DraftNamespaces { mount, pid, uts, ipc, net }: DraftNamespaces) -> Namespaces {
    let default = Namespaces::default();
    Namespaces {
        mount: mount.unwrap_or(default.mount),
        pid: pid.unwrap_or(default.pid),
        uts: uts.unwrap_or(default.uts),
        ipc: ipc.unwrap_or(default.ipc),
        net: net.unwrap_or(default.net),
    }
}

fn subdir(raw: Option<String>) -> Checked<Option<String>> {
    const PATH: &str = "sandbox.workspace_subdir";
    let Some(raw) = raw.filter(|s| !is_blank(s)) else { return Ok(None) };
    let raw = text(PATH, raw)?;
    let inside = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    if !Path::new(&raw).components().all(inside) {
        return Err(InvalidField::new(PATH, "must be a relative path without `..`"));
    }
    Ok(Some(raw))
}

fn positive(path: &'static str, value: Option<u64>) -> Checked<Option<u64>> {
    within(path, value, &LIMIT)
}

/// Refuses a number out of its range.
///
/// # Errors
/// Names the field.
pub fn within(path: &'static str, value: Option<u64>, allowed: &RangeInclusive<u64>) -> Checked<Option<u64>> {
    match value {
        Some(n) if !allowed.contains(&n) => {
            let (least, most) = (allowed.start(), allowed.end());
            Err(InvalidField::new(path, format!("must be an integer from {least} to {most}, not {n}")))
        }
        checked => Ok(checked),
    }
}

fn named(path: &'static str, value: Option<String>) -> Checked<Option<String>> {
    let Some(value) = value else { return Ok(None) };
    if is_blank(&value) {
        return Err(InvalidField::new(path, "must not be blank; leave it out instead"));
    }
    text(path, value).map(Some)
}

fn env_map(env: Option<BTreeMap<String, String>>) -> Checked<BTreeMap<String, String>> {
    keyed("execution.env", env.unwrap_or_default())
}

/// Keys non-empty, without `=`; neither keys nor values hold NUL.
///
/// # Errors
/// Names the first key that is wrong, below `path`.
pub fn keyed(path: &str, map: BTreeMap<String, String>) -> Checked<BTreeMap<String, String>> {
    for key in map.keys() {
        if key.is_empty() || key.contains('=') {
            return Err(InvalidField::new(member(path, key), "must have a key that is not empty and holds no `=`"));
        }
    }
    plain_map(path, map)
}

fn plain_map(path: &str, map: BTreeMap<String, String>) -> Checked<BTreeMap<String, String>> {
    for (key, value) in &map {
        if key.contains('\0') || value.contains('\0') {
            return Err(InvalidField::new(member(path, key), "must not hold a NUL character"));
        }
    }
    Ok(map)
}

fn texts(path: &str, values: Option<Vec<String>>) -> Checked<Vec<String>> {
    let values = values.unwrap_or_default();
    match values.iter().position(|v| v.contains('\0')) {
        Some(index) => Err(InvalidField::new(format!("{path}[{index}]"), "must not hold a NUL character")),
        None => Ok(values),
    }
}

fn text(path: &str, value: String) -> Checked<String> {
    if value.contains('\0') {
        return Err(InvalidField::new(path, "must not hold a NUL character"));
    }
    Ok(value)
}

fn is_blank(value: &str) -> bool {
    value.trim().is_empty()
}

#[cfg(test)]
mod tests {
    use super::super::spec::CapabilityMode;
    use super::*;
    use crate::task::testing::DEFAULTS;

    fn draft() -> Draft {
        Draft { program: Some("/bin/true".into()), ..Draft::default() }
    }

    fn fault(draft: Draft) -> String {
        draft.validate(DEFAULTS).expect_err("refused").path
    }

    #[test]
    fn fills_in_the_documented_defaults() {
        let strict = Defaults { capability_mode: CapabilityMode::Strict, ..DEFAULTS };
        let spec = draft().validate(strict).expect("valid");
        assert_eq!(spec.limits.wall_time_ms, 300_000);
        assert_eq!(spec.limits.stdout_max_bytes, 4_194_304);
        assert_eq!(spec.sandbox.profile, Profile::Process);
        assert_eq!(spec.capability_mode, CapabilityMode::Strict);
    }

    #[test]
    fn command_and_script_exclude_each_other() {
        assert_eq!(fault(Draft { program: Some("  ".into()), ..draft() }), "execution.program");
        assert_eq!(fault(Draft { script: Some("x".into()), ..draft() }), "execution.script");
        assert_eq!(fault(Draft { interpreter: Some(vec!["sh".into()]), ..draft() }), "execution.interpreter");
        assert_eq!(fault(Draft { kind: DraftKind::Script, ..draft() }), "execution.script");
        let both = Draft { kind: DraftKind::Script, script: Some("x".into()), ..draft() };
        assert_eq!(fault(both), "execution.program");
        let blank = Draft { script: Some(" ".into()), interpreter: Some(vec![String::new()]), ..draft() };
        assert!(blank.validate(DEFAULTS).is_ok());
    }

    #[test]
    fn a_script_runs_under_sh_unless_it_names_an_interpreter() {
        let script = |interpreter| Draft {
            kind: DraftKind::Script,
            script: Some("echo hi".into()),
            interpreter,
            ..Draft::default()
        };
        let run_by = |draft: Draft| match &draft.validate(DEFAULTS).expect("valid").execution.action {
            Action::Script { interpreter, .. } => interpreter.clone(),
            Action::Command { .. } => panic!("not a script"),
        };
        assert_eq!(run_by(script(None)), ["/bin/sh"]);
        assert_eq!(run_by(script(Some(vec![]))), ["/bin/sh"]);
        assert_eq!(run_by(script(Some(vec!["bash".into(), "-lc".into()]))), ["bash", "-lc"]);
        assert_eq!(fault(script(Some(vec![" ".into()]))), "execution.interpreter[0]");
    }

    #[test]
    fn every_limit_is_at_least_one_and_an_exact_json_integer() {
        for bad in [0, MAX_INTEGER + 1] {
            assert_eq!(fault(Draft { wall_time_ms: Some(bad), ..draft() }), "limits.wall_time_ms");
            assert_eq!(fault(Draft { cpu_time_sec: Some(bad), ..draft() }), "limits.cpu_time_sec");
            assert_eq!(fault(Draft { memory_bytes: Some(bad), ..draft() }), "limits.memory_bytes");
            assert_eq!(fault(Draft { pids_max: Some(bad), ..draft() }), "limits.pids_max");
            assert_eq!(fault(Draft { cpu_millis: Some(bad), ..draft() }), "limits.cpu_millis");
            assert_eq!(fault(Draft { file_size_bytes: Some(bad), ..draft() }), "limits.file_size_bytes");
            assert_eq!(fault(Draft { workspace_bytes: Some(bad), ..draft() }), "limits.workspace_bytes");
            assert_eq!(fault(Draft { stdout_max_bytes: Some(bad), ..draft() }), "limits.stdout_max_bytes");
            assert_eq!(fault(Draft { stderr_max_bytes: Some(bad), ..draft() }), "limits.stderr_max_bytes");
        }
        assert_eq!(fault(Draft { stdout_max_bytes: Some(16_777_217), ..draft() }), "limits.stdout_max_bytes");
        assert_eq!(fault(Draft { stderr_max_bytes: Some(16_777_217), ..draft() }), "limits.stderr_max_bytes");
        assert!(Draft { stdout_max_bytes: Some(16_777_216), ..draft() }.validate(DEFAULTS).is_ok());
        assert_eq!(fault(Draft { cpu_millis: Some(9), ..draft() }), "limits.cpu_millis");
        assert!(Draft { cpu_millis: Some(10), ..draft() }.validate(DEFAULTS).is_ok());
        for bad in [0, 15, 1_048_577] {
            assert_eq!(fault(Draft { open_files: Some(bad), ..draft() }), "limits.open_files");
        }
        assert!(Draft { open_files: Some(16), ..draft() }.validate(DEFAULTS).is_ok());
        assert!(Draft { wall_time_ms: Some(MAX_INTEGER), ..draft() }.validate(DEFAULTS).is_ok());
    }

    #[test]
    fn the_workspace_subdirectory_stays_inside() {
        for bad in ["..", "a/../b", "/abs", "a/..", "../a"] {
            let draft = Draft { workspace_subdir: Some(bad.into()), ..draft() };
            assert_eq!(fault(draft), "sandbox.workspace_subdir", "{bad}");
        }
        for good in ["a", "a/b", "./a", "..a", "a..b/c"] {
            let draft = Draft { workspace_subdir: Some(good.into()), ..draft() };
            assert!(draft.validate(DEFAULTS).is_ok(), "{good}");
        }
    }

    #[test]
    fn the_network_is_asked_for_in_one_way_or_in_two_that_agree() {
        let asked = |network, net| Draft {
            network,
            namespaces: Some(DraftNamespaces { net, pid: Some(false), ..DraftNamespaces::default() }),
            ..draft()
        };
        let wanted = |draft: Draft| draft.validate(DEFAULTS).expect("valid").sandbox.wanted_namespaces();
        for (network, net) in [(Network::Host, true), (Network::None, false)] {
            assert_eq!(fault(asked(Some(network), Some(net))), "sandbox.network");
            assert_eq!(wanted(asked(Some(network), Some(!net))).net, !net);
            assert_eq!(
                wanted(asked(Some(network), None)),
                Namespaces { pid: false, net: !net, ..Namespaces::default() }
            );
            assert_eq!(wanted(asked(None, Some(net))).net, net);
        }
        assert!(!wanted(draft()).net && wanted(Draft { network: Some(Network::None), ..draft() }).net);
    }

    #[test]
    fn nul_is_refused_by_its_path() {
        let nul = || "a\0b".to_owned();
        let map = || Some(BTreeMap::from([("k".to_owned(), nul())]));
        assert_eq!(fault(Draft { program: Some(nul()), ..draft() }), "execution.program");
        assert_eq!(fault(Draft { args: Some(vec!["ok".into(), nul()]), ..draft() }), "execution.args[1]");
        assert_eq!(fault(Draft { env: map(), ..draft() }), "execution.env.k");
        assert_eq!(fault(Draft { metadata: map(), ..draft() }), "metadata.k");
        assert_eq!(fault(Draft { tenant: Some(nul()), ..draft() }), "control_context.tenant");
    }

    #[test]
    fn a_key_is_named_as_a_field_is_unless_it_would_be_misread() {
        for (key, path) in [("K_1", "m.K_1"), ("a.b", "m[\"a.b\"]"), ("1", "m[\"1\"]"), ("", "m[\"\"]")] {
            assert_eq!(member("m", key), path);
        }
        assert_eq!(member("m", "a\0\""), r#"m["a\u0000\""]"#);
        assert_eq!((member("", "k"), member("", "a b")), ("k".to_owned(), "[\"a b\"]".to_owned()));
    }

    #[test]
    fn keys_and_names_follow_their_rules() {
        let map = |key: &str| Some(BTreeMap::from([(key.to_owned(), "v".to_owned())]));
        for bad in ["", "a=b"] {
            assert_eq!(fault(Draft { env: map(bad), ..draft() }), format!("execution.env[{bad:?}]"));
            assert_eq!(fault(Draft { labels: map(bad), ..draft() }), format!("control_context.labels[{bad:?}]"));
        }
        assert_eq!(fault(Draft { owner: Some(" ".into()), ..draft() }), "control_context.owner");
        assert_eq!(fault(Draft { chroot: Some(true), ..draft() }), "sandbox.chroot");
        let no_rootfs = Draft { chroot: Some(true), profile: Some(Profile::LinuxSandbox), ..draft() };
        assert_eq!(fault(no_rootfs), "sandbox.rootfs");
    }
}
