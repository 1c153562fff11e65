//! A client as cheap as can be, for it shares the cores with what it measures: one connection that is kept, requests
//! that are written as they are, answers that are not parsed further than to their length.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Much longer than any answer takes, the wait for the end of a task included.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
const END_OF_HEAD: &[u8] = b"\r\n\r\n";

#[derive(Debug)]
pub struct Connection {
    pub stream: TcpStream,
    buffer: Vec<u8>,
}

#[derive(Debug)]
pub struct Answer<'a> {
    pub status: u16,
    pub body: &'a str,
}

impl Connection {
    pub fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the runtime listens");
        stream.set_nodelay(true).expect("a TCP connection");
        stream.set_read_timeout(Some(ANSWER_WITHIN)).expect("not zero");
        Self { stream, buffer: vec![0; 16 * 1024] }
    }

    /// A request and its answer.
    pub fn ask(&mut self, request: &[u8]) -> Answer<'_> {
        self.send(request);
        self.receive()
    }

    pub fn send(&mut self, request: &[u8]) {
        self.stream.write_all(request).expect("the runtime reads");
    }

    /// The whole answer to what was sent.
    pub fn receive(&mut self) -> Answer<'_> {
        let mut filled = 0;
        let (head, length) = loop {
            filled += self.read(filled);
            let end = self.buffer[..filled].windows(END_OF_HEAD.len()).position(|bytes| bytes == END_OF_HEAD);
            if let Some(end) = end {
                break (end + END_OF_HEAD.len(), content_length(&self.buffer[..end]));
            }
        };
        while filled < head + length {
            filled += self.read(filled);
        }
        let status = std::str::from_utf8(&self.buffer[9..12]).ok().and_then(|code| code.parse().ok());
        let body = std::str::from_utf8(&self.buffer[head..head + length]).expect("JSON is UTF-8");
        Answer { status: status.expect("an answer has a status"), body }
    }

    fn read(&mut self, filled: usize) -> usize {
        if filled == self.buffer.len() {
            self.buffer.resize(filled * 2, 0);
        }
        let read = loop {
            match self.stream.read(&mut self.buffer[filled..]) {
                // A stop and a go on are enough where there is a timeout: signal(7).
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read.expect("the runtime answers in time"),
            }
        };
        assert_ne!(read, 0, "the runtime closed the connection");
        read
    }
}

fn content_length(head: &[u8]) -> usize {
    const NAME: &str = "content-length: ";
    let head = std::str::from_utf8(head).expect("a head is ASCII");
    let (_, rest) = head.split_once(NAME).expect("an answer has its length");
    rest.split('\r').next().and_then(|digits| digits.parse().ok()).expect("a number")
}

impl Answer<'_> {
    /// The first text of this name in the JSON of a 200.
    pub fn text(&self, name: &str) -> &str {
        assert_eq!(self.status, 200, "{}", self.body);
        let key = format!("\"{name}\":\"");
        let (_, rest) = self.body.split_once(&key).unwrap_or_else(|| panic!("no {name} in {}", self.body));
        rest.split('"').next().unwrap_or_default()
    }
}

pub fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").into_bytes()
}

pub fn post(path: &str, body: &str) -> Vec<u8> {
    let kind = "content-type: application/json";
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nhost: localhost\r\n{kind}\r\ncontent-length: {length}\r\n\r\n{body}").into_bytes()
}
