//! What a case is, how it ends, and what it is given. A case knows the client; it must not know the report.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use ureq::http::Method;

use crate::client::{ANSWERED, Call, Client, Exchange, Patience};
use crate::document::{Document, Documents};
use crate::restart::Restart;

/// Between two looks at a task; a runtime need not know how to wait.
pub const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Generated inputs for a rule, unless told otherwise; each may cost a task.
pub const INPUTS: u32 = 24;
/// Nothing follows these.
const FINAL: [&str; 3] = ["success", "failed", "cancelled"];

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

impl Case {
    #[must_use]
    pub const fn must(id: &'static str, section: &'static str, run: fn(&Context) -> Outcome) -> Self {
        Self { id, section, level: Level::Must, run }
    }

    #[must_use]
    pub const fn should(id: &'static str, section: &'static str, run: fn(&Context) -> Outcome) -> Self {
        Self { id, section, level: Level::Should, run }
    }

    #[must_use]
    pub const fn beyond(id: &'static str, section: &'static str, run: fn(&Context) -> Outcome) -> Self {
        Self { id, section, level: Level::Beyond, run }
    }

    /// Runs it, and ends what it leaves running however it ends.
    pub fn check(&self, context: &Context) -> Outcome {
        let outcome = (self.run)(context);
        context.end_all();
        outcome
    }
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
    /// The accepted tasks whose end nobody has seen, each with its owner.
    alive: Mutex<Vec<(String, Option<String>)>>,
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
            alive: Mutex::new(Vec::new()),
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
            let answer = self.offer_once(request)?;
            if answer.status != 429 || self.is_late(deadline) {
                return Ok(answer);
            }
            std::thread::sleep(LOOK_EVERY * 10);
        }
    }

    /// Submits a request, whatever comes of it.
    pub fn offer_once(&self, request: &Value) -> Result<Exchange, NotPassed> {
        let answer = self.client.post("/api/v1/tasks", request)?;
        self.remember(request, &answer);
        Ok(answer)
    }

    /// Submits a request; the status of the task when it has ended.
    pub fn run(&self, request: &Value) -> Result<Exchange, NotPassed> {
        self.ended(&self.submit(request)?)
    }

    pub fn kill(&self, id: &str) -> Result<Exchange, NotPassed> {
        let killed = self.client.post_nothing(&format!("/api/v1/tasks/{id}/kill"))?;
        killed.expect_status(200, "a kill is answered with the status of the task")?;
        killed.expect_field("/task_id", &json!(id))?;
        Ok(killed)
    }

    pub fn status(&self, id: &str) -> Result<Exchange, NotPassed> {
        let status = self.client.get(&format!("/api/v1/tasks/{id}"))?;
        status.expect_status(200, "the status of a task that exists can be read")?;
        status.expect_field("/task_id", &json!(id))?;
        Ok(status)
    }

    /// The status of the ended task.
    pub fn ended(&self, id: &str) -> Result<Exchange, NotPassed> {
        let status = self.reaches(id, &FINAL)?;
        self.alive().retain(|(alive, _)| alive != id);
        Ok(status)
    }

    /// The status once the task runs.
    pub fn running(&self, id: &str) -> Result<Exchange, NotPassed> {
        self.reaches(id, &["running"])
    }

    fn reaches(&self, id: &str, wanted: &[&str]) -> Result<Exchange, NotPassed> {
        let rule = format!("the task becomes {} within {:?}", wanted.join(" or "), self.patience.get());
        self.until(id, &rule, |status| wanted.contains(&status.text_at("/status")))
    }

    /// The status of a living task once this is its output.
    pub fn says(&self, id: &str, output: &str) -> Result<Exchange, NotPassed> {
        let rule = format!("what a running task has written is shown: {output:?}");
        self.until(id, &rule, |status| status.body["stdout"] == output)
    }

    /// The status of a living task once it is so.
    pub fn until(&self, id: &str, rule: &str, is_so: impl Fn(&Exchange) -> bool) -> Result<Exchange, NotPassed> {
        let deadline = Instant::now() + self.patience.get();
        loop {
            let status = self.status(id)?;
            if is_so(&status) {
                return Ok(status);
            }
            let may_still = !FINAL.contains(&status.text_at("/status"));
            status.expect(may_still && !self.is_late(deadline), rule)?;
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

    /// Skips the case where the manifest says that the runtime lacks this; `pointer` is a JSON pointer.
    pub fn needs(&self, pointer: &str) -> Outcome {
        let manifest = self.client.get("/api/v1/runtime/capabilities")?;
        let has = manifest.body.pointer(pointer).and_then(Value::as_bool);
        manifest.expect(has.is_some(), &format!("the manifest says whether there is {pointer}"))?;
        let name = pointer.trim_start_matches('/').replace('/', ".");
        if has == Some(true) {
            Ok(())
        } else {
            Err(skipped(format!("the manifest says that the runtime lacks {name}")))
        }
    }

    /// Skips the case where the runtime's machine lacks this program.
    pub fn needs_program(&self, name: &str) -> Outcome {
        let found = self.run(&sh(&format!("command -v {name}")))?;
        if found.text_at("/status") == "success" {
            return Ok(());
        }
        found.expect_field("/error/code", &json!("exit_non_zero"))?;
        Err(skipped(format!("the runtime's machine has no {name}")))
    }

    /// A number of the configuration in force.
    pub fn configured(&self, key: &str) -> Result<u64, NotPassed> {
        let config = self.client.get("/api/v1/runtime/config")?;
        let number = config.body[key].as_u64();
        number.ok_or_else(|| config.fault(&format!("the configuration says {key} as a number")).into())
    }

    fn is_late(&self, deadline: Instant) -> bool {
        let late = Instant::now() > deadline;
        if late {
            self.patience.halve();
        }
        late
    }

    fn remember(&self, request: &Value, answer: &Exchange) {
        if let (200, Some(id)) = (answer.status, answer.body["task_id"].as_str()) {
            let owner = request.pointer("/control_context/owner").and_then(Value::as_str);
            self.alive().push((id.to_owned(), owner.map(str::to_owned)));
        }
    }

    /// The youngest first, so that what waits never starts. Whether the kill succeeds is for the cases of kill to say.
    pub fn end_all(&self) {
        let alive = std::mem::take(&mut *self.alive());
        for (id, owner) in alive.into_iter().rev() {
            let mut kill = Call::new(Method::POST, &format!("/api/v1/tasks/{id}/kill"));
            if let Some(owner) = owner {
                kill = kill.header("x-execgo-owner", &owner);
            }
            let _ = self.client.send(kill);
        }
    }

    fn alive(&self) -> MutexGuard<'_, Vec<(String, Option<String>)>> {
        self.alive.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The request for a shell command.
#[must_use]
pub fn sh(command: &str) -> Value {
    command_line(&["/bin/sh", "-c", command])
}

/// The request for a program with its arguments.
#[must_use]
pub fn command_line(words: &[&str]) -> Value {
    json!({"execution": {"kind": "command", "program": words[0], "args": words[1..]}})
}

/// The request with more in it: objects are joined, what is no object takes the place of what was there.
#[must_use]
pub fn with(mut request: Value, more: Value) -> Value {
    match (&mut request, more) {
        (Value::Object(fields), Value::Object(more)) => {
            for (name, value) in more {
                let before = fields.remove(&name).unwrap_or_default();
                fields.insert(name, with(before, value));
            }
            request
        }
        (_, more) => more,
    }
}
