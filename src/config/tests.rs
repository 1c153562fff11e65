//! The layers as an operator meets them: which one wins, where a value came from, how each mistake is told.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Command, FromArgMatches};
use proptest::prelude::*;

use super::load::DEFAULT_YAML;
use super::schema::{KEYS, Key, Kind, TENANTS};
use super::*;

/// What the table of keys offers for each key: one value for each of the three layers above the defaults.
const VALUES: &[(&str, [&str; 3])] = &[
    ("runtime.id", ["'123456'", "0123456", " x "]),
    ("runtime.data_dir", ["/a", "b c", "../d"]),
    ("server.listen_addr", ["0.0.0.0:1", "'[::1]:2'", "127.0.0.1:0"]),
    ("server.unix_socket", ["a.sock", "/b", "c d"]),
    ("server.tls_cert_file", ["a.pem", "/b", "c d"]),
    ("server.tls_key_file", ["a.pem", "/b", "c d"]),
    ("server.allow_tasks", ["true", "false", "yes"]),
    ("server.max_body_bytes", ["1", "2", "1073741824"]),
    ("server.header_timeout_ms", ["1", "2", "3600000"]),
    ("server.body_timeout_ms", ["1", "2", "3600000"]),
    ("server.shutdown_timeout_ms", ["0", "1", "3600000"]),
    ("access.tokens_file", ["a.yaml", "/b", "c d"]),
    ("access.allow_anonymous", ["true", "false", "yes"]),
    ("access.open_metrics", ["true", "false", "yes"]),
    ("access.allowed_hosts", ["[a.example]", "b.example, *", "c"]),
    ("access.allowed_origins", ["['https://a.example']", "http://b.example:1", "c"]),
    ("queue.max_running_tasks", ["1", "2", "1000000"]),
    ("queue.max_queued_tasks", ["1", "2", "1000000000"]),
    ("queue.dispatch_poll_interval_ms", ["1", "2", "3600000"]),
    ("execution.termination_grace_ms", ["0", "1", "3600000"]),
    ("execution.run_as", ["nobody", "1000", "1000:1000"]),
    ("execution.log_max_bytes", ["1", "2", "9007199254740991"]),
    ("retention.result_retention_secs", ["0", "1", "3153600000"]),
    ("retention.max_tasks", ["0", "1", "9007199254740991"]),
    ("retention.max_bytes", ["0", "1", "9007199254740991"]),
    ("retention.gc_interval_ms", ["1", "2", "86400000"]),
    ("files.blob_max_bytes", ["1", "2", "9007199254740991"]),
    ("files.blobs_max_bytes", ["1", "2", "9007199254740991"]),
    ("files.collect_max_files", ["0", "1", "1000000"]),
    ("files.collect_max_bytes", ["0", "1", "9007199254740991"]),
    ("ledger.memory_bytes", ["1", "2", "9223372036854775807"]),
    ("ledger.pids", ["1", "2", "9223372036854775807"]),
    (TENANTS, ["{a: {slots: 1}}", "a=slots:2", "a=slots:3"]),
    ("capability.default_mode", ["strict", "adaptive", "strict"]),
    ("capability.disable_linux_sandbox", ["true", "false", "true"]),
    ("capability.disable_landlock", ["true", "false", "true"]),
    ("capability.disable_seccomp", ["true", "0", "yes"]),
    ("capability.disable_cgroup", ["true", "0", "yes"]),
    ("capability.cgroup_root", ["/a", "/b", "/c"]),
    ("sandbox.uid_base", ["1000", "2000", "3000"]),
    ("sandbox.uid_count", ["2", "3", "4"]),
    ("sandbox.warm_sandboxes", ["0", "1", "64"]),
    ("callback.allowed_urls", ["['https://a.example/x']", "http://b.example:1, http://c.example", "c"]),
    ("callback.secret_file", ["a", "/b", "c d"]),
    ("callback.timeout_ms", ["1", "2", "3600000"]),
    ("callback.retry_ms", ["1", "2", "3600000"]),
    ("callback.max_attempts", ["1", "2", "1000"]),
    ("log.filter", ["debug", "warn,a=trace", "off"]),
    ("log.format", ["json", "text", "json"]),
];

