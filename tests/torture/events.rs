//! The events of an ended task: each once, in order, and all that belong to its outcome.

use serde_json::Value;

/// `starts` is how often the server was started, so how often a task can have been found again.
pub fn check_events(events: &[Value], status: &Value, starts: u32) -> Result<(), String> {
    let types: Vec<&str> = events.iter().filter_map(|event| event["event_type"].as_str()).collect();
    let wrong = |what: &str| Err(format!("{what}: {types:?}"));
    let count = |wanted: &str| types.iter().filter(|one| **one == wanted).count();
    let place = |wanted: &str| types.iter().position(|one| *one == wanted);
    if !events.is_sorted_by(|a, b| a["seq"].as_u64() < b["seq"].as_u64()) {
        return wrong("not in order");
    }
    if types.len() != events.len() || types.get(..3) != Some(&["submitted", "accepted", "planned"]) {
        return wrong("not a beginning");
    }
    let end = match status["status"].as_str() {
        Some("success") => "finished",
        Some(other) => other,
        None => return wrong("no status"),
    };
    if types.last() != Some(&end)
        || ["finished", "failed", "cancelled"].iter().map(|one| count(one)).sum::<usize>() != 1
    {
        return wrong("not one end");
    }
    for once in ["submitted", "accepted", "planned", "degraded", "started", "kill_requested", "timeout_triggered"] {
        if count(once) > 1 {
            return wrong("twice the same");
        }
    }
    if status["started_at"].is_string() != (count("started") == 1)
        || place("started") < place("resource_reserved") && count("started") == 1
    {
        return wrong("not a start");
    }
    let actions = |wanted: &str| {
        events.iter().filter(|event| event["event_type"] == "recovered" && event["data"]["action"] == wanted).count()
    };
    let (requeued, adopted) = (actions("requeued"), actions("adopted"));
    if requeued + adopted != count("recovered") || adopted > starts as usize {
        return wrong("not found again as often");
    }
    let reserved = count("resource_reserved");
    if reserved != count("resource_released") || reserved > requeued + 1 || reserved < requeued {
        return wrong("not released as often as reserved");
    }
    if (status["error"]["code"] == "timeout") != (count("timeout_triggered") == 1) {
        // One whose shim was killed after its timeout has both.
        if status["error"]["code"] != "internal" {
            return wrong("not a timeout");
        }
    }
    if status["status"] == "cancelled" && count("kill_requested") != 1 {
        return wrong("cancelled by nobody");
    }
    Ok(())
}
