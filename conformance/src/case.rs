//! What a case is, how it ends, and what it is given. A case knows the client; it must not know the report.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{Client, Exchange};

/// How long a task that ends by itself may take, on a machine that is busy with other things.
const TASK_ENDS_WITHIN: Duration = Duration::from_secs(60);
/// Between two looks at a task; a runtime need not know how to wait.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// One rule, or a few that are checked together.
#[derive(Debug)]
pub struct Case {
    /// Area, subject, rule: `submit.task-id.traversal`. Never reused for something else.
    pub id: &'static str,
    /// The section of `docs/api.md` that the rule is from.
    pub section: &'static str,
    pub level: Level,
    pub run: fn(&Context) -> Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Said by the published contract.
    Must,
    /// Follows from it; a client is right to expect it.
    Should,
    /// Additive: a runtime without it conforms.
    Beyond,
}

/// `Ok`: passed.
pub type Outcome = Result<(), NotPassed>;

#[derive(Debug)]
pub enum NotPassed {
    Failed {
        /// What ought to hold, as a sentence.
        rule: String,
        request: String,
        response: String,
    },
    /// The runtime or its machine gives no occasion to check.
    Skipped { reason: String },
}

/// What every case is given.
#[derive(Debug)]
pub struct Context {
    pub client: Client,
    /// Of generated inputs.
    pub seed: u64,
    /// Makes the ids of this run unlike those of any other.
    run: u64,
    next_id: AtomicU64,
}

impl Context {
    #[must_use]
    pub const fn new(client: Client, seed: u64, run: u64) -> Self {
        Self { client, seed, run, next_id: AtomicU64::new(0) }
    }

    /// A `task_id` that no task has.
    #[must_use]
    pub fn fresh_id(&self) -> String {
        format!("conformance-{:x}-{}", self.run, self.next_id.fetch_add(1, Ordering::Relaxed))
    }

    /// Submits a request that is valid; the answer's `task_id`.
    pub fn submit(&self, request: &Value) -> Result<String, NotPassed> {
        let accepted = self.client.post("/api/v1/tasks", request)?;
        accepted.expect_status(200, "a valid task is accepted")?;
        accepted.expect_field("/status", &json!("accepted"))?;
        let id = accepted.body["task_id"].as_str().unwrap_or_default();
        accepted.expect(!id.is_empty(), "the answer to a submission names the task_id")?;
        accepted.expect_field("/handle_id", &json!(id))?;
        Ok(id.to_owned())
    }

    pub fn status(&self, id: &str) -> Result<Exchange, NotPassed> {
        let status = self.client.get(&format!("/api/v1/tasks/{id}"))?;
        status.expect_status(200, "the status of a task that exists can be read")?;
        status.expect_field("/task_id", &json!(id))?;
        Ok(status)
    }

    /// The status of the ended task.
    pub fn ended(&self, id: &str) -> Result<Exchange, NotPassed> {
        self.until(id, TASK_ENDS_WITHIN, &["success", "failed", "cancelled"])
    }

    /// The status once the task runs.
    pub fn running(&self, id: &str) -> Result<Exchange, NotPassed> {
        self.until(id, TASK_ENDS_WITHIN, &["running"])
    }

    fn until(&self, id: &str, within: Duration, wanted: &[&str]) -> Result<Exchange, NotPassed> {
        let deadline = Instant::now() + within;
        loop {
            let status = self.status(id)?;
            let is = status.body["status"].as_str().unwrap_or_default();
            if wanted.contains(&is) {
                return Ok(status);
            }
            let may_still = is == "accepted" || is == "running" && !wanted.contains(&"running");
            let in_time = Instant::now() < deadline;
            status
                .expect(may_still && in_time, &format!("the task becomes {} within {within:?}", wanted.join(" or ")))?;
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// The types of the task's events, in order.
    pub fn event_types(&self, id: &str) -> Result<(Exchange, Vec<String>), NotPassed> {
        let events = self.client.get(&format!("/api/v1/tasks/{id}/events"))?;
        events.expect_status(200, "the events of a task that exists can be read")?;
        let list = events.body.as_array().cloned().unwrap_or_default();
        let types = list.iter().map(|event| event["event_type"].as_str().unwrap_or_default().to_owned()).collect();
        Ok((events, types))
    }
}

/// The request for a shell command.
#[must_use]
pub fn sh(command: &str) -> Value {
    json!({"execution": {"kind": "command", "program": "/bin/sh", "args": ["-c", command]}})
}
