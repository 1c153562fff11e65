//! What only a real socket shows: slow, leaving and impolite clients, and the end of the server.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::{MAX_BODY_BYTES, command, context};
use crate::dispatcher::testing::{Fake, Rules};
use crate::ledger::Capacity;
use crate::server::{Access, Listeners, serve};
use crate::task::TaskId;

const DEADLINE: Duration = Duration::from_secs(10);

struct Live {
    dir: tempfile::TempDir,
    fake: Fake,
    addr: SocketAddr,
    shutdown: CancellationToken,
    served: tokio::task::JoinHandle<std::io::Result<()>>,
}

async fn live(listen: &str, rules: Rules) -> Live {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let fake = Fake::new(dir.path(), rules);
    let listener = TcpListener::bind(listen).await.expect("binds");
    let addr = listener.local_addr().expect("bound");
    let shutdown = CancellationToken::new();
    let context = context(dir.path(), &fake);
    let access = Access::new(&context.config.access, "").expect("no tokens");
    let listeners = Listeners { tcp: listener, tls: None, unix: None };
    let served = tokio::spawn(serve(listeners, context, access, shutdown.clone(), CancellationToken::new()));
    Live { dir, fake, addr, shutdown, served }
}

async fn connect(server: &Live) -> TcpStream {
    TcpStream::connect(server.addr).await.expect("connects")
}

/// All that comes until the server closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut bytes)).await.expect("the server closes");
    // A reset after the answer is as good as an end.
    drop(read);
    String::from_utf8(bytes).expect("text")
}

fn head(method: &str, path: &str, headers: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n")
}

async fn exchange(server: &Live, request: &str) -> String {
    let mut stream = connect(server).await;
    stream.write_all(request.as_bytes()).await.expect("sends");
    rest(&mut stream).await
}

fn post(body: &str) -> String {
    let headers = format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len());
    head("POST", "/api/v1/tasks", &headers) + body
}

/// Also a server to try other tools on: EXECGO_TEST_LISTEN names its address, EXECGO_TEST_SERVE_SECS how long it stays.
#[tokio::test]
async fn it_serves_on_a_real_socket_until_it_is_told_to_stop() {
    let listen = std::env::var("EXECGO_TEST_LISTEN").unwrap_or_else(|_| "127.0.0.1:0".into());
    let capacity = Capacity { task_slots: 4, memory_bytes: None, pids: None };
    let rules =
        Rules { run_at_once: true, max_queued_tasks: u64::MAX, capacity, quotas: [].into(), ..Rules::default() };
    let server = live(&listen, rules).await;
    let answer = exchange(&server, &head("GET", "/healthz", "")).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("x-request-id: "), "{answer}");
    assert!(exchange(&server, &post(&command(json!({})))).await.starts_with("HTTP/1.1 200 OK\r\n"));
    if let Ok(seconds) = std::env::var("EXECGO_TEST_SERVE_SECS") {
        tokio::time::sleep(Duration::from_secs(seconds.parse().expect("a number"))).await;
    }
    server.shutdown.cancel();
    tokio::time::timeout(DEADLINE, server.served).await.expect("stops").expect("no panic").expect("no error");
    assert!(TcpStream::connect(server.addr).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_body_that_is_too_large_is_answered_however_it_comes() {
    let server = live("127.0.0.1:0", Rules::default()).await;
    let large = "x".repeat(3 * MAX_BODY_BYTES as usize);
    let length = format!("content-type: application/json\r\ncontent-length: {}\r\n", large.len());
    let answer = exchange(&server, &(head("POST", "/api/v1/tasks", &length) + &large)).await;
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("payload_too_large"), "{answer}");
    let chunked = "content-type: application/json\r\ntransfer-encoding: chunked\r\n";
    let body = format!("{:x}\r\n{large}\r\n0\r\n\r\n", large.len());
    let answer = exchange(&server, &(head("POST", "/api/v1/tasks", chunked) + &body)).await;
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("payload_too_large"), "{answer}");
    // Who asks first is told before sending anything.
    let asking = head("POST", "/api/v1/tasks", &format!("{length}expect: 100-continue\r\n"));
    assert!(exchange(&server, &asking).await.starts_with("HTTP/1.1 413 "));
}

