//! Submission: what is accepted, under which name, and what a name that is taken means.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::case::{Case, Context, NotPassed, Outcome, sh, with};
use crate::client::Exchange;

pub const CASES: &[Case] = &[
    Case::must("submit.success", "Submit", success),
    Case::must("submit.answer", "Submit", answer),
    Case::must("submit.readable-at-once", "Submit", readable_at_once),
    Case::must("submit.task-id.generated", "Submit", generated),
    Case::must("submit.task-id.alphabet", "Submit", |context| {
        accepted(context, &format!("{}-AZaz09_.", context.fresh_id()))
    }),
    Case::must("submit.task-id.longest", "Submit", |context| {
        accepted(context, &format!("{:a<128}", context.fresh_id()))
    }),
    Case::must("submit.task-id.shortest", "Submit", shortest),
    Case::must("submit.task-id.case", "Submit", upper_and_lower_case),
    Case::must("submit.task-id.conflict", "Submit", conflict),
    Case::must("submit.conflict.details", "Errors", conflict_details),
    Case::must("submit.conflict.other-body", "Errors", conflict_other_body),
    Case::must("submit.conflict.ended", "Errors", conflict_ended),
    Case::must("submit.conflict.at-the-same-time", "Errors", conflict_at_the_same_time),
    Case::should("submit.order.invalid-before-conflict", "Submit", invalid_before_conflict),
    Case::must("submit.refused-leaves-nothing", "Submit", refused_leaves_nothing),
    Case::must("submit.at-the-same-time", "Submit", at_the_same_time),
    Case::should("submit.blank-is-absent", "execution", blank_is_absent),
];

const LIFE_OF_A_SUCCESS: [&str; 7] =
    ["submitted", "accepted", "planned", "resource_reserved", "started", "resource_released", "finished"];
const CLIENTS: usize = 6;

fn named(id: &str) -> Value {
    with(sh("true"), json!({"task_id": id}))
}

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

fn answer(context: &Context) -> Outcome {
    let id = context.fresh_id();
    let answer = context.offer(&named(&id))?;
    answer.expect_status(200, "a valid task is accepted")?;
    answer.expect(
        answer.body == json!({"task_id": id, "handle_id": id, "status": "accepted"}),
        "the answer says task_id, the same handle_id, and the status accepted",
    )
}

/// Whoever has the answer may ask for the task.
fn readable_at_once(context: &Context) -> Outcome {
    for _ in 0..5 {
        let id = context.submit(&sh("true"))?;
        let status = context.status(&id)?;
        let known = ["accepted", "running", "success"].contains(&status.text_at("/status"));
        status.expect(known, "the status of a task that was just accepted is accepted, running or success")?;
    }
    Ok(())
}

fn generated(context: &Context) -> Outcome {
    let mut seen = BTreeSet::new();
    for _ in 0..3 {
        let answer = context.offer(&sh("true"))?;
        let id = answer.text_at("/task_id").to_owned();
        let groups: Vec<_> = id.split('-').map(str::len).collect();
        let hex = id.chars().all(|c| c == '-' || c.is_ascii_hexdigit());
        answer.expect(groups == [8, 4, 4, 4, 12] && hex, "a task without a task_id gets a UUID")?;
        answer.expect(seen.insert(id), "no two tasks get the same")?;
    }
    Ok(())
}

fn accepted(context: &Context, id: &str) -> Outcome {
    let answer = context.offer(&named(id))?;
    answer.expect_status(200, "such a task_id is accepted")?;
    answer.expect_field("/task_id", &json!(id))?;
    context.ended(id)?.expect_field("/status", &json!("success"))
}

/// The few that there are may be taken from an earlier run: a conflict says as well that the name is one.
fn shortest(context: &Context) -> Outcome {
    let answer = context.offer(&named("c"))?;
    if answer.status == 409 {
        return answer.expect_field("/error/details/task_id", &json!("c"));
    }
    answer.expect_status(200, "a task_id of one character is accepted")?;
    context.ended("c")?.expect_field("/status", &json!("success"))
}

fn upper_and_lower_case(context: &Context) -> Outcome {
    let id = context.fresh_id();
    let (lower, upper) = (format!("{id}-a"), format!("{id}-A"));
    context.submit(&with(sh("echo lower"), json!({"task_id": lower})))?;
    context.submit(&with(sh("echo upper"), json!({"task_id": upper})))?;
    context.ended(&lower)?.expect_field("/stdout", &json!("lower\n"))?;
    context.ended(&upper)?.expect_field("/stdout", &json!("upper\n"))
}

