//! A server of a few lines for the client's tests: it gives canned answers and remembers what it was asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What the next request gets.
#[derive(Clone, Copy, Debug)]
pub enum Canned {
    Answer(u16, &'static str),
    /// An answer that the server holds back for so many milliseconds.
    Held(u64, &'static str),
    /// Server-sent events, or the bytes of a stream.
    Stream(&'static str),
    /// The same, cut off before its end.
    Broken(&'static str),
    HangUp,
}

/// Lives until the test program ends.
pub struct FakeServer {
    pub url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl FakeServer {
    /// The last answer is given again and again.
    pub fn new(answers: &[Canned]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (answers, seen) = (answers.to_vec(), Arc::clone(&requests));
        thread::spawn(move || {
            for (n, stream) in listener.incoming().enumerate() {
                let answer = answers.get(n).or(answers.last()).expect("an answer");
                let stream = stream.expect("a connection");
                seen.lock().expect("no panic").push(read_request(&stream));
                give(stream, *answer);
            }
        });
        Self { url, requests }
    }

    /// Each as `METHOD path`, the headers that matter, the body; one after the other on a line.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("no panic").clone()
    }
}

fn read_request(stream: &TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).expect("a request line");
    let mut request = line.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
    let mut length = 0;
    loop {
        line.clear();
        reader.read_line(&mut line).expect("a header");
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name.to_lowercase().as_str() {
            "content-length" => length = value.parse().expect("a number"),
            "content-type" | "x-execgo-owner" | "idempotency-key" | "range" | "last-event-id" => {
                request += &format!(" [{name}: {value}]");
            }
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("the body");
    if length > 0 {
        request += &format!(" {}", String::from_utf8_lossy(&body));
    }
    request
}

fn give(mut stream: TcpStream, answer: Canned) {
    let mut more = 0;
    let (status, body) = match answer {
        Canned::Answer(status, body) => (status, body),
        Canned::Stream(body) => (200, body),
        Canned::Broken(body) => {
            more = 1;
            (200, body)
        }
        Canned::Held(ms, body) => {
            thread::sleep(Duration::from_millis(ms));
            (200, body)
        }
        Canned::HangUp => return,
    };
    let kind =
        if matches!(answer, Canned::Stream(_) | Canned::Broken(_)) { "text/event-stream" } else { "application/json" };
    let length = body.len() + more;
    let head =
        format!("HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    stream.write_all((head + body).as_bytes()).expect("the client listens");
}
