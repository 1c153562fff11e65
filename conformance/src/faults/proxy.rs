//! A server between the suite and a runtime, which alters what passes: a runtime with one known fault.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;
use ureq::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use ureq::{Agent, Body};

use super::memory::Memory;
use super::mutation::Alteration;

/// Of an answer without an end so much is passed on.
const LISTEN: Duration = Duration::from_secs(1);

/// A request, or an answer to it.
#[derive(Clone, Debug)]
pub struct Passing {
    pub method: Method,
    /// With its query.
    pub path: String,
    /// The body of the request as the client sent it; `Null` when it is no JSON.
    pub sent: Value,
    /// Of the answer.
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Passing {
    /// Alters the body when it is JSON.
    pub fn json(&mut self, alter: impl FnOnce(&mut Value)) {
        if let Ok(mut value) = serde_json::from_slice(&self.body) {
            alter(&mut value);
            self.body = value.to_string().into_bytes();
        }
    }

    #[must_use]
    pub fn is_submission(&self) -> bool {
        self.method == Method::POST && self.path == "/api/v1/tasks"
    }
}

/// Ends with its value.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stopped: Arc<AtomicBool>,
    listening: Option<JoinHandle<()>>,
}

impl Server {
    /// On a free port of this machine; `answer` is called for each request.
    pub fn start(answer: impl Fn(Passing) -> Passing + Clone + Send + 'static) -> io::Result<Self> {
        Self::start_raw(move |stream| {
            let mut requests = BufReader::new(stream);
            if let Some(request) = read(&mut requests) {
                // Who has gone needs no answer.
                let _ = write(requests.get_mut(), &answer(request));
            }
        })
    }

    /// As [`Self::start`], with each connection as it comes.
    pub fn start_raw(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let stopped = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&stopped);
        let listening = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ends.load(Ordering::Acquire) {
                    break;
                }
                let serve = serve.clone();
                std::thread::spawn(move || serve(stream));
            }
        });
        Ok(Self { address, stopped, listening: Some(listening) })
    }

    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Release);
        // The listener sees it with the next connection.
        if TcpStream::connect(self.address).is_ok() {
            self.listening.take().map(JoinHandle::join);
        }
    }
}

/// Passes everything to `base` and back, altered. The memory knows what passed.
pub fn before(base: &str, alteration: Alteration) -> io::Result<(Server, Arc<Memory>)> {
    let memory = Arc::new(Memory::default());
    let (base, knows) = (base.to_owned(), Arc::clone(&memory));
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .allow_non_standard_methods(true)
        .build();
    let agent = Agent::from(config);
    let server = Server::start(move |request| {
        let unanswered = Passing { status: 502, headers: HeaderMap::new(), body: Vec::new(), ..request.clone() };
        pass(&agent, &base, alteration, &knows, request).unwrap_or(unanswered)
    })?;
    Ok((server, memory))
}

/// `None`: nobody answers.
fn pass(agent: &Agent, base: &str, alteration: Alteration, memory: &Memory, mut request: Passing) -> Option<Passing> {
    alteration.of_request(&mut request);
    let mut onward = Request::builder().method(request.method.clone()).uri(format!("{base}{}", request.path));
    let headers = onward.headers_mut()?;
    headers.extend(request.headers.clone());
    ["host", "content-length", "connection"].iter().for_each(|name| drop(headers.remove(*name)));
    let is_endless = request.path.split('?').next() == Some("/api/v1/events");
    let answer = if is_endless {
        let limited = agent.configure_request(onward.body(()).ok()?).timeout_recv_body(Some(LISTEN));
        agent.run(limited.build())
    } else if request.body.is_empty() && !request.headers.contains_key("content-length") {
        agent.run(onward.body(()).ok()?)
    } else {
        agent.run(onward.body(request.body.as_slice()).ok()?)
    };
    let mut answer = answer.ok()?;
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let body = if is_endless { what_comes(&mut answer) } else { answer.body_mut().read_to_vec().ok()? };
    let mut passing = Passing { status, headers, body, ..request };
    memory.note(&passing);
    alteration.of_answer(&mut passing, memory);
    Some(passing)
}

/// Until the time is over.
fn what_comes(answer: &mut Response<Body>) -> Vec<u8> {
    let (mut bytes, mut part) = (Vec::new(), [0; 4096]);
    let mut body = answer.body_mut().as_reader();
    while let Ok(length @ 1..) = body.read(&mut part) {
        bytes.extend_from_slice(&part[..length]);
    }
    bytes
}

fn read(requests: &mut BufReader<TcpStream>) -> Option<Passing> {
    let mut line = String::new();
    requests.read_line(&mut line).ok()?;
    let mut words = line.split(' ');
    let (method, path) = (words.next()?.parse().ok()?, words.next()?.to_owned());
    let mut headers = HeaderMap::new();
    loop {
        let mut line = Vec::new();
        requests.read_until(b'\n', &mut line).ok()?;
        let line = line.trim_ascii_end();
        if line.is_empty() {
            break;
        }
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = (HeaderName::from_bytes(&line[..colon]), line[colon + 1..].trim_ascii());
        headers.append(name.ok()?, HeaderValue::from_bytes(value).ok()?);
    }
    let length = headers.get("content-length").and_then(|length| length.to_str().ok()?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    requests.read_exact(&mut body).ok()?;
    let sent = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Some(Passing { method, path, sent, status: 0, headers, body })
}

fn write(stream: &mut TcpStream, answer: &Passing) -> io::Result<()> {
    let mut head = format!("HTTP/1.1 {} -\r\n", answer.status).into_bytes();
    // What HEAD is told of the body stays as it was.
    let is_head = answer.method == Method::HEAD;
    let ours = |name: &str| ["connection", "transfer-encoding"].contains(&name) || name == "content-length" && !is_head;
    for (name, value) in answer.headers.iter().filter(|(name, _)| !ours(name.as_str())) {
        head.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    if !is_head {
        head.extend(format!("content-length: {}\r\n", answer.body.len()).into_bytes());
    }
    head.extend(b"connection: close\r\n\r\n");
    stream.write_all(&head)?;
    stream.write_all(&answer.body)
}
