//! A client of one connection that is kept. What it must not do is wait for ever or try again.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// Much longer than any answer may take.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);

pub struct Connection {
    stream: BufReader<TcpStream>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub retry_after: Option<String>,
    pub body: Value,
}

impl Connection {
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWERS_WITHIN))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    pub fn get(&mut self, path: &str) -> io::Result<Answer> {
        self.ask(&get(path))
    }

    pub fn post(&mut self, path: &str, body: &str) -> io::Result<Answer> {
        self.ask(&format!("{}{body}", post(path, body.len())))
    }

    /// Asks and leaves before the answer.
    pub fn send(&mut self, request: &str) -> io::Result<()> {
        self.stream.get_mut().write_all(request.as_bytes())
    }

    fn ask(&mut self, request: &str) -> io::Result<Answer> {
        self.send(request)?;
        let status = self.line()?.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(garbled)?;
        let (mut length, mut retry_after) = (0, None);
        loop {
            let line = self.line()?;
            match line.split_once(": ") {
                Some(("content-length", value)) => length = value.parse().map_err(|_| garbled())?,
                Some(("retry-after", value)) => retry_after = Some(value.to_owned()),
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(Answer { status, retry_after, body: serde_json::from_slice(&body)? })
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(line.trim_end().to_owned()),
        }
    }
}

pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")
}

/// The head alone.
pub fn post(path: &str, length: usize) -> String {
    let kind = "content-type: application/json";
    format!("POST {path} HTTP/1.1\r\nhost: localhost\r\n{kind}\r\ncontent-length: {length}\r\n\r\n")
}

fn garbled() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "no HTTP")
}
