//! What a built-in fault is: its name, the case that must see it, and what a proxy alters to make it.

use serde_json::{Value, json};

use super::memory::Memory;
use super::proxy::Passing;

/// A fault of a runtime.
#[derive(Clone, Copy, Debug)]
pub struct Mutation {
    pub fault: &'static str,
    pub case: &'static str,
    pub alteration: Alteration,
}

/// Applied to everything that passes.
#[derive(Clone, Copy, Debug)]
pub enum Alteration {
    Nothing,
    /// What the runtime is asked.
    Request(fn(&mut Passing)),
    Answer(fn(&mut Passing, &Memory)),
    /// Every status of a task that is answered with 200.
    Status(fn(&mut Value, &Memory)),
    /// Every list of events that is answered with 200.
    Events(fn(&mut Vec<Value>, &Memory)),
    /// Every view of the ledger that is answered with 200.
    Resources(fn(&mut Value, &Memory)),
    /// The task gets something else than it asked for, and its status claims that it got it.
    Lie {
        submission: fn(&mut Value),
        status: fn(&mut Value, &Memory),
    },
}

impl Alteration {
    pub fn of_request(self, request: &mut Passing) {
        match self {
            Self::Request(alter) => alter(request),
            Self::Lie { submission, .. } if request.is_submission() => request.json(submission),
            Self::Lie { .. }
            | Self::Nothing
            | Self::Answer(_)
            | Self::Status(_)
            | Self::Events(_)
            | Self::Resources(_) => {}
        }
    }

    pub fn of_answer(self, answer: &mut Passing, memory: &Memory) {
        let path = answer.path.split('?').next().unwrap_or_default();
        let task = path.strip_prefix("/api/v1/tasks/").filter(|_| answer.status == 200);
        let is_events = task.is_some_and(|task| task.ends_with("/events"));
        let is_status = task.is_some_and(|task| !task.contains('/') || task.ends_with("/kill"));
        let is_resources = path == "/api/v1/runtime/resources" && answer.status == 200;
        match self {
            Self::Nothing | Self::Request(_) => {}
            Self::Answer(alter) => alter(answer, memory),
            Self::Status(alter) | Self::Lie { status: alter, .. } if is_status => {
                answer.json(|body| alter(body, memory));
            }
            Self::Events(alter) if is_events => answer.json(|body| {
                if let Some(events) = body.as_array_mut() {
                    alter(events, memory);
                }
            }),
            Self::Resources(alter) if is_resources => answer.json(|body| alter(body, memory)),
            Self::Status(_) | Self::Lie { .. } | Self::Events(_) | Self::Resources(_) => {}
        }
    }
}

pub const fn request(fault: &'static str, case: &'static str, alter: fn(&mut Passing)) -> Mutation {
    Mutation { fault, case, alteration: Alteration::Request(alter) }
}

pub const fn answer(fault: &'static str, case: &'static str, alter: fn(&mut Passing, &Memory)) -> Mutation {
    Mutation { fault, case, alteration: Alteration::Answer(alter) }
}

pub const fn status(fault: &'static str, case: &'static str, alter: fn(&mut Value, &Memory)) -> Mutation {
    Mutation { fault, case, alteration: Alteration::Status(alter) }
}

pub const fn events(fault: &'static str, case: &'static str, alter: fn(&mut Vec<Value>, &Memory)) -> Mutation {
    Mutation { fault, case, alteration: Alteration::Events(alter) }
}

pub const fn resources(fault: &'static str, case: &'static str, alter: fn(&mut Value, &Memory)) -> Mutation {
    Mutation { fault, case, alteration: Alteration::Resources(alter) }
}

pub const fn lie(
    fault: &'static str,
    case: &'static str,
    submission: fn(&mut Value),
    status: fn(&mut Value, &Memory),
) -> Mutation {
    Mutation { fault, case, alteration: Alteration::Lie { submission, status } }
}

/// Answers a refused submission as an accepted one.
pub fn accept(answer: &mut Passing) {
    let id = answer.sent["task_id"].as_str().unwrap_or("accepted-all-the-same").to_owned();
    answer.status = 200;
    answer.body = json!({"task_id": id, "handle_id": id, "status": "accepted"}).to_string().into_bytes();
}

/// The refused submission is answered as an accepted one where `which` says so of what was sent.
pub fn accept_if(answer: &mut Passing, which: fn(&Value) -> bool) {
    if answer.is_submission() && answer.status >= 400 && which(&answer.sent) {
        accept(answer);
    }
}

/// Changes the failures of this code.
pub fn failure(answer: &mut Passing, code: &str, alter: fn(&mut Value)) {
    answer.json(|body| {
        if body["error"]["code"] == code && body.get("task_id").is_none() {
            alter(body);
        }
    });
}

pub fn remove(object: &mut Value, name: &str) {
    object.as_object_mut().map(|object| object.remove(name));
}

/// Changes what is there, and adds nothing.
pub fn replace(object: &mut Value, name: &str, value: Value) {
    if let Some(old) = object.get_mut(name) {
        *old = value;
    }
}

#[must_use]
pub fn has_ended(status: &Value) -> bool {
    ["success", "failed", "cancelled"].iter().any(|end| status["status"] == *end)
}

#[must_use]
pub fn plus(value: &Value, more: u64) -> Value {
    value.as_u64().map_or(Value::Null, |value| json!(value + more))
}
