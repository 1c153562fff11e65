//! Ledgers that do not add up, or add up and are wrong.

use serde_json::{Value, json};

use crate::faults::mutation::{Mutation, answer, plus, remove, resources};

pub const FAULTS: &[Mutation] = &[
    resources("the ledger does not add up", "resources.law", |it, _| {
        it["available"]["task_slots"] = plus(&it["available"]["task_slots"], 1);
    }),
    resources("a reservation outlives its task, and the sums are right", "resources.law", |it, memory| {
        let held = it["active_reservations"].clone();
        let slots = held.as_array().map_or(0, Vec::len);
        if slots > 0 {
            memory.first("held", &held);
        } else {
            it["active_reservations"] = memory.first("held", &held);
            count_again(it);
        }
    }),
    resources("a running task holds nothing", "resources.law", |it, _| {
        it["active_reservations"] = json!([]);
        count_again(it);
    }),
    resources("a view is put together from two moments", "resources.law", |it, memory| {
        if let Some(before) = memory.previous("reserved", &it["reserved"]) {
            it["reserved"] = before;
        }
    }),
    resources("a ledger stands still", "resources.law", |it, memory| *it = memory.first("view", it)),
    resources("capacity is not told", "resources.law", |it, _| remove(it, "capacity")),
    resources("a task holds more than it asked for", "resources.as-asked", |it, _| {
        for held in it["active_reservations"].as_array_mut().into_iter().flatten() {
            held["reservation"]["pids"] = plus(&held["reservation"]["pids"], 1);
        }
        count_again(it);
    }),
    resources("a running task is shown as accepted", "resources.as-asked", |it, _| {
        let held = it["active_reservations"].as_array_mut().into_iter().flatten();
        held.for_each(|held| held["status"] = json!("accepted"));
    }),
    resources("a reservation is older than its task", "resources.as-asked", |it, _| {
        let held = it["active_reservations"].as_array_mut().into_iter().flatten();
        held.for_each(|held| held["reserved_at"] = json!("2001-01-01T00:00:00.000Z"));
    }),
    resources("nobody is said to wait", "resources.waiting", |it, _| it["accepted_waiting_tasks"] = json!(0)),
    resources("who runs is counted as waiting", "resources.waiting", |it, _| {
        let running = it["active_reservations"].as_array().map_or(0, Vec::len);
        it["accepted_waiting_tasks"] = plus(&it["accepted_waiting_tasks"], running as u64);
    }),
    resources("what is reserved never goes down", "resources.released", |it, memory| {
        let reserved = it["reserved"]["task_slots"].as_u64().unwrap_or_default();
        it["reserved"]["task_slots"] = json!(reserved + memory.count("views") - 1);
    }),
    resources("a busy ledger does not always add up", "resources.busy", |it, memory| {
        if memory.count("views").is_multiple_of(3) {
            it["reserved"]["task_slots"] = plus(&it["reserved"]["task_slots"], 1);
        }
    }),
    answer("the ledger cannot be read", "resources.law", |it, _| {
        if it.path == "/api/v1/runtime/resources" {
            it.status = 503;
        }
    }),
];

/// Makes reserved and available what the active reservations say.
fn count_again(view: &mut Value) {
    for kind in ["task_slots", "memory_bytes", "pids"] {
        let held = view["active_reservations"].as_array().into_iter().flatten();
        let reserved: u64 = held.filter_map(|held| held["reservation"][kind].as_u64()).sum();
        view["reserved"][kind] = json!(reserved);
        if let Some(capacity) = view["capacity"][kind].as_u64() {
            view["available"][kind] = json!(capacity.saturating_sub(reserved));
        }
    }
}