#[tokio::test]
async fn a_body_that_nobody_wants_costs_no_connection() {
    let server = live("127.0.0.1:0", Rules::default()).await;
    let mut stream = connect(&server).await;
    for (request, kind, status) in [
        ("POST /nowhere", "application/json", 404),
        ("PATCH /healthz", "application/json", 405),
        ("POST /api/v1/tasks", "text/plain", 415),
    ] {
        let head =
            format!("{request} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\ncontent-length: 5\r\n\r\n");
        stream.write_all(head.as_bytes()).await.expect("sends");
        let mut buffer = [0; 4096];
        // Answered before it has come, the body would be taken for the next request, or end the connection.
        let early = tokio::time::timeout(Duration::from_millis(100), stream.read(&mut buffer)).await;
        assert!(early.is_err(), "{request}: answered before the body came");
        stream.write_all(b"12345").await.expect("sends");
        let mut answer = String::new();
        while !answer.ends_with("}}") {
            let read = tokio::time::timeout(DEADLINE, stream.read(&mut buffer)).await.expect("an answer");
            let length = read.expect("the connection is whole");
            assert!(length > 0, "{request}: the connection has ended behind {answer:?}");
            answer += std::str::from_utf8(&buffer[..length]).expect("text");
        }
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
}

#[tokio::test]
async fn a_head_that_never_ends_is_given_up() {
    let server = live("127.0.0.1:0", Rules::default()).await;
    let started = Instant::now();
    let answer = exchange(&server, "GET /healthz HTTP/1.1\r\nhost: localhost\r\n").await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(started.elapsed() < DEADLINE / 2);
}

#[tokio::test]
async fn a_body_that_never_ends_is_answered_in_time_and_costs_its_connection() {
    let server = live("127.0.0.1:0", Rules::default()).await;
    let mut stream = connect(&server).await;
    let started = Instant::now();
    // The declared length is no more than a claim.
    let head = format!(
        "POST /api/v1/tasks HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {MAX_BODY_BYTES}\r\n"
    );
    stream.write_all(format!("{head}\r\n{{").as_bytes()).await.expect("sends");
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("did not arrive within 3000 ms"), "{answer}");
    let took = started.elapsed();
    assert!(took >= Duration::from_secs(3) && took < Duration::from_secs(6), "{took:?}");
}

#[tokio::test]
async fn a_client_that_leaves_ends_its_wait() {
    let server = live("127.0.0.1:0", Rules::default()).await;
    let created = exchange(&server, &post(&command(json!({"task_id": "t"})))).await;
    assert!(created.starts_with("HTTP/1.1 200 "), "{created}");
    let id = TaskId::parse("t").expect("valid");
    let mut stream = connect(&server).await;
    stream.write_all(head("GET", "/api/v1/tasks/t?wait_ms=600000", "").as_bytes()).await.expect("sends");
    eventually(|| server.fake.waits_for(&id)).await;
    drop(stream);
    eventually(|| !server.fake.waits_for(&id)).await;
}

#[tokio::test]
async fn a_submission_ends_although_its_client_left() {
    let server = live("127.0.0.1:0", Rules::default()).await;
    for n in 0..20 {
        let mut stream = connect(&server).await;
        let request = post(&command(json!({"task_id": format!("t{n}")})));
        stream.write_all(request.as_bytes()).await.expect("sends");
        drop(stream);
    }
    // Whatever was committed has its request beside it.
    let id = |n: usize| TaskId::parse(&format!("t{n}")).expect("valid");
    let whole = |n: usize| match server.fake.readers.task(&id(n)).expect("reads") {
        Some(_) => server.dir.path().join(format!("tasks/t{n}/request.json")).exists(),
        None => true,
    };
    eventually(|| (0..20).all(whole)).await;
}

#[tokio::test]
async fn a_stop_ends_waits_at_once_with_the_status_as_it_is() {
    let server = live("127.0.0.1:0", Rules::default()).await;
    exchange(&server, &post(&command(json!({"task_id": "t"})))).await;
    let mut stream = connect(&server).await;
    stream.write_all(head("GET", "/api/v1/tasks/t?wait_ms=600000", "").as_bytes()).await.expect("sends");
    let id = TaskId::parse("t").expect("valid");
    eventually(|| server.fake.waits_for(&id)).await;
    // An idle connection must not hold up the end either.
    let idle = connect(&server).await;
    let started = Instant::now();
    server.shutdown.cancel();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"status\":\"accepted\""), "{answer}");
    tokio::time::timeout(DEADLINE, server.served).await.expect("stops").expect("no panic").expect("no error");
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    drop(idle);
}

