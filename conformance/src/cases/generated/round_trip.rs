//! A valid request is accepted, runs as it says, and comes back as it was sent.

use serde_json::{Value, json};

use crate::case::{Context, NotPassed, Outcome};
use crate::cases::document::lacks_means;
use crate::client::Exchange;
use crate::generate::{rules, submissions};
use crate::property::for_all;

pub const ID: &str = "generated.valid.round-trip";

/// `limits` that the plan repeats; the other two are about the answer.
const PLANNED: [&str; 8] = [
    "wall_time_ms",
    "cpu_time_sec",
    "memory_bytes",
    "pids_max",
    "cpu_millis",
    "file_size_bytes",
    "open_files",
    "workspace_bytes",
];

pub fn holds(context: &Context) -> Outcome {
    for_all(context, ID, context.inputs, &submissions(context.document()?)?, |request| {
        let request = &with_fresh_id(context, request);
        let Some(id) = accepted(context, request)? else { return Ok(()) };
        comes_back(&context.status(&id)?, request)?;
        let ended = context.ended(&id)?;
        comes_back(&ended, request)?;
        ends(&ended, request)
    })
}

/// A generated id may have been given before; its end is kept, as far as an id goes.
pub fn with_fresh_id(context: &Context, request: &Value) -> Value {
    let mut request = request.clone();
    if let Some(id) = request["task_id"].as_str() {
        request["task_id"] = json!(format!("{}-{id}", context.fresh_id()).chars().take(128).collect::<String>());
    }
    request
}

/// The `task_id`; nothing when the request is right and this machine cannot do it.
fn accepted(context: &Context, request: &Value) -> Result<Option<String>, NotPassed> {
    let answer = context.offer(request)?;
    if lacks_means(&answer) {
        return Ok(None);
    }
    answer.expect_status(200, "a valid request is accepted")?;
    answer.expect_field("/status", &json!("accepted"))?;
    let id = answer.body["task_id"].as_str().unwrap_or_default();
    answer.expect(!id.is_empty(), "the answer to a submission names the task_id")?;
    if !request["task_id"].is_null() {
        answer.expect_field("/task_id", &request["task_id"])?;
    }
    Ok(Some(id.to_owned()))
}

fn comes_back(status: &Exchange, request: &Value) -> Outcome {
    let empty = json!({});
    let metadata = request["metadata"].as_object();
    let returned = status.body["metadata"].as_object().or(empty.as_object());
    status.expect(metadata.or(empty.as_object()) == returned, "metadata comes back as it was sent")?;
    let plan = &status.body["execution_plan"];
    let asked = |field: &Value, default: &str| json!(field.as_str().unwrap_or(default));
    status.expect_field("/execution_plan/requested_sandbox", &asked(&request["sandbox"]["profile"], "process"))?;
    let mode = &request["policy"]["capability_mode"];
    if !mode.is_null() {
        status.expect_field("/execution_plan/capability_mode", mode)?;
    }
    status.expect(mode != "strict" || plan["degraded"] == false, "a strict task is never degraded")?;
    for name in PLANNED {
        let limit = &request["limits"][name];
        let default = if name == "wall_time_ms" { json!(300_000) } else { Value::Null };
        let wanted = if limit.is_null() { &default } else { limit };
        let rule = format!("the plan has limits.{name} as it was asked for: {wanted}");
        status.expect(plan["resource_enforcement"][name] == *wanted, &rule)?;
    }
    let reservation = &status.body["reservation"];
    for (name, limit) in [("memory_bytes", "memory_bytes"), ("pids", "pids_max")] {
        let holds = reservation.is_null() || reservation[name] == request["limits"][limit];
        status.expect(holds, &format!("reservation.{name} is limits.{limit}"))?;
    }
    Ok(())
}

/// The command got its arguments and its environment, and ended by itself.
fn ends(status: &Exchange, request: &Value) -> Outcome {
    let Some((printed, code)) = rules::expected(request) else { return Ok(()) };
    status.expect_field("/exit_code", &json!(code))?;
    status.expect_field("/status", &json!(if code == 0 { "success" } else { "failed" }))?;
    let most = request["limits"]["stdout_max_bytes"].as_u64().unwrap_or(u64::MAX);
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    status.expect_field("/stdout", &json!(printed[..printed.floor_char_boundary(most)]))?;
    status.expect_field("/stdout_truncated", &json!(printed.len() > most))?;
    status.expect_field("/stderr", &json!(""))
}
