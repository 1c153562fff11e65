//! What holds for every request: the form of failures, methods, content types, bodies, headers.

use serde_json::{Value, json};
use ureq::http::Method;

use crate::case::{Case, Context, NotPassed, Outcome, sh, skipped, with};
use crate::client::{Call, Exchange};

pub const CASES: &[Case] = &[
    Case::must("protocol.envelope", "Errors", envelope),
    Case::must("protocol.path.unknown", "Errors", unknown_path),
    Case::must("protocol.path.traversal", "Status", traversal),
    Case::must("protocol.method.refused", "Errors", method_refused),
    Case::should("protocol.method.details", "Errors", method_details),
    Case::should("protocol.method.head", "General", head),
    Case::must("protocol.content-type.none", "General", |context| refuses_type(context, None)),
    Case::must("protocol.content-type.text", "General", |context| refuses_type(context, Some("text/plain"))),
    Case::must("protocol.content-type.form", "General", |context| {
        refuses_type(context, Some("application/x-www-form-urlencoded"))
    }),
    Case::must("protocol.content-type.suffix", "General", |context| {
        refuses_type(context, Some("application/vnd.api+json"))
    }),
    Case::must("protocol.content-type.charset", "General", |context| {
        takes_type(context, "application/json; charset=utf-8")
    }),
    Case::should("protocol.content-type.case", "General", |context| takes_type(context, "Application/JSON")),
    Case::must("protocol.content-type.answer", "General", type_of_answers),
    Case::must("protocol.body.empty", "Errors", |context| refuses_body(context, b"")),
    Case::must("protocol.body.truncated", "Errors", |context| refuses_body(context, br#"{"execution":{"kind":"co"#)),
    Case::must("protocol.body.trailing", "Errors", |context| refuses_body(context, &valid_and("x"))),
    Case::must("protocol.body.two", "Errors", |context| refuses_body(context, &valid_and("{}"))),
    Case::must("protocol.body.not-json", "Errors", |context| refuses_body(context, b"execution: {kind: command}")),
    Case::must("protocol.body.array", "Errors", |context| refuses_body(context, b"[]")),
    Case::must("protocol.body.null", "Errors", |context| refuses_body(context, b"null")),
    Case::must("protocol.body.not-utf8", "General", |context| refuses_body(context, b"{\"task_id\":\"\xff\"}")),
    Case::must("protocol.body.half-a-character", "General", |context| refuses_body(context, b"{\"\xc3\"}")),
    Case::must("protocol.body.lone-surrogate", "General", |context| refuses_body(context, br#"{"task_id":"\ud800"}"#)),
    Case::should("protocol.body.deep", "Errors", |context| refuses_body(context, "[".repeat(100_000).as_bytes())),
    Case::should("protocol.body.key-twice", "General", key_twice),
    Case::should("protocol.body.number-too-large", "General", |context| {
        refuses_body(context, br#"{"execution":{"kind":"command","program":"true"},"limits":{"pids_max":1e400}}"#)
    }),
    Case::must("protocol.body.too-large", "Errors", too_large),
    Case::should("protocol.body.at-the-bound", "Errors", at_the_bound),
    Case::must("protocol.null-is-missing", "General", null_is_missing),
    Case::must("protocol.escapes", "General", escapes),
    Case::should("protocol.query.unknown", "General", unknown_query),
    Case::must("protocol.request-id.present", "General", request_id_present),
    Case::should("protocol.request-id.unique", "General", request_id_unique),
    Case::should("protocol.request-id.own", "General", request_id_own),
    Case::must("protocol.errors.no-internals", "Errors", no_internals),
    Case::beyond("protocol.web.rebinding", "Web pages", rebinding),
    Case::beyond("protocol.web.other-origin", "Web pages", other_origin),
    Case::beyond("protocol.web.own-origin", "Web pages", own_origin),
];

const JSON: &str = "application/json";
/// A larger body is not worth its time.
const MAX_BODY_BYTES: u64 = 32 << 20;
/// What an answer to a mistake of the client must not give away.
const INTERNALS: [&str; 8] =
    ["SELECT ", "INSERT ", "sqlite", "panicked", "backtrace", ".rs:", "Traceback", "runtime.db"];

fn submission() -> Call {
    Call::new(Method::POST, "/api/v1/tasks")
}

/// Without a body. The client would declare one of unknown length for the methods that may have one, and a server that
/// refuses before it has read that may close the connection.
fn bare(method: Method, path: &str) -> Call {
    let call = Call::new(method, path);
    if call.method == Method::GET || call.method == Method::HEAD { call } else { call.bytes(Vec::new()) }
}

/// A valid request, and what is no part of it.
fn valid_and(rest: &str) -> Vec<u8> {
    format!("{} {rest}", sh("true")).into_bytes()
}

/// One failure of each kind that a client can bring about at will.
fn failures(context: &Context) -> Result<Vec<Exchange>, NotPassed> {
    let stranger = format!("/api/v1/tasks/{}", context.fresh_id());
    [
        Call::new(Method::GET, "/no/such/path"),
        Call::new(Method::GET, &stranger),
        Call::new(Method::GET, &format!("{stranger}/events")),
        bare(Method::POST, &format!("{stranger}/kill")),
        bare(Method::DELETE, "/api/v1/tasks"),
        bare(Method::POST, "/healthz"),
        submission().header("content-type", "text/plain").bytes(b"{}".to_vec()),
        submission().header("content-type", JSON).bytes(b"{".to_vec()),
        submission().json(&json!({})),
        submission().json(&with(sh("true"), json!({"task_id": "../../etc/passwd"}))),
        submission().json(&with(sh("true"), json!({"limits": {"wall_time_ms": "'; DROP TABLE tasks"}}))),
    ]
    .into_iter()
    .map(|call| context.client.send(call))
    .collect()
}

fn envelope(context: &Context) -> Outcome {
    failures(context)?.iter().try_for_each(|failure| {
        let code = failure.text_at("/error/code").to_owned();
        failure.expect((400..500).contains(&failure.status), "a mistake of the client is a status from 400 to 499")?;
        failure.expect(!code.is_empty(), "error.code names the kind of failure")?;
        failure.expect_failure(failure.status, &code, "every failure has the one form")?;
        let names = |value: &Value| value.as_object().map(|fields| fields.keys().cloned().collect::<Vec<_>>());
        failure.expect(names(&failure.body) == Some(vec!["error".into()]), "the envelope holds `error` alone")?;
        let inner = names(&failure.body["error"]).unwrap_or_default();
        failure.expect(inner.len() == 3, "error holds code, message and details alone")
    })
}

fn unknown_path(context: &Context) -> Outcome {
    for (method, path) in
        [(Method::GET, "/no/such/path"), (Method::GET, "/api/v1/no-such"), (Method::POST, "/api/v1/no-such")]
    {
        let answer = context.client.send(bare(method, path))?;
        answer.expect_failure(404, "not_found", "there is nothing at an unknown path")?;
    }
    Ok(())
}

/// The id in a path may name a directory too.
fn traversal(context: &Context) -> Outcome {
    for id in ["..%2f..%2fetc%2fpasswd", "%2e%2e", "%2e", "a%00b", "%ff"] {
        for path in [format!("/api/v1/tasks/{id}"), format!("/api/v1/tasks/{id}/events")] {
            let answer = context.client.get(&path)?;
            answer.expect(matches!(answer.status, 400 | 404), "an id that cannot be one names no task (400 or 404)")?;
            answer.expect(!answer.text_at("/error/code").is_empty(), "and is answered by a failure")?;
        }
    }
    Ok(())
}

const OTHER_METHODS: [(Method, &str, &str); 3] = [
    (Method::PUT, "/api/v1/tasks", "POST"),
    (Method::DELETE, "/api/v1/runtime/info", "GET"),
    (Method::POST, "/healthz", "GET"),
];

fn allowed(answer: &Exchange) -> Vec<&str> {
    let allow = answer.headers.get("allow").and_then(|value| value.to_str().ok()).unwrap_or_default();
    allow.split(',').map(str::trim).collect()
}

fn method_refused(context: &Context) -> Outcome {
    for (method, path, other) in OTHER_METHODS {
        let answer = context.client.send(bare(method, path))?;
        answer.expect_failure(405, "method_not_allowed", "a path takes no other methods than its own")?;
        answer.expect(allowed(&answer).contains(&other), &format!("the header allow names {other}"))?;
    }
    Ok(())
}

fn method_details(context: &Context) -> Outcome {
    for (method, path, _) in OTHER_METHODS {
        let answer = context.client.send(bare(method, path))?;
        answer.expect_status(405, "a path takes no other methods than its own")?;
        answer.expect_field("/error/details/allow", &json!(allowed(&answer)))?;
    }
    Ok(())
}

fn head(context: &Context) -> Outcome {
    for (path, status) in [("/healthz", 200), ("/api/v1/runtime/info", 200), ("/metrics", 200), ("/no/such/path", 404)]
    {
        let get = context.client.get(path)?;
        get.expect_status(status, "GET works")?;
        let head = context.client.send(Call::new(Method::HEAD, path))?;
        head.expect(head.status == get.status, &format!("HEAD is answered as GET is, with {}", get.status))?;
        head.expect(head.text.is_empty(), "the answer to HEAD has no body")?;
        head.expect(head.content_type == get.content_type, "and the content type of GET's")?;
    }
    Ok(())
}

fn refuses_type(context: &Context, content_type: Option<&str>) -> Outcome {
    let call = submission().bytes(sh("true").to_string().into_bytes());
    let call = content_type.map_or(call.clone(), |kind| call.header("content-type", kind));
    let answer = context.client.send(call)?;
    answer.expect_failure(415, "unsupported_media_type", "a body that is not declared as JSON is refused")
}

fn takes_type(context: &Context, content_type: &str) -> Outcome {
    let id = context.fresh_id();
    let request = with(sh("true"), json!({"task_id": id}));
    let call = submission().header("content-type", content_type).bytes(request.to_string().into_bytes());
    let answer = context.client.send(call)?;
    answer.expect_status(200, "JSON may be declared so")?;
    context.ended(&id)?.expect_field("/status", &json!("success"))
}

fn type_of_answers(context: &Context) -> Outcome {
    let id = context.submit(&sh("true"))?;
    let task = format!("/api/v1/tasks/{id}");
    for path in [&task, &format!("{task}/events"), "/api/v1/runtime/info", "/healthz", "/no/such/path"] {
        let answer = context.client.get(path)?;
        let kind = answer.content_type.split(';').next().unwrap_or_default();
        answer.expect(kind.trim().eq_ignore_ascii_case(JSON), "the answer is declared as JSON")?;
    }
    context.ended(&id).map(drop)
}

fn refuses_body(context: &Context, body: &[u8]) -> Outcome {
    let answer = context.client.send(submission().header("content-type", JSON).bytes(body.to_vec()))?;
    answer.expect_failure(400, "invalid_input", "such a body is refused")
}

fn key_twice(context: &Context) -> Outcome {
    let outer = br#"{"task_id":"a","task_id":"b","execution":{"kind":"command","program":"true"}}"#;
    let inner = br#"{"execution":{"kind":"command","program":"true","program":"false"}}"#;
    refuses_body(context, outer)?;
    refuses_body(context, inner)
}

/// The largest body, where the runtime tells and it is not too much to send.
fn body_bound(context: &Context) -> Result<usize, NotPassed> {
    let bound = context.configured("max_body_bytes")?;
    if bound > MAX_BODY_BYTES {
        return Err(skipped(format!("max_body_bytes is {bound}: too much to send")));
    }
    Ok(usize::try_from(bound).expect("it is at most MAX_BODY_BYTES"))
}

/// A valid request, padded to this length.
fn padded(id: &str, length: usize) -> Vec<u8> {
    let mut body = with(sh("true"), json!({"task_id": id})).to_string().into_bytes();
    body.resize(length, b' ');
    body
}

fn too_large(context: &Context) -> Outcome {
    let bound = body_bound(context)?;
    let id = context.fresh_id();
    let answer = context.client.send(submission().header("content-type", JSON).bytes(padded(&id, bound + 1)))?;
    answer.expect_failure(413, "payload_too_large", "a body above the bound is refused")?;
    answer.expect_field("/error/details/max_body_bytes", &json!(bound))?;
    let task = context.client.get(&format!("/api/v1/tasks/{id}"))?;
    task.expect_failure(404, "not_found", "a refused task leaves nothing behind")
}

fn at_the_bound(context: &Context) -> Outcome {
    let bound = body_bound(context)?;
    let id = context.fresh_id();
    let answer = context.client.send(submission().header("content-type", JSON).bytes(padded(&id, bound)))?;
    answer.expect_status(200, "a body of just the bound is accepted")?;
    context.ended(&id)?.expect_field("/status", &json!("success"))
}

fn null_is_missing(context: &Context) -> Outcome {
    let execution = json!({"script": null, "interpreter": null, "env": null});
    let nulls = json!({
        "task_id": null, "limits": {"wall_time_ms": null, "memory_bytes": null}, "sandbox": null,
        "policy": {"capability_mode": null}, "control_context": {"tenant": null, "labels": null}, "metadata": null,
        "execution": execution,
    });
    let status = context.prints(&with(sh("echo ran"), nulls), "ran\n")?;
    status.expect_absent("/metadata")?;
    status.expect_field("/execution_plan/resource_enforcement/wall_time_ms", &json!(300_000))
}

/// An escaped character is the character.
fn escapes(context: &Context) -> Outcome {
    let id = context.fresh_id();
    let body = format!(
        r#"{{"task_id":"{id}","execution":{{"kind":"command","program":"\u0070rintf","args":["\u00e9\ud83d\ude00\t"]}}}}"#
    );
    let answer = context.client.send(submission().header("content-type", JSON).bytes(body.into_bytes()))?;
    answer.expect_status(200, "escapes are part of JSON")?;
    context.ended(&id)?.expect_field("/stdout", &json!("é😀\t"))
}

fn unknown_query(context: &Context) -> Outcome {
    for path in ["/api/v1/runtime/info", "/api/v1/runtime/config", "/api/v1/runtime/resources"] {
        let answer = context.client.get(&format!("{path}?no_such_parameter=1"))?;
        answer.expect_failure(400, "invalid_input", "an unknown query parameter is refused")?;
        answer.expect(answer.message().contains("no_such_parameter"), "the message names the parameter")?;
    }
    Ok(())
}

fn request_id(answer: &Exchange) -> &str {
    answer.headers.get("x-request-id").and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn request_id_present(context: &Context) -> Outcome {
    let healthy = context.client.get("/healthz")?;
    healthy.expect(!request_id(&healthy).is_empty(), "a success carries x-request-id")?;
    failures(context)?
        .iter()
        .try_for_each(|failure| failure.expect(!request_id(failure).is_empty(), "a failure carries x-request-id"))
}

fn request_id_unique(context: &Context) -> Outcome {
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let answer = context.client.get("/healthz")?;
        answer.expect(seen.insert(request_id(&answer).to_owned()), "no two answers have the same x-request-id")?;
    }
    Ok(())
}

/// It names a line in the runtime's log; a client must not choose it.
fn request_id_own(context: &Context) -> Outcome {
    let chosen = "00000000-0000-4000-8000-000000000000";
    let answer = context.client.send(Call::new(Method::GET, "/healthz").header("x-request-id", chosen))?;
    let own = request_id(&answer);
    answer.expect(!own.is_empty() && own != chosen, "the x-request-id is the runtime's own")
}

/// The page's own name leads here, so the browser names it in `Host`.
fn rebinding(context: &Context) -> Outcome {
    needs_no_token(context)?;
    refuses_page(context, |call| call.header("host", "rebound.example:8080"))?;
    let read =
        context.client.send(Call::new(Method::GET, "/api/v1/runtime/config").header("host", "rebound.example"))?;
    read.expect_failure(403, "permission_denied", "a strange host name gets nothing to read")?;
    let health = context.client.send(Call::new(Method::GET, "/healthz").header("host", "rebound.example"))?;
    health.expect_status(200, "a prober may come under any name")
}

fn other_origin(context: &Context) -> Outcome {
    needs_no_token(context)?;
    for origin in ["https://page.example", "http://127.0.0.1:1", "null"] {
        refuses_page(context, |call| call.header("origin", origin))?;
    }
    Ok(())
}

/// A page has no token.
fn needs_no_token(context: &Context) -> Outcome {
    if context.client.has_token() { Err(skipped("this run has a token")) } else { Ok(()) }
}

/// Neither a submission nor a kill, which needs no body.
fn refuses_page(context: &Context, from_page: impl Fn(Call) -> Call) -> Outcome {
    let id = context.fresh_id();
    let asked = with(sh("true"), json!({"task_id": id}));
    let answer = context.client.send(from_page(submission().json(&asked)))?;
    answer.expect_failure(403, "permission_denied", "a web page cannot submit")?;
    let task = context.client.get(&format!("/api/v1/tasks/{id}"))?;
    task.expect_failure(404, "not_found", "a refused task leaves nothing behind")?;
    let running = context.submit(&sh("sleep 60"))?;
    let kill = from_page(bare(Method::POST, &format!("/api/v1/tasks/{running}/kill")));
    context.client.send(kill)?.expect_failure(403, "permission_denied", "a web page cannot kill")?;
    let events = context.client.get(&format!("/api/v1/tasks/{running}/events"))?;
    let killed = events.body.as_array().into_iter().flatten().any(|event| event["event_type"] == "kill_requested");
    events.expect(!killed, "a refused kill does nothing")
}

fn own_origin(context: &Context) -> Outcome {
    needs_no_token(context)?;
    let from_own_page =
        submission().json(&sh("true")).header("host", "127.0.0.1:1").header("origin", "http://127.0.0.1:1");
    let answer = context.client.send(from_own_page)?;
    answer.expect_status(200, "a page of this server may submit")?;
    answer.expect_field("/status", &json!("accepted"))
}

fn no_internals(context: &Context) -> Outcome {
    let config = context.client.get("/api/v1/runtime/config")?;
    let data_dir = config.text_at("/data_dir").to_owned();
    failures(context)?.iter().try_for_each(|failure| {
        let message = failure.message();
        failure.expect(!message.is_empty(), "error.message says what is wrong")?;
        let leak = INTERNALS.into_iter().find(|word| message.contains(word));
        failure.expect(leak.is_none(), &format!("the message shows no {}", leak.unwrap_or_default()))?;
        failure.expect(
            data_dir.is_empty() || !message.contains(&data_dir),
            "the message shows no path of the runtime's data directory",
        )
    })
}
