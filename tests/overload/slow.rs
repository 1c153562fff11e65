//! Clients that connect and say nothing, or half of something, or all of it too slowly.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::http::post;
use crate::server::Server;
use crate::watch::{Bounds, Report, Watch};

const TICK: Duration = Duration::from_millis(250);
/// After its time a connection may be open for this long at most.
const CLOSED_WITHIN: Duration = Duration::from_secs(5);
const DECLARED: usize = 4 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Idle,
    HalfHead,
    /// A byte of the head each second.
    SlowHead,
    /// A byte of the body each second.
    SlowBody,
}

struct Client {
    kind: Kind,
    stream: TcpStream,
    answer: Vec<u8>,
    closed: bool,
}

/// Idle connections, and some that have sent half of a head.
pub fn idle(idle: usize, halves: usize, timeout: Duration, bounds: Bounds) -> Report {
    let done = format!("{idle} idle connections, {halves} half-sent heads");
    hold("idle", done, &[(Kind::Idle, idle), (Kind::HalfHead, halves)], timeout, bounds)
}

/// Heads and bodies that come byte by byte.
pub fn slow(each: usize, timeout: Duration, bounds: Bounds) -> Report {
    let done = format!("{each} heads and {each} bodies of 4 MiB at a byte a second");
    hold("slow", done, &[(Kind::SlowHead, each), (Kind::SlowBody, each)], timeout, bounds)
}

/// Opens so many of each kind and holds them until the server closes them.
fn hold(name: &'static str, done: String, kinds: &[(Kind, usize)], timeout: Duration, bounds: Bounds) -> Report {
    let millis = timeout.as_millis();
    let server = Server::start(&[], &[("SERVER__HEADER_TIMEOUT_MS", millis), ("SERVER__BODY_TIMEOUT_MS", millis)]);
    let mut watch = Watch::start(&server, bounds);
    let kinds = kinds.iter().flat_map(|(kind, number)| std::iter::repeat_n(*kind, *number));
    let mut clients: Vec<_> = kinds.map(|kind| Client::open(&server, kind)).collect();
    let opened = Instant::now();
    let mut last_byte = opened;
    while clients.iter().any(|client| !client.closed) && opened.elapsed() < timeout + CLOSED_WITHIN {
        thread::sleep(TICK);
        let is_due = last_byte.elapsed() >= Duration::from_secs(1);
        if is_due {
            last_byte = Instant::now();
        }
        for client in clients.iter_mut().filter(|client| !client.closed) {
            client.look(is_due);
        }
    }
    let took = opened.elapsed();
    let open = clients.iter().filter(|client| !client.closed).count();
    watch.must(open == 0, || format!("{open} connections are open after {took:?}"));
    let unanswered = clients.iter().filter(|client| client.kind == Kind::SlowBody && !client.is_told()).count();
    watch.must(unanswered == 0, || format!("{unanswered} slow bodies were not answered with 400"));
    drop(clients);
    watch.recovered();
    let done = format!("{done}; all closed {:.1} s after the last was opened", took.as_secs_f64());
    watch.finish(name, done)
}

impl Client {
    fn open(server: &Server, kind: Kind) -> Self {
        let mut stream = TcpStream::connect(server.address).expect("connected");
        let begin = match kind {
            Kind::Idle => String::new(),
            Kind::HalfHead | Kind::SlowHead => "GET /healthz HTTP/1.1\r\nx-half: ".to_owned(),
            Kind::SlowBody => post("/api/v1/tasks", DECLARED) + "{",
        };
        stream.write_all(begin.as_bytes()).expect("written");
        stream.set_nonblocking(true).expect("a socket");
        Self { kind, stream, answer: Vec::new(), closed: false }
    }

    /// Whether it was closed meanwhile; and sends its next byte.
    fn look(&mut self, is_due: bool) {
        let mut buffer = [0; 1024];
        self.closed = match self.stream.read(&mut buffer) {
            Ok(0) => true,
            Ok(length) => {
                self.answer.extend_from_slice(&buffer[..length]);
                false
            }
            Err(error) => error.kind() != ErrorKind::WouldBlock,
        };
        if is_due && !self.closed && matches!(self.kind, Kind::SlowHead | Kind::SlowBody) {
            // The next look says what became of it.
            let _ = self.stream.write(b" ");
        }
    }

    fn is_told(&self) -> bool {
        self.answer.starts_with(b"HTTP/1.1 400 ")
    }
}
