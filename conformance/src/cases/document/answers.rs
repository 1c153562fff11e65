//! Every documented status that a client can bring about is brought about, and the answer is as the document says:
//! status, headers, content type, body.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use ureq::http::Method;

use crate::case::{Context, Faults, NotPassed, Outcome, sh};
use crate::cases::files::collecting;
use crate::cases::input::put;
use crate::client::Call;

/// Ours to answer, and nobody's to ask for: a full queue, a fault of the runtime, its shutdown.
const NOT_ON_DEMAND: [&str; 3] = ["429", "500", "503"];
/// Only a task in a sandbox gets it, except from a kill.
const FORBIDDEN: &str = "403";
/// Only where tokens are asked for.
const UNAUTHENTICATED: &str = "401";
/// A larger body is not worth its time.
const MAX_BODY_BYTES: u64 = 32 << 20;

pub fn documented(context: &Context) -> Outcome {
    let document = context.document()?;
    let mut faults = Faults::default();
    let mut seen = BTreeSet::new();
    for (operation, status, call) in occasions(context)? {
        if document.operation(operation).is_err() {
            continue;
        }
        let exchange = context.client.send(call)?;
        let rule = format!("{operation}: this request is answered with {status}");
        faults.note(exchange.expect(exchange.status == status, &rule))?;
        for fault in document.faults(&exchange) {
            faults.note(exchange.expect(false, &fault))?;
        }
        seen.insert((operation.to_owned(), status.to_string()));
    }
    faults.note(all_seen(context, &seen))?;
    faults.outcome()
}

/// A status that is documented and never seen may not exist; what the suite does not know is additive.
fn all_seen(context: &Context, seen: &BTreeSet<(String, String)>) -> Outcome {
    let large = body_limit(context)?.is_none();
    for operation in context.document()?.operations().iter().filter(|one| seen.iter().any(|(id, _)| *id == one.id)) {
        for status in operation.statuses() {
            let excused = NOT_ON_DEMAND.contains(&status)
                || status == FORBIDDEN && operation.id != "kill_task"
                || status == UNAUTHENTICATED && !context.client.has_token()
                || status == "413" && (large || operation.id == "put_blob");
            let unseen = !excused && !seen.contains(&(operation.id.clone(), status.to_owned()));
            if unseen {
                let reason = format!("the suite does not know how to see {status} of {}", operation.id);
                return Err(NotPassed::Skipped { reason });
            }
        }
    }
    Ok(())
}

fn occasions(context: &Context) -> Result<Vec<(&'static str, u16, Call)>, NotPassed> {
    let document = context.document()?;
    let get = |path: &str| Call::new(Method::GET, path);
    let mut all = vec![
        ("get_liveness", 200, get("/healthz")),
        ("get_readiness", 200, get("/readyz")),
        ("get_metrics", 200, get("/metrics")),
    ];
    for (operation, path) in [
        ("get_runtime_info", "/api/v1/runtime/info"),
        ("get_runtime_capabilities", "/api/v1/runtime/capabilities"),
        ("get_runtime_config", "/api/v1/runtime/config"),
        ("get_runtime_resources", "/api/v1/runtime/resources"),
    ] {
        all.push((operation, 200, get(path)));
        all.push((operation, 400, get(&format!("{path}?no_such_parameter=1"))));
    }
    all.push(("list_tasks", 200, get("/api/v1/tasks?limit=3")));
    all.push(("list_tasks", 400, get("/api/v1/tasks?limit=some")));
    all.extend(submissions(context)?);
    all.extend(readings(context)?);
    all.extend(blobs(context)?);
    all.extend(kills(context)?);
    if context.client.has_token() {
        let once: BTreeMap<_, _> = all.iter().map(|(operation, _, call)| (*operation, call.clone())).collect();
        let is_guarded = |operation: &str| {
            let statuses =
                document.operation(operation).map(|known| known.statuses().any(|status| status == UNAUTHENTICATED));
            statuses.unwrap_or(false)
        };
        let guarded = once.into_iter().filter(|(operation, _)| is_guarded(operation));
        all.extend(guarded.map(|(operation, call)| (operation, 401, call.anonymous())));
    }
    Ok(all)
}

fn submissions(context: &Context) -> Result<Vec<(&'static str, u16, Call)>, NotPassed> {
    let submit = || Call::new(Method::POST, "/api/v1/tasks");
    let mut known = sh("true");
    known["task_id"] = json!(context.fresh_id());
    let mut all = vec![
        ("submit_task", 200, submit().json(&known)),
        ("submit_task", 409, submit().json(&known)),
        ("submit_task", 400, submit().json(&json!({}))),
        ("submit_task", 400, submit().header("content-type", "application/json").bytes(b"{\"".to_vec())),
        ("submit_task", 415, submit().header("content-type", "text/plain").bytes(b"{}".to_vec())),
    ];
    let batch = || Call::new(Method::POST, "/api/v1/tasks/batch");
    all.extend([
        ("submit_batch", 200, batch().json(&json!({"tasks": [sh("true"), known]}))),
        ("submit_batch", 409, batch().json(&json!({"tasks": [known], "atomic": true}))),
        ("submit_batch", 400, batch().json(&json!({"tasks": []}))),
        ("submit_batch", 415, batch().header("content-type", "text/plain").bytes(b"{}".to_vec())),
    ]);
    if let Some(limit) = body_limit(context)? {
        let large = batch().header("content-type", "application/json").bytes(vec![b' '; limit + 1]);
        all.push(("submit_batch", 413, large));
        all.push((
            "submit_task",
            413,
            submit().header("content-type", "application/json").bytes(vec![b' '; limit + 1]),
        ));
    }
    Ok(all)
}

