//! The wire as a foreign client sees it: a request, and the answer as it came. It must not know what any answer means,
//! except for the one form of every failure; what the document does not allow it notes on the side.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Read, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use ureq::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use ureq::http::{HeaderMap, Method, Request, Response};
use ureq::{Agent, AsSendBody, Body};

use crate::case::{Fault, NotPassed, Outcome};
use crate::document::Document;

/// Never less, however often it was in vain.
const LEAST_PATIENCE: Duration = Duration::from_millis(100);
/// The rule of a request that got none, or half of one.
pub const ANSWERED: &str = "every request is answered";
const MAX_ANSWER_BYTES: u64 = 64 << 20;
/// Of a body that is kept as evidence; enough for every request that a case writes by hand.
const MAX_EVIDENCE_BYTES: usize = 16 << 10;

#[derive(Debug)]
pub struct Client {
    agent: Agent,
    base: String,
    /// `Bearer …`, never shown.
    token: Option<HeaderValue>,
    /// Every exchange is held against it, whatever the case looks at.
    document: Option<Arc<Document>>,
    /// How long an answer may take; see [`Patience`].
    patience: Patience,
    /// What the document does not allow: the first of each kind.
    undocumented: Mutex<BTreeMap<String, Fault>>,
}

/// How long something that must come is waited for: half as long after each time in vain, so that a run ends soon where
/// nothing comes at all.
#[derive(Debug)]
pub struct Patience(Mutex<Duration>);

impl Patience {
    #[must_use]
    pub const fn new(within: Duration) -> Self {
        Self(Mutex::new(within))
    }

    #[must_use]
    pub fn get(&self) -> Duration {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn halve(&self) {
        let mut within = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *within = (*within / 2).max(LEAST_PATIENCE);
    }
}

/// What is sent.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: Method,
    /// With its query.
    pub path: String,
    pub headers: HeaderMap,
    pub body: Option<Vec<u8>>,
    /// Sent without the client's token.
    anonymous: bool,
}

/// A request and its answer.
#[derive(Debug)]
pub struct Exchange {
    pub call: Call,
    pub status: u16,
    pub headers: HeaderMap,
    pub content_type: String,
    /// `Null` when the answer is no JSON.
    pub body: Value,
    pub text: String,
    /// What `text` is read from; what is no text is replaced there.
    pub bytes: Vec<u8>,
}

impl Call {
    #[must_use]
    pub fn new(method: Method, path: &str) -> Self {
        Self { method, path: path.to_owned(), headers: HeaderMap::new(), body: None, anonymous: false }
    }

    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_str(value).expect("a case sends headers that can be sent");
        self.headers.insert(HeaderName::from_static(name), value);
        self
    }

    #[must_use]
    pub fn anonymous(mut self) -> Self {
        self.anonymous = true;
        self
    }

    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json").bytes(body.to_string().into_bytes())
    }

    #[must_use]
    pub fn bytes(mut self, body: Vec<u8>) -> Self {
        self.body = Some(body);
        self
    }

    /// As evidence: what somebody needs to send it again, but for the token.
    fn shown(&self) -> String {
        let mut shown = format!("{} {}", self.method, self.path);
        for (name, value) in &self.headers {
            if name != CONTENT_TYPE || value != "application/json" {
                let _ = write!(shown, "\n{name}: {}", String::from_utf8_lossy(value.as_bytes()));
            }
        }
        if let Some(body) = &self.body {
            let kept = &body[..body.len().min(MAX_EVIDENCE_BYTES)];
            let _ = write!(shown, "\n{}", String::from_utf8_lossy(kept));
        }
        shown
    }
}

