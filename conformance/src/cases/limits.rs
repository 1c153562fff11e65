//! Limits: what ends a task that takes too much.

use serde_json::json;

use crate::case::{Case, Context, Level, Outcome, sh};

pub const CASES: &[Case] = &[Case { id: "limits.wall-time", section: "limits", level: Level::Must, run: wall_time }];

fn wall_time(context: &Context) -> Outcome {
    let mut request = sh("echo begun; sleep 600");
    request["limits"] = json!({"wall_time_ms": 700});
    let id = context.submit(&request)?;
    let status = context.ended(&id)?;
    status.expect_field("/status", &json!("failed"))?;
    status.expect_field("/error/code", &json!("timeout"))?;
    let duration = status.body["duration_ms"].as_u64().unwrap_or_default();
    status.expect(duration >= 700, "a task gets all of its time")?;
    let (events, types) = context.event_types(&id)?;
    events.expect(types.iter().any(|t| t == "timeout_triggered"), "the events say timeout_triggered")
}
