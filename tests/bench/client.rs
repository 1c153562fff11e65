//! What a client does with the runtime, request by request.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::http::{Answer, Connection, get, post};
use crate::machine::PROGRAM;

pub const TASKS: &str = "/api/v1/tasks";
const WAIT_MS: u32 = 10_000;

/// One item after the other, each of one request or more.
pub trait Script {
    /// The first request of an item.
    fn begin(&mut self) -> &[u8];

    /// The next request of the item; `None` at its end.
    fn proceed(&mut self, answer: &Answer) -> Option<&[u8]>;
}

/// One task: submitted, waited for, successful.
#[derive(Debug)]
pub struct Lifecycle {
    submit: Vec<u8>,
    wait: Vec<u8>,
    begun: Instant,
    is_submitted: bool,
    /// How long the answers to submits took.
    pub submits: Vec<Duration>,
}

/// A task that waits behind others.
#[derive(Debug)]
pub struct Submit {
    request: Vec<u8>,
}

/// Statuses of tasks, or whatever else is read, one after the other.
#[derive(Debug)]
pub struct Read {
    requests: Vec<Vec<u8>>,
    next: usize,
}

/// A task that does nothing.
pub fn task() -> Value {
    json!({"execution": {"kind": "command", "program": PROGRAM}})
}

pub fn submit(task: &Value) -> Vec<u8> {
    post(TASKS, &task.to_string())
}

/// Runs one task to its end; its id.
pub fn run(connection: &mut Connection, task: &Value) -> String {
    let id = connection.ask(&submit(task)).text("task_id").to_owned();
    loop {
        match connection.ask(&wait(&id)).text("status") {
            "accepted" | "running" => {}
            "success" => return id,
            other => panic!("the task ended as {other}"),
        }
    }
}

fn wait(id: &str) -> Vec<u8> {
    get(&format!("{TASKS}/{id}?wait_ms={WAIT_MS}"))
}

impl Lifecycle {
    pub fn new(task: &Value) -> Self {
        let submits = Vec::new();
        Self { submit: submit(task), wait: Vec::new(), begun: Instant::now(), is_submitted: false, submits }
    }
}

impl Script for Lifecycle {
    fn begin(&mut self) -> &[u8] {
        self.is_submitted = false;
        self.begun = Instant::now();
        &self.submit
    }

    fn proceed(&mut self, answer: &Answer) -> Option<&[u8]> {
        if !self.is_submitted {
            self.submits.push(self.begun.elapsed());
            self.is_submitted = true;
            self.wait = wait(answer.text("task_id"));
            return Some(&self.wait);
        }
        match answer.text("status") {
            "accepted" | "running" => Some(&self.wait),
            "success" => None,
            _ => panic!("the task did not succeed: {}", answer.body),
        }
    }
}

impl Submit {
    pub fn new(task: &Value) -> Self {
        Self { request: submit(task) }
    }
}

impl Script for Submit {
    fn begin(&mut self) -> &[u8] {
        &self.request
    }

    fn proceed(&mut self, answer: &Answer) -> Option<&[u8]> {
        assert_eq!(answer.status, 200, "{}", answer.body);
        None
    }
}

impl Read {
    pub fn statuses(ids: &[String]) -> Self {
        Self { requests: ids.iter().map(|id| get(&format!("{TASKS}/{id}"))).collect(), next: 0 }
    }

    pub fn path(path: &str) -> Self {
        Self::paths(&[path])
    }

    /// One after the other.
    pub fn paths(paths: &[&str]) -> Self {
        Self { requests: paths.iter().map(|path| get(path)).collect(), next: 0 }
    }

    /// The same, from another place on, so that clients do not ask for the same at the same time.
    pub fn from(mut self, place: usize) -> Self {
        self.next = place;
        self
    }
}

impl Script for Read {
    fn begin(&mut self) -> &[u8] {
        self.next += 1;
        &self.requests[self.next % self.requests.len()]
    }

    fn proceed(&mut self, answer: &Answer) -> Option<&[u8]> {
        assert_eq!(answer.status, 200, "{}", answer.body);
        None
    }
}