fn blobs(context: &Context) -> Result<Vec<(&'static str, u16, Call)>, NotPassed> {
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    // Another one each time: the text, and what its name is, as the runtime itself says.
    let text = context.fresh_id();
    let wrong = context.client.send(put(ABC, text.as_bytes()))?;
    let sha256 = wrong.message().rsplit(' ').next().unwrap_or_default().to_owned();
    let get = |sha256: &str| Call::new(Method::GET, &format!("/api/v1/blobs/{sha256}"));
    let mut all = vec![
        ("put_blob", 201, put(&sha256, text.as_bytes())),
        ("put_blob", 200, put(&sha256, text.as_bytes())),
        ("put_blob", 400, put("abc", b"abc")),
        ("get_blob", 200, get(&sha256)),
        ("get_blob", 206, get(&sha256).header("range", "bytes=0-0")),
        ("get_blob", 400, get("abc")),
        ("get_blob", 404, get(&"0".repeat(64))),
        ("get_blob", 416, get(&sha256).header("range", "bytes=1000-")),
    ];
    let config = context.client.get("/api/v1/runtime/config")?;
    // Refused for what it says of its length; nothing of it need be sent.
    if let Some(most) = config.body["blob_max_bytes"].as_u64().filter(|most| *most <= MAX_BODY_BYTES) {
        all.push(("put_blob", 413, put(&sha256, &vec![0; usize::try_from(most).unwrap_or_default() + 1])));
    }
    Ok(all)
}

fn readings(context: &Context) -> Result<Vec<(&'static str, u16, Call)>, NotPassed> {
    let get = |path: String| Call::new(Method::GET, &path);
    let mut all = Vec::new();
    let killed = context.submit(&sh("sleep 600"))?;
    context.running(&killed)?;
    context.client.post_nothing(&format!("/api/v1/tasks/{killed}/kill"))?;
    // Where something is in every optional field: failed, by a signal, with metadata.
    let mut full = sh("echo out; echo err >&2; kill -KILL $$");
    full["metadata"] = json!({"key": "value"});
    let ended = [context.submit(&sh("exit 3"))?, context.submit(&full)?, killed];
    for id in &ended {
        context.ended(id)?;
        all.push(("get_task", 200, get(format!("/api/v1/tasks/{id}"))));
        all.push(("get_task_events", 200, get(format!("/api/v1/tasks/{id}/events"))));
        all.push(("get_task_files", 200, get(format!("/api/v1/tasks/{id}/files"))));
        all.push(("get_task_archive", 200, get(format!("/api/v1/tasks/{id}/files.tar.zst"))));
        all.push(("get_task_request", 200, get(format!("/api/v1/tasks/{id}/request"))));
        all.extend(outputs(id));
        let stream = get(format!("/api/v1/tasks/{id}/stream"));
        all.push(("stream_task", 200, stream.clone()));
        let told = context.client.send(stream.clone())?.text;
        let last = told.lines().filter_map(|line| line.strip_prefix("id: ")).next_back().map(str::to_owned);
        all.extend(last.map(|last| ("stream_task", 204, stream.header("last-event-id", &last))));
    }
    let (id, stranger) = (&ended[0], context.fresh_id());
    all.extend([
        ("get_task", 400, get(format!("/api/v1/tasks/{id}?wait_ms=soon"))),
        ("get_task", 400, get(format!("/api/v1/tasks/{id}?no_such_parameter=1"))),
        ("get_task", 404, get(format!("/api/v1/tasks/{stranger}"))),
        ("get_task_events", 400, get(format!("/api/v1/tasks/{id}/events?no_such_parameter=1"))),
        ("get_task_events", 404, get(format!("/api/v1/tasks/{stranger}/events"))),
        ("get_task_request", 400, get(format!("/api/v1/tasks/{id}/request?no_such_parameter=1"))),
        ("get_task_request", 404, get(format!("/api/v1/tasks/{stranger}/request"))),
        ("get_task_stdout", 404, get(format!("/api/v1/tasks/{stranger}/stdout"))),
        ("get_task_stderr", 404, get(format!("/api/v1/tasks/{stranger}/stderr"))),
        ("stream_task", 400, get(format!("/api/v1/tasks/{id}/stream")).header("last-event-id", "none")),
        ("stream_task", 404, get(format!("/api/v1/tasks/{stranger}/stream"))),
    ]);
    all.extend(files(context, id, &stranger)?);
    let part = |stream: &str| get(format!("/api/v1/tasks/{}/{stream}", ended[1])).header("range", "bytes=1-2");
    all.extend([("get_task_stdout", 206, part("stdout")), ("get_task_stderr", 206, part("stderr"))]);
    Ok(all)
}