fn variables(list: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    list.iter().map(|(name, value)| (name.into(), value.into())).collect()
}

fn parse_flags(args: &[&str]) -> Flags {
    let command = Flags::augment_args(Command::new("serve").no_binary_name(true));
    Flags::from_arg_matches(&command.try_get_matches_from(args).expect("known flags")).expect("same type")
}

/// A directory with the given files in it.
struct Files(tempfile::TempDir);

impl Files {
    fn new(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().expect("temporary directory");
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).expect("writable");
        }
        Self(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The faults of the file `c.yaml`, with the directory's name taken out.
    fn faults_of(text: &str) -> String {
        let files = Self::new(&[("c.yaml", text)]);
        let fault = check(&files.path("c.yaml")).expect_err(text).to_string();
        fault.replace(&format!("{}/", files.0.path().display()), "")
    }
}

fn yaml_of(key: &Key, value: &str) -> String {
    format!("{}:\n  {}: {value}\n", key.section(), key.name())
}

/// The value as the configuration shows it, for comparing.
fn shown(loaded: &Loaded, key: &Key) -> (serde_json::Value, String) {
    let tenant = format!("{TENANTS}.a");
    let path = if key.kind == Kind::Tenants { tenant.as_str() } else { key.path };
    let found = loaded.effective().into_iter().find(|effective| effective.key == path);
    found.map(|effective| (effective.value, effective.origin)).expect(path)
}

fn load_layers(key: &Key, file: Option<&str>, variable: Option<&str>, flag: Option<&str>) -> (Files, Loaded) {
    let files = Files::new(&[("c.yaml", &file.map(|value| yaml_of(key, value)).unwrap_or_default())]);
    let mut args = vec![format!("--config={}", files.path("c.yaml").display())];
    args.extend(flag.zip(key.flag).map(|(value, flag)| format!("{flag}={value}")));
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let name = key.variable();
    let set: Vec<_> = variable.map(|value| (name.as_str(), value)).into_iter().collect();
    (files, load(&parse_flags(&args), variables(&set)).expect(key.path))
}

#[test]
fn the_table_of_values_covers_every_key() {
    let known: Vec<_> = KEYS.iter().map(|key| key.path).collect();
    assert_eq!(VALUES.iter().map(|(path, _)| *path).collect::<Vec<_>>(), known);
}

#[test]
fn each_layer_beats_the_one_below_for_every_key() {
    for (key, (_, [file, variable, flag])) in KEYS.iter().zip(VALUES) {
        let (files, loaded) = load_layers(key, Some(file), None, None);
        let (in_file, origin) = shown(&loaded, key);
        assert_eq!(origin, format!("file {}", files.path("c.yaml").display()), "{}", key.path);

        let bare = variable.trim_matches('\'');
        let (_files, loaded) = load_layers(key, Some(file), Some(bare), None);
        let (in_environment, origin) = shown(&loaded, key);
        assert_eq!(origin, format!("environment variable {}", key.variable()));
        assert_ne!(in_environment, in_file, "{}", key.path);

        let (_files, loaded) = load_layers(key, Some(file), Some(bare), Some(flag));
        let (in_flag, origin) = shown(&loaded, key);
        match key.flag {
            Some(name) => {
                assert_eq!(origin, format!("flag {name}"));
                assert_ne!(in_flag, in_environment, "{}", key.path);
            }
            None => assert_eq!((in_flag, origin), (in_environment, format!("environment variable {}", key.variable()))),
        }
    }
}

