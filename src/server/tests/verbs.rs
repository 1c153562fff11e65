//! Each verb as its client sees it.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use poem::http::Method;
use serde_json::{Value, json};

use super::{Server, command};
use crate::api::{EventRecord, SubmitTaskRequest, TaskStatusResponse, parse};
use crate::task::TaskId;

/// Hides what differs from run to run.
fn settled(mut status: Value, server: &Server) -> Value {
    for key in ["created_at", "updated_at", "started_at", "finished_at"] {
        if status.get(key).is_some() {
            status[key] = json!("[time]");
        }
    }
    let dir = server.dir.path().to_str().expect("text");
    serde_json::from_str(&status.to_string().replace(dir, "[data_dir]")).expect("JSON")
}

fn log(server: &Server, id: &TaskId, name: &str, bytes: &[u8]) {
    let dir = server.dir.path().join("tasks").join(id.as_str());
    std::fs::create_dir_all(&dir).expect("a directory");
    std::fs::write(dir.join(name), bytes).expect("writes");
}

#[tokio::test]
async fn submit_answers_with_the_id_and_keeps_the_request_for_the_owner_alone() {
    let server = Server::new();
    let answer = server.submit(command(json!({"metadata": {"b": "2", "a": "1"}, "limits": {"pids_max": null}}))).await;
    assert_eq!(answer.status, 200);
    let submitted = answer.json();
    let id = submitted["task_id"].as_str().expect("text").to_owned();
    assert_eq!(submitted, json!({"task_id": id, "handle_id": id, "status": "accepted"}));

    let dir = server.dir.path().join("tasks").join(&id);
    let file = dir.join("request.json");
    let kept = std::fs::read(&file).expect("request.json");
    let request: SubmitTaskRequest = parse(&kept).expect("is a request again");
    assert_eq!(request.task_id.as_deref(), Some(id.as_str()));
    assert_eq!(request.metadata.expect("kept")["a"], "1");
    let mode = |path: &std::path::Path| path.metadata().expect("there").permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(&dir)), (0o600, 0o700));
    assert_eq!(std::fs::read_dir(&dir).expect("reads").count(), 1, "no temporary file is left");
}

#[tokio::test]
async fn a_refused_submission_leaves_nothing_behind() {
    let server = Server::new();
    server.submit(command(json!({"task_id": "t", "limits": {"memory_bytes": 2_u64 << 30}}))).await;
    assert!(!server.dir.path().join("tasks").exists());
}

#[tokio::test]
async fn an_accepted_task_shows_neither_pids_nor_times_that_it_does_not_have() {
    let server = Server::new();
    server.accept("t").await;
    let answer = server.get("/api/v1/tasks/t").await;
    insta::assert_json_snapshot!(settled(answer.json(), &server));
    assert!(!answer.text.contains("null"), "absent fields are left out: {}", answer.text);
}

#[tokio::test]
async fn an_ended_script_shows_all_that_is_known() {
    let server = Server::new();
    let script = json!({
        "task_id": "s",
        "execution": {"kind": "script", "script": "exit 3", "interpreter": ["python3", "-u"]},
        "limits": {"memory_bytes": 1_048_576, "pids_max": 5, "stdout_max_bytes": 4},
        "metadata": {"z": "1", "a": "2"},
    });
    assert_eq!(server.submit(script.to_string()).await.status, 200);
    let id = TaskId::parse("s").expect("valid");
    server.fake.start(&id);
    log(&server, &id, "stdout.log", "abcé".as_bytes());
    log(&server, &id, "stderr.log", b"oops \xff");
    server.fake.finish(&id, 3);
    let answer = server.get("/api/v1/tasks/s").await;
    insta::assert_json_snapshot!(settled(answer.json(), &server));
    let again: TaskStatusResponse = serde_json::from_str(&answer.text).expect("reads back");
    assert_eq!(serde_json::to_value(again).expect("JSON"), answer.json());
}

