//! The events of a task tell one legal life, each of its steps once, and agree with what its status says.

use std::collections::BTreeMap;

use serde_json::Value;

use super::record::{Record, Seen, What};
use crate::case::Outcome;

/// Where the events say that a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Nowhere,
    Submitted,
    Accepted,
    Waiting,
    Launching,
    Running,
    /// Its reservation is given back.
    Released,
    Ended,
}

/// What may be said once in a life.
#[derive(Debug, Default)]
struct Once {
    degraded: bool,
    kill_requested: bool,
    timeout_triggered: bool,
}

pub fn hold(record: &Record) -> Outcome {
    for task in 0..record.tasks.len() {
        for now in record.all(What::Events(task)) {
            let place = follow(record, now)?;
            grow(now)?;
            for before in record.all(What::Events(task)).filter(|before| before.is_before(now)) {
                let kept = list(now).starts_with(list(before));
                now.exchange.expect(kept, &format!("events are only added; they were {}", before.exchange.text))?;
            }
            agree(record, task, now, place)?;
        }
    }
    across_tasks(record)
}

/// Where the task stands by its events.
fn follow(record: &Record, now: &Seen) -> Result<Place, crate::case::NotPassed> {
    let (mut place, mut once) = (Place::Nowhere, Once::default());
    for event in list(now) {
        let kind = event["event_type"].as_str().unwrap_or_default();
        let next = next(place, &mut once, kind, &event["data"], record.restarts > 0);
        let rule = format!("event {} is legal: {kind:?} where the task is {place:?}", event["seq"]);
        now.exchange.expect(next.is_some(), &rule)?;
        place = next.unwrap_or(place);
    }
    Ok(place)
}

fn next(place: Place, once: &mut Once, kind: &str, data: &Value, restarted: bool) -> Option<Place> {
    use Place::{Accepted, Ended, Launching, Nowhere, Released, Running, Submitted, Waiting};
    let first = |said: &mut bool| !std::mem::replace(said, true);
    Some(match (kind, place) {
        ("submitted", Nowhere) => Submitted,
        ("accepted", Submitted) => Accepted,
        ("planned", Accepted) => Waiting,
        ("degraded", Waiting) if first(&mut once.degraded) => Waiting,
        ("resource_reserved", Waiting) => Launching,
        ("started", Launching) => Running,
        ("resource_released", Launching | Running) => Released,
        ("kill_requested", Waiting | Launching | Running) if first(&mut once.kill_requested) => place,
        ("timeout_triggered", Launching | Running) if first(&mut once.timeout_triggered) => place,
        ("recovered", Launching | Running) if restarted && data["action"] == "adopted" => place,
        ("recovered", Released) if restarted && data["action"] == "requeued" => Waiting,
        // What never had a reservation gives none back.
        ("failed" | "cancelled", Waiting) | ("finished" | "failed" | "cancelled", Released) => Ended,
        _ => return None,
    })
}

fn grow(now: &Seen) -> Outcome {
    let seqs = list(now).iter().map(|event| event["seq"].as_u64().unwrap_or_default());
    now.exchange.expect(seqs.is_sorted_by(|a, b| a < b), "seq grows from event to event")?;
    let times = list(now).iter().map(|event| event["timestamp"].as_str().unwrap_or_default());
    now.exchange.expect(times.is_sorted(), "no event is older than the one before it")
}

/// With the statuses that were seen before.
fn agree(record: &Record, task: usize, now: &Seen, place: Place) -> Outcome {
    let says = |kind: &str| list(now).iter().any(|event| event["event_type"] == kind);
    for before in record.statuses(task).filter(|before| before.is_before(now)) {
        let body = &before.exchange.body;
        let started = body["started_at"].is_null() || says("started");
        now.exchange.expect(started, "a task that was seen to have started has the event")?;
        if before.is_end() {
            let kind = if before.status() == "success" { "finished" } else { before.status() };
            now.exchange.expect(place == Place::Ended && says(kind), &format!("the end that was seen is {kind:?}"))?;
            let timeout = body["error"]["code"] == "timeout";
            now.exchange.expect(!timeout || says("timeout_triggered"), "a timeout has its event")?;
        }
    }
    let killed = record.all(What::Kill(task)).any(|kill| kill.begun <= now.ended);
    now.exchange.expect(killed || !says("kill_requested"), "kill_requested is the event of a kill")?;
    now.exchange.expect(!says("cancelled") || says("kill_requested"), "what is cancelled was asked to be")
}

/// `seq` is unique, and of two submissions the later one has the larger.
fn across_tasks(record: &Record) -> Outcome {
    let mut owners = BTreeMap::new();
    let mut submissions = BTreeMap::new();
    for (number, task) in record.tasks.iter().enumerate() {
        for now in record.all(What::Events(number)) {
            for event in list(now) {
                let seq = event["seq"].as_u64().unwrap_or_default();
                now.exchange
                    .expect(event["task_id"] == task.id.as_str(), "an event is of the task that was asked for")?;
                let owner = *owners.entry(seq).or_insert(number);
                now.exchange.expect(owner == number, &format!("seq {seq} is given once"))?;
                if event["event_type"] == "submitted" {
                    submissions.insert(number, (seq, now));
                }
            }
        }
    }
    for (number, (seq, now)) in &submissions {
        for (other, (earlier, _)) in &submissions {
            let submission = |task: usize| record.all(What::Submission(task)).next();
            let in_order = submission(*other).zip(submission(*number)).is_some_and(|(a, b)| a.is_before(b));
            let rule = format!("seq grows across the runtime: {earlier} was given to an earlier submission");
            now.exchange.expect(!in_order || earlier < seq, &rule)?;
        }
    }
    Ok(())
}

fn list(seen: &Seen) -> &[Value] {
    seen.exchange.body.as_array().map_or(&[], Vec::as_slice)
}
