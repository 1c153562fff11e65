//! The ledger adds up at every reading, and holds those tasks that run, and no task that has ended.

use std::collections::BTreeSet;

use serde_json::Value;

use super::record::{Record, Seen, What};
use crate::case::Outcome;

pub fn hold(record: &Record) -> Outcome {
    record.all(What::Resources).try_for_each(|now| {
        adds_up(now)?;
        has_each_once(now)?;
        (0..record.tasks.len()).try_for_each(|task| agrees(record, task, now))
    })
}

fn adds_up(now: &Seen) -> Outcome {
    let body = &now.exchange.body;
    for what in ["task_slots", "memory_bytes", "pids"] {
        let amount = |of: &Value| of[what].as_u64();
        let reserved = amount(&body["reserved"]).unwrap_or_default();
        let sum = reservations(now).map(|active| amount(&active["reservation"]).unwrap_or_default()).sum::<u64>();
        now.exchange.expect(sum == reserved, &format!("{what}: reserved is the sum of the reservations"))?;
        if let Some(capacity) = amount(&body["capacity"]) {
            let available = amount(&body["available"]).unwrap_or_default();
            let rule = format!("{what}: reserved + available = capacity");
            now.exchange.expect(reserved + available == capacity, &rule)?;
        }
    }
    now.exchange.expect(body["capacity"]["task_slots"].is_u64(), "there is a number of task slots")
}

fn has_each_once(now: &Seen) -> Outcome {
    let ids: Vec<_> = reservations(now).filter_map(|active| active["task_id"].as_str()).collect();
    now.exchange.expect(ids.iter().collect::<BTreeSet<_>>().len() == ids.len(), "a task holds one reservation")
}

fn agrees(record: &Record, task: usize, now: &Seen) -> Outcome {
    let of_it = &record.tasks[task];
    let active = reservations(now).find(|active| active["task_id"] == of_it.id.as_str());
    let ended = record.statuses(task).any(|seen| seen.is_end() && seen.is_before(now));
    now.exchange.expect(!ended || active.is_none(), &format!("{}, which has ended, holds nothing", of_it.id))?;
    let ran = record.statuses(task).any(|seen| seen.status() == "running" && seen.is_before(now));
    let runs = ran && record.statuses(task).any(|seen| seen.status() == "running" && now.is_before(seen));
    now.exchange.expect(!runs || active.is_some(), &format!("{}, which runs, holds its reservation", of_it.id))?;
    let Some(active) = active else { return Ok(()) };
    let limits = &of_it.work.request(&of_it.id)["limits"];
    for (name, limit) in [("memory_bytes", "memory_bytes"), ("pids", "pids_max")] {
        let right = active["reservation"][name] == limits[limit];
        now.exchange.expect(right, &format!("{} reserves its limits.{limit}", of_it.id))?;
    }
    Ok(())
}

fn reservations(seen: &Seen) -> impl Iterator<Item = &Value> {
    seen.exchange.body["active_reservations"].as_array().into_iter().flatten()
}
