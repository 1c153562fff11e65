//! Delete, and kill of many tasks by a filter.

use serde_json::{Value, json};
use ureq::http::Method;

use crate::case::{Case, Context, NotPassed, Outcome, sh, skipped, with};
use crate::client::{Call, Exchange};

pub const CASES: &[Case] = &[
    Case::beyond("delete.ended", "Delete", ended),
    Case::beyond("delete.alive", "Delete", alive),
    Case::beyond("delete.owner", "Delete", owner),
    Case::beyond("kill.many", "Kill many", many),
    Case::beyond("kill.many.owner", "Kill many", many_of_owners),
    Case::beyond("kill.many.refused", "Kill many", many_refused),
];

fn delete(context: &Context, id: &str, owner: Option<&str>) -> Result<Exchange, NotPassed> {
    let call = Call::new(Method::DELETE, &format!("/api/v1/tasks/{id}"));
    let answer =
        context.client.send(owner.into_iter().fold(call, |call, owner| call.header("x-execgo-owner", owner)))?;
    if answer.status == 405 { Err(skipped("the runtime deletes nothing by request")) } else { Ok(answer) }
}

fn ended(context: &Context) -> Outcome {
    let id = context.fresh_id();
    let request = with(sh("true"), json!({"task_id": id}));
    context.run(&request)?;
    let deleted = delete(context, &id, None)?;
    deleted.expect_status(204, "a task that has ended can be deleted")?;
    deleted.expect(deleted.bytes.is_empty(), "and nothing is left to be told")?;
    for path in ["", "/events", "/stdout"] {
        let gone = context.client.get(&format!("/api/v1/tasks/{id}{path}"))?;
        gone.expect_failure(404, "not_found", "a deleted task is not there any more")?;
    }
    delete(context, &id, None)?.expect_failure(404, "not_found", "it cannot be deleted twice")?;
    let again = context.run(&request)?;
    again.expect_field("/status", &json!("success"))
}

fn alive(context: &Context) -> Outcome {
    let id = context.submit(&sh("sleep 600"))?;
    context.running(&id)?;
    let refused = delete(context, &id, None)?;
    refused.expect_failure(409, "conflict", "a task that has not ended is not deleted")?;
    refused.expect_field("/error/details", &json!({"task_id": id, "status": "running"}))?;
    context.status(&id)?.expect_field("/status", &json!("running"))
}

fn owner(context: &Context) -> Outcome {
    let id = context.submit(&with(sh("true"), json!({"control_context": {"owner": "somebody"}})))?;
    context.ended(&id)?;
    for other in [None, Some("somebody-else")] {
        let refused = delete(context, &id, other)?;
        refused.expect_failure(403, "permission_denied", "an owned task is deleted by its owner alone")?;
    }
    delete(context, &id, Some("somebody"))?.expect_status(204, "its owner may delete it")
}

fn kill(context: &Context, filter: &Value, owner: Option<&str>) -> Result<Exchange, NotPassed> {
    let call = Call::new(Method::POST, "/api/v1/tasks/kill").json(filter);
    let answer =
        context.client.send(owner.into_iter().fold(call, |call, owner| call.header("x-execgo-owner", owner)))?;
    if matches!(answer.status, 404 | 405) { Err(skipped("the runtime kills one task at a time")) } else { Ok(answer) }
}

fn marked(context: &Context, mark: &str, more: Value) -> Result<String, NotPassed> {
    let id =
        context.submit(&with(with(sh("sleep 600"), json!({"control_context": {"labels": {"mark": mark}}})), more))?;
    context.running(&id)?;
    Ok(id)
}

fn many(context: &Context) -> Outcome {
    let (mark, other) = (context.fresh_id(), context.fresh_id());
    let (first, second) = (marked(context, &mark, json!({}))?, marked(context, &mark, json!({}))?);
    let spared = marked(context, &other, json!({}))?;
    let killed = kill(context, &json!({"labels": {"mark": mark}}), None)?;
    killed.expect_status(200, "a filter names the tasks that are killed")?;
    killed.expect(killed.body == json!({"killed": [second, first]}), "the answer names them, the newest first")?;
    for id in [&first, &second] {
        context.ended(id)?.expect_field("/status", &json!("cancelled"))?;
    }
    context.status(&spared)?.expect_field("/status", &json!("running"))?;
    let again = kill(context, &json!({"labels": {"mark": mark}}), None)?;
    again.expect(again.body == json!({"killed": []}), "what has ended is not killed")
}

fn many_of_owners(context: &Context) -> Outcome {
    let mark = context.fresh_id();
    let owned = marked(context, &mark, json!({"control_context": {"owner": "somebody"}}))?;
    let killed = kill(context, &json!({"labels": {"mark": mark}}), Some("somebody-else"))?;
    killed.expect(killed.body == json!({"killed": []}), "the tasks of other owners are left alone")?;
    context.status(&owned)?.expect_field("/status", &json!("running"))?;
    let killed = kill(context, &json!({"owner": "somebody", "labels": {"mark": mark}}), Some("somebody"))?;
    killed.expect(killed.body == json!({"killed": [owned]}), "their owner may kill them")
}

fn many_refused(context: &Context) -> Outcome {
    for (filter, field) in [
        (json!({}), "all"),
        (json!({"labels": {}}), "all"),
        (json!({"all": true, "q": "nothing has this"}), "all"),
        (json!({"status": "success"}), "status"),
        (json!({"owner": " "}), "owner"),
        (json!({"created_before": "yesterday"}), "created_before"),
        (json!({"filter": {"q": "nothing has this"}}), "filter"),
    ] {
        let answer = kill(context, &filter, None)?;
        answer.expect_failure(400, "invalid_input", "a filter that says nothing, or something wrong, is refused")?;
        answer.expect(answer.message().starts_with(field), &format!("the message names {field}"))?;
    }
    Ok(())
}
