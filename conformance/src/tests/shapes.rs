//! What every answer, every failure and the events of each outcome look like, kept as snapshots. What differs from
//! machine to machine or from run to run is redacted, after a look at whether it can be what it stands for.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use insta::internals::Content;
use serde_json::{Value, json};
use ureq::http::Method;

use super::reach;
use super::runtime::Runtime;
use crate::case::{Context, sh};
use crate::client::{Call, Exchange};

/// The same on every machine, root or not: what a host may lack is switched off.
const FLAGS: [&str; 12] = [
    "--disable-linux-sandbox",
    "--disable-landlock",
    "--disable-seccomp",
    "--runtime-id",
    "shapes",
    "--max-running-tasks",
    "1",
    "--max-queued-tasks",
    "2",
    "--capacity-memory-bytes",
    "1073741824",
    "--capacity-pids=1000",
];

/// A runtime, and what to redact of its answers.
fn with_runtime(check: impl FnOnce(&Context)) {
    let Some(runtime) = Runtime::start(&FLAGS) else { return };
    let context = reach(&runtime.url(), None);
    let data_dir = runtime.data_dir().to_string_lossy().into_owned();
    let mut settings = insta::Settings::clone_current();
    settings.set_sort_maps(true);
    settings.set_prepend_module_to_snapshot(false);
    settings.add_filter(&regex_of(&data_dir), "[data_dir]");
    settings.add_filter(&regex_of(runtime.url().trim_start_matches("http://")), "[address]");
    for field in ["created_at", "started_at", "finished_at", "updated_at", "reserved_at", "collected_at", "timestamp"] {
        settings.add_dynamic_redaction(&format!(".**.{field}"), time);
    }
    for field in ["pid", "pgid", "shim_pid", "seq", "duration_ms", "user_cpu_ms", "system_cpu_ms", "max_rss_bytes"] {
        settings.add_dynamic_redaction(&format!(".**.{field}"), move |value, _| number(field, &value));
    }
    // Probed, or known of the build.
    let platform = ["platform.os", "platform.arch", "platform.containerized", "platform.kubernetes"];
    for host in platform.into_iter().chain(["sandbox.api_closed_to_tasks", "warnings", "version"]) {
        settings.add_redaction(&format!(".body.{host}"), "[host]");
    }
    settings.bind(|| check(&context));
}

/// A text with nothing special in it.
fn regex_of(text: &str) -> String {
    text.chars().map(|c| if c.is_alphanumeric() { c.to_string() } else { format!("\\{c}") }).collect()
}

fn time(value: Content, _: insta::internals::ContentPath<'_>) -> Content {
    let is_time = value.as_str().is_some_and(|text| humantime::parse_rfc3339(text).is_ok() && text.len() == 24);
    Content::from(if is_time { "[time]".to_owned() } else { format!("no time: {value:?}") })
}

fn number(field: &str, value: &Content) -> Content {
    // The namespace of the same name.
    if let Content::Bool(_) = value {
        return value.clone();
    }
    let is_number = matches!(value, Content::U64(_) | Content::I64(_) | Content::U32(_) | Content::I32(_));
    Content::from(if is_number { format!("[{field}]") } else { format!("no number: {value:?}") })
}

fn shape(exchange: &Exchange) -> Value {
    let mut shape = json!({"status": exchange.status, "content_type": exchange.content_type, "body": exchange.body});
    for name in ["allow", "retry-after"] {
        if let Some(value) = exchange.headers.get(name) {
            shape[name] = json!(value.to_str().expect("text"));
        }
    }
    shape
}

fn named(id: &str, mut request: Value) -> Value {
    request["task_id"] = json!(id);
    request
}

fn limited(command: &str, limits: Value) -> Value {
    let mut request = sh(command);
    request["limits"] = limits;
    request
}

/// A request for each way in which a task can end by itself.
fn endings() -> Vec<(&'static str, Value)> {
    let mut described = sh("echo out; echo err >&2");
    described["metadata"] = json!({"colour": "blue"});
    vec![
        ("success", described),
        ("script", json!({"execution": {"kind": "script", "script": "echo script", "interpreter": ["/bin/sh"]}})),
        ("exit", sh("exit 3")),
        ("signal", sh("kill -TERM $$; sleep 600")),
        ("timeout", limited("sleep 600", json!({"wall_time_ms": 100}))),
        ("file-size", limited("exec head -c 8192 /dev/zero >file", json!({"file_size_bytes": 4096}))),
        ("launch-failed", json!({"execution": {"kind": "command", "program": "/nonexistent/program"}})),
        ("degraded", limited("true", json!({"pids_max": 8, "memory_bytes": 1 << 28}))),
        ("truncated", limited("echo 0123456789", json!({"stdout_max_bytes": 4}))),
    ]
}

fn show(context: &Context, name: &str, id: &str) {
    let status = context.client.get(&format!("/api/v1/tasks/{id}")).expect("an answer");
    insta::assert_json_snapshot!(format!("status_{name}"), shape(&status));
    let events = context.client.get(&format!("/api/v1/tasks/{id}/events")).expect("an answer");
    insta::assert_json_snapshot!(format!("events_{name}"), shape(&events));
}

#[test]
fn an_ended_task() {
    with_runtime(|context| {
        for (name, request) in endings() {
            let id = context.submit(&named(name, request)).expect("accepted");
            context.ended(&id).expect("ended");
            show(context, name, &id);
        }
    });
}

