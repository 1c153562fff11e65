//! What a proxy has seen, for faults that need to know what was before.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use super::proxy::Passing;

/// Of one proxy.
#[derive(Debug, Default)]
pub struct Memory(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    counts: BTreeMap<String, u64>,
    values: BTreeMap<String, Value>,
    /// By the id of each accepted task, what was asked for it.
    requests: BTreeMap<String, Value>,
}

impl Memory {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what a submission asked for, before its answer is altered.
    pub fn note(&self, answer: &Passing) {
        if answer.is_submission() && answer.status == 200 {
            let accepted: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            if let Some(id) = accepted["task_id"].as_str() {
                self.seen().requests.insert(id.to_owned(), answer.sent.clone());
            }
        }
    }

    /// How often this has been asked for `key`, this time included.
    pub fn count(&self, key: &str) -> u64 {
        let mut seen = self.seen();
        let count = seen.counts.entry(key.to_owned()).or_default();
        *count += 1;
        *count
    }

    /// The first value of `key`.
    pub fn first(&self, key: &str, value: &Value) -> Value {
        self.seen().values.entry(key.to_owned()).or_insert_with(|| value.clone()).clone()
    }

    /// The value of `key` before this one.
    pub fn previous(&self, key: &str, value: &Value) -> Option<Value> {
        self.seen().values.insert(key.to_owned(), value.clone())
    }

    /// What the client asked for this task, unaltered.
    pub fn request_of(&self, status: &Value) -> Value {
        let id = status["task_id"].as_str().unwrap_or_default();
        self.seen().requests.get(id).cloned().unwrap_or_default()
    }

    /// The ids of all accepted tasks.
    pub fn tasks(&self) -> Vec<String> {
        self.seen().requests.keys().cloned().collect()
    }
}
