//! The reference itself: it lets a sound record pass, and no record that breaks one of its laws.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use ureq::http::{HeaderMap, Method};

use super::record::{Seen, Task, What};
use super::walk::Work;
use super::{Record, everything};
use crate::case::NotPassed;
use crate::client::{Call, Exchange};

/// Alters one answer of a sound record; which, and what must be said of it.
type Lie = (usize, fn(&mut Value), &'static str);

const RUNNING: usize = 1;
const LEDGER: usize = 2;
const ENDED: usize = 5;
const EVENTS: usize = 6;
const LEDGER_AT_THE_END: usize = 8;

fn time(ms: u32) -> Value {
    json!(format!("2026-01-01T00:00:00.{ms:03}Z"))
}

fn status(id: &str, word: &str, updated: u32) -> Value {
    json!({"task_id": id, "status": word, "created_at": time(100), "updated_at": time(updated)})
}

/// Of a life whose events are at these times.
fn events(id: &str, seq: u64, kinds: &[(&str, u32)]) -> Value {
    let event = |(place, (kind, ms)): (u64, &(&str, u32))| json!({"seq": seq + place, "task_id": id, "event_type": kind, "timestamp": time(*ms)});
    (0..).zip(kinds).map(event).collect()
}

/// One task is killed while it runs, one succeeds; no two answers overlap.
fn sound() -> Record {
    let mut running = status("long", "running", 120);
    running["started_at"] = time(120);
    let reservation = json!({"task_slots": 1, "memory_bytes": 64 << 20});
    let held = json!({
        "capacity": {"task_slots": 4}, "reserved": {"task_slots": 1, "memory_bytes": 64 << 20, "pids": 0},
        "available": {"task_slots": 3},
        "active_reservations": [{"task_id": "long", "status": "running", "reservation": reservation}],
    });
    let free = json!({
        "capacity": {"task_slots": 4}, "reserved": {"task_slots": 0, "memory_bytes": 0, "pids": 0},
        "available": {"task_slots": 4}, "active_reservations": [],
    });
    let mut killed = running.clone();
    killed["updated_at"] = time(200);
    let mut ended = killed.clone();
    for (name, value) in [
        ("status", json!("cancelled")),
        ("updated_at", time(250)),
        ("finished_at", time(250)),
        ("error", json!({"code": "cancelled"})),
    ] {
        ended[name] = value;
    }
    let birth = [("submitted", 100), ("accepted", 100), ("planned", 100), ("resource_reserved", 110), ("started", 120)];
    let long = [&birth[..], &[("kill_requested", 200), ("resource_released", 250), ("cancelled", 250)]].concat();
    let quick = [&birth[..], &[("resource_released", 130), ("finished", 130)]].concat();
    let answers = [
        (What::Submission(0), status("long", "accepted", 100)),
        (What::Status(0), running.clone()),
        (What::Resources, held),
        (What::Status(0), running),
        (What::Kill(0), killed),
        (What::Status(0), ended),
        (What::Events(0), events("long", 1, &long)),
        (What::Submission(1), status("quick", "accepted", 100)),
        (What::Resources, free),
        (What::Events(1), events("quick", 20, &quick)),
    ];
    let begin = Instant::now();
    let seen = (0..).zip(answers).map(|(n, (what, body))| seen(begin + Duration::from_millis(10 * n), what, body));
    let tasks = [("long", Work::Endless), ("quick", Work::Nothing)];
    let tasks = tasks.map(|(id, work)| Task { id: id.to_owned(), work });
    Record { tasks: tasks.into(), seen: seen.collect(), restarts: 0 }
}

fn seen(begun: Instant, what: What, body: Value) -> Seen {
    let text = body.to_string();
    let (call, headers) = (Call::new(Method::GET, "/"), HeaderMap::new());
    let exchange = Exchange { call, status: 200, headers, content_type: String::new(), body, text, bytes: Vec::new() };
    Seen { begun, ended: begun + Duration::from_millis(5), what, exchange }
}

const LIES: [Lie; 17] = [
    (RUNNING, |it| it["updated_at"] = time(210), "updated_at never goes back"),
    (RUNNING, |it| it["started_at"] = time(90), "created_at ≤ started_at"),
    (RUNNING, |it| drop(it.as_object_mut().map(|it| it.remove("started_at"))), "started_at is there"),
    (3, |it| it["status"] = json!("accepted"), "onwards only"),
    (3, |it| it["status"] = json!("paused"), "one of the five"),
    (ENDED, |it| it["status"] = json!("success"), "does not end as"),
    (ENDED, |it| it["error"]["code"] = json!("timeout"), "does not end as"),
    (EVENTS, |it| drop(it.as_array_mut().map(|it| it.remove(4))), "has the event"),
    (EVENTS, |it| it[7]["event_type"] = json!("finished"), "the end that was seen"),
    (EVENTS, |it| it[5]["event_type"] = json!("recovered"), "is legal"),
    (EVENTS, |it| it[3]["seq"] = json!(1), "seq grows from event to event"),
    (EVENTS, |it| it[7]["timestamp"] = time(1), "older"),
    (
        EVENTS,
        |it| {
            it.as_array_mut().into_iter().flatten().for_each(|it| it["seq"] = json!(it["seq"].as_u64().map(|n| n + 50)))
        },
        "across the runtime",
    ),
    (EVENTS, |it| it[7]["seq"] = json!(20), "is given once"),
    (LEDGER, |it| it["available"]["task_slots"] = json!(4), "reserved + available = capacity"),
    (LEDGER, |it| it["active_reservations"] = json!([]), "sum of the reservations"),
    (
        LEDGER_AT_THE_END,
        |it| {
            it["active_reservations"] =
                json!([{"task_id": "long", "reservation": {"task_slots": 1, "memory_bytes": 64 << 20}}]);
            it["reserved"] = json!({"task_slots": 1, "memory_bytes": 64 << 20});
            it["available"] = json!({"task_slots": 3});
        },
        "which has ended, holds nothing",
    ),
];

#[test]
fn a_sound_record_passes_and_none_with_a_lie_in_it() {
    everything(&sound()).expect("it is sound");
    for (place, lie, words) in LIES {
        let mut record = sound();
        lie(&mut record.seen[place].exchange.body);
        let Err(NotPassed::Failed(faults)) = everything(&record) else { panic!("nobody notices: {words}") };
        assert!(faults[0].rule.contains(words), "{words}: {}", faults[0].rule);
    }
}

#[test]
fn a_task_is_accepted_once() {
    for what in [What::Submission(1), What::Conflict(0), What::Conflict(1)] {
        let mut record = sound();
        let begun = record.seen[0].begun;
        record.seen.insert(0, seen(begun, what, json!({})));
        assert_eq!(everything(&record).is_err(), what != What::Conflict(0), "{what:?}");
    }
}

#[test]
fn nothing_leaves_an_end_and_nobody_is_cancelled_unasked() {
    let mut record = sound();
    let mut revived = status("long", "cancelled", 300);
    revived["finished_at"] = time(300);
    revived["error"] = json!({"code": "cancelled"});
    let late = record.seen[LEDGER_AT_THE_END].begun + Duration::from_millis(100);
    record.seen.push(seen(late, What::Status(0), revived));
    assert!(everything(&record).is_err());
    let mut record = sound();
    record.seen.retain(|seen| !matches!(seen.what, What::Kill(_)));
    assert!(everything(&record).is_err());
}

/// Two answers that overlap may have been given in either order.
#[test]
fn what_overlaps_is_in_no_order() {
    let mut record = sound();
    let begun = record.seen[RUNNING].begun;
    let mut early = seen(begun, What::Status(0), status("long", "accepted", 100));
    early.ended = record.seen[LEDGER].ended;
    record.seen.insert(RUNNING, early);
    everything(&record).expect("it is sound");
}