#[test]
fn the_defaults_are_what_the_flags_promise() {
    let config = Config::default();
    assert_eq!(config.server.listen_addr.to_string(), "127.0.0.1:8080");
    assert_eq!(config.runtime, Runtime { id: None, data_dir: "data".into() });
    assert_eq!(config.capacity(), Capacity { task_slots: 4, memory_bytes: None, pids: None });
    assert_eq!(config.queue.max_queued_tasks, 128);
    let loaded = load(&Flags::default(), []).expect("defaults");
    assert_eq!(loaded.config, config);
    assert!(loaded.effective().iter().all(|effective| effective.origin == "default"));
    assert_eq!(loaded.effective().len(), KEYS.len());
    let mut command = Flags::augment_args(Command::new("serve").term_width(0));
    let help = command.render_long_help().to_string();
    for effective in loaded.effective() {
        let key = schema::find(&effective.key);
        let Some(flag) = key.flag else { continue };
        assert!(help.contains(flag), "{flag}");
        let at = help.find(&format!("{flag} ")).or_else(|| help.find(&format!("{flag}["))).expect(flag);
        let text = help[at..].split("\n\n").next().expect("split gives one");
        let default = match &effective.value {
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Null | serde_json::Value::Object(_) => continue,
            other => other.to_string(),
        };
        assert!(text.contains(&format!("[default: {default}]")), "{flag}: {text}");
    }
}

#[test]
fn default_yaml_explains_every_key_and_what_it_may_hold() {
    let lines: Vec<&str> = DEFAULT_YAML.lines().collect();
    for key in KEYS {
        let at = lines.iter().position(|line| line.starts_with(&format!("  {}:", key.name()))).expect(key.path);
        let comment: Vec<&str> = lines[..at].iter().rev().take_while(|line| line.starts_with("  #")).copied().collect();
        assert!(comment.len() >= 2, "{} needs an explanation", key.path);
        assert_eq!(comment[0], format!("  # Allowed: {}.", key.kind.allowed()), "{}", key.path);
    }
}

#[test]
fn the_example_is_valid() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/config/example.yaml");
    check(example.as_ref()).expect("valid");
    let loaded = load(&parse_flags(&["--config", example]), []).expect("valid");
    assert_eq!(loaded.config.tenant_quotas()["research"].task_slots, 4);
}

#[test]
fn the_documentation_lists_every_key_as_it_is() {
    let page = include_str!("../../docs/configuration.md");
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    let defaults = load(&Flags::default(), []).expect("defaults");
    for effective in defaults.effective() {
        let key = schema::find(&effective.key);
        let default = match &effective.value {
            serde_json::Value::Null => "absent".to_owned(),
            serde_json::Value::String(text) => format!("`{text}`"),
            other => format!("`{other}`"),
        };
        let variables: Vec<_> = [Some(key.variable()), key.alias.map(str::to_owned)].into_iter().flatten().collect();
        let variables = variables.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let flag = key.flag.map_or_else(|| "–".to_owned(), |flag| format!("`{flag}`"));
        let row = format!("| `{}` | {default} | {} | {variables} | {flag} |", key.path, key.kind.allowed());
        assert!(rows.iter().any(|found| found.starts_with(&row)), "docs/configuration.md needs the row\n{row}");
    }
    assert_eq!(rows.len(), KEYS.len(), "docs/configuration.md has a row of a key that does not exist");
}

#[test]
fn a_later_file_beats_an_earlier_one_key_by_key() {
    let files = Files::new(&[
        ("a.yaml", "queue:\n  max_running_tasks: 7\n  max_queued_tasks: 8\nruntime:\n  id: a\n"),
        ("b.yaml", "queue:\n  max_running_tasks: 9\nruntime:\n  id: null\n"),
        ("empty.yaml", "# nothing yet\n"),
    ]);
    let flags =
        Flags { files: ["a.yaml", "b.yaml", "empty.yaml"].map(|name| files.path(name)).into(), ..Flags::default() };
    let loaded = load(&flags, []).expect("valid");
    assert_eq!((loaded.config.queue.max_running_tasks, loaded.config.queue.max_queued_tasks), (9, 8));
    assert_eq!(loaded.config.runtime.id, None, "null takes a lower value away");
    assert!(loaded.origin("queue.max_running_tasks").ends_with("b.yaml"));
    assert!(loaded.origin("queue.max_queued_tasks").ends_with("a.yaml"));
}

