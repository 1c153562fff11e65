//! A client: submits tasks, kills some, waits for each. Whatever breaks, it asks again until it knows.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::{Value, json};

use crate::api::Api;
use crate::plan::{Kind, Planned};

/// Tasks that it has submitted and not seen end, at most.
const UNFINISHED: usize = 8;
const ASK_AGAIN: Duration = Duration::from_millis(10);
const LONGEST_THOUGHT_MS: u64 = 40;
/// A task that takes longer than this, restarts of the server included, is stuck.
pub const STUCK_AFTER: Duration = Duration::from_secs(60);

pub struct Client<'a> {
    pub api: Api,
    pub random: Rng,
    pub number: usize,
    /// From a task to what is posted.
    pub request: &'a (dyn Fn(&Planned) -> Value + Sync),
    pub enough: &'a AtomicBool,
    /// There is no server any more, and will be none.
    pub over: &'a AtomicBool,
}

/// A task that was acknowledged.
#[derive(Debug)]
pub struct Acknowledged {
    pub task: Planned,
    /// By a 200, and not only by the conflict with itself after a connection broke.
    pub with_200: bool,
    /// The first answer that showed it ended.
    pub end: Option<Value>,
}

/// What a client has to tell.
#[derive(Debug, Default)]
pub struct Told {
    pub tasks: Vec<Acknowledged>,
    pub violations: Vec<String>,
}

impl Client<'_> {
    pub fn run(mut self) -> Told {
        let mut told = Told::default();
        let mut unfinished = VecDeque::new();
        while !self.enough.load(Ordering::Relaxed) {
            let task = Planned::next(&mut self.random, self.number, told.tasks.len());
            match self.submit(&task).and_then(|with_200| self.kill(&task).map(|()| with_200)) {
                Ok(with_200) => {
                    unfinished.push_back(told.tasks.len());
                    told.tasks.push(Acknowledged { task, with_200, end: None });
                }
                Err(violation) => {
                    told.violations.push(violation);
                    return told;
                }
            }
            while unfinished.len() > UNFINISHED {
                self.wait_for(unfinished.pop_front(), &mut told);
            }
            thread::sleep(Duration::from_millis(self.random.u64(0..LONGEST_THOUGHT_MS)));
        }
        while !unfinished.is_empty() {
            self.wait_for(unfinished.pop_front(), &mut told);
        }
        told
    }

    fn wait_for(&self, index: Option<usize>, told: &mut Told) {
        let Some(acknowledged) = index.and_then(|index| told.tasks.get_mut(index)) else { return };
        match self.end_of(&acknowledged.task.id) {
            Ok(end) => acknowledged.end = Some(end),
            Err(violation) => told.violations.push(violation),
        }
    }

    /// Submits until it is known to be acknowledged; whether a 200 said so.
    fn submit(&self, task: &Planned) -> Result<bool, String> {
        let request = (self.request)(task);
        let mut in_doubt = false;
        self.persist(&format!("submit {}", task.id), || {
            let answer = self.api.post("/api/v1/tasks", &request);
            match answer {
                None => in_doubt = true,
                Some(answer) => match answer.status {
                    200 => return Some(Ok(true)),
                    409 if in_doubt => return Some(Ok(false)),
                    429 | 503 => {}
                    _ => return Some(Err(format!("submit {}: {} {}", task.id, answer.status, answer.body))),
                },
            }
            None
        })
    }

    fn kill(&mut self, task: &Planned) -> Result<(), String> {
        let Kind::Killed { after_ms } = task.kind else { return Ok(()) };
        thread::sleep(Duration::from_millis(after_ms.into()));
        self.persist(&format!("kill {}", task.id), || {
            let answer = self.api.post(&format!("/api/v1/tasks/{}/kill", task.id), &json!({}))?;
            match answer.status {
                200 => Some(Ok(())),
                503 => None,
                _ => Some(Err(format!("kill {}: {} {}", task.id, answer.status, answer.body))),
            }
        })
    }

    fn end_of(&self, id: &str) -> Result<Value, String> {
        self.persist(&format!("the end of {id}"), || {
            let answer = self.api.get(&format!("/api/v1/tasks/{id}?wait_ms=5000"))?;
            match (answer.status, answer.body["status"].as_str()) {
                (200, Some("success" | "failed" | "cancelled")) => Some(Ok(answer.body)),
                (200, Some("accepted" | "running")) | (503, _) => None,
                _ => Some(Err(format!("status of {id}: {} {}", answer.status, answer.body))),
            }
        })
    }

    fn persist<T>(&self, what: &str, mut ask: impl FnMut() -> Option<Result<T, String>>) -> Result<T, String> {
        let begun = Instant::now();
        loop {
            if let Some(known) = ask() {
                return known;
            }
            if self.over.load(Ordering::Relaxed) {
                return Err(format!("unknown: {what}"));
            }
            if begun.elapsed() > STUCK_AFTER {
                return Err(format!("stuck: {what}, after {STUCK_AFTER:?}"));
            }
            thread::sleep(ASK_AGAIN);
        }
    }
}
