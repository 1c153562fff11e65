//! What the reference says of a submission and no schema can: which fields go together, which keys are allowed, how
//! little a command can do with; and that no generated command does anything but end.

use proptest::collection::vec;
use proptest::prelude::{Arbitrary, BoxedStrategy, Just, Strategy, any, prop_oneof};
use proptest::sample::select;
use serde_json::{Map, Value, json};

const MIB: i64 = 1 << 20;
/// The bound of every limit that has no other: what any JSON client holds exactly.
const MOST: i64 = (1 << 53) - 1;
/// Prints what it is given, so that one sees from outside what reached the inside.
const SAY: &str = r#"printf '%s\n' "$GREETING" "$@""#;
const GREETING: &str = "GREETING";

/// What a generated task does.
#[derive(Clone, Copy, Debug)]
pub enum Harmless {
    True,
    Exit(u8),
    Say,
}

impl Arbitrary for Harmless {
    type Parameters = ();
    type Strategy = BoxedStrategy<Self>;

    fn arbitrary_with((): ()) -> Self::Strategy {
        // The one that says what reached it shows the most.
        prop_oneof![1 => Just(Self::True), 1 => any::<u8>().prop_map(Self::Exit), 2 => Just(Self::Say)].boxed()
    }
}

/// The values of the field at `path`, where the schema allows what would stop a harmless command.
#[must_use]
pub fn instead(path: &str) -> Option<BoxedStrategy<Value>> {
    Some(match path {
        "limits.wall_time_ms" => between(60_000, MOST),
        "limits.cpu_time_sec" => between(10, MOST),
        "limits.memory_bytes" => between(64 * MIB, MOST),
        "limits.pids_max" => between(16, MOST),
        "limits.cpu_millis" => between(500, MOST),
        "limits.file_size_bytes" | "limits.workspace_bytes" => between(MIB, MOST),
        "limits.stdout_log_max_bytes" | "limits.stderr_log_max_bytes" => between(MIB, MOST),
        "limits.open_files" => between(64, 1 << 20),
        // What a blob is named by is nothing that can be made up.
        "execution.stdin" => content().boxed(),
        "inputs" => vec(content(), 0..4).prop_map(|contents| files(contents).into()).boxed(),
        "collect[]" => select(vec!["out/**", "*", "**/*.log", "{a,b}/?"]).prop_map(Value::from).boxed(),
        // No generated task waits for anything but its turn.
        "schedule.start_after" => {
            select(vec!["1970-01-01T00:00:00Z", "2020-02-29T23:59:59.999+14:00"]).prop_map(Value::from).boxed()
        }
        "schedule.expires_at" => select(vec!["2100-01-01T00:00:00Z"]).prop_map(Value::from).boxed(),
        "schedule.depends_on" => Just(json!([])).boxed(),
        // A name and a path have a longest length on a file system.
        "sandbox.workspace_subdir" => {
            "(\\./)?(\\.?[^/.\0][^/\0]{0,8}/){0,2}\\.{0,3}[^/.\0][^/\0]{0,8}".prop_map(Value::from).boxed()
        }
        _ => return None,
    })
}

/// Whether the reference asks for exactly one of this field and others beside it.
#[must_use]
pub fn is_one_of_several(field: &str) -> bool {
    let (object, name) = field.rsplit_once('.').unwrap_or_default();
    ["execution.stdin", "inputs[0]"].contains(&object) && ["text", "base64", "blob"].contains(&name)
}

/// Whether what the field belongs to is valid only with the name of a task that is there.
#[must_use]
pub fn names_a_task(field: &str) -> bool {
    field.starts_with("schedule.depends_on[0].")
}

fn content() -> impl Strategy<Value = Value> {
    let text = any::<String>().prop_map(|text| json!({"text": text}));
    let base64 = "([A-Za-z0-9+/]{4}){0,8}".prop_map(|bytes| json!({"base64": bytes}));
    prop_oneof![text, base64]
}

/// Each at a place of its own.
fn files(contents: Vec<Value>) -> Vec<Value> {
    let place = |(index, mut content): (usize, Value)| {
        content["path"] = json!(format!("given/{index}/file"));
        content
    };
    contents.into_iter().enumerate().map(place).collect()
}

/// The keys of the map at `path`.
pub fn keys(path: &str) -> BoxedStrategy<String> {
    match path {
        // Whatever a shell or a loader heeds is in capitals.
        "execution.env" => {
            let known = select(vec![GREETING, "HOME", "LANG", "TMPDIR", "USER"]).prop_map(str::to_owned);
            prop_oneof![known, "[^\0=A-Z][^\0=]{0,12}"].boxed()
        }
        "control_context.labels" => "[^\0=]{1,12}".boxed(),
        _ => "[^\0]{0,12}".boxed(),
    }
}

/// All of a range, and often its ends.
pub fn between(least: i64, most: i64) -> BoxedStrategy<Value> {
    let small = least..=least.saturating_mul(16).max(least.saturating_add(16)).min(most);
    prop_oneof![small, least..=most, select(vec![least, most])].prop_map(Value::from).boxed()
}

/// Makes the fields of a request agree with each other, and the command harmless.
#[must_use]
pub fn settle(mut request: Value, harmless: Harmless) -> Value {
    if let Some(execution) = request["execution"].as_object_mut() {
        tame(execution, harmless);
    }
    // Where a runtime may call is said by its configuration.
    request.as_object_mut().map(|request| request.remove("callback"));
    if let Some(sandbox) = request.get_mut("sandbox").and_then(Value::as_object_mut) {
        agree(sandbox);
    }
    request
}

