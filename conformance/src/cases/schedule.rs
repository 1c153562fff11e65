//! Scheduling: priorities, times and dependencies.

use serde_json::{Value, json};

use super::queue::fill_slots;
use crate::case::{Case, Context, NotPassed, Outcome, sh, with};

pub const CASES: &[Case] = &[
    Case::beyond("schedule.priority", "schedule", priority),
    Case::beyond("schedule.priority.range", "schedule", |it| {
        it.refuses_each("schedule", "priority", [json!(-101), json!(101), json!(0.5), json!("1")])
    }),
    Case::beyond("schedule.start-after", "schedule", start_after),
    Case::beyond("schedule.start-after.past", "schedule", start_after_past),
    Case::beyond("schedule.start-after.format", "schedule", |it| {
        it.refuses_each("schedule", "start_after", [json!("tomorrow"), json!("2026-11-25"), json!(1), json!("")])
    }),
    Case::beyond("schedule.expires-at", "schedule", expires_at),
    Case::beyond("schedule.expires-at.order", "schedule", |it| {
        let schedule = json!({"start_after": "2100-01-02T00:00:00Z", "expires_at": "2100-01-01T00:00:00Z"});
        refused(it, &schedule, "schedule.expires_at")
    }),
    Case::beyond("schedule.depends-on.success", "schedule", depends_on_success),
    Case::beyond("schedule.depends-on.failure", "schedule", depends_on_failure),
    Case::beyond("schedule.depends-on.end", "schedule", depends_on_end),
    Case::beyond("schedule.depends-on.unknown", "schedule", |it| {
        let unknown = json!({"depends_on": [{"task_id": it.fresh_id()}]});
        refused(it, &unknown, "schedule.depends_on[0].task_id")
    }),
    Case::beyond("schedule.depends-on.twice", "schedule", depends_on_twice),
];

const FAR: &str = "2100-01-01T00:00:00Z";

fn scheduled(command: &str, schedule: &Value) -> Value {
    with(sh(command), json!({"schedule": schedule}))
}

fn after(id: &str, on: &str) -> Value {
    json!({"depends_on": [{"task_id": id, "on": on}]})
}

fn refused(context: &Context, schedule: &Value, field: &str) -> Outcome {
    let answer = context.offer(&scheduled("true", schedule))?;
    answer.expect_failure(400, "invalid_input", "a schedule that cannot be kept is refused")?;
    answer.expect_field("/error/details/field", &json!(field))
}

/// It waits, and is killed.
fn waits(context: &Context, id: &str, waiting_for: &Value) -> Outcome {
    let status = context.status(id)?;
    status.expect_field("/status", &json!("accepted"))?;
    status.expect_field("/waiting_for", waiting_for)?;
    context.kill(id)?.expect_field("/status", &json!("cancelled"))
}

fn priority(context: &Context) -> Outcome {
    let before = fill_slots(context)?;
    let submit = |priority: i64| context.submit(&scheduled("true", &json!({"priority": priority})));
    let ids = [submit(-1)?, submit(0)?, submit(1)?];
    context.kill(&before[0])?;
    let reserved = |id: &String| -> Result<Option<u64>, NotPassed> {
        context.ended(id)?;
        let (events, _) = context.event_types(id)?;
        let all = events.body.as_array().cloned().unwrap_or_default();
        Ok(all.iter().find(|event| event["event_type"] == "resource_reserved").and_then(|event| event["seq"].as_u64()))
    };
    let [low, none, high] = [reserved(&ids[0])?, reserved(&ids[1])?, reserved(&ids[2])?];
    let status = context.status(&ids[2])?;
    status.expect(high < none && none < low, "a task of higher priority starts first")?;
    status.expect_field("/schedule/priority", &json!(1))
}

fn start_after(context: &Context) -> Outcome {
    let id = context.submit(&scheduled("true", &json!({"start_after": FAR})))?;
    let until = "2100-01-01T00:00:00.000Z";
    waits(context, &id, &json!({"until": until}))
}

fn start_after_past(context: &Context) -> Outcome {
    context.prints(&scheduled("echo ran", &json!({"start_after": "2020-01-01T02:00:00+02:00"})), "ran\n").map(drop)
}

fn expires_at(context: &Context) -> Outcome {
    let id = context.submit(&scheduled("true", &json!({"expires_at": "2020-01-01T00:00:00Z"})))?;
    let status = context.ended(&id)?;
    status.expect_field("/status", &json!("cancelled"))?;
    status.expect_field("/error/code", &json!("cancelled"))?;
    status.expect_absent("/started_at")
}

fn depends_on_success(context: &Context) -> Outcome {
    let first = context.submit(&sh("exec sleep 600"))?;
    context.running(&first)?;
    let id = context.submit(&scheduled("true", &after(&first, "success")))?;
    waits(context, &id, &json!({"tasks": [first]}))?;
    let done = context.submit(&sh("true"))?;
    context.prints(&scheduled("echo ran", &after(&done, "success")), "ran\n").map(drop)
}

fn depends_on_failure(context: &Context) -> Outcome {
    let first = context.submit(&sh("exit 1"))?;
    let id = context.submit(&scheduled("true", &after(&first, "success")))?;
    let status = context.ended(&id)?;
    status.expect_field("/status", &json!("cancelled"))?;
    status.expect_field("/error/details/task_id", &json!(first))?;
    status.expect_field("/error/details/status", &json!("failed"))?;
    status.expect_absent("/started_at")
}

fn depends_on_end(context: &Context) -> Outcome {
    let first = context.submit(&sh("exit 1"))?;
    context.prints(&scheduled("echo ran", &after(&first, "end")), "ran\n").map(drop)
}

fn depends_on_twice(context: &Context) -> Outcome {
    let first = context.submit(&sh("true"))?;
    let twice = json!({"depends_on": [{"task_id": first}, {"task_id": first, "on": "end"}]});
    refused(context, &twice, "schedule.depends_on[1].task_id")
}
