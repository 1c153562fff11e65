//! Faults of submission, kill, limits, waiting and metadata.

use serde_json::{Value, json};
use ureq::http::Method;

use crate::faults::mutation::{
    Mutation, accept, accept_if, answer, failure, has_ended, lie, remove, replace, request, status,
};

pub const FAULTS: &[Mutation] = &[
    answer("`..` is accepted as a task_id", "submit.task-id.dots", |it, _| {
        accept_if(it, |sent| sent["task_id"] == "..");
    }),
    answer("an absolute path is accepted as a task_id", "submit.task-id.traversal", |it, _| {
        accept_if(it, |sent| sent["task_id"] == "/etc");
    }),
    answer("a task_id is given twice", "submit.task-id.conflict", |it, _| {
        if it.status == 409 {
            accept(it);
        }
    }),
    answer("a conflict is a bad request", "submit.task-id.conflict", |it, _| {
        if it.status == 409 {
            it.status = 400;
        }
    }),
    answer("the results of a batch are in another order", "batch.each", |it, _| {
        it.json(|body| {
            if let Some(results) = body.get_mut("results").and_then(Value::as_array_mut) {
                results.reverse();
            }
        });
    }),
    request("a batch is always all or none", "batch.refused-one", |it| {
        if it.path == "/api/v1/tasks/batch" && it.method == Method::POST {
            it.json(|body| body["atomic"] = json!(true));
        }
    }),
    request("an atomic batch is taken in part", "batch.atomic", |it| {
        it.json(|body| remove(body, "atomic"));
    }),
    answer("a batch has no bound", "batch.invalid", |it, _| {
        if it.path == "/api/v1/tasks/batch" && it.sent["tasks"].as_array().is_some_and(Vec::is_empty) {
            it.status = 200;
            it.body = json!({"results": []}).to_string().into_bytes();
        }
    }),
    answer("a repeated request does not say so", "once.same", |it, _| {
        drop(it.headers.remove("idempotent-replayed"));
    }),
    answer("a key is taken for the request", "once.other", |it, _| {
        if it.is_submission() && it.status == 409 {
            accept(it);
        }
    }),
    answer("a repeated batch is answered anew", "once.batch", |it, _| {
        if it.headers.contains_key("idempotent-replayed") {
            it.json(|body| remove(&mut body["results"][1], "error"));
        }
    }),
    answer("any key will do", "once.key", |it, _| {
        failure(it, "invalid_input", |body| body["error"]["message"] = json!("the header is wrong"));
    }),
    answer("anything is taken for the URL of a callback", "callback.url", |it, _| {
        accept_if(it, |sent| sent["callback"]["url"] == "hooks");
    }),
    answer("whoever is named is called", "callback.allowed", |it, _| {
        accept_if(it, |sent| sent["callback"]["url"] == "http://192.0.2.1/");
    }),
    answer("a task called batch cannot be seen", "batch.name", |it, _| {
        if it.path == "/api/v1/tasks/batch" && it.method == Method::GET {
            it.status = 405;
        }
    }),
    answer("an unknown field is accepted", "submit.unknown-field.limits", |it, _| {
        accept_if(it, |sent| sent["limits"].get("wall_time").is_some());
    }),
    answer("an unknown field is refused without its name", "submit.unknown-field", |it, _| {
        failure(it, "invalid_input", |body| body["error"]["message"] = json!("the request is not valid"));
    }),
    answer("handle_id is another than task_id", "submit.success", |it, _| {
        it.json(|body| replace(body, "handle_id", json!("handle-1")));
    }),
    answer("a submission is answered as queued", "submit.success", |it, _| {
        if it.is_submission() {
            it.json(|body| replace(body, "status", json!("queued")));
        }
    }),
    answer("a submission is answered with 201", "submit.success", |it, _| {
        if it.is_submission() && it.status == 200 {
            it.status = 201;
        }
    }),
    answer("a submission names a task that is not there", "submit.success", |it, _| {
        if it.is_submission() && it.status == 200 {
            it.json(|body| {
                body["task_id"] = json!("another");
                body["handle_id"] = json!("another");
            });
        }
    }),
    request("the environment does not reach the task", "submit.script", |it| {
        if it.is_submission() {
            it.json(|body| remove(&mut body["execution"], "env"));
        }
    }),
    status("standard error is part of standard output", "submit.success", |it, _| {
        let both =
            format!("{}{}", it["stdout"].as_str().unwrap_or_default(), it["stderr"].as_str().unwrap_or_default());
        replace(it, "stdout", json!(both));
    }),
    status("output is trimmed", "submit.success", |it, _| {
        let trimmed = it["stdout"].as_str().unwrap_or_default().trim().to_owned();
        replace(it, "stdout", json!(trimmed));
    }),
    status("metadata is lost", "metadata.round-trip", |it, _| remove(it, "metadata")),
    status("metadata is lost at the end", "metadata.round-trip", |it, _| {
        if has_ended(it) {
            remove(it, "metadata");
        }
    }),
    status("metadata keeps ASCII alone", "metadata.round-trip", |it, _| {
        let ascii = |text: &str| text.chars().filter(char::is_ascii).collect::<String>();
        for value in it["metadata"].as_object_mut().into_iter().flat_map(serde_json::Map::values_mut) {
            *value = json!(ascii(value.as_str().unwrap_or_default()));
        }
    }),
    answer("a kill of an ended task is a conflict", "kill.ended", |it, _| {
        if it.path.ends_with("/kill") {
            it.status = 409;
        }
    }),
    answer("a kill changes how an ended task ended", "kill.ended", |it, _| {
        if it.path.ends_with("/kill") {
            it.json(|body| replace(body, "status", json!("cancelled")));
        }
    }),
    request("a kill is answered and does nothing", "kill.running", |it| {
        if let Some(task) = it.path.clone().strip_suffix("/kill") {
            it.method = Method::GET;
            it.path = task.to_owned();
        }
    }),
    status("a task that was killed has failed", "kill.running", |it, _| {
        if it["status"] == "cancelled" {
            it["status"] = json!("failed");
        }
    }),
    status("a timeout is told as a cancellation", "limits.wall-time", |it, _| {
        if it["error"]["code"] == "timeout" {
            it["error"]["code"] = json!("cancelled");
        }
    }),
    lie(
        "a task gets half of its time",
        "limits.wall-time",
        |sent| {
            let half = sent["limits"]["wall_time_ms"].as_u64().map(|ms| ms / 2);
            sent["limits"] = json!({"wall_time_ms": half});
        },
        |_, _| (),
    ),
    request("a wait is answered at once", "wait.until-end", |it| {
        it.path = it.path.split('?').next().unwrap_or_default().to_owned();
    }),
    answer("a null is refused where the field may be missing", "document.null", |it, _| {
        let has_null = |value: &Value| value.as_object().is_some_and(|it| it.values().any(Value::is_null));
        if it.is_submission() && it.sent["limits"].as_object().is_some_and(|it| it.values().any(Value::is_null))
            || has_null(&it.sent)
        {
            it.status = 400;
        }
    }),
    answer("a task without execution is accepted", "document.required", |it, _| {
        accept_if(it, |sent| sent.get("execution").is_none());
    }),
    answer("a text is taken for a number", "document.types", |it, _| {
        accept_if(it, |sent| sent["limits"]["wall_time_ms"].is_string());
    }),
    answer("an unknown mode is taken for the default", "document.enum", |it, _| {
        accept_if(it, |sent| {
            let mode = &sent["policy"]["capability_mode"];
            mode.is_string() && mode != "adaptive" && mode != "strict"
        });
    }),
    answer("a limit beyond the largest integer is accepted", "document.maximum", |it, _| {
        accept_if(it, |sent| sent["limits"]["wall_time_ms"].as_f64().is_some_and(|ms| ms > 9_007_199_254_740_991.0));
    }),
    answer("a task_id may be of any length", "document.length", |it, _| {
        accept_if(it, |sent| sent["task_id"].as_str().is_some_and(|id| id.len() > 128));
    }),
];
