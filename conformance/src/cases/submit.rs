//! Submission: what is accepted and what is refused.

use serde_json::json;

use crate::case::{Case, Context, Level, Outcome, sh};

pub const CASES: &[Case] = &[
    Case { id: "submit.success", section: "Submit", level: Level::Must, run: success },
    Case { id: "submit.script", section: "Submit", level: Level::Must, run: script },
    Case { id: "submit.task-id.traversal", section: "Submit", level: Level::Must, run: traversal },
    Case { id: "submit.task-id.conflict", section: "Submit", level: Level::Must, run: conflict },
    Case { id: "submit.unknown-field", section: "Submit", level: Level::Should, run: unknown_field },
];

const LIFE_OF_A_SUCCESS: [&str; 7] =
    ["submitted", "accepted", "planned", "resource_reserved", "started", "resource_released", "finished"];

fn success(context: &Context) -> Outcome {
    let id = context.submit(&sh("echo out; echo err >&2"))?;
    let status = context.ended(&id)?;
    status.expect_field("/status", &json!("success"))?;
    status.expect_field("/exit_code", &json!(0))?;
    status.expect_field("/stdout", &json!("out\n"))?;
    status.expect_field("/stderr", &json!("err\n"))?;
    let (events, types) = context.event_types(&id)?;
    events.expect(types == LIFE_OF_A_SUCCESS, &format!("the events are {}", LIFE_OF_A_SUCCESS.join(", ")))?;
    let seqs: Vec<_> = events.body.as_array().into_iter().flatten().filter_map(|event| event["seq"].as_u64()).collect();
    events.expect(seqs.len() == types.len() && seqs.is_sorted_by(|a, b| a < b), "seq grows from event to event")
}

fn script(context: &Context) -> Outcome {
    let id = context.submit(&json!({"execution": {
        "kind": "script", "script": "echo \"$GREETING from a script\"", "interpreter": ["/bin/sh"],
        "env": {"GREETING": "hello"},
    }}))?;
    let status = context.ended(&id)?;
    status.expect_field("/status", &json!("success"))?;
    status.expect_field("/stdout", &json!("hello from a script\n"))
}

/// A `task_id` names a directory.
fn traversal(context: &Context) -> Outcome {
    for id in ["..", "../escape", "/etc", "a/b"] {
        let mut request = sh("true");
        request["task_id"] = json!(id);
        let refused = context.client.post("/api/v1/tasks", &request)?;
        refused.expect_failure(400, "invalid_input", "a task_id that could leave its directory is refused")?;
    }
    Ok(())
}

fn conflict(context: &Context) -> Outcome {
    let mut request = sh("true");
    request["task_id"] = json!(context.fresh_id());
    let id = context.submit(&request)?;
    let again = context.client.post("/api/v1/tasks", &request)?;
    again.expect_failure(409, "conflict", "a task_id is given once")?;
    let status = context.ended(&id)?;
    status.expect_field("/status", &json!("success"))
}

/// A misspelt limit must not be a limit that is silently missing.
fn unknown_field(context: &Context) -> Outcome {
    let mut request = sh("true");
    request["limits"] = json!({"wall_time": 1000});
    let refused = context.client.post("/api/v1/tasks", &request)?;
    refused.expect_failure(400, "invalid_input", "an unknown field is refused")?;
    let message = refused.body["error"]["message"].as_str().unwrap_or_default();
    refused.expect(message.contains("limits.wall_time"), "the message names the unknown field by its path")
}
