//! Faults of the events of a task.

use serde_json::{Value, json};

use crate::faults::mutation::{Mutation, events, plus, remove};

pub const FAULTS: &[Mutation] = &[
    events("an event stands twice", "events.success", |all, _| {
        if let Some(last) = all.last().cloned() {
            all.push(last);
        }
    }),
    events("an event is missing", "events.success", |all, _| all.retain(|it| it["event_type"] != "accepted")),
    events("an event names another pid", "events.success", |all, _| {
        of(all, "started").for_each(|it| it["data"]["pid"] = plus(&it["data"]["pid"], 1));
    }),
    events("the end comes before the release", "events.exit", |all, _| {
        let last = all.len().saturating_sub(1);
        if last > 0 {
            all.swap(last - 1, last);
        }
    }),
    events("an event has another exit code", "events.exit", |all, _| {
        of(all, "failed").for_each(|it| it["data"]["exit_code"] = json!(0));
    }),
    events("an event has no data", "events.signal", |all, _| all.iter_mut().for_each(|it| remove(it, "data"))),
    events("a timeout leaves no event of its own", "events.timeout", |all, _| {
        all.retain(|it| it["event_type"] != "timeout_triggered");
    }),
    events("each kill leaves an event", "events.cancelled.running", |all, _| {
        if let Some(at) = all.iter().position(|it| it["event_type"] == "kill_requested") {
            all.insert(at, all[at].clone());
        }
    }),
    events("a kill leaves no event", "events.cancelled.running", |all, _| {
        all.retain(|it| it["event_type"] != "kill_requested");
    }),
    events("a task that was cancelled while it waited has started", "events.cancelled.waiting", |all, _| {
        if let Some(last) = all.pop_if(|it| it["event_type"] == "cancelled") {
            let mut started = last.clone();
            started["event_type"] = json!("started");
            all.extend([started, last]);
        }
    }),
    events("a task that never started has an event of its start", "events.launch-failed", |all, _| {
        of(all, "resource_released").for_each(|it| it["event_type"] = json!("started"));
    }),
    events("a degraded task has no event of it", "events.degraded", |all, _| {
        all.retain(|it| it["event_type"] != "degraded");
    }),
    events("an event tells another plan", "events.planned", |all, _| {
        of(all, "planned").for_each(|it| it["data"]["effective_sandbox"] = json!("linux_sandbox"));
    }),
    events("an event tells another reservation", "events.reservation", |all, _| {
        of(all, "resource_released").for_each(|it| remove(&mut it["data"], "memory_bytes"));
    }),
    events("seq is the same twice", "events.seq", |all, _| {
        if let [first, second, ..] = all.as_mut_slice() {
            second["seq"] = first["seq"].clone();
        }
    }),
    events("seq is counted for each task", "events.seq", |all, _| {
        all.iter_mut().zip(1..).for_each(|(it, seq)| it["seq"] = json!(seq));
    }),
    events("the time of an event goes back", "events.times", |all, _| {
        if let Some(last) = all.last_mut() {
            last["timestamp"] = json!("2001-01-01T00:00:00.000Z");
        }
    }),
    events("an event is later than the last update", "events.times", |all, _| {
        if let Some(last) = all.last_mut() {
            last["timestamp"] = json!("2099-01-01T00:00:00.000Z");
        }
    }),
    events("an event belongs to another task", "events.task-id", |all, memory| {
        all.iter_mut().for_each(|it| it["task_id"] = memory.first("task_id", &it["task_id"]));
    }),
    events("old events are dropped", "events.only-added", |all, _| {
        all.drain(..all.len().saturating_sub(5));
    }),
    events("what has happened is told otherwise later", "events.stable", |all, memory| {
        let message = json!(format!("reading {}", memory.count("readings")));
        all.iter_mut().for_each(|it| it["message"] = message.clone());
    }),
];

fn of<'a>(events: &'a mut [Value], event_type: &'a str) -> impl Iterator<Item = &'a mut Value> {
    events.iter_mut().filter(move |it| it["event_type"] == event_type)
}
