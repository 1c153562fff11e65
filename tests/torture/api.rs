//! The HTTP API as a client sees it whose server may be gone at any moment.

use std::time::Duration;

use serde_json::Value;
use ureq::Agent;

/// Longer than any answer takes, a wait included.
const ANSWERS_WITHIN: Duration = Duration::from_secs(20);

#[derive(Clone)]
pub struct Api {
    agent: Agent,
    url: String,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

impl Api {
    pub fn new(url: &str) -> Self {
        let config = Agent::config_builder().http_status_as_error(false).proxy(None);
        Self { agent: config.timeout_global(Some(ANSWERS_WITHIN)).build().into(), url: url.to_owned() }
    }

    /// Nothing when no whole answer came.
    pub fn get(&self, path: &str) -> Option<Answer> {
        whole(self.agent.get(format!("{}{path}", self.url)).call())
    }

    /// The same; then nobody knows whether the request was heard.
    pub fn post(&self, path: &str, body: &Value) -> Option<Answer> {
        let request = self.agent.post(format!("{}{path}", self.url)).content_type("application/json");
        whole(request.send(body.to_string()))
    }
}

fn whole(answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Option<Answer> {
    let mut answer = answer.ok()?;
    let status = answer.status().as_u16();
    let told_when = answer.headers().contains_key("retry-after");
    assert!(status != 503 || told_when, "a 503 without Retry-After");
    Some(Answer { status, body: answer.body_mut().read_json().ok()? })
}