/// Follows the output of a task that has written "begun", and has read it.
async fn follow(server: &Live, path: &str) -> (TcpStream, TaskId) {
    let created = exchange(server, &post(&command(json!({"task_id": "t"})))).await;
    assert!(created.starts_with("HTTP/1.1 200 "), "{created}");
    let id = TaskId::parse("t").expect("valid");
    server.fake.start(&id);
    // Before the request: a log is there when its task runs.
    std::fs::write(server.dir.path().join("tasks/t/stdout.log"), "begun").expect("written");
    let mut stream = connect(server).await;
    stream.write_all(head("GET", path, "").as_bytes()).await.expect("sends");
    let mut seen = String::new();
    while !seen.contains("begun") {
        let mut buffer = [0; 4096];
        let read = tokio::time::timeout(DEADLINE, stream.read(&mut buffer)).await.expect("in time");
        let length = read.expect("the connection is whole");
        assert!(length > 0, "the connection has ended behind {seen:?}");
        seen += std::str::from_utf8(&buffer[..length]).expect("text");
    }
    (stream, id)
}

const FOLLOW: &str = "/api/v1/tasks/t/stdout?follow=true";
/// The last chunk of a body that is whole.
const LAST_CHUNK: &str = "0\r\n\r\n";

#[tokio::test]
async fn followed_output_comes_as_it_is_written_and_ends_with_the_task() {
    let server = live("127.0.0.1:0", Rules::default()).await;
    let (mut stream, id) = follow(&server, FOLLOW).await;
    std::fs::write(server.dir.path().join("tasks/t/stdout.log"), "begun, done").expect("written");
    server.fake.finish(&id, 0);
    let rest = rest(&mut stream).await;
    assert!(rest.contains(", done") && rest.ends_with(LAST_CHUNK), "{rest:?}");
    assert!(!server.fake.waits_for(&id));
}

#[tokio::test]
async fn a_client_that_leaves_ends_its_follow() {
    let server = live("127.0.0.1:0", Rules::default()).await;
    let (stream, id) = follow(&server, FOLLOW).await;
    eventually(|| server.fake.waits_for(&id)).await;
    drop(stream);
    eventually(|| !server.fake.waits_for(&id)).await;
}

#[tokio::test]
async fn a_stop_breaks_a_follow_off_so_that_it_does_not_look_whole() {
    let server = live("127.0.0.1:0", Rules::default()).await;
    let (mut stream, _) = follow(&server, FOLLOW).await;
    let started = Instant::now();
    server.shutdown.cancel();
    let rest = rest(&mut stream).await;
    assert!(!rest.ends_with(LAST_CHUNK), "{rest:?}");
    tokio::time::timeout(DEADLINE, server.served).await.expect("stops").expect("no panic").expect("no error");
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_stop_or_a_client_that_leaves_ends_a_stream_without_the_event_of_the_end() {
    let server = live("127.0.0.1:0", Rules::default()).await;
    let (mut stream, id) = follow(&server, "/api/v1/tasks/t/stream").await;
    drop(stream);
    eventually(|| !server.fake.waits_for(&id)).await;
    stream = connect(&server).await;
    stream.write_all(head("GET", "/api/v1/tasks/t/stream", "").as_bytes()).await.expect("sends");
    eventually(|| server.fake.waits_for(&id)).await;
    server.shutdown.cancel();
    let rest = rest(&mut stream).await;
    assert!(!rest.contains("event: end") && rest.ends_with(LAST_CHUNK), "{rest:?}");
    tokio::time::timeout(DEADLINE, server.served).await.expect("stops").expect("no panic").expect("no error");
}

#[tokio::test]
async fn the_head_of_output_says_how_much_there_is() {
    let server = live("127.0.0.1:0", Rules::default()).await;
    drop(follow(&server, FOLLOW).await);
    let answer = exchange(&server, &head("HEAD", "/api/v1/tasks/t/stdout", "range: bytes=1-2\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("content-length: 5\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "no body: {answer}");
    let answer = exchange(&server, &head("HEAD", FOLLOW, "")).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n"), "it ends at once: {answer}");
}

#[tokio::test]
async fn a_request_that_does_not_end_is_cut_off_at_the_timeout() {
    let server = live("127.0.0.1:0", Rules::default()).await;
    let mut stream = connect(&server).await;
    let headers = "content-type: application/json\r\ncontent-length: 100\r\n";
    stream.write_all(head("POST", "/api/v1/tasks", headers).as_bytes()).await.expect("sends");
    stream.write_all(b"{").await.expect("sends");
    tokio::time::sleep(Duration::from_millis(50)).await;
    server.shutdown.cancel();
    tokio::time::timeout(DEADLINE, server.served).await.expect("stops").expect("no panic").expect("no error");
    assert_eq!(rest(&mut stream).await, "");
}

async fn eventually(mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < deadline, "it did not come about");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