impl Client {
    #[must_use]
    pub fn new(base: &str, patience: Duration) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .allow_non_standard_methods(true)
            .user_agent(concat!("execgo-conformance/", env!("CARGO_PKG_VERSION")))
            .build();
        let base = base.trim_end_matches('/').to_owned();
        Self {
            agent: config.into(),
            base,
            token: None,
            document: None,
            patience: Patience::new(patience),
            undocumented: Mutex::default(),
        }
    }

    /// Sends the token with every request.
    pub fn authorize(&mut self, token: &str) -> Result<(), String> {
        let value = HeaderValue::from_str(&format!("Bearer {token}"));
        let mut value = value.map_err(|_| "--token holds what no HTTP header can hold".to_owned())?;
        value.set_sensitive(true);
        self.token = Some(value);
        Ok(())
    }

    #[must_use]
    pub const fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// From now on every exchange is held against the document.
    pub fn hold_against(&mut self, document: Arc<Document>) {
        self.document = Some(document);
    }

    #[must_use]
    pub const fn document(&self) -> Option<&Arc<Document>> {
        self.document.as_ref()
    }

    /// What no case asked for and the document does not allow.
    #[must_use]
    pub fn undocumented(&self) -> Vec<Fault> {
        self.undocumented.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Whether anybody answers at all; whatever the answer is.
    pub fn reach(&self) -> Result<(), String> {
        let within = Some(self.patience.get());
        let answer = self.agent.get(format!("{}/healthz", self.base)).config().timeout_global(within).build().call();
        answer.map(drop).map_err(|error| format!("nobody answers at {}: {error}", self.base))
    }

    pub fn get(&self, path: &str) -> Result<Exchange, NotPassed> {
        self.send(Call::new(Method::GET, path))
    }

    pub fn post(&self, path: &str, body: &Value) -> Result<Exchange, NotPassed> {
        self.send(Call::new(Method::POST, path).json(body))
    }

    pub fn post_nothing(&self, path: &str) -> Result<Exchange, NotPassed> {
        self.send(Call::new(Method::POST, path))
    }

    pub fn send(&self, call: Call) -> Result<Exchange, NotPassed> {
        let begun = Instant::now();
        let within = self.patience.get();
        let exchange = read(call.clone(), self.answer(&call, within)).map_err(|error| {
            if begun.elapsed() >= within {
                self.patience.halve();
            }
            let rule = ANSWERED.to_owned();
            NotPassed::from(Fault { rule, request: call.shown(), response: error.to_string() })
        })?;
        self.note(&exchange);
        Ok(exchange)
    }

    /// Reads server-sent events that need not end, until they are enough or no more come, and hangs up. What is not whole does
    /// not count.
    pub fn listen(&self, call: Call, is_enough: impl Fn(&str) -> bool) -> Result<Exchange, NotPassed> {
        let unanswered = |error: ureq::Error| {
            NotPassed::from(Fault { rule: ANSWERED.to_owned(), request: call.shown(), response: error.to_string() })
        };
        let mut answer = self.answer(&call, self.patience.get()).map_err(unanswered)?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let content_type =
            headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let (mut bytes, mut part) = (Vec::new(), [0; 4096]);
        let mut body = answer.body_mut().as_reader();
        while !is_enough(&String::from_utf8_lossy(&bytes)) {
            match body.read(&mut part) {
                Ok(0) | Err(_) => break,
                Ok(length) => bytes.extend_from_slice(&part[..length]),
            }
        }
        if content_type.starts_with("text/event-stream") {
            let whole = bytes.windows(2).rposition(|pair| pair == b"\n\n").map_or(0, |end| end + 2);
            bytes.truncate(whole);
        }
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let exchange = Exchange { call, status, headers, content_type, body, text, bytes };
        self.note(&exchange);
        Ok(exchange)
    }

    /// Holds it against the document.
    fn note(&self, exchange: &Exchange) {
        if let Some(document) = &self.document {
            let mut undocumented = self.undocumented.lock().unwrap_or_else(PoisonError::into_inner);
            for rule in document.faults(exchange) {
                undocumented.entry(rule.clone()).or_insert_with(|| exchange.fault(&rule));
            }
        }
    }

    /// Sends bytes as they are, says that no more will come, and gives back whatever is answered.
    ///
    /// # Errors
    /// The server neither answers nor closes in time. That it resets the connection is an end like any other.
    pub fn send_raw(&self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let authority = self.base.strip_prefix("http://").unwrap_or(&self.base).split('/').next().unwrap_or_default();
        let authority = if authority.contains(':') { authority.to_owned() } else { format!("{authority}:80") };
        let mut stream = TcpStream::connect(authority)?;
        let within = Some(self.patience.get());
        stream.set_read_timeout(within)?;
        stream.set_write_timeout(within)?;
        // Who has heard enough may close before all is said.
        let _ = stream.write_all(bytes).and_then(|()| stream.shutdown(Shutdown::Write));
        let (mut answer, mut part) = (Vec::new(), [0; 4096]);
        loop {
            match stream.read(&mut part) {
                Ok(0) => return Ok(answer),
                Ok(length) => answer.extend_from_slice(&part[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(answer),
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether bytes can be sent as they are: there is nothing between this and the server.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.base.starts_with("http://")
    }

    fn answer(&self, call: &Call, within: Duration) -> Result<Response<Body>, ureq::Error> {
        let mut request = Request::builder().method(call.method.clone()).uri(format!("{}{}", self.base, call.path));
        if let Some(headers) = request.headers_mut() {
            headers.extend(call.headers.clone());
            if let Some(token) = self.token.as_ref().filter(|_| !call.anonymous) {
                // What the call says itself holds.
                headers.entry(AUTHORIZATION).or_insert_with(|| token.clone());
            }
        }
        match &call.body {
            Some(body) => self.run(request.body(body.as_slice())?, within),
            None => self.run(request.body(())?, within),
        }
    }

    fn run(&self, request: Request<impl AsSendBody>, within: Duration) -> Result<Response<Body>, ureq::Error> {
        self.agent.run(self.agent.configure_request(request).timeout_global(Some(within)).build())
    }
}

fn read(call: Call, answer: Result<Response<Body>, ureq::Error>) -> Result<Exchange, ureq::Error> {
    let mut answer = answer?;
    let status = answer.status().as_u16();
    let headers = answer.headers().clone();
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let bytes = answer.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_vec()?;
    let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(Exchange { call, status, headers, content_type, body, text, bytes })
}

impl Exchange {
    /// This exchange as the evidence against `rule`.
    #[must_use]
    pub fn fault(&self, rule: &str) -> Fault {
        let mut response = format!("{}", self.status);
        for (name, value) in &self.headers {
            let _ = write!(response, "\n{name}: {}", String::from_utf8_lossy(value.as_bytes()));
        }
        let _ = write!(response, "\n{}", self.text);
        Fault { rule: rule.to_owned(), request: self.call.shown(), response }
    }

    /// Fails with this exchange as the evidence, unless `holds`.
    pub fn expect(&self, holds: bool, rule: &str) -> Outcome {
        if holds { Ok(()) } else { Err(self.fault(rule).into()) }
    }

    pub fn expect_status(&self, status: u16, rule: &str) -> Outcome {
        self.expect(self.status == status, &format!("{rule} (status {status})"))
    }

    /// `pointer` is a JSON pointer into the answer.
    pub fn expect_field(&self, pointer: &str, value: &Value) -> Outcome {
        self.expect(self.body.pointer(pointer) == Some(value), &format!("{pointer} is {value}"))
    }

    /// The value of a header, empty where there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The answer is a failure in the one form of every failure.
    pub fn expect_failure(&self, status: u16, code: &str, rule: &str) -> Outcome {
        self.expect_status(status, rule)?;
        self.expect_field("/error/code", &code.into())?;
        self.expect_envelope()
    }

    /// The one form of every failure.
    pub fn expect_envelope(&self) -> Outcome {
        self.expect(self.content_type.starts_with("application/json"), "a failure is answered as JSON")?;
        self.expect(self.body["error"]["code"].is_string(), "error.code names the failure")?;
        let message = self.message();
        self.expect(!message.is_empty(), "error.message says what is wrong")?;
        self.expect(self.body.pointer("/error/details").is_some(), "error.details is present, if only as null")
    }

    /// The sentence of a failure.
    #[must_use]
    pub fn message(&self) -> &str {
        self.body["error"]["message"].as_str().unwrap_or_default()
    }
}
