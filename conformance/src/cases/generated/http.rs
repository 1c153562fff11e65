//! What is hardly HTTP, or none: the connection is answered or closed, and the runtime goes on.

use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::{Index, select};

use super::expect_alive;
use crate::case::{Context, Fault, Outcome, skipped};
use crate::generate::{Latin1, bytes, edited};
use crate::property::for_all;

pub const ID: &str = "generated.http.malformed";

const BODY: &str = r#"{"execution":{"kind":"command","program":"true"}}"#;

pub fn holds(context: &Context) -> Outcome {
    if !context.client.is_plain() {
        return Err(skipped("what is no HTTP can be sent to an http:// address alone"));
    }
    for_all(context, ID, context.inputs, &streams(), |Latin1(stream)| {
        let fault = |rule: &str, response: String| {
            let request = stream.escape_ascii().to_string();
            Fault { rule: rule.to_owned(), request, response }
        };
        let answer = context.client.send_raw(stream);
        let answer = answer.map_err(|error| fault("a connection is answered or closed", error.to_string()))?;
        let text = String::from_utf8_lossy(&answer);
        let is_http = text.is_empty() || text.starts_with("HTTP/1.");
        if !is_http || text.contains("HTTP/1.1 5") || text.contains("HTTP/1.0 5") {
            return Err(
                fault("what is no HTTP is no fault of the runtime (status below 500)", text.into_owned()).into()
            );
        }
        // What arrived whole may be a submission.
        for id in text.split("\"task_id\":\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            context.ended(id)?;
        }
        expect_alive(context)
    })
}

fn request(head: &str) -> Vec<u8> {
    let length = BODY.len();
    format!("{head}\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{BODY}")
        .into()
}

fn submission() -> Vec<u8> {
    request("POST /api/v1/tasks HTTP/1.1")
}

fn streams() -> impl Strategy<Value = Latin1> {
    let lines = vec![
        "GET",
        "GET /healthz",
        "GET /healthz HTTP/9.9",
        "GET /healthz HTTP/1.0",
        "get /healthz HTTP/1.1",
        "GET healthz HTTP/1.1",
        "GET http://elsewhere/healthz HTTP/1.1",
        "CONNECT localhost:1 HTTP/1.1",
        "PRI * HTTP/2.0",
        "GET  /healthz  HTTP/1.1",
        "GET /healthz\tHTTP/1.1",
    ];
    let headers = vec![
        "content-length: -1",
        "content-length: 99999999999999999999",
        "content-length: 5\r\ncontent-length: 6",
        "content-length: 5\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked, gzip",
        "transfer-encoding: nonsense",
        "expect: 200-maybe",
        "upgrade: websocket\r\nconnection: upgrade",
        "host: a\r\nhost: b",
        ": no name",
        "no colon",
        " folded: line",
    ];
    let head =
        |header: &str| format!("POST /api/v1/tasks HTTP/1.1\r\nhost: localhost\r\n{header}\r\n\r\n{BODY}").into_bytes();
    let chunks = |chunks: Vec<u8>| {
        let head = b"POST /api/v1/tasks HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
        [head, chunks].concat()
    };
    let streams = prop_oneof![
        bytes(0..200),
        select(lines).prop_map(request),
        edited(Just(submission())),
        any::<Index>().prop_map(|cut| submission()[..cut.index(submission().len())].to_vec()),
        select(headers).prop_map(head),
        (1_usize..200).prop_map(move |kib| head(&format!("x-long: {}", "a".repeat(kib << 10)))),
        (1_usize..400).prop_map(move |many| head(&"x-again: 1\r\n".repeat(many))),
        bytes(0..60).prop_map(chunks),
        // Behind a request that is right.
        bytes(1..60).prop_map(|rest| [b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec(), rest].concat()),
    ];
    streams.prop_map(Latin1)
}
