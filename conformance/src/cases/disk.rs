//! The disk: what is kept of a task, looked at by another task, which is all that a client has.

use serde_json::{Value, json};

use crate::case::{Case, Context, NotPassed, Outcome, sh, skipped, with};
use crate::client::Exchange;

pub const CASES: &[Case] = &[
    Case::must("disk.result", "Disk", result),
    Case::must("disk.result.of-a-failure", "Disk", |it| equals_status(it, &sh("echo out; kill -KILL $$"))),
    Case::must("disk.result.of-a-failed-launch", "Disk", |it| {
        equals_status(it, &json!({"execution": {"kind": "command", "program": "/no/such/program"}}))
    }),
    Case::must("disk.request", "Disk", request),
    Case::must("disk.logs", "Disk", logs),
    Case::must("disk.workspace", "Disk", workspace),
    Case::must("disk.script", "Disk", script),
    Case::should("disk.modes", "Disk", modes),
];

/// What a command prints that is given the path of something of an ended task as `$FILE`.
fn look(context: &Context, command: &str, ended: &Exchange, artifact: &str) -> Result<Exchange, NotPassed> {
    let config = context.client.get("/api/v1/runtime/config")?;
    config.expect_status(200, "the configuration can be read")?;
    if config.body["run_as"].is_string() {
        return Err(skipped("tasks run as a user who must not read this"));
    }
    let path = ended.text_at(&format!("/artifacts/{artifact}"));
    ended.expect(path.starts_with('/'), &format!("artifacts.{artifact} is an absolute path"))?;
    context.succeeds(&with(sh(command), json!({"execution": {"env": {"FILE": path}}})))
}

/// The whole text of a file as JSON.
fn json_in(context: &Context, ended: &Exchange, artifact: &str) -> Result<(Exchange, Value), NotPassed> {
    let shown = look(context, "cat \"$FILE\"", ended, artifact)?;
    let value = serde_json::from_str(shown.text_at("/stdout"));
    let value = value.map_err(|error| shown.fault(&format!("artifacts.{artifact} names a file of JSON: {error}")))?;
    Ok((shown, value))
}

fn equals_status(context: &Context, request: &Value) -> Outcome {
    let ended = context.run(request)?;
    let (shown, result) = json_in(context, &ended, "result_path")?;
    shown.expect(result == ended.body, "result.json is the final status answer")
}

fn result(context: &Context) -> Outcome {
    equals_status(context, &with(sh("echo out; echo err >&2"), json!({"metadata": {"a": "é"}})))
}

fn request(context: &Context) -> Outcome {
    let id = context.fresh_id();
    let more = json!({"task_id": id, "limits": {"wall_time_ms": 60_000}, "metadata": {"a": "b"}});
    let sent = with(sh("true"), more);
    let (shown, kept) = json_in(context, &context.run(&sent)?, "request_path")?;
    for name in ["task_id", "metadata"] {
        shown.expect(kept[name] == sent[name], &format!("request.json has the {name} that was sent"))?;
    }
    for (outer, name) in [("execution", "program"), ("execution", "args"), ("limits", "wall_time_ms")] {
        let same = kept[outer][name] == sent[outer][name];
        shown.expect(same, &format!("request.json has the {outer}.{name} that was sent"))?;
    }
    Ok(())
}

/// All of it, also what a status answer cuts off.
fn logs(context: &Context) -> Outcome {
    let limits = json!({"limits": {"stdout_max_bytes": 2, "stderr_max_bytes": 2}});
    let ended = context.succeeds(&with(sh("printf whole; printf other >&2"), limits))?;
    look(context, "cat \"$FILE\"", &ended, "stdout_path")?.expect_field("/stdout", &json!("whole"))?;
    look(context, "cat \"$FILE\"", &ended, "stderr_path")?.expect_field("/stdout", &json!("other"))
}

fn workspace(context: &Context) -> Outcome {
    let ended = context.succeeds(&sh("echo kept >file"))?;
    look(context, "cat \"$FILE/workspace/file\"", &ended, "task_dir")?.expect_field("/stdout", &json!("kept\n"))
}

fn script(context: &Context) -> Outcome {
    let text = "echo 'as it was sent'";
    let ended = context.succeeds(&json!({"execution": {"kind": "script", "script": text}}))?;
    look(context, "cat \"$FILE\"", &ended, "script_path")?.expect_field("/stdout", &json!(text))
}

/// Nobody else's to read.
fn modes(context: &Context) -> Outcome {
    let ended = context.succeeds(&sh("true"))?;
    let files = "cd \"$FILE\" && stat -c %a . request.json result.json stdout.log stderr.log";
    look(context, files, &ended, "task_dir")?.expect_field("/stdout", &json!("700\n600\n600\n600\n600\n"))
}
