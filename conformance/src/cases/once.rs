//! Requests under an `Idempotency-Key`.

use serde_json::{Value, json};
use ureq::http::Method;

use crate::case::{Case, Context, NotPassed, Outcome, sh, skipped, with};
use crate::client::{Call, Exchange};

pub const CASES: &[Case] = &[
    Case::beyond("once.same", "Done once", same),
    Case::beyond("once.other", "Done once", other),
    Case::beyond("once.batch", "Done once", batch),
    Case::beyond("once.key", "Done once", key),
];

fn post(context: &Context, path: &str, key: &str, body: &Value) -> Result<Exchange, NotPassed> {
    context.client.send(Call::new(Method::POST, path).json(body).header("idempotency-key", key))
}

fn is_replayed(answer: &Exchange) -> bool {
    answer.headers.get("idempotent-replayed").is_some_and(|value| value == "true")
}

/// The first answer; skips where keys mean nothing.
fn first(context: &Context, path: &str, key: &str, body: &Value) -> Result<Exchange, NotPassed> {
    let first = post(context, path, key, body)?;
    first.expect_status(200, "a request under a new key is done")?;
    first.expect(!is_replayed(&first), "and answered as any other")?;
    let document = context.document()?;
    let submit = document.operation("submit_task")?;
    if !submit.parameters().any(|parameter| parameter["name"] == "Idempotency-Key") {
        return Err(skipped("the document knows no Idempotency-Key"));
    }
    Ok(first)
}

fn again(context: &Context, path: &str, key: &str, body: &Value, first: &Exchange) -> Outcome {
    let again = post(context, path, key, body)?;
    again.expect_status(200, "the same request under its key is answered again")?;
    again.expect(again.body == first.body, "with the first answer")?;
    again.expect(is_replayed(&again), "and says so")
}

fn same(context: &Context) -> Outcome {
    let (key, request) = (context.fresh_id(), with(sh("true"), json!({"metadata": {"a": "1"}})));
    let accepted = first(context, "/api/v1/tasks", &key, &request)?;
    again(context, "/api/v1/tasks", &key, &request, &accepted)?;
    context.ended(accepted.text_at("/task_id"))?;
    again(context, "/api/v1/tasks", &key, &with(request, json!({"limits": null})), &accepted)
}

fn other(context: &Context) -> Outcome {
    let key = context.fresh_id();
    let accepted = first(context, "/api/v1/tasks", &key, &sh("true"))?;
    let answer = post(context, "/api/v1/tasks", &key, &sh("exit 1"))?;
    answer.expect_failure(409, "conflict", "another request under the key is a conflict")?;
    context.ended(accepted.text_at("/task_id"))?.expect_field("/status", &json!("success"))
}

fn batch(context: &Context) -> Outcome {
    let (key, tasks) = (context.fresh_id(), json!({"tasks": [sh("true"), with(sh("true"), json!({"task_id": ".."}))]}));
    let accepted = first(context, "/api/v1/tasks/batch", &key, &tasks)?;
    accepted.expect_field("/results/1/error/code", &json!("invalid_input"))?;
    again(context, "/api/v1/tasks/batch", &key, &tasks, &accepted)?;
    context.ended(accepted.text_at("/results/0/task_id")).map(drop)
}

fn key(context: &Context) -> Outcome {
    first(context, "/api/v1/tasks", &format!("{:k<255}", context.fresh_id()), &sh("true"))?;
    for key in ["a b".to_owned(), String::new(), "k".repeat(256)] {
        let answer = post(context, "/api/v1/tasks", &key, &sh("true"))?;
        answer.expect_failure(400, "invalid_input", "what is no key is refused")?;
        answer.expect(answer.message().contains("Idempotency-Key"), "the message names the header")?;
    }
    Ok(())
}