#[test]
fn a_quota_replaces_the_same_tenants_quota_and_leaves_the_others() {
    let files = Files::new(&[(
        "c.yaml",
        "ledger:\n  tenants:\n    acme: {slots: 5, memory: 100, pids: 9}\n    dotted.name: {slots: 1}\n    kept: {slots: 2}\n",
    )]);
    let file = format!("--config={}", files.path("c.yaml").display());
    let flags =
        parse_flags(&[&file, "--tenant-quota", "acme=slots:2,pids:3", "--tenant-quota", "new=slots:1,memory:7"]);
    let environment = variables(&[("EXECGO_RUNTIME_LEDGER__TENANTS", "acme=slots:8; dotted.name=slots:6")]);
    let loaded = load(&flags, environment).expect("valid");
    let quota = |name: &str| loaded.config.ledger.tenants[name];
    assert_eq!(quota("acme"), TenantQuota { slots: 2, memory: None, pids: Some(3) });
    assert_eq!(quota("new"), TenantQuota { slots: 1, memory: Some(7), pids: None });
    assert_eq!((quota("dotted.name").slots, quota("kept").slots), (6, 2));
    assert_eq!(loaded.origin("ledger.tenants.acme"), "flag --tenant-quota");
    assert_eq!(loaded.origin("ledger.tenants.dotted.name"), "environment variable EXECGO_RUNTIME_LEDGER__TENANTS");
    assert!(loaded.origin("ledger.tenants.kept").starts_with("file "));
}

#[test]
fn the_seeds_names_set_their_keys() {
    let environment = variables(&[
        ("EXECGO_RUNTIME_ID", "123456"),
        ("EXECGO_RUNTIME_DEFAULT_CAPABILITY_MODE", "strict"),
        ("EXECGO_RUNTIME_DISABLE_LINUX_SANDBOX", "1"),
        ("EXECGO_RUNTIME_DISABLE_CGROUP", "True"),
        ("EXECGO_RUNTIME_CAPACITY_MEMORY_BYTES", "1000"),
        ("EXECGO_RUNTIME_CAPACITY_PIDS", "50"),
        ("EXECGO_RUNTIME_LEDGER__PIDS", "50"),
    ]);
    let Loaded { config, warnings, .. } = load(&Flags::default(), environment).expect("valid");
    assert_eq!(config.runtime.id.as_deref(), Some("123456"), "a string stays a string");
    assert_eq!(config.capability.default_mode, CapabilityMode::Strict);
    assert!(config.capability.disable_linux_sandbox && config.capability.disable_cgroup);
    assert_eq!((config.ledger.memory_bytes, config.ledger.pids), (Some(1000), Some(50)));
    assert_eq!(warnings, Vec::<String>::new());
}

