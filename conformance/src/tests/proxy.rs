//! A server between the suite and a runtime, which alters what passes: a runtime with one known fault.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

use serde_json::Value;
use ureq::Agent;
use ureq::http::{HeaderMap, HeaderName, HeaderValue, Method, Request};

/// Both are applied to everything that passes.
#[derive(Clone, Copy)]
pub struct Alteration {
    pub request: fn(&mut Passing),
    pub answer: fn(&mut Passing),
}

/// A request, or an answer to it.
#[derive(Debug)]
pub struct Passing {
    pub method: Method,
    pub path: String,
    /// Of the answer.
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Passing {
    /// Alters the body when it is JSON.
    pub fn json(&mut self, alter: impl Fn(&mut Value)) {
        if let Ok(mut value) = serde_json::from_slice(&self.body) {
            alter(&mut value);
            self.body = value.to_string().into_bytes();
        }
    }
}

/// The URL of a server that passes everything to `base` and back, altered.
pub fn before(base: String, alteration: Alteration) -> String {
    serve(move |request| pass(&base, alteration, request))
}

/// The URL of a server that answers everything with 200 and `{}`.
pub fn yes_man() -> String {
    serve(|request| {
        let headers = [(HeaderName::from_static("content-type"), HeaderValue::from_static("application/json"))];
        Passing { status: 200, headers: headers.into_iter().collect(), body: b"{}".to_vec(), ..request }
    })
}

fn serve(answer: impl Fn(Passing) -> Passing + Clone + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = answer.clone();
            std::thread::spawn(move || {
                let mut requests = BufReader::new(stream);
                if let Some(request) = read(&mut requests) {
                    // Who has gone needs no answer.
                    let _ = write(requests.get_mut(), &answer(request));
                }
            });
        }
    });
    url
}

fn pass(base: &str, alteration: Alteration, mut request: Passing) -> Passing {
    (alteration.request)(&mut request);
    let config = Agent::config_builder().http_status_as_error(false).max_redirects(0).proxy(None).build();
    let mut onward = Request::builder().method(request.method.clone()).uri(format!("{base}{}", request.path));
    let headers = onward.headers_mut().expect("the client has sent what can be sent");
    headers.extend(request.headers.clone());
    ["host", "content-length", "connection"].iter().for_each(|name| drop(headers.remove(*name)));
    let agent = Agent::from(config);
    let answer = if request.body.is_empty() && !request.headers.contains_key("content-length") {
        agent.run(onward.body(()).expect("a request"))
    } else {
        agent.run(onward.body(request.body.as_slice()).expect("a request"))
    };
    let mut answer = answer.expect("the runtime answers");
    let mut passing = Passing {
        status: answer.status().as_u16(),
        headers: answer.headers().clone(),
        body: answer.body_mut().read_to_vec().expect("the whole answer"),
        ..request
    };
    (alteration.answer)(&mut passing);
    passing
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
    Some(Passing { method, path, status: 0, headers, body })
}

fn write(stream: &mut TcpStream, answer: &Passing) -> io::Result<()> {
    let mut head = format!("HTTP/1.1 {} -\r\n", answer.status).into_bytes();
    let ours = ["content-length", "connection", "transfer-encoding"];
    for (name, value) in answer.headers.iter().filter(|(name, _)| !ours.contains(&name.as_str())) {
        head.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    head.extend(format!("content-length: {}\r\nconnection: close\r\n\r\n", answer.body.len()).into_bytes());
    stream.write_all(&head)?;
    stream.write_all(&answer.body)
}