fn conflicts(context: &Context, request: &Value) -> Result<Exchange, NotPassed> {
    let again = context.offer(request)?;
    again.expect_failure(409, "conflict", "a task_id is given once")?;
    Ok(again)
}

fn conflict(context: &Context) -> Outcome {
    let request = named(&context.fresh_id());
    let id = context.submit(&request)?;
    conflicts(context, &request)?;
    context.ended(&id)?.expect_field("/status", &json!("success"))
}

/// A client that lost the answer to its submission asks again, and learns that the task is there.
fn conflict_details(context: &Context) -> Outcome {
    let request = with(sh("sleep 600"), json!({"task_id": context.fresh_id()}));
    let id = context.submit(&request)?;
    context.running(&id)?;
    let again = conflicts(context, &request)?;
    again.expect_field("/error/details/task_id", &json!(id))?;
    again.expect_field("/error/details/status", &json!("running"))
}

fn conflict_other_body(context: &Context) -> Outcome {
    let id = context.fresh_id();
    context.submit(&with(sh("echo first"), json!({"task_id": id, "metadata": {"n": "1"}})))?;
    conflicts(context, &with(sh("echo second"), json!({"task_id": id, "metadata": {"n": "2"}})))?;
    let status = context.ended(&id)?;
    status.expect_field("/stdout", &json!("first\n"))?;
    status.expect_field("/metadata", &json!({"n": "1"}))
}

fn conflict_ended(context: &Context) -> Outcome {
    let request = with(sh("exit 3"), json!({"task_id": context.fresh_id()}));
    let before = context.run(&request)?;
    conflicts(context, &request)?.expect_field("/error/details/status", &json!("failed"))?;
    let after = context.status(before.text_at("/task_id"))?;
    after.expect(after.body == before.body, "a conflict changes nothing about the task that is there")
}

/// As many submissions of one name at once as there are clients.
fn conflict_at_the_same_time(context: &Context) -> Outcome {
    let request = named(&context.fresh_id());
    let answers = all_at_once(|_| context.offer(&request))?;
    for answer in &answers {
        answer.expect(matches!(answer.status, 200 | 409), "one submission is accepted, each other is a conflict")?;
    }
    let accepted = answers.iter().filter(|answer| answer.status == 200).count();
    answers[0]
        .expect(accepted == 1, &format!("of {CLIENTS} submissions of one task_id one is accepted, not {accepted}"))
}

/// The checks come in a documented order.
fn invalid_before_conflict(context: &Context) -> Outcome {
    let request = named(&context.fresh_id());
    context.run(&request)?;
    let refused = context.offer(&with(request, json!({"limits": {"wall_time_ms": 0}})))?;
    refused.expect_failure(400, "invalid_input", "what is invalid is told before what is in conflict")
}

fn refused_leaves_nothing(context: &Context) -> Outcome {
    let id = context.fresh_id();
    let refused = context.offer(&with(named(&id), json!({"limits": {"wall_time_ms": 0}})))?;
    refused.expect_failure(400, "invalid_input", "an invalid task is refused")?;
    for path in [format!("/api/v1/tasks/{id}"), format!("/api/v1/tasks/{id}/events")] {
        context.client.get(&path)?.expect_failure(404, "not_found", "a refused task leaves nothing behind")?;
    }
    accepted(context, &id)
}

/// Nobody gets the answer, or the output, of another.
fn at_the_same_time(context: &Context) -> Outcome {
    let statuses = all_at_once(|client| {
        let text = format!("client {client}");
        let status = context.prints(&sh(&format!("echo {text}")), &format!("{text}\n"))?;
        Ok(status)
    })?;
    let ids: BTreeSet<_> = statuses.iter().map(|status| status.text_at("/task_id")).collect();
    statuses[0].expect(ids.len() == CLIENTS, "each submission makes a task of its own")
}

fn all_at_once(ask: impl Fn(usize) -> Result<Exchange, NotPassed> + Sync) -> Result<Vec<Exchange>, NotPassed> {
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                scope.spawn({
                    let ask = &ask;
                    move || ask(client)
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().expect("a client does not panic")).collect()
    })
}

/// The fields of the other kind may be there as long as nothing is in them.
fn blank_is_absent(context: &Context) -> Outcome {
    let command = json!({"execution": {"script": " ", "interpreter": []}, "sandbox": {"workspace_subdir": ""}});
    context.prints(&with(sh("echo command"), command), "command\n")?;
    let script = json!({"execution": {"kind": "script", "script": "echo script", "program": "", "interpreter": []}});
    context.prints(&script, "script\n").map(drop)
}
