//! Any bytes of any declared type, by any method, at any path: answered, and never with a fault of the runtime.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, Strategy, prop_oneof};
use proptest::sample::select;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use ureq::http::header::CONTENT_TYPE;
use ureq::http::{HeaderValue, Method};

use super::expect_alive;
use crate::case::{Context, NotPassed, Outcome, sh};
use crate::client::Call;
use crate::document::Document;
use crate::generate::{Latin1, bytes, edited, submissions};
use crate::property::for_all;

pub const ID: &str = "generated.bytes.no-5xx";

const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"];
/// Whoever is asked for these does not go on as before, or does not end.
const ENDING: [&str; 3] = ["drain_runtime", "delete_task", "stream_events"];
/// What carries a body.
const WITH_BODY: [&str; 3] = ["POST", "PUT", "PATCH"];

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Shot {
    method: String,
    /// `{task_id}` stands for a task that has ended.
    path: String,
    content_type: Option<Latin1>,
    body: Option<Latin1>,
}

pub fn holds(context: &Context) -> Outcome {
    let ended = context.submit(&sh("true"))?;
    context.ended(&ended)?;
    for_all(context, ID, context.inputs, &shots(context.document()?)?, |shot| {
        let answer = context.client.send(call(shot, &ended))?;
        answer.expect(answer.status < 500, "whatever comes is no fault of the runtime (status below 500)")?;
        if answer.status >= 400 && answer.call.method != Method::HEAD {
            answer.expect_envelope()?;
        }
        // An edited submission may still be one.
        if let Some(id) = answer.body["task_id"].as_str().filter(|_| answer.body["status"] == "accepted") {
            context.ended(id)?;
        }
        expect_alive(context)
    })
}

fn call(shot: &Shot, ended: &str) -> Call {
    let method = Method::from_bytes(shot.method.as_bytes()).expect("a method is made of letters");
    // Any other parameter stands for itself.
    let path = shot.path.replace("{task_id}", ended).replace(['{', '}'], "");
    let mut call = Call::new(method, &path);
    let content_type = shot.content_type.as_ref().and_then(|Latin1(bytes)| HeaderValue::from_bytes(bytes).ok());
    call.headers.extend(content_type.map(|value| (CONTENT_TYPE, value)));
    let body = shot.body.as_ref().filter(|_| WITH_BODY.contains(&shot.method.as_str()));
    body.into_iter().fold(call, |call, Latin1(body)| call.bytes(body.clone()))
}

fn shots(document: &Document) -> Result<impl Strategy<Value = Shot> + use<>, NotPassed> {
    let operations = document.operations().iter().filter(|operation| !ENDING.contains(&operation.id.as_str()));
    let known = operations.map(|operation| (operation.method.to_string(), operation.path.clone()));
    let submit = document.operation("submit_task")?;
    let submit = (submit.method.to_string(), submit.path.clone());
    let somewhere = (select(METHODS.to_vec()).prop_map(str::to_owned), paths());
    let target = prop_oneof![
        4 => Just(submit),
        4 => (select(known.collect::<Vec<_>>()), queries()).prop_map(|((method, path), query)| (method, path + &query)),
        2 => somewhere,
    ];
    let content_type = prop_oneof![6 => Just(b"application/json".to_vec()), 2 => content_types(), 1 => bytes(0..24)];
    let content_type = option::weighted(0.9, content_type.prop_map(Latin1));
    let body = option::weighted(0.9, bodies(document)?.prop_map(Latin1));
    let shot = (target, content_type, body);
    Ok(shot.prop_map(|((method, path), content_type, body)| Shot { method, path, content_type, body }))
}

fn paths() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        select(vec![
            "api",
            "v1",
            "tasks",
            "runtime",
            "healthz",
            "{task_id}",
            "kill",
            "events",
            "stdout",
            "stream",
            "..",
            ".",
            ""
        ])
        .prop_map(str::to_owned),
        "[A-Za-z0-9._~!$&'()*+,;=:@-]{1,12}",
        vec("%[0-9A-Fa-f]{2}", 1..4).prop_map(|parts| parts.concat()),
    ];
    (vec(part, 0..6), queries()).prop_map(|(parts, query)| format!("/{}{query}", parts.join("/")))
}

fn queries() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        select(vec!["wait_ms", "wait_for", "follow", "tail_lines"]).prop_map(str::to_owned),
        "[a-z_%.=&\\[\\]-]{0,8}"
    ];
    let value = prop_oneof!["[0-9]{1,24}", "[A-Za-z0-9%+=&;.,-]{0,8}", Just("%ff%00".to_owned())];
    let some = (name, value).prop_map(|(name, value)| format!("?{name}={value}"));
    prop_oneof![Just(String::new()), some]
}

fn content_types() -> impl Strategy<Value = Vec<u8>> {
    let words = vec![
        "application/json; charset=utf-8",
        "application/json;charset=utf-16",
        "APPLICATION/JSON",
        "application/jsonp",
        "application/json, text/plain",
        "text/json",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded",
        ";",
        "",
    ];
    select(words).prop_map(|word| word.as_bytes().to_vec())
}

fn bodies(document: &Document) -> Result<impl Strategy<Value = Vec<u8>> + use<>, NotPassed> {
    // Edited, a name of a program is the name of no program; an edited line for a shell could be anything.
    let submission = submissions(document)?.prop_map(|mut request: Value| {
        request["execution"] = json!({"kind": "command", "program": "true", "args": request["execution"]["args"]});
        request.to_string().into_bytes()
    });
    let nested = (select(vec!["[", "{\"a\":", "{\"metadata\":"]), 1_usize..2000);
    Ok(prop_oneof![
        4 => edited(submission),
        2 => bytes(0..256),
        1 => nested.prop_map(|(open, depth)| open.repeat(depth).into_bytes()),
        1 => "-?[0-9]{1,400}(\\.[0-9]{1,9})?([eE][+-]?[0-9]{1,6})?".prop_map(|number| {
            format!("{{\"execution\":{{\"kind\":\"command\",\"program\":\"true\"}},\"limits\":{{\"wall_time_ms\":{number}}}}}")
                .into_bytes()
        }),
    ])
}