fn files(context: &Context, ended: &str, stranger: &str) -> Result<Vec<(&'static str, u16, Call)>, NotPassed> {
    let get = |id: &str, path: &str| Call::new(Method::GET, &format!("/api/v1/tasks/{id}/{path}"));
    let live = context.submit(&sh("sleep 600"))?;
    let left = context.submit(&collecting("printf abc >file; mkfifo pipe", &["*"]))?;
    context.ended(&left)?;
    let mut all = vec![
        ("get_task", 200, Call::new(Method::GET, &format!("/api/v1/tasks/{left}"))),
        ("get_task_file", 200, get(&left, "files/file")),
        ("get_task_file", 206, get(&left, "files/file").header("range", "bytes=1-1")),
        ("get_task_file", 416, get(&left, "files/file").header("range", "bytes=9-")),
    ];
    for (operation, path) in
        [("get_task_files", "files"), ("get_task_file", "files/file"), ("get_task_archive", "files.tar.zst")]
    {
        all.push((operation, 400, get(ended, &format!("{path}?no_such_parameter=1"))));
        all.push((operation, 404, get(stranger, path)));
        all.push((operation, 409, get(&live, path)));
    }
    Ok(all)
}

fn outputs(id: &str) -> Vec<(&'static str, u16, Call)> {
    let each = |(operation, stream): (&'static str, &str)| {
        let get = |query: &str| Call::new(Method::GET, &format!("/api/v1/tasks/{id}/{stream}{query}"));
        [
            (operation, 200, get("")),
            (operation, 200, get("?follow=true&tail_lines=1")),
            (operation, 400, get("?tail_lines=some")),
            (operation, 416, get("").header("range", "bytes=1000000-")),
        ]
    };
    [("get_task_stdout", "stdout"), ("get_task_stderr", "stderr")].into_iter().flat_map(each).collect()
}

fn kills(context: &Context) -> Result<Vec<(&'static str, u16, Call)>, NotPassed> {
    let mut owned = sh("true");
    owned["control_context"] = json!({"owner": "somebody"});
    let owned = context.submit(&owned)?;
    let kill = |id: &str| Call::new(Method::POST, &format!("/api/v1/tasks/{id}/kill"));
    let json = "application/json";
    let mut all = vec![
        ("kill_task", 403, kill(&owned)),
        ("kill_task", 403, kill(&owned).header("x-execgo-owner", "somebody-else")),
        ("kill_task", 200, kill(&owned).header("x-execgo-owner", "somebody")),
        ("kill_task", 400, kill(&owned).header("x-execgo-owner", "somebody").json(&json!({"no_such_field": 1}))),
        ("kill_task", 404, kill(&context.fresh_id())),
        ("kill_task", 415, kill(&owned).header("content-type", "text/plain").bytes(b"{}".to_vec())),
    ];
    let owner =
        |id: &str, name: &str| Call::new(Method::DELETE, &format!("/api/v1/tasks/{id}")).header("x-execgo-owner", name);
    let running = context.submit(&sh("sleep 600"))?;
    context.running(&running)?;
    let deleted = with_owner_ended(context)?;
    all.extend([
        ("delete_task", 400, Call::new(Method::DELETE, &format!("/api/v1/tasks/{deleted}?no_such_parameter=1"))),
        ("delete_task", 403, owner(&deleted, "somebody-else")),
        ("delete_task", 204, owner(&deleted, "somebody")),
        ("delete_task", 404, owner(&deleted, "somebody")),
        ("delete_task", 409, owner(&running, "somebody")),
    ]);
    let many = || Call::new(Method::POST, "/api/v1/tasks/kill");
    all.extend([
        ("kill_tasks", 200, many().json(&json!({"q": context.fresh_id()}))),
        ("kill_tasks", 400, many().json(&json!({}))),
        ("kill_tasks", 415, many().header("content-type", "text/plain").bytes(b"{}".to_vec())),
    ]);
    if let Some(limit) = body_limit(context)? {
        all.push(("kill_tasks", 413, many().header("content-type", json).bytes(vec![b' '; limit + 1])));
        all.push(("kill_task", 413, kill(&owned).header("content-type", json).bytes(vec![b' '; limit + 1])));
    }
    Ok(all)
}

fn with_owner_ended(context: &Context) -> Result<String, NotPassed> {
    let mut owned = sh("true");
    owned["control_context"] = json!({"owner": "somebody"});
    let id = context.submit(&owned)?;
    context.ended(&id)?;
    Ok(id)
}

/// How large a body may be, where the runtime tells and it is not too much to send.
fn body_limit(context: &Context) -> Result<Option<usize>, NotPassed> {
    let config = context.client.get("/api/v1/runtime/config")?;
    let limit = config.body["max_body_bytes"].as_u64().filter(|limit| *limit <= MAX_BODY_BYTES);
    Ok(limit.and_then(|limit| usize::try_from(limit).ok()))
}