#[test]
fn service_links_and_other_strangers_only_warn() {
    let environment = variables(&[
        ("EXECGO_RUNTIME_SERVICE_HOST", "10.0.0.1"),
        ("EXECGO_RUNTIME_PORT", "tcp://10.0.0.1:8080"),
        ("EXECGO_RUNTIME_SERVER_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("EXECGO_RUNTIME_SERVER_LISTEN_ADDR", "0.0.0.0:1"),
        ("EXECGO_RUNTIME_URL", "http://127.0.0.1:8080"),
        ("EXECGO_RUNTIME_OWNER", "me"),
        ("HOME", "/root"),
    ]);
    let loaded = load(&Flags::default(), environment).expect("starts");
    assert_eq!(loaded.config, Config::default());
    insta::assert_snapshot!(loaded.warnings.join("\n"), @"
    environment variable EXECGO_RUNTIME_PORT is ignored: it names no section
    environment variable EXECGO_RUNTIME_SERVER_LISTEN_ADDR is ignored: it names no section (did you mean EXECGO_RUNTIME_SERVER__LISTEN_ADDR?)
    environment variable EXECGO_RUNTIME_SERVER_PORT_8080_TCP is ignored: it names no section
    environment variable EXECGO_RUNTIME_SERVICE_HOST is ignored: it names no section
    ");
}

#[test]
fn rust_log_beats_the_filter_of_every_layer() {
    let both = variables(&[("RUST_LOG", "trace"), ("EXECGO_RUNTIME_LOG__FILTER", "warn")]);
    let loaded = load(&Flags::default(), both).expect("no conflict");
    assert_eq!(
        (loaded.config.log.filter.as_str(), loaded.origin("log.filter").as_str()),
        ("trace", "environment variable RUST_LOG")
    );
    let empty = load(&Flags::default(), variables(&[("RUST_LOG", "")])).expect("an empty one is none");
    assert_eq!(empty.config.log.filter, "info");
}

#[test]
fn faults_of_files_name_file_key_and_what_is_allowed() {
    let cases = [
        "queue:\n  max_running_task: 3\n",
        "queue:\n  memory_bytes: 3\n",
        "quue:\n  max_running_tasks: 3\n",
        "listen_addr: 0.0.0.0:1\n",
        "queue:\n",
        "queue: {}\n",
        "queue: 5\n",
        "- queue\n",
        "7: {}\n",
        "queue:\n  max_running_tasks: 0\n",
        "queue:\n  max_running_tasks: many\n  max_queued_tasks: '8'\n",
        "queue:\n  max_queued_tasks: -1\n",
        "queue:\n  max_queued_tasks: 1.5\n",
        "queue:\n  max_queued_tasks:\n",
        "runtime:\n  id: 123456\n",
        "runtime:\n  id: ' '\n",
        "runtime:\n  data_dir: ''\n",
        "server:\n  listen_addr: localhost:8080\n",
        "server:\n  listen_addr: 127.0.0.1\n",
        "capability:\n  default_mode: lenient\n  disable_cgroup: 1\n  cgroup_root: execgo\n",
        "log:\n  filter: a=loud\n  format: [json]\n",
        "ledger:\n  tenants:\n",
        "ledger:\n  tenants: [acme]\n",
        "ledger:\n  tenants:\n    acme:\n    7: {slots: 1}\n    b: {slots: 0, memry: 3}\n    c: {memory: 1}\n",
        "queue:\n  max_queued_tasks: 1\n  max_queued_tasks: 2\n",
        "queue:\n  max_queued_tasks: 1\nqueue:\n  max_queued_tasks: 1\n",
        "queue: [\n",
        "queue: {max_queued_tasks: !n 1}\n",
    ];
    let told: Vec<String> = cases.map(|text| format!("{}\n{}\n", text.trim_end(), Files::faults_of(text))).into();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let files = Files::new(&[]);
    for path in [files.path("none.yaml"), files.path(".")] {
        let fault = check(&path).expect_err("no file").to_string();
        assert!(fault.starts_with(&format!("file {}: cannot be read: ", path.display())), "{fault}");
    }
}

#[test]
fn faults_of_variables_name_them() {
    let cases = [
        ("EXECGO_RUNTIME_QUEUE__MAX_RUNNING_TASK", "3"),
        ("EXECGO_RUNTIME_QUEUE__", "3"),
        ("EXECGO_RUNTIME_QUEUE__MAX_RUNNING_TASKS", "0"),
        ("EXECGO_RUNTIME_QUEUE__MAX_RUNNING_TASKS", ""),
        ("EXECGO_RUNTIME_QUEUE__MAX_RUNNING_TASKS", " 4"),
        ("EXECGO_RUNTIME_CAPACITY_MEMORY_BYTES", "4G"),
        ("EXECGO_RUNTIME_DISABLE_CGROUP", "maybe"),
        ("EXECGO_RUNTIME_DEFAULT_CAPABILITY_MODE", "STRICT"),
        ("EXECGO_RUNTIME_LEDGER__TENANTS", "acme=2"),
        ("EXECGO_RUNTIME_LEDGER__TENANTS", "acme=slots:1;acme=slots:2"),
        ("EXECGO_RUNTIME_LEDGER__TENANTS__ACME__SLOTS", "2"),
        ("RUST_LOG", "a=loud"),
    ];
    let fault = |set| load(&Flags::default(), variables(&[set])).expect_err(set.0).to_string();
    insta::assert_snapshot!(cases.map(fault).join("\n"));
}

#[test]
fn an_alias_and_its_long_name_must_agree() {
    let both = variables(&[("EXECGO_RUNTIME_ID", "a"), ("EXECGO_RUNTIME_RUNTIME__ID", "b")]);
    let fault = load(&Flags::default(), both).expect_err("conflict").to_string();
    insta::assert_snapshot!(fault, @r#"environment variable EXECGO_RUNTIME_ID: runtime.id: "a" differs from "b" in EXECGO_RUNTIME_RUNTIME__ID, which sets the same key; set only one of them"#);
    let same =
        variables(&[("EXECGO_RUNTIME_DISABLE_CGROUP", "1"), ("EXECGO_RUNTIME_CAPABILITY__DISABLE_CGROUP", "true")]);
    assert!(load(&Flags::default(), same).expect("they say the same").config.capability.disable_cgroup);
}

#[test]
fn faults_of_flags_name_them_and_all_layers_are_told_together() {
    let files = Files::new(&[("c.yaml", "queue: {max_queued_tasks: 0}\n")]);
    let file = format!("--config={}", files.path("c.yaml").display());
    let args = [
        "--listen-addr=:8080",
        "--max-running-tasks=0",
        "--disable-cgroup=perhaps",
        "--cgroup-root=relative",
        "--tenant-quota=acme",
        "--tenant-quota==slots:1",
        "--tenant-quota=acme=memory:5",
        "--tenant-quota=acme=slots:0",
        "--tenant-quota=acme=slots:1,cpus:2",
        "--tenant-quota=acme=slots:1,slots:2",
        "--tenant-quota=acme=slots:1",
        "--tenant-quota=acme=slots:2",
        file.as_str(),
    ];
    let faults = load(&parse_flags(&args), variables(&[("EXECGO_RUNTIME_LOG__FORMAT", "xml")])).expect_err("faults");
    let text = faults.to_string().replace(&format!("{}/", files.0.path().display()), "");
    insta::assert_snapshot!(text);
}

#[test]
fn switches_can_be_turned_off_again_above_a_file() {
    let files = Files::new(&[("c.yaml", "capability: {disable_cgroup: true, disable_linux_sandbox: true}\n")]);
    let file = format!("--config={}", files.path("c.yaml").display());
    let loaded = load(&parse_flags(&[&file, "--disable-cgroup=false", "--disable-linux-sandbox"]), []).expect("valid");
    assert!(!loaded.config.capability.disable_cgroup);
    assert!(loaded.config.capability.disable_linux_sandbox);
}

proptest! {
    #[test]
    fn a_number_is_taken_exactly_or_refused_whatever_layer_it_stands_in(raw in "[0-9]{1,21}|-?[0-9.]{1,6}|[a-z]{1,4}") {
        let key = schema::find("queue.max_queued_tasks");
        let wanted = raw.parse::<u64>().ok().filter(|n| (1..=1_000_000_000).contains(n));
        let variable = key.variable();
        let in_variable = load(&Flags::default(), variables(&[(&variable, &raw)]));
        let in_flag = load(&Flags { max_queued_tasks: Some(raw.clone()), ..Flags::default() }, []);
        for loaded in [in_variable, in_flag] {
            prop_assert_eq!(loaded.ok().map(|loaded| loaded.config.queue.max_queued_tasks), wanted);
        }
    }

    #[test]
    fn any_quota_that_is_written_down_is_read_back(
        name in "[a-z.é-]{1,8}", slots in 1_u64..1 << 62, memory in prop::option::of(1_u64..1 << 62), pids in prop::option::of(1_u64..100)
    ) {
        let part = |field: &str, amount: Option<u64>| amount.map(|n| format!(",{field}:{n}")).unwrap_or_default();
        let text = format!("{name}=slots:{slots}{}{}", part("memory", memory), part("pids", pids));
        let quota = TenantQuota { slots, memory, pids };
        prop_assert_eq!(quota::read_text(&text).map_err(|fault| fault.to_string()), Ok((name, quota)));
    }

    #[test]
    fn no_text_of_a_file_makes_the_reader_panic(text in "([a-z_]{1,9}|queue|ledger|tenants|[:{}\\[\\]\n ,0-9'-]){0,30}") {
        drop(file::parse(&text, fault::Origin::Default));
    }
}
