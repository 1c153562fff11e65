//! The queue: what waits, in which order it starts, and what happens when no more can wait.

use serde_json::{Value, json};

use crate::case::{Case, Context, NotPassed, Outcome, sh, skipped, with};
use crate::client::Exchange;

pub const CASES: &[Case] = &[
    Case::must("queue.waiting", "Status", waiting),
    Case::must("queue.order", "Resources", order),
    Case::must("queue.goes-on", "Resources", goes_on),
    Case::must("queue.time-begins-at-the-start", "limits", time_begins_at_the_start),
    Case::must("queue.full", "Errors", full),
    Case::should("queue.full.conflict-first", "Submit", conflict_first),
    Case::must("queue.full.leaves-nothing", "Submit", leaves_nothing),
    Case::should("queue.full.still-reads", "Health", still_reads),
];

/// More are not worth their time.
const MAX_SLOTS: u64 = 32;
const MAX_QUEUED: u64 = 512;

fn sleeper() -> Value {
    sh("exec sleep 600")
}

/// A task in every slot, so that whatever comes next waits.
pub fn fill_slots(context: &Context) -> Result<Vec<String>, NotPassed> {
    let slots = context.configured("max_running_tasks")?;
    if slots > MAX_SLOTS {
        return Err(skipped(format!("max_running_tasks is {slots}: too many to fill")));
    }
    let ids = (0..slots).map(|_| context.submit(&sleeper())).collect::<Result<Vec<_>, _>>()?;
    for id in &ids {
        context.running(id)?;
    }
    Ok(ids)
}

/// A queue in which one more task has no place; the answer to that one, and its request.
fn fill_queue(context: &Context) -> Result<(Exchange, Value), NotPassed> {
    let length = context.configured("max_queued_tasks")?;
    if length > MAX_QUEUED {
        return Err(skipped(format!("max_queued_tasks is {length}: too many to fill")));
    }
    fill_slots(context)?;
    let mut sent = 0;
    loop {
        let request = with(sh("true"), json!({"task_id": context.fresh_id()}));
        let answer = context.offer_once(&request)?;
        if answer.status != 200 {
            return Ok((answer, request));
        }
        answer.expect(sent < length, &format!("no more than {length} tasks wait"))?;
        sent += 1;
    }
}

fn waiting(context: &Context) -> Outcome {
    fill_slots(context)?;
    let id = context.submit(&sh("echo ran"))?;
    let status = context.status(&id)?;
    status.expect_field("/status", &json!("accepted"))?;
    for absent in ["/started_at", "/finished_at", "/pid", "/shim_pid", "/exit_code", "/duration_ms", "/error"] {
        status.expect_absent(absent)?;
    }
    status.expect_field("/stdout", &json!(""))?;
    status.expect(status.body["execution_plan"].is_object(), "what waits has its plan")
}

/// First in, first out.
fn order(context: &Context) -> Outcome {
    if context.configured("max_queued_tasks")? < 3 {
        return Err(skipped("the queue is too short for an order"));
    }
    let before = fill_slots(context)?;
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(context.submit(&sleeper())?);
    }
    // Each end makes room for one.
    let mut ends = before.iter().chain(&waiting);
    for (next, id) in waiting.iter().enumerate() {
        context.kill(ends.next().expect("there are more than ends"))?;
        context.running(id)?;
        for later in &waiting[next + 1..] {
            let status = context.status(later)?;
            status.expect_field("/status", &json!("accepted"))?;
        }
    }
    Ok(())
}

/// Twice as many tasks as slots, all of them run.
fn goes_on(context: &Context) -> Outcome {
    let slots = context.configured("max_running_tasks")?.min(MAX_SLOTS);
    let ids = (0..2 * slots).map(|n| context.submit(&sh(&format!("echo {n}")))).collect::<Result<Vec<_>, _>>()?;
    for (n, id) in ids.iter().enumerate() {
        let status = context.ended(id)?;
        status.expect_field("/status", &json!("success"))?;
        status.expect_field("/stdout", &json!(format!("{n}\n")))?;
    }
    Ok(())
}

/// Nobody's time passes while he waits.
fn time_begins_at_the_start(context: &Context) -> Outcome {
    let before = fill_slots(context)?;
    let id = context.submit(&with(sh("echo ran"), json!({"limits": {"wall_time_ms": 1000}})))?;
    let waited = context.client.get(&format!("/api/v1/tasks/{id}?wait_ms=1500"))?;
    if waited.status == 200 {
        waited.expect_field("/status", &json!("accepted"))?;
    } else {
        std::thread::sleep(std::time::Duration::from_millis(1500));
    }
    context.kill(&before[0])?;
    let status = context.ended(&id)?;
    status.expect_field("/status", &json!("success"))?;
    status.expect_field("/stdout", &json!("ran\n"))
}

fn full(context: &Context) -> Outcome {
    let (refused, _) = fill_queue(context)?;
    refused.expect_failure(429, "resource_limit_exceeded", "a task that has no place in the queue is refused")?;
    let length = context.configured("max_queued_tasks")?;
    refused.expect_field("/error/details/max_queued_tasks", &json!(length))?;
    let seconds = refused.headers.get("retry-after").and_then(|value| value.to_str().ok()?.parse::<u32>().ok());
    refused.expect(seconds.is_some_and(|seconds| seconds > 0), "retry-after says after how many seconds to ask again")
}

/// Whoever lost an answer, and asks again, learns that the task is there.
fn conflict_first(context: &Context) -> Outcome {
    let known = with(sh("true"), json!({"task_id": context.fresh_id()}));
    context.run(&known)?;
    fill_queue(context)?;
    let again = context.offer_once(&known)?;
    again.expect_failure(409, "conflict", "a conflict is told before the want of a place")
}

fn leaves_nothing(context: &Context) -> Outcome {
    let (refused, request) = fill_queue(context)?;
    refused.expect_status(429, "a task that has no place in the queue is refused")?;
    let id = request["task_id"].as_str().unwrap_or_default();
    let task = context.client.get(&format!("/api/v1/tasks/{id}"))?;
    task.expect_failure(404, "not_found", "a refused task leaves nothing behind")?;
    context.end_all();
    context.succeeds(&request).map(drop)
}

/// Whoever cannot submit can still look, and kill.
fn still_reads(context: &Context) -> Outcome {
    let (refused, _) = fill_queue(context)?;
    refused.expect_status(429, "a task that has no place in the queue is refused")?;
    for path in ["/healthz", "/readyz", "/metrics", "/api/v1/runtime/resources"] {
        context.client.get(path)?.expect_status(200, "a full queue hinders submission alone")?;
    }
    Ok(())
}