fn tame(execution: &mut Map<String, Value>, harmless: Harmless) {
    let is_script = execution.get("kind") == Some(&json!("script"));
    let text = match harmless {
        Harmless::True => "true".to_owned(),
        Harmless::Exit(code) => format!("exit {code}"),
        Harmless::Say => SAY.to_owned(),
    };
    if is_script {
        execution.insert("script".to_owned(), json!(text));
        // As generated its words would be run.
        if execution.get("interpreter").is_some_and(|words| words.as_array().is_some_and(|words| !words.is_empty())) {
            execution.insert("interpreter".to_owned(), json!(["/bin/sh", "-e"]));
        }
    } else if let Harmless::True = harmless {
        execution.insert("program".to_owned(), json!("true"));
    } else {
        execution.insert("program".to_owned(), json!("/bin/sh"));
        let given = execution.get("args").and_then(Value::as_array).cloned().unwrap_or_default();
        let args = [json!("-c"), json!(text), json!("sh")].into_iter().chain(given).collect();
        execution.insert("args".to_owned(), Value::Array(args));
    }
}

/// One way to ask for a network is enough; another root needs a sandbox and a name.
fn agree(sandbox: &mut Map<String, Value>) {
    let net = sandbox.get("namespaces").and_then(|namespaces| namespaces["net"].as_bool());
    if net.is_some() {
        sandbox.remove("network");
    }
    if sandbox.get("chroot") == Some(&json!(true)) {
        let rootfs = sandbox.get("rootfs").and_then(Value::as_str).unwrap_or_default();
        let is_named = !rootfs.trim().is_empty();
        sandbox.insert("chroot".to_owned(), json!(is_named));
        if is_named {
            sandbox.insert("profile".to_owned(), json!("linux_sandbox"));
        }
    }
}

/// What the command prints and with what it exits; nothing when that depends on the machine.
#[must_use]
pub fn expected(request: &Value) -> Option<(String, u8)> {
    if request["sandbox"]["chroot"] == json!(true) {
        return None;
    }
    let execution = &request["execution"];
    let args: Vec<_> = execution["args"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let (text, args) = match (execution["script"].as_str(), args.as_slice()) {
        (Some(script), args) if execution["kind"] == "script" => (script, args),
        (_, ["-c", script, "sh", args @ ..]) if execution["program"] == "/bin/sh" => (*script, args),
        _ => ("true", args.as_slice()),
    };
    if text == SAY {
        let greeting = execution["env"][GREETING].as_str().unwrap_or_default();
        let lines = std::iter::once(&greeting).chain(args).map(|line| format!("{line}\n"));
        return Some((lines.collect(), 0));
    }
    let code = text.strip_prefix("exit ").and_then(|code| code.parse().ok()).unwrap_or(0);
    Some((String::new(), code))
}

/// Requests that break a rule of this file and nothing else, each with the field that is wrong.
#[must_use]
pub fn broken(request: &Value) -> Vec<(String, Value)> {
    let with = |path: &str, value: Value| {
        let mut request = request.clone();
        // What is absent or null becomes an object on the way.
        *path.split('.').fold(&mut request, |place, name| &mut place[name]) = value;
        request
    };
    let entry = |path: &str, key: &str| (format!("{path}[{}]", json!(key)), with(path, json!({key: "value"})));
    let mut all = Vec::new();
    for key in ["", "=", "a=b"] {
        all.extend(["execution.env", "control_context.labels"].map(|path| entry(path, key)));
    }
    for key in ["\0", "a\0b"] {
        all.extend(["execution.env", "metadata"].map(|path| entry(path, key)));
    }
    for (network, net) in [("host", true), ("none", false)] {
        let sandbox = json!({"network": network, "namespaces": {"net": net}});
        all.push(("sandbox.network".to_owned(), with("sandbox", sandbox)));
    }
    for stdin in [json!({}), json!({"text": "a", "base64": "YQ=="}), json!({"text": null})] {
        all.push(("execution.stdin".to_owned(), with("execution.stdin", stdin)));
    }
    for (first, second) in [("a", "a"), ("a", "a/b"), ("a/b", "a")] {
        let inputs = json!([{"path": first, "text": ""}, {"path": second, "text": ""}]);
        all.push(("inputs[1].path".to_owned(), with("inputs", inputs)));
    }
    let unknown = json!([{"path": "a", "blob": "0".repeat(64)}]);
    all.push(("inputs[0].blob".to_owned(), with("inputs", unknown)));
    let ends_first = json!({"start_after": "2020-01-02T00:00:00Z", "expires_at": "2020-01-01T00:00:00Z"});
    all.push(("schedule.expires_at".to_owned(), with("schedule", ends_first)));
    all.push(("sandbox.chroot".to_owned(), with("sandbox", json!({"chroot": true, "rootfs": "/srv/root"}))));
    for rootfs in [json!(null), json!(""), json!(" \t")] {
        let sandbox = json!({"chroot": true, "profile": "linux_sandbox", "rootfs": rootfs});
        all.push(("sandbox.rootfs".to_owned(), with("sandbox", sandbox)));
    }
    all
}

#[cfg(test)]
#[must_use]
pub fn is_harmless(execution: &Value) -> bool {
    let texts = |text: &Value| {
        let text = text.as_str().unwrap_or_default();
        text == "true" || text == SAY || text.strip_prefix("exit ").is_some_and(|code| code.parse::<u8>().is_ok())
    };
    let interpreter = execution["interpreter"].as_array();
    match execution["kind"].as_str() {
        Some("script") => {
            let by_sh = interpreter.is_none_or(|words| words.is_empty() || *words == [json!("/bin/sh"), json!("-e")]);
            by_sh && texts(&execution["script"])
        }
        Some("command") => {
            let by_sh = execution["program"] == "/bin/sh" && execution["args"][0] == "-c";
            execution["program"] == "true" || by_sh && texts(&execution["args"][1])
        }
        _ => false,
    }
}