fn wait_for_output(context: &Context, id: &str) {
    let deadline = Instant::now() + context.patience.get();
    while context.status(id).expect("a status").body["stdout"] == "" {
        assert!(Instant::now() < deadline, "{id} writes nothing");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_task_that_runs_or_waits_and_its_kill() {
    with_runtime(|context| {
        let kill = |id: &str| context.client.post_nothing(&format!("/api/v1/tasks/{id}/kill")).expect("an answer");
        let submit = |id: &str| {
            let submitted = context.client.post("/api/v1/tasks", &named(id, sh("echo begun; exec sleep 600")));
            submitted.expect("an answer")
        };
        insta::assert_json_snapshot!("submit", shape(&submit("running")));
        context.running("running").expect("it runs");
        wait_for_output(context, "running");
        submit("waiting");
        show(context, "running", "running");
        show(context, "waiting", "waiting");
        let resources = context.client.get("/api/v1/runtime/resources").expect("an answer");
        insta::assert_json_snapshot!("resources_busy", shape(&resources));
        insta::assert_json_snapshot!("kill_waiting", shape(&kill("waiting")));
        insta::assert_json_snapshot!("kill_running", shape(&kill("running")));
        for id in ["waiting", "running"] {
            context.ended(id).expect("ended");
            show(context, &format!("cancelled_{id}"), id);
        }
    });
}

#[test]
fn the_runtime_itself() {
    with_runtime(|context| {
        for name in ["info", "capabilities", "config", "resources"] {
            let answer = context.client.get(&format!("/api/v1/runtime/{name}")).expect("an answer");
            insta::assert_json_snapshot!(format!("runtime_{name}"), shape(&answer));
        }
        for name in ["healthz", "readyz"] {
            let answer = context.client.get(&format!("/{name}")).expect("an answer");
            insta::assert_json_snapshot!(name, shape(&answer));
        }
        let metrics = context.client.get("/metrics").expect("an answer");
        let types: Vec<_> = metrics.text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        insta::assert_json_snapshot!("metrics", json!({"content_type": metrics.content_type, "types": types}));
        let document = context.client.get("/openapi.json").expect("an answer").body;
        let operations = document["paths"].as_object().expect("paths").iter().map(|(path, methods)| {
            let methods: Vec<_> = methods.as_object().expect("methods").keys().cloned().collect();
            (path.clone(), methods)
        });
        insta::assert_json_snapshot!("document_paths", operations.collect::<BTreeMap<_, _>>());
    });
}

fn refused_submissions() -> Vec<(&'static str, Value)> {
    let strict = |mut request: Value| {
        request["policy"] = json!({"capability_mode": "strict"});
        request
    };
    let mut sandboxed = sh("true");
    sandboxed["sandbox"] = json!({"profile": "linux_sandbox"});
    vec![
        ("a body that is no object", json!([])),
        ("nothing to run", json!({})),
        ("an unknown field", json!({"execution": {"kind": "command", "program": "true"}, "limit": {}})),
        ("another type", limited("true", json!({"wall_time_ms": "soon"}))),
        ("below the bound", limited("true", json!({"wall_time_ms": 0}))),
        ("an unknown word", json!({"execution": {"kind": "container", "program": "true"}})),
        ("a field of the other kind", json!({"execution": {"kind": "command", "program": "true", "script": "true"}})),
        ("a task_id that leaves its directory", named("..", sh("true"))),
        ("a strict task whose sandbox is missing", strict(sandboxed)),
        ("a strict task whose limit is not enforced", strict(limited("true", json!({"pids_max": 8})))),
        ("more than there can be", limited("true", json!({"memory_bytes": 1_u64 << 31}))),
    ]
}

#[test]
fn every_failure() {
    with_runtime(|context| {
        let post = |path: &str| Call::new(Method::POST, path);
        let raw = |content_type: &str, body: &[u8]| {
            post("/api/v1/tasks").header("content-type", content_type).bytes(body.to_vec())
        };
        let mut owned = named("owned", sh("sleep 600"));
        owned["control_context"] = json!({"owner": "somebody"});
        context.submit(&owned).expect("accepted");
        context.running("owned").expect("it runs");
        for id in ["second", "third"] {
            context.submit(&named(id, sh("true"))).expect("accepted");
        }
        let known = named("second", sh("true"));
        let mut calls: Vec<_> = refused_submissions()
            .into_iter()
            .map(|(name, request)| (name, post("/api/v1/tasks").json(&request)))
            .collect();
        calls.extend([
            ("a body that is no JSON", raw("application/json", b"{\"execution\"")),
            ("a key that stands twice", raw("application/json", b"{\"metadata\":{},\"metadata\":{}}")),
            ("another content type", raw("text/plain", b"{}")),
            ("a body that is too large", raw("application/json", &vec![b' '; (4 << 20) + 1])),
            ("an unknown parameter", Call::new(Method::GET, "/api/v1/runtime/info?verbose=1")),
            ("a parameter of another type", Call::new(Method::GET, "/api/v1/tasks/owned?wait_ms=soon")),
            ("an unknown task", Call::new(Method::GET, "/api/v1/tasks/nobody")),
            ("an unknown path", Call::new(Method::GET, "/api/v2/tasks")),
            ("a method that the path has not", Call::new(Method::DELETE, "/api/v1/tasks")),
            ("a kill by somebody else", post("/api/v1/tasks/owned/kill")),
            ("a task_id that is known", post("/api/v1/tasks").json(&known)),
            ("a full queue", post("/api/v1/tasks").json(&sh("true"))),
        ]);
        let answers =
            calls.into_iter().map(|(name, call)| (name, shape(&context.client.send(call).expect("an answer"))));
        insta::assert_json_snapshot!("failures", answers.collect::<BTreeMap<_, _>>());
        let kill = post("/api/v1/tasks/owned/kill").header("x-execgo-owner", "somebody");
        context.client.send(kill).expect("an answer").expect_status(200, "its owner kills it").expect("killed");
    });
}
