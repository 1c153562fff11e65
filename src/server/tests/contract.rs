//! Each row of the table of failures, the strictness of requests, and what odd paths get.

use poem::http::Method;
use serde_json::{Value, json};

use super::{MAX_BODY_BYTES, Server, command};
use crate::capability::testing::manifest;
use crate::dispatcher::Unavailable;
use crate::dispatcher::testing::Rules;
use crate::server::fault::Fault;
use crate::store::StoreError;

/// The fault of a submission, `(status, code, message)`.
async fn refusal(server: &Server, body: impl Into<String>) -> (u16, String, String) {
    server.submit(body).await.fault()
}

async fn invalid(server: &Server, body: impl Into<String>) -> String {
    let (status, code, message) = refusal(server, body).await;
    assert_eq!((status, code.as_str()), (400, "invalid_input"), "{message}");
    message
}

/// The whole message of a refused command with these fields.
async fn fault_of(fields: Value) -> String {
    invalid(&Server::new(), command(fields)).await
}

#[tokio::test]
async fn a_validation_fault_names_the_field_the_fault_and_what_is_allowed() {
    let server = Server::new();
    let message = invalid(&server, r#"{"execution":{"kind":"command"}}"#).await;
    assert_eq!(message, "execution.program is required and must not be blank when `execution.kind` is `command`");
    let message = invalid(&server, r#"{"task_id":"../x","execution":{"kind":"command","program":"a"}}"#).await;
    assert_eq!(message, "task_id holds '/'; allowed are letters, digits, `-`, `_` and `.`");
    let nul = fault_of(json!({"execution": {"kind": "command", "program": "a", "args": ["b", "c\0"]}})).await;
    assert_eq!(nul, "execution.args[1] must not hold a NUL character");
    let details = server.submit(r#"{"execution":{"kind":"command"}}"#).await.json()["error"]["details"].clone();
    assert_eq!(details, json!({"field": "execution.program"}));
}

#[tokio::test]
async fn a_misspelt_field_is_named_with_what_is_allowed() {
    let message = fault_of(json!({"limits": {"wall_time": 5}})).await;
    assert_eq!(
        message,
        "limits.wall_time is not a known field; allowed here are `wall_time_ms`, `cpu_time_sec`, `memory_bytes`, \
         `pids_max`, `cpu_millis`, `file_size_bytes`, `open_files`, \
         `workspace_bytes`, `stdout_max_bytes`, `stderr_max_bytes`, `stdout_log_max_bytes`, `stderr_log_max_bytes`"
    );
    let message = fault_of(json!({"policy": {"mode": "strict"}})).await;
    assert_eq!(message, "policy.mode is not a known field; allowed here are `capability_mode`");
    let message = fault_of(json!({"priority": 1})).await;
    assert!(message.starts_with("priority is not a known field; allowed here are `task_id`, "), "{message}");
    let message = fault_of(json!({"sandbox": {"namespaces": {"user": true}}})).await;
    assert!(message.starts_with("sandbox.namespaces.user is not a known field"), "{message}");
}

#[tokio::test]
async fn a_value_of_another_type_is_refused_with_its_path() {
    let execution = |field: &str, value: Value| {
        let mut execution = json!({"kind": "command", "program": "a"});
        execution[field] = value;
        json!({"execution": execution})
    };
    let cases = [
        (execution("program", json!(5)), "execution.program must be a string, not 5"),
        (execution("args", json!(["a", 5])), "execution.args[1] must be a string, not 5"),
        (execution("args", json!(["a", null])), "execution.args[1] must be a string, not null"),
        (execution("args", json!("a")), "execution.args must be an array, not \"a\""),
        (execution("env", json!({"A": 1})), "execution.env.A must be a string, not 1"),
        (execution("env", json!([])), "execution.env must be an object whose values are strings, not an array"),
        (execution("kind", json!("shell")), "execution.kind must be `command` or `script`, not \"shell\""),
        (execution("kind", json!({"command": null})), "execution.kind must be `command` or `script`, not an object"),
        (execution("kind", json!(null)), "execution.kind must be `command` or `script`, not null"),
        (json!({"execution": ["command"]}), "execution must be an object, not an array"),
        (json!({"execution": null}), "execution must be an object, not null"),
        (json!({"limits": []}), "limits must be an object, not an array"),
        (
            json!({"limits": {"pids_max": "5"}}),
            "limits.pids_max must be an integer from 1 to 9007199254740991, not \"5\"",
        ),
        (json!({"limits": {"pids_max": -5}}), "limits.pids_max must be an integer from 1 to 9007199254740991, not -5"),
        (json!({"limits": {"pids_max": 0}}), "limits.pids_max must be an integer from 1 to 9007199254740991, not 0"),
        (
            json!({"limits": {"pids_max": 1.5}}),
            "limits.pids_max must be an integer from 1 to 9007199254740991, not 1.5",
        ),
        (
            json!({"limits": {"cpu_millis": "half"}}),
            "limits.cpu_millis must be an integer from 10 to 9007199254740991, not \"half\"",
        ),
        (
            json!({"limits": {"cpu_millis": 9}}),
            "limits.cpu_millis must be an integer from 10 to 9007199254740991, not 9",
        ),
        (json!({"sandbox": {"chroot": "yes"}}), "sandbox.chroot must be true or false, not \"yes\""),
        (json!({"sandbox": {"profile": 1}}), "sandbox.profile must be `process` or `linux_sandbox`, not 1"),
        (json!({"task_id": 7}), "task_id must be a string, not 7"),
        (json!({"metadata": {"a": {}}}), "metadata.a must be a string, not an object"),
    ];
    for (fields, message) in cases {
        assert_eq!(fault_of(fields).await, message);
    }
    let server = Server::new();
    assert_eq!(invalid(&server, "[]").await, "the request body must be an object, not an array");
    assert_eq!(invalid(&server, "null").await, "the request body must be an object, not null");
    assert_eq!(invalid(&server, "{}").await, "execution is required");
    assert_eq!(invalid(&server, r#"{"execution":{}}"#).await, "execution.kind is required");
    let long = fault_of(json!({"execution": {"kind": "x".repeat(5000)}})).await;
    assert!(long.len() < 200, "a message does not repeat a long value: {long}");
}

#[tokio::test]
async fn a_key_that_stands_twice_is_refused_everywhere() {
    let server = Server::new();
    let message = invalid(&server, r#"{"execution":{"kind":"command","kind":"script","program":"a"}}"#).await;
    assert_eq!(message, "execution.kind must not be given twice");
    let message = invalid(&server, r#"{"task_id":"a","task_id":"a","execution":{"kind":"command"}}"#).await;
    assert_eq!(message, "task_id must not be given twice");
    let env = r#"{"execution":{"kind":"command","program":"a","env":{"A":"1","A":"2"}}}"#;
    assert_eq!(invalid(&server, env).await, "execution.env must not hold the key \"A\" twice");
}

#[tokio::test]
async fn null_is_a_missing_field() {
    let server = Server::new();
    let body = json!({
        "task_id": null, "limits": null, "sandbox": null, "policy": null, "control_context": null, "metadata": null,
        "execution": {
            "kind": "command", "program": "/bin/true", "args": null, "script": null, "interpreter": null, "env": null,
        },
    });
    assert_eq!(server.submit(body.to_string()).await.status, 200);
    let limits = json!({
        "wall_time_ms": null, "cpu_time_sec": null, "memory_bytes": null, "pids_max": null, "cpu_millis": null,
        "file_size_bytes": null, "open_files": null, "workspace_bytes": null,
        "stdout_max_bytes": null, "stderr_max_bytes": null,
    });
    let context = json!({
        "control_plane_mode": null, "tenant": null, "owner": null, "expected_runtime_profile": null,
        "requires_strict_sandbox": null, "requires_resource_reservation": null, "labels": null,
    });
    let namespaces = json!({"mount": null, "pid": null, "uts": null, "ipc": null, "net": null});
    let inner = json!({
        "limits": limits, "control_context": context, "policy": {"capability_mode": null},
        "sandbox": {
            "profile": null, "workspace_subdir": null, "rootfs": null, "chroot": null, "namespaces": namespaces,
            "network": null,
        },
    });
    assert_eq!(server.submit(command(inner)).await.status, 200);
}

#[tokio::test]
async fn what_is_no_json_is_refused_as_such() {
    let server = Server::new();
    let message = invalid(&server, "{").await;
    assert!(message.starts_with("the request body is not valid JSON: EOF while parsing"), "{message}");
    assert!(invalid(&server, command(json!({})) + " x").await.contains("trailing characters"));
    assert_eq!(invalid(&server, "").await, "the request body is empty, and a JSON object is required");
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    assert!(invalid(&server, format!(r#"{{"execution":{deep}}}"#)).await.contains("execution"));
    assert!(invalid(&server, r#"{"task_id":"\ud800"}"#).await.contains("not valid JSON"));
    let json = [("content-type", "application/json")];
    let bad = server.send(Method::POST, "/api/v1/tasks", &json, b"{\"task_id\":\"\xff\"}".to_vec()).await.fault();
    assert_eq!(bad.2, "the request body is not valid UTF-8 (the first bad byte is at offset 12)");
}

#[tokio::test]
async fn only_a_body_that_is_declared_as_json_is_read() {
    let server = Server::new();
    let body = command(json!({}));
    for headers in
        [&[][..], &[("content-type", "text/plain")], &[("content-type", "application/x-www-form-urlencoded")]]
    {
        let (status, code, message) = server.send(Method::POST, "/api/v1/tasks", headers, body.clone()).await.fault();
        assert_eq!((status, code.as_str()), (415, "unsupported_media_type"));
        assert!(message.contains("must be application/json"), "{message}");
    }
    for content_type in ["application/json; charset=utf-8", "Application/JSON"] {
        let headers = [("content-type", content_type)];
        assert_eq!(server.send(Method::POST, "/api/v1/tasks", &headers, body.clone()).await.status, 200);
    }
}

#[tokio::test]
async fn a_large_body_is_413_whether_or_not_it_says_its_length() {
    let server = Server::new();
    let large = command(json!({"metadata": {"a": "x".repeat(MAX_BODY_BYTES as usize)}}));
    let length = large.len().to_string();
    for headers in [
        &[("content-type", "application/json")][..],
        &[("content-type", "application/json"), ("content-length", length.as_str())],
    ] {
        let (status, code, message) = server.send(Method::POST, "/api/v1/tasks", headers, large.clone()).await.fault();
        assert_eq!((status, code.as_str()), (413, "payload_too_large"));
        assert!(message.contains("16384 bytes"), "{message}");
    }
}

#[tokio::test]
async fn what_cannot_be_enforced_or_ever_fit_is_told_from_what_is_wrong() {
    let mut server = Server::new();
    let strict = json!({"policy": {"capability_mode": "strict"}, "limits": {"pids_max": 5}});
    let answer = server.submit(command(strict)).await;
    let (status, code, message) = answer.fault();
    assert_eq!((status, code.as_str()), (400, "unsupported_capability"));
    assert!(message.contains("limits.pids_max"), "{message}");
    assert_eq!(answer.json()["error"]["details"]["missing"].as_array().expect("a list").len(), 1);

    let answer = server.submit(command(json!({"limits": {"memory_bytes": 2_u64 << 30}}))).await;
    let (status, code, message) = answer.fault();
    assert_eq!((status, code.as_str()), (400, "insufficient_resources"));
    assert!(message.contains("limits.memory_bytes 2147483648 (at most 1073741824)"), "{message}");
    let tenant = json!({"limits": {"pids_max": 9}, "control_context": {"tenant": "acme"}});
    let answer = server.submit(command(tenant)).await;
    let details = json!({"what": "limits.pids_max", "asked": 9, "limit": 8, "tenant": "acme"});
    assert_eq!((answer.fault().1.as_str(), &answer.json()["error"]["details"]), ("insufficient_resources", &details));

    let mut bare = manifest();
    bare.sandbox.linux_sandbox = false;
    server = Server::with_manifest(Rules::default(), bare);
    let required = json!({
        "sandbox": {"profile": "linux_sandbox"}, "control_context": {"requires_strict_sandbox": true},
    });
    assert_eq!(server.submit(command(required)).await.fault().1, "unsupported_capability");
}

#[tokio::test]
async fn a_second_task_of_one_id_conflicts_and_tells_how_the_first_stands() {
    let server = Server::new();
    let id = server.accept("once").await;
    server.fake.start(&id);
    let answer = server.submit(command(json!({"task_id": "once"}))).await;
    let (status, code, message) = answer.fault();
    assert_eq!((status, code.as_str()), (409, "conflict"));
    assert_eq!(message, "a task with task_id once already exists (its status is running)");
    assert_eq!(answer.json()["error"]["details"], json!({"task_id": "once", "status": "running"}));
}

#[tokio::test]
async fn a_full_queue_asks_to_come_back() {
    let server = Server::with(Rules { max_queued_tasks: 1, ..Rules::default() });
    server.accept("first").await;
    let answer = server.submit(command(json!({}))).await;
    let (status, code, _) = answer.fault();
    assert_eq!((status, code.as_str()), (429, "resource_limit_exceeded"));
    assert_eq!(answer.headers["retry-after"], "1");
}

#[tokio::test]
async fn what_is_not_ready_is_503_and_a_broken_store_shows_no_sql() {
    let server = Server::new();
    server.accept("t").await;
    server.fake.set_available(Err(Unavailable::Storage));
    for answer in [server.submit(command(json!({}))).await, server.get("/readyz").await] {
        let (status, code, message) = answer.fault();
        assert_eq!((status, code.as_str()), (503, "unavailable"));
        assert_eq!(answer.headers["retry-after"], "1");
        assert_eq!(message, "the task store cannot be written");
    }
    let gone = Server::new();
    for name in ["runtime.db", "runtime.db-wal", "runtime.db-shm"] {
        std::fs::write(gone.dir.path().join(name), "x".repeat(8192)).expect("writes");
    }
    let (status, code, message) = gone.get("/api/v1/tasks/t").await.fault();
    assert_eq!((status, code.as_str()), (503, "unavailable"));
    assert!(!message.contains("tasks") && !message.contains('/'), "{message}");
}

#[tokio::test]
async fn damage_and_panics_are_500_and_say_nothing_of_our_insides() {
    let server = Server::new();
    let source = serde_json::from_str::<u8>("secret").expect_err("no number");
    let damage = Fault::from(StoreError::Damaged { operation: "read", id: "t".into(), source });
    let damaged = poem::IntoResponse::into_response(damage);
    assert_eq!(damaged.status(), 500);
    let damaged = damaged.into_body().into_string().await.expect("text");
    let expected = "the runtime failed to answer; its log says more under the id of the header x-request-id";
    let envelope = json!({"error": {"code": "internal", "message": expected, "details": null}});
    assert_eq!(serde_json::from_str::<Value>(&damaged).expect("JSON"), envelope);

    let panicking = poem::endpoint::make_sync(|_| -> poem::Response { panic!("/secret/path") });
    let panicking = poem::EndpointExt::boxed(poem::EndpointExt::map_to_response(panicking));
    let access = super::super::access::Access::new(&server.context.config.access, "").expect("no tokens");
    let edge = super::Edge::new(panicking, access, server.context.metrics.clone());
    let request = poem::Request::builder().uri_str("/healthz").finish();
    let (status, code, message) = super::Answer::of(edge.answer(request).await).await.fault();
    assert_eq!((status, code.as_str()), (500, "internal"));
    assert!(!message.contains("secret"), "{message}");
}

#[tokio::test]
async fn unknown_paths_are_404_and_unknown_methods_405_with_what_is_allowed() {
    let server = Server::new();
    for path in ["/nothing", "/api/v1/tasks/a/b/c", "/api/v1/tasks/", "/api", "//api/v1/tasks", "/healthz/", "/api/v1"]
    {
        let (status, code, _) = server.get(path).await.fault();
        assert_eq!((status, code.as_str()), (404, "not_found"), "{path}");
    }
    let cases = [
        (Method::DELETE, "/api/v1/tasks", "GET, HEAD, POST"),
        (Method::PUT, "/api/v1/tasks/a", "DELETE, GET, HEAD"),
        (Method::GET, "/api/v1/tasks/a/kill", "POST"),
        (Method::POST, "/healthz", "GET, HEAD"),
        (Method::TRACE, "/api/v1/tasks/a/events", "GET, HEAD"),
        (Method::OPTIONS, "/openapi.json", "GET, HEAD"),
    ];
    for (method, path, allow) in cases {
        let answer = server.send(method, path, &[], ()).await;
        let (status, code, message) = answer.fault();
        assert_eq!((status, code.as_str()), (405, "method_not_allowed"), "{path}");
        assert_eq!(answer.headers["allow"], allow, "{path}");
        assert!(message.contains(allow), "{message}");
    }
}

#[tokio::test]
async fn no_spelling_of_a_path_reaches_anything_but_a_task() {
    let server = Server::new();
    let long = "x".repeat(5000);
    let ids =
        ["..", ".", "%2e%2e", "%2e%2e%2f%2e%2e%2fetc", "a%2fb", "%ff%fe", "%00", "a%00b", "%", "%zz", "a b%20", &long];
    for id in ids.map(|id| id.replace(' ', "")) {
        for (method, rest) in [(Method::GET, ""), (Method::GET, "/events"), (Method::POST, "/kill")] {
            let answer = server.send(method, &format!("/api/v1/tasks/{id}{rest}"), &[], ()).await;
            let (status, code, message) = answer.fault();
            assert_eq!((status, code.as_str()), (404, "not_found"), "{id}");
            assert!(message.len() < 1000, "{message}");
        }
    }
    let answer = server.get("/api/v1/tasks/../../etc/passwd").await;
    assert_eq!(answer.fault().0, 404);
}

#[tokio::test]
async fn query_parameters_are_checked_where_the_api_is() {
    let server = Server::new();
    server.accept("t").await;
    let cases = [
        ("wait_ms=x", "wait_ms must be an integer from 0 to 600000, not \"x\""),
        ("wait_ms=", "wait_ms must be an integer from 0 to 600000, not \"\""),
        ("wait_ms=-1", "wait_ms must be an integer from 0 to 600000, not \"-1\""),
        ("wait_ms=600001", "wait_ms must be an integer from 0 to 600000, not \"600001\""),
        ("wait_ms=1&wait_ms=2", "wait_ms must not be given twice"),
        ("wait=5", "wait is not a known query parameter; allowed here are wait_ms, wait_for"),
        ("wait_for=end", "wait_for must be one of `terminal`, `started`, `output`, `change`, not \"end\""),
        ("wait_for=", "wait_for must be one of `terminal`, `started`, `output`, `change`, not \"\""),
        ("wait_for=change&wait_for=change", "wait_for must not be given twice"),
    ];
    for (query, expected) in cases {
        let (status, code, message) = server.get(&format!("/api/v1/tasks/t?{query}")).await.fault();
        assert_eq!((status, code.as_str(), message.as_str()), (400, "invalid_input", expected));
    }
    assert_eq!(server.get("/api/v1/runtime/info?x=1").await.fault().0, 400);
    assert_eq!(server.get("/healthz?verbose=1").await.status, 200, "probers send what they like");
    assert_eq!(server.get("/api/v1/tasks/t?wait_ms=0").await.status, 200);
}

#[tokio::test]
async fn the_error_envelopes_keep_their_shape() {
    let server = Server::with(Rules { max_queued_tasks: 1, ..Rules::default() });
    server.accept("t").await;
    let json = [("content-type", "application/json")];
    let answers = [
        server.submit("{").await,
        server.submit(command(json!({"limits": {"pids": 1}}))).await,
        server.submit(command(json!({"policy": {"capability_mode": "strict"}, "limits": {"pids_max": 1}}))).await,
        server.submit(command(json!({"limits": {"memory_bytes": 2_u64 << 30}}))).await,
        server.get("/api/v1/tasks/none").await,
        server.get("/nothing").await,
        server.send(Method::PUT, "/api/v1/tasks", &[], ()).await,
        server.submit(command(json!({"task_id": "t"}))).await,
        server.submit("x".repeat(20_000)).await,
        server.send(Method::POST, "/api/v1/tasks", &[], "{}").await,
        server.submit(command(json!({}))).await,
        server.send(Method::POST, "/api/v1/tasks/t/kill", &json, r#"{"grace":1}"#).await,
    ];
    let shown: Vec<Value> = answers.iter().map(|a| json!([a.status.as_u16(), a.json()])).collect();
    insta::assert_json_snapshot!(shown);
}
