//! The checks find what they look for.

use serde_json::{Value, json};

use crate::checker::check_outcome;
use crate::events::check_events;
use crate::plan::Kind;

fn events(types: &[&str]) -> Vec<Value> {
    let event = |(seq, event_type): (usize, &&str)| match *event_type {
        "adopted" | "requeued" => json!({"seq": seq, "event_type": "recovered", "data": {"action": event_type}}),
        _ => json!({"seq": seq, "event_type": event_type}),
    };
    types.iter().enumerate().map(event).collect()
}

#[test]
fn events_that_are_missing_doubled_or_out_of_order_are_found() {
    const BEGIN: [&str; 3] = ["submitted", "accepted", "planned"];
    let success = json!({"status": "success", "started_at": "…"});
    let check = |rest: &[&str]| check_events(&events(&[&BEGIN, rest].concat()), &success, 1);
    for good in [
        ["resource_reserved", "started", "resource_released", "finished"].as_slice(),
        &["resource_reserved", "started", "adopted", "resource_released", "finished"],
        &[
            "resource_reserved",
            "resource_released",
            "requeued",
            "resource_reserved",
            "started",
            "resource_released",
            "finished",
        ],
    ] {
        assert_eq!(check(good), Ok(()));
    }
    for bad in [
        ["resource_reserved", "started", "started", "resource_released", "finished"].as_slice(),
        &["resource_reserved", "resource_released", "finished"],
        &["started", "resource_reserved", "resource_released", "finished"],
        &["resource_reserved", "started", "finished"],
        &["resource_reserved", "started", "resource_released", "finished", "failed"],
        &["resource_reserved", "started", "resource_released", "failed"],
        &["resource_reserved", "started", "resource_released"],
        &["resource_reserved", "resource_reserved", "started", "resource_released", "resource_released", "finished"],
        &["resource_reserved", "started", "adopted", "adopted", "resource_released", "finished"],
        &["resource_reserved", "started", "timeout_triggered", "resource_released", "finished"],
    ] {
        assert!(check(bad).is_err(), "{bad:?}");
    }
    let mut swapped =
        events(&[&BEGIN[..], &["resource_reserved", "started", "resource_released", "finished"]].concat());
    swapped[3]["seq"] = json!(5);
    assert!(check_events(&swapped, &success, 1).is_err());
}

#[test]
fn an_outcome_that_was_not_asked_for_is_found() {
    let kind = Kind::Exits { code: 3, sleep_ms: 0 };
    let good = json!({
        "status": "failed", "error": {"code": "exit_non_zero"}, "exit_code": 3, "started_at": "…", "stdout": "",
        "usage": {"max_rss_bytes": 1},
    });
    assert_eq!(check_outcome(kind, &good, 1), Ok(()));
    for (field, value) in
        [("exit_code", json!(0)), ("status", json!("success")), ("stdout", json!("x")), ("usage", json!({}))]
    {
        let mut bad = good.clone();
        bad[field] = value;
        assert!(check_outcome(kind, &bad, 1).is_err(), "{bad}");
    }
    assert!(check_outcome(kind, &good, 0).is_err() && check_outcome(kind, &good, 2).is_err());
}
