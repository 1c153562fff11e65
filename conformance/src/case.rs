//! What a case is, how it ends, and what it is given. A case knows the client; it must not know the report.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{ANSWERED, Client, Exchange, Patience};
use crate::document::{Document, Documents};
use crate::restart::Restart;

/// Between two looks at a task; a runtime need not know how to wait.
pub const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Generated inputs for a rule, unless told otherwise; each may cost a task.
pub const INPUTS: u32 = 24;

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
    /// At least one fault.
    Failed(Vec<Fault>),
    /// The runtime or its machine gives no occasion to check.
    Skipped { reason: String },
}

/// A rule that does not hold, and what shows it.
#[derive(Clone, Debug)]
pub struct Fault {
    /// What ought to hold, as a sentence.
    pub rule: String,
    pub request: String,
    pub response: String,
}

impl NotPassed {
    /// Whether the server said nothing where it ought to.
    #[must_use]
    pub fn is_unanswered(&self) -> bool {
        matches!(self, Self::Failed(faults) if faults.iter().any(|fault| fault.rule == ANSWERED))
    }
}

impl From<Fault> for NotPassed {
    fn from(fault: Fault) -> Self {
        Self::Failed(vec![fault])
    }
}

/// For a case that goes on after a fault, so that one run shows all of them.
#[derive(Debug, Default)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Notes what failed. What is skipped skips the case.
    pub fn note(&mut self, outcome: Outcome) -> Outcome {
        match outcome {
            Err(NotPassed::Failed(faults)) => {
                self.0.extend(faults);
                Ok(())
            }
            Ok(()) | Err(NotPassed::Skipped { .. }) => outcome,
        }
    }

    pub fn outcome(self) -> Outcome {
        if self.0.is_empty() { Ok(()) } else { Err(NotPassed::Failed(self.0)) }
    }
}

#[must_use]
pub fn skipped(reason: impl Into<String>) -> NotPassed {
    NotPassed::Skipped { reason: reason.into() }
}

/// What every case is given.
#[derive(Debug)]
pub struct Context {
    pub client: Client,
    /// Where the document that answers are held against is from, or why there is none.
    pub documents: Documents,
    /// Of generated inputs.
    pub seed: u64,
    /// How many for each rule.
    pub inputs: u32,
    /// How the runtime is restarted, where the suite may.
    pub restart: Option<Restart>,
    /// How long a case waits for what must come by itself.
    pub patience: Patience,
    /// Makes the ids of this run unlike those of any other.
    run: u64,
    next_id: AtomicU64,
}

impl Context {
    #[must_use]
    pub const fn new(client: Client, documents: Documents, patience: Duration, seed: u64, run: u64) -> Self {
        Self {
            client,
            documents,
            seed,
            inputs: INPUTS,
            restart: None,
            patience: Patience::new(patience),
            run,
            next_id: AtomicU64::new(0),
        }
    }

    /// What the answers are held against; without it there is nothing to check.
    pub fn document(&self) -> Result<&Document, NotPassed> {
        self.client.document().map(AsRef::as_ref).ok_or_else(|| self.documents.missing())
    }

    /// A `task_id` that no task has.
    #[must_use]
    pub fn fresh_id(&self) -> String {
        format!("{}{}", self.prefix(), self.next_id.fetch_add(1, Ordering::Relaxed))
    }

    /// Whether a task has an id of this run. One whose id the runtime made up has none.
    #[must_use]
    pub fn is_ours(&self, id: &str) -> bool {
        id.starts_with(&self.prefix())
    }

    fn prefix(&self) -> String {
        format!("conformance-{:x}-", self.run)
    }

    /// Submits a request that is valid; the answer's `task_id`.
    pub fn submit(&self, request: &Value) -> Result<String, NotPassed> {
        let accepted = self.offer(request)?;
        accepted.expect_status(200, "a valid task is accepted")?;
        accepted.expect_field("/status", &json!("accepted"))?;
        let id = accepted.body["task_id"].as_str().unwrap_or_default();
        accepted.expect(!id.is_empty(), "the answer to a submission names the task_id")?;
        accepted.expect_field("/handle_id", &json!(id))?;
        Ok(id.to_owned())
    }

    /// Submits a request, and again for as long as the queue is full.
    pub fn offer(&self, request: &Value) -> Result<Exchange, NotPassed> {
        let deadline = Instant::now() + self.patience.get();
        loop {
            let answer = self.client.post("/api/v1/tasks", request)?;
            if answer.status != 429 || Instant::now() > deadline {
                return Ok(answer);
            }
            std::thread::sleep(LOOK_EVERY * 10);
        }
    }

    pub fn status(&self, id: &str) -> Result<Exchange, NotPassed> {
        let status = self.client.get(&format!("/api/v1/tasks/{id}"))?;
        status.expect_status(200, "the status of a task that exists can be read")?;
        status.expect_field("/task_id", &json!(id))?;
        Ok(status)
    }

    /// The status of the ended task.
    pub fn ended(&self, id: &str) -> Result<Exchange, NotPassed> {
        self.until(id, &["success", "failed", "cancelled"])
    }

    /// The status once the task runs.
    pub fn running(&self, id: &str) -> Result<Exchange, NotPassed> {
        self.until(id, &["running"])
    }

    fn until(&self, id: &str, wanted: &[&str]) -> Result<Exchange, NotPassed> {
        let within = self.patience.get();
        let deadline = Instant::now() + within;
        loop {
            let status = self.status(id)?;
            let is = status.body["status"].as_str().unwrap_or_default();
            if wanted.contains(&is) {
                return Ok(status);
            }
            let may_still = is == "accepted" || is == "running" && !wanted.contains(&"running");
            let in_time = Instant::now() < deadline;
            if !in_time {
                self.patience.halve();
            }
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
