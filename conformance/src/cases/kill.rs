//! Kill: the end of a task by request.

use serde_json::json;

use crate::case::{Case, Context, Level, Outcome, sh};

pub const CASES: &[Case] = &[
    Case { id: "kill.running", section: "Kill", level: Level::Must, run: running },
    Case { id: "kill.ended", section: "Kill", level: Level::Must, run: ended },
];

fn running(context: &Context) -> Outcome {
    let id = context.submit(&sh("sleep 600"))?;
    context.running(&id)?;
    let path = format!("/api/v1/tasks/{id}/kill");
    let killed = context.client.post_nothing(&path)?;
    killed.expect_status(200, "a running task can be killed")?;
    killed.expect_field("/task_id", &json!(id))?;
    let status = context.ended(&id)?;
    status.expect_field("/status", &json!("cancelled"))?;
    status.expect_field("/error/code", &json!("cancelled"))?;
    let (events, types) = context.event_types(&id)?;
    for event in ["kill_requested", "cancelled"] {
        events.expect(types.iter().any(|t| t == event), &format!("the events say {event}"))?;
    }
    Ok(())
}

fn ended(context: &Context) -> Outcome {
    let id = context.submit(&sh("exit 3"))?;
    let before = context.ended(&id)?;
    let killed = context.client.post_nothing(&format!("/api/v1/tasks/{id}/kill"))?;
    killed.expect_status(200, "a kill of an ended task is answered with its status")?;
    killed.expect(killed.body == before.body, "a kill changes nothing about a task that has ended")
}