#[tokio::test]
async fn a_running_task_shows_the_time_so_far_and_its_output_so_far() {
    let server = Server::new();
    let id = server.accept("t").await;
    server.fake.start(&id);
    log(&server, &id, "stdout.log", b"one");
    let first = server.get("/api/v1/tasks/t").await.json();
    assert_eq!((&first["status"], &first["stdout"]), (&json!("running"), &json!("one")));
    assert!(first["duration_ms"].as_u64().expect("a number") > 0);
    assert_eq!(first["reservation"], json!({"task_slots": 1}));
    log(&server, &id, "stdout.log", b"one two");
    assert_eq!(server.get("/api/v1/tasks/t").await.json()["stdout"], "one two");
}

#[tokio::test]
async fn a_wait_ends_at_the_end_of_the_task_or_at_its_time() {
    let server = Server::new();
    let id = server.accept("t").await;
    let started = Instant::now();
    assert_eq!(server.get("/api/v1/tasks/t?wait_ms=50").await.json()["status"], "accepted");
    assert!(started.elapsed() >= Duration::from_millis(50));

    let started = Instant::now();
    let steps = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        server.fake.start(&id);
        tokio::time::sleep(Duration::from_millis(20)).await;
        server.fake.finish(&id, 0);
    };
    let (answer, ()) = tokio::join!(server.get("/api/v1/tasks/t?wait_ms=60000"), steps);
    assert_eq!(answer.json()["status"], "success");
    assert!(started.elapsed() < Duration::from_secs(10));
    assert!(!server.fake.waits_for(&id), "the subscription ended with the request");
    assert_eq!(server.get("/api/v1/tasks/t?wait_ms=60000").await.json()["status"], "success", "at once");
    assert_eq!(server.get("/api/v1/tasks/none?wait_ms=60000").await.status, 404, "at once");
}

