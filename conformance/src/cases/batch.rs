//! Many tasks in one request.

use serde_json::{Value, json};

use crate::case::{Case, Context, NotPassed, Outcome, sh, skipped, with};
use crate::client::Exchange;

pub const CASES: &[Case] = &[
    Case::beyond("batch.each", "Submit many", each),
    Case::beyond("batch.refused-one", "Submit many", refused_one),
    Case::beyond("batch.atomic", "Submit many", atomic),
    Case::beyond("batch.invalid", "Submit many", invalid),
    Case::beyond("batch.name", "Submit many", name),
];

fn named(id: &str) -> Value {
    with(sh("true"), json!({"task_id": id}))
}

/// Skips where there are no batches.
fn post(context: &Context, body: &Value) -> Result<Exchange, NotPassed> {
    let answer = context.client.post("/api/v1/tasks/batch", body)?;
    if [404, 405].contains(&answer.status) {
        return Err(skipped("the runtime takes no batches"));
    }
    Ok(answer)
}

fn absent(context: &Context, id: &str) -> Outcome {
    let status = context.client.get(&format!("/api/v1/tasks/{id}"))?;
    status.expect_failure(404, "not_found", "nothing of a refused batch is stored")
}

fn each(context: &Context) -> Outcome {
    let ids = [context.fresh_id(), context.fresh_id()];
    let answer = post(context, &json!({"tasks": [named(&ids[0]), sh("exit 3"), named(&ids[1])]}))?;
    answer.expect_status(200, "a batch is answered with what became of each task")?;
    let results = answer.body["results"].as_array().cloned().unwrap_or_default();
    answer.expect(results.len() == 3, "there is one result for each task")?;
    for (place, id) in [(0, &ids[0]), (2, &ids[1])] {
        let accepted = json!({"task_id": id, "handle_id": id, "status": "accepted"});
        answer.expect(results[place] == accepted, "the results are in the order of the tasks")?;
        context.ended(id)?.expect_field("/status", &json!("success"))?;
    }
    let made_up = results[1]["task_id"].as_str().unwrap_or_default();
    context.ended(made_up)?.expect_field("/exit_code", &json!(3))
}

fn refused_one(context: &Context) -> Outcome {
    let (good, bad) = (context.fresh_id(), with(sh("true"), json!({"execution": {"kind": "command", "program": " "}})));
    let answer = post(context, &json!({"tasks": [bad, named(&good), named(&good)]}))?;
    answer.expect_status(200, "a task that is refused does not hinder the others")?;
    answer.expect_field("/results/0/error/code", &json!("invalid_input"))?;
    answer.expect_field("/results/0/error/details/field", &json!("tasks[0].execution.program"))?;
    answer.expect_field("/results/1/task_id", &json!(good))?;
    answer.expect_field("/results/2/error/code", &json!("conflict"))?;
    context.ended(&good)?.expect_field("/status", &json!("success"))
}

fn atomic(context: &Context) -> Outcome {
    let (id, known) = (context.fresh_id(), context.fresh_id());
    context.run(&named(&known))?;
    let bad = with(sh("true"), json!({"metadata": {"key": "\0"}}));
    let answer = post(context, &json!({"tasks": [named(&id), bad], "atomic": true}))?;
    answer.expect_failure(400, "invalid_input", "one wrong task refuses an atomic batch")?;
    answer.expect(answer.message().contains("tasks[1].metadata.key"), "the message names the field in the batch")?;
    absent(context, &id)?;
    let answer = post(context, &json!({"tasks": [named(&id), named(&known)], "atomic": true}))?;
    answer.expect_failure(409, "conflict", "one known task_id refuses an atomic batch")?;
    answer.expect_field("/error/details/index", &json!(1))?;
    absent(context, &id)?;
    let answer = post(context, &json!({"tasks": [named(&id)], "atomic": true}))?;
    answer.expect_status(200, "a good one is accepted")?;
    context.ended(&id)?.expect_field("/status", &json!("success"))
}

fn invalid(context: &Context) -> Outcome {
    let id = context.fresh_id();
    let misspelt = with(sh("true"), json!({"limits": {"wall_time": 1}}));
    for (body, field) in [
        (json!({"tasks": []}), "tasks"),
        (json!({"tasks": vec![sh("true"); 1001]}), "tasks"),
        (json!({"tasks": [named(&id)], "all": true}), "all"),
        (json!({"tasks": [named(&id), misspelt]}), "tasks[1].limits.wall_time"),
    ] {
        let answer = post(context, &body)?;
        answer.expect_failure(400, "invalid_input", "what is no batch is refused whole")?;
        answer.expect_field("/error/details/field", &json!(field))?;
    }
    absent(context, &id)
}

/// The path of the batch takes no name away.
fn name(context: &Context) -> Outcome {
    let answer = context.offer(&named("batch"))?;
    answer.expect([200, 409].contains(&answer.status), "a task may be called batch")?;
    context.ended("batch")?.expect_field("/status", &json!("success"))
}
