//! Servers that are no runtime of this contract: another version of the API, or none. The suite ends with a result that
//! people and programs can read, soon, and never with a panic.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use serde_json::{Value, json};
use ureq::http::HeaderValue;
use ureq::http::header::{CONTENT_TYPE, LOCATION};

use crate::faults::proxy::{Passing, Server};
use crate::{Args, cases};

/// The slowest of them says nothing to anybody, and has been given up by then.
const ENDS_WITHIN: Duration = Duration::from_secs(300);

fn answer(request: Passing, status: u16, content_type: &'static str, body: &str) -> Passing {
    let headers = [(CONTENT_TYPE, HeaderValue::from_static(content_type))].into_iter().collect();
    Passing { status, headers, body: body.as_bytes().to_vec(), ..request }
}

fn json_of(request: Passing, body: &Value) -> Passing {
    answer(request, 200, "application/json", &body.to_string())
}

/// Runs the whole suite as the program does, and reads what it wrote.
fn is_reported(server: &Server) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = |name: &str| dir.path().join(name);
    let report = |format: &str| format!("--report={format}={}", file(format).display());
    let reports = ["text", "json", "junit", "markdown"].map(report);
    let url = server.url();
    let fixed = ["execgo-conformance", &url, "--patience=1", "--seed=0"].map(str::to_owned);
    let begun = Instant::now();
    let code = crate::run(&Args::parse_from(fixed.into_iter().chain(reports))).expect("somebody answers");
    assert!(begun.elapsed() < ENDS_WITHIN, "it took {:?}", begun.elapsed());
    assert_eq!(code, ExitCode::from(1));
    for format in ["text", "json", "junit", "markdown"] {
        let text = fs::read_to_string(file(format)).expect("a report");
        let lacking: Vec<_> = cases::all().into_iter().map(|case| case.id).filter(|id| !text.contains(id)).collect();
        assert!(lacking.is_empty(), "{format} lacks {lacking:?}");
    }
    let parsed = serde_json::from_str::<Value>(&fs::read_to_string(file("json")).expect("a report"));
    assert!(parsed.is_ok_and(|report| report.is_object()));
}

#[test]
fn another_version_of_the_api() {
    let server = Server::start(|request| match request.path.as_str() {
        "/healthz" => json_of(request, &json!({"ok": true, "apiVersion": "v2"})),
        "/openapi.json" => json_of(request, &json!({"openapi": "3.1.0", "paths": {"/api/v2/jobs": {}}})),
        path if path.starts_with("/api/v2/jobs") => json_of(request, &json!({"data": {"id": 1, "state": "DONE"}})),
        _ => answer(request, 404, "text/plain", "404 page not found\n"),
    });
    is_reported(&server.expect("a free port"));
}

#[test]
fn a_web_page_for_everything() {
    let server = Server::start(|request| answer(request, 200, "text/html", "<!doctype html><title>Welcome</title>"));
    is_reported(&server.expect("a free port"));
}

#[test]
fn a_redirect_for_everything() {
    let server = Server::start(|request| {
        let mut redirect = answer(request, 302, "text/plain", "");
        redirect.headers.insert(LOCATION, HeaderValue::from_static("/"));
        redirect
    });
    is_reported(&server.expect("a free port"));
}

#[test]
fn json_of_other_shapes() {
    for shape in [json!(null), json!([]), json!([1, {"a": [null]}]), json!("text"), json!({"task_id": 1, "error": []})]
    {
        is_reported(&Server::start(move |request| json_of(request, &shape)).expect("a free port"));
    }
}

#[test]
fn a_task_that_is_accepted_and_never_starts() {
    let server = Server::start(|request| {
        let id = request.sent["task_id"].as_str().or(request.path.split(['/', '?']).nth(4)).unwrap_or("one").to_owned();
        json_of(request, &json!({"task_id": id, "handle_id": id, "status": "accepted", "stdout": "", "stderr": ""}))
    });
    is_reported(&server.expect("a free port"));
}

/// Reads the head of a request; whether it is the one that asks whether anybody is there.
fn is_first(stream: &mut TcpStream) -> bool {
    let mut head = [0; 1024];
    let length = stream.read(&mut head).unwrap_or(0);
    let is_first = head[..length].starts_with(b"GET /healthz");
    if is_first {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}");
    }
    is_first
}

#[test]
fn a_connection_that_closes_in_the_middle() {
    let server = Server::start_raw(|mut stream| {
        if !is_first(&mut stream) {
            let _ =
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{");
        }
    });
    is_reported(&server.expect("a free port"));
}

#[test]
fn an_answer_that_never_ends() {
    let server = Server::start_raw(|mut stream| {
        if !is_first(&mut stream) {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n[");
            // Until the client has had enough.
            while stream.write_all(b"1,").is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    });
    is_reported(&server.expect("a free port"));
}

#[test]
fn a_server_that_says_nothing_is_no_runtime() {
    let server = Server::start_raw(drop).expect("a free port");
    let args = Args::parse_from(["execgo-conformance", &server.url(), "--patience=1"]);
    let fault = crate::run(&args).expect_err("nobody answers");
    assert!(fault.contains("nobody answers"), "{fault}");
}
