//! The life of a task as its status tells it: onwards only, and to an end that it may have.

use super::record::{Record, Seen, What};
use crate::case::Outcome;

pub fn hold(record: &Record) -> Outcome {
    for task in 0..record.tasks.len() {
        is_accepted_once(record, task)?;
        for now in record.statuses(task) {
            is_sound(now)?;
            is_possible(record, task, now)?;
            record.statuses(task).filter(|before| before.is_before(now)).try_for_each(|before| onwards(before, now))?;
        }
    }
    Ok(())
}

fn is_accepted_once(record: &Record, task: usize) -> Outcome {
    let accepted = || record.all(What::Submission(task));
    for again in accepted().skip(1) {
        again.exchange.expect(false, "of several submissions of one task_id one is accepted")?;
    }
    for refused in record.all(What::Conflict(task)) {
        let there = accepted().any(|submission| submission.begun <= refused.ended);
        refused.exchange.expect(there, "a conflict is one with a task that was accepted")?;
    }
    Ok(())
}

/// By itself.
fn is_sound(now: &Seen) -> Outcome {
    let body = &now.exchange.body;
    let times = ["created_at", "started_at", "finished_at", "updated_at"].map(|name| body[name].as_str());
    let in_order = times.into_iter().flatten().is_sorted();
    now.exchange.expect(in_order, "created_at ≤ started_at ≤ finished_at ≤ updated_at")?;
    let known = now.is_end() || ["accepted", "running"].contains(&now.status());
    now.exchange.expect(known, "the status is one of the five")?;
    now.exchange.expect(now.is_end() == body["finished_at"].is_string(), "finished_at is there when it has ended")?;
    let started = now.status() != "running" || body["started_at"].is_string();
    now.exchange.expect(started, "started_at is there when it runs")?;
    let both = body["exit_code"].is_i64() && body["exit_signal"].is_i64();
    now.exchange.expect(!both, "exit_code and exit_signal are never both there")
}

/// An end is the task's own, or that of a kill which had been asked for.
fn is_possible(record: &Record, task: usize, now: &Seen) -> Outcome {
    if !now.is_end() {
        return Ok(());
    }
    let work = record.tasks[task].work;
    let end = (now.status(), now.exchange.body["error"]["code"].as_str());
    let killed = record.all(What::Kill(task)).any(|kill| kill.begun <= now.ended);
    let possible = work.own_end() == Some(end) || killed && end == ("cancelled", Some("cancelled"));
    let how = if killed { "was killed" } else { "was not killed" };
    now.exchange.expect(possible, &format!("a task that does {work:?} and {how} does not end as {end:?}"))
}

fn onwards(before: &Seen, now: &Seen) -> Outcome {
    let (old, new) = (&before.exchange.body, &now.exchange.body);
    let rank = |seen: &Seen| if seen.is_end() { 2 } else { u8::from(seen.status() == "running") };
    let legal = rank(before) <= rank(now);
    let rule = format!("a task moves onwards only, not from {} to {}", before.status(), now.status());
    now.exchange.expect(legal, &rule)?;
    let later = old["updated_at"].as_str() <= new["updated_at"].as_str();
    now.exchange.expect(later, &format!("updated_at never goes back; it was {}", old["updated_at"]))?;
    for name in ["created_at", "started_at", "execution_plan"] {
        let kept = old[name].is_null() || old[name] == new[name];
        now.exchange.expect(kept, &format!("{name} does not change; it was {}", old[name]))?;
    }
    let rule = format!("nothing leaves a terminal state; it was {old}");
    now.exchange.expect(!before.is_end() || old == new, &rule)
}
