//! What only a real socket shows: slow, leaving and impolite clients, and the end of the server.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::{MAX_BODY_BYTES, command, context};
use crate::dispatcher::testing::{Fake, Rules};
use crate::server::serve;
use crate::task::TaskId;

const DEADLINE: Duration = Duration::from_secs(10);

struct Live {
    _dir: tempfile::TempDir,
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
    let served = tokio::spawn(serve(listener, context(dir.path(), &fake), shutdown.clone()));
    Live { _dir: dir, fake, addr, shutdown, served }
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
    format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n")
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
    let rules = Rules { run_at_once: true, max_queued_tasks: u64::MAX, ..Rules::default() };
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