/// The answer to a wait for `what`, and what it took; `step` is done again and again, for nobody knows when the server has
/// looked at how things are.
async fn waited(server: &Server, what: &str, id: &TaskId, mut step: impl FnMut()) -> (Value, Duration) {
    let started = Instant::now();
    let steps = async {
        while !server.fake.waits_for(id) {
            tokio::task::yield_now().await;
        }
        loop {
            step();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let path = format!("/api/v1/tasks/{id}?wait_ms=60000&wait_for={what}");
    tokio::select! {
        answer = server.get(&path) => (answer.json(), started.elapsed()),
        () = steps => unreachable!("the steps do not end"),
    }
}

/// Done once, however often it is asked for.
fn once(step: impl FnOnce()) -> impl FnMut() {
    let mut step = Some(step);
    move || {
        if let Some(step) = step.take() {
            step();
        }
    }
}

/// Appends, as the shim does.
fn append(server: &Server, name: &str) {
    let path = server.dir.path().join("tasks/t").join(name);
    let file = std::fs::File::options().append(true).open(path);
    std::io::Write::write_all(&mut file.expect("opened"), b"more").expect("written");
}

#[tokio::test]
async fn a_wait_ends_at_the_start_at_a_change_or_when_there_is_more_output() {
    const SOON: Duration = Duration::from_secs(10);
    let server = Server::new();
    let id = server.accept("t").await;
    let path = |what: &str| format!("/api/v1/tasks/t?wait_ms=40&wait_for={what}");
    for what in ["started", "output", "change", "terminal"] {
        assert_eq!(server.get(&path(what)).await.json()["status"], "accepted", "{what} does not come");
    }
    let (status, took) = waited(&server, "started", &id, once(|| drop(server.fake.start(&id)))).await;
    assert!(status["status"] == "running" && took < SOON, "{took:?}");
    // What is there at the time of the call does not count, the other stream does.
    log(&server, &id, "stdout.log", b"one");
    log(&server, &id, "stderr.log", b"");
    for what in ["output", "change"] {
        assert_eq!(server.get(&path(what)).await.json()["stdout"], "one", "{what}");
    }
    let (status, took) = waited(&server, "output", &id, || append(&server, "stderr.log")).await;
    let more = status["stderr"].as_str().is_some_and(|text| text.starts_with("more"));
    assert!(status["status"] == "running" && more && took < SOON, "{status} {took:?}");
    let (status, took) = waited(&server, "change", &id, once(|| drop(server.fake.finish(&id, 0)))).await;
    assert!(status["status"] == "success" && took < SOON, "{took:?}");
    for what in ["started", "output", "change", "terminal"] {
        let asked = Instant::now();
        let status = server.get(&format!("/api/v1/tasks/t?wait_ms=60000&wait_for={what}")).await.json();
        assert!(status["status"] == "success" && asked.elapsed() < SOON, "nothing comes any more: at once");
    }
    assert!(!server.fake.waits_for(&id), "the subscription ended with the request");
}

#[tokio::test]
async fn a_task_that_waits_for_its_start_has_output_when_it_writes() {
    let server = Server::new();
    let id = server.accept("t").await;
    let mut start = once(|| {
        log(&server, &id, "stdout.log", b"");
        server.fake.start(&id);
    });
    let step = || {
        start();
        append(&server, "stdout.log");
    };
    let (status, took) = waited(&server, "output", &id, step).await;
    let more = status["stdout"].as_str().is_some_and(|text| text.starts_with("more"));
    assert!(status["status"] == "running" && more && took < Duration::from_secs(10), "{status} {took:?}");
}

#[tokio::test]
async fn kill_needs_the_owner_where_there_is_one() {
    let server = Server::new();
    let owned = command(json!({"task_id": "t", "control_context": {"owner": "équipe"}}));
    assert_eq!(server.submit(owned).await.status, 200);
    for headers in [&[][..], &[("x-execgo-owner", "other")]] {
        let (status, code, _) = server.send(Method::POST, "/api/v1/tasks/t/kill", headers, ()).await.fault();
        assert_eq!((status, code.as_str()), (403, "permission_denied"));
    }
    let owner = [("x-execgo-owner", "équipe")];
    let answer = server.send(Method::POST, "/api/v1/tasks/t/kill", &owner, ()).await;
    assert_eq!(answer.json()["status"], "cancelled");
    let again = server.send(Method::POST, "/api/v1/tasks/t/kill", &owner, ()).await;
    assert_eq!(again.json(), answer.json(), "asking again changes nothing");
}

#[tokio::test]
async fn kill_says_how_and_refuses_what_it_does_not_know() {
    let server = Server::new();
    let id = server.accept("t").await;
    server.fake.start(&id);
    for (body, field) in [
        (r#"{"grace":1}"#, "grace is not a known field"),
        (r#"{"grace_ms":3600001}"#, "grace_ms must be an integer from 0 to 3600000, not 3600001"),
        (r#"{"grace_ms":-1}"#, "grace_ms must be an integer from 0 to 3600000, not -1"),
        (r#"{"signal":"INT"}"#, "signal"),
        (r#"{"signal":2}"#, "signal"),
    ] {
        let (status, _, message) = server.post("/api/v1/tasks/t/kill", body).await.fault();
        assert!(status == 400 && message.starts_with(field), "{body}: {message}");
    }
    for body in ["", "{}", r#"{"signal":"SIGINT","grace_ms":0}"#] {
        assert_eq!(server.post("/api/v1/tasks/t/kill", body).await.status, 200);
    }
    let events = server.get("/api/v1/tasks/t/events").await.json();
    let kills = events.as_array().expect("a list").iter().filter(|event| event["event_type"] == "kill_requested");
    let data: Vec<_> = kills.map(|event| event["data"].clone()).collect();
    assert_eq!(data, [Value::Null, json!({"signal": "SIGINT", "grace_ms": 0})]);
    assert_eq!(server.send(Method::POST, "/api/v1/tasks/t/kill", &[], "{}").await.fault().0, 415);
    assert_eq!(server.post("/api/v1/tasks/none/kill", "").await.fault().0, 404);
}

#[tokio::test]
async fn events_come_in_order_and_without_nulls() {
    let server = Server::new();
    let id = server.accept("t").await;
    server.fake.start(&id);
    server.fake.finish(&id, 0);
    let answer = server.get("/api/v1/tasks/t/events").await;
    assert!(!answer.text.contains("null"), "{}", answer.text);
    let events: Vec<EventRecord> = serde_json::from_str(&answer.text).expect("events");
    let types: Vec<Value> = answer.json().as_array().expect("a list").iter().map(|e| e["event_type"].clone()).collect();
    assert_eq!(
        Value::from(types),
        json!(["submitted", "accepted", "planned", "resource_reserved", "started", "resource_released", "finished"])
    );
    assert!(events.windows(2).all(|pair| pair[0].seq < pair[1].seq));
    assert_eq!(server.get("/api/v1/tasks/none/events").await.fault().0, 404);
}

#[tokio::test]
async fn the_runtime_describes_itself() {
    let server = Server::new();
    let pages = ["info", "capabilities", "config"].map(|page| format!("/api/v1/runtime/{page}"));
    let mut shown = Vec::new();
    for page in pages {
        shown.push(settled(server.get(&page).await.json(), &server));
    }
    insta::with_settings!({filters => vec![(env!("CARGO_PKG_VERSION"), "[version]")]}, {
        insta::assert_json_snapshot!(shown);
    });
}

#[tokio::test]
async fn a_drained_runtime_accepts_nothing_and_says_so() {
    let server = Server::new();
    let drain = "/api/v1/runtime/drain";
    let waiting = server.accept("waiting").await;
    assert_eq!(server.get("/api/v1/runtime/info").await.json()["draining"], false);
    for wrong in [r#"{"waiting": "stop"}"#, r#"{"waiting": 1}"#, r#"{"wait": "keep"}"#, "[]", ""] {
        assert_eq!(server.post(drain, wrong).await.fault().0, 400, "{wrong}");
    }
    assert_eq!(server.get("/readyz").await.status, 200, "what is refused changes nothing");
    for body in ["{}", r#"{"waiting": null}"#, r#"{"waiting": "keep"}"#] {
        let answer = server.post(drain, body).await;
        assert_eq!(answer.json(), server.get("/api/v1/runtime/info").await.json());
        assert_eq!(answer.json()["draining"], true);
    }
    let (status, code, message) = server.submit(command(json!({}))).await.fault();
    assert_eq!((status, code.as_str(), message.as_str()), (503, "unavailable", "the runtime is being drained"));
    assert_eq!(server.get("/readyz").await.fault().0, 503);
    let path = format!("/api/v1/tasks/{waiting}");
    assert_eq!(server.get(&path).await.json()["status"], "accepted");
    assert_eq!(server.post(drain, r#"{"waiting": "cancel"}"#).await.status, 200);
    let ended = server.get(&path).await.json();
    assert_eq!(ended["status"], "cancelled");
    assert_eq!(ended["error"]["message"], "cancelled before it started: the runtime was drained");
}

#[tokio::test]
async fn the_resources_add_up() {
    let server = Server::new();
    let tenant = json!({"limits": {"memory_bytes": 1024}, "control_context": {"tenant": "acme"}, "task_id": "t"});
    assert_eq!(server.submit(command(tenant)).await.status, 200);
    server.accept("waiting").await;
    server.fake.start(&TaskId::parse("t").expect("valid"));
    let mut resources = server.get("/api/v1/runtime/resources").await.json();
    resources["active_reservations"][0]["reserved_at"] = json!("[time]");
    insta::assert_json_snapshot!(resources);
}

#[tokio::test]
async fn health_readiness_and_metrics_are_there_for_probers() {
    let server = Server::new();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(server.get("/healthz").await.json(), json!({"status": "ok", "version": version}));
    assert_eq!(server.get("/readyz").await.json(), json!({"status": "ready", "version": version}));
    let head = server.send(Method::HEAD, "/healthz", &[], ()).await;
    assert_eq!((head.status.as_u16(), head.text.as_str()), (200, ""));
    server.get("/api/v1/tasks/some-name-that-is-not-there").await;
    server.get("/made/up").await;
    let metrics = server.get("/metrics").await;
    assert_eq!(metrics.headers["content-type"], "text/plain; version=0.0.4");
    let counted = r#"execgo_runtime_http_requests_total{method="GET",route="/api/v1/tasks/{task_id}",status="404"} 1"#;
    assert!(metrics.text.contains(counted), "{}", metrics.text);
    assert!(metrics.text.contains(r#"route="none",status="404"} 1"#), "{}", metrics.text);
    assert!(!metrics.text.contains("some-name") && !metrics.text.contains("made"), "no label of a client's making");
    server.shutdown.cancel();
    assert_eq!(server.get("/readyz").await.fault().0, 503, "a server that stops is not ready");
    assert_eq!(server.get("/healthz").await.status, 200);
}
