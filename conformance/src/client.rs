//! The wire as a foreign client sees it: a request, and the answer as it came. It must not know what any answer means,
//! except for the one form of every failure.

use std::time::Duration;

use serde_json::Value;
use ureq::http::Response;
use ureq::{Agent, Body};

use crate::case::{NotPassed, Outcome};

/// Longer than any wait that a case asks for.
const ANSWER_WITHIN: Duration = Duration::from_secs(90);
const MAX_ANSWER_BYTES: u64 = 64 << 20;

#[derive(Debug)]
pub struct Client {
    agent: Agent,
    base: String,
}

/// A request and its answer.
#[derive(Debug)]
pub struct Exchange {
    request: String,
    pub status: u16,
    pub content_type: String,
    /// `Null` when the answer is no JSON.
    pub body: Value,
    text: String,
}

impl Client {
    #[must_use]
    pub fn new(base: &str) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .user_agent(concat!("execgo-conformance/", env!("CARGO_PKG_VERSION")))
            .timeout_global(Some(ANSWER_WITHIN))
            .build();
        Self { agent: config.into(), base: base.trim_end_matches('/').to_owned() }
    }

    /// Whether anybody answers at all; whatever the answer is.
    pub fn reach(&self) -> Result<(), String> {
        let answer = self.agent.get(format!("{}/healthz", self.base)).call();
        answer.map(drop).map_err(|error| format!("nobody answers at {}: {error}", self.base))
    }

    pub fn get(&self, path: &str) -> Result<Exchange, NotPassed> {
        read(format!("GET {path}"), self.agent.get(format!("{}{path}", self.base)).call())
    }

    pub fn post(&self, path: &str, body: &Value) -> Result<Exchange, NotPassed> {
        let body = body.to_string();
        let request = self.agent.post(format!("{}{path}", self.base)).content_type("application/json");
        read(format!("POST {path}\n{body}"), request.send(&body))
    }

    pub fn post_nothing(&self, path: &str) -> Result<Exchange, NotPassed> {
        read(format!("POST {path}"), self.agent.post(format!("{}{path}", self.base)).send_empty())
    }
}

fn read(request: String, answer: Result<Response<Body>, ureq::Error>) -> Result<Exchange, NotPassed> {
    let unanswered = |request: &str, error: ureq::Error| NotPassed::Failed {
        rule: "every request is answered".to_owned(),
        request: request.to_owned(),
        response: error.to_string(),
    };
    let mut answer = answer.map_err(|error| unanswered(&request, error))?;
    let status = answer.status().as_u16();
    let content_type = answer.headers().get("content-type").and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or_default().to_owned();
    let body = answer.body_mut().with_config().limit(MAX_ANSWER_BYTES);
    let text = body.read_to_string().map_err(|error| unanswered(&request, error))?;
    Ok(Exchange { request, status, content_type, body: serde_json::from_str(&text).unwrap_or(Value::Null), text })
}

impl Exchange {
    /// Fails with this exchange as the evidence, unless `holds`.
    pub fn expect(&self, holds: bool, rule: &str) -> Outcome {
        if holds {
            return Ok(());
        }
        let Self { request, status, content_type, text, .. } = self;
        let response = format!("{status} {content_type}\n{text}");
        Err(NotPassed::Failed { rule: rule.to_owned(), request: request.clone(), response })
    }

    pub fn expect_status(&self, status: u16, rule: &str) -> Outcome {
        self.expect(self.status == status, &format!("{rule} (status {status})"))
    }

    /// `pointer` is a JSON pointer into the answer.
    pub fn expect_field(&self, pointer: &str, value: &Value) -> Outcome {
        self.expect(self.body.pointer(pointer) == Some(value), &format!("{pointer} is {value}"))
    }

    /// The answer is a failure in the one form of every failure.
    pub fn expect_failure(&self, status: u16, code: &str, rule: &str) -> Outcome {
        self.expect_status(status, rule)?;
        self.expect(self.content_type.starts_with("application/json"), "a failure is answered as JSON")?;
        self.expect_field("/error/code", &code.into())?;
        let message = self.body["error"]["message"].as_str().unwrap_or_default();
        self.expect(!message.is_empty(), "error.message says what is wrong")?;
        self.expect(self.body.pointer("/error/details").is_some(), "error.details is present, if only as null")
    }
}
