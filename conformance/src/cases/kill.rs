//! Kill: the end of a task by request.

use serde_json::{Value, json};
use ureq::http::Method;

use super::queue::fill_slots;
use crate::case::{Case, Context, NotPassed, Outcome, sh, skipped, with};
use crate::client::{Call, Exchange};

pub const CASES: &[Case] = &[
    Case::must("kill.running", "Kill", running),
    Case::must("kill.ended", "Kill", ended),
    Case::must("kill.waiting", "Kill", waiting),
    Case::must("kill.waiting.never-starts", "Kill", waiting_never_starts),
    Case::must("kill.just-accepted", "Kill", just_accepted),
    Case::must("kill.unknown-task", "Kill", unknown_task),
    Case::must("kill.twice", "Kill", twice),
    Case::must("kill.at-the-same-time", "Kill", at_the_same_time),
    Case::must("kill.the-right-one", "Kill", the_right_one),
    Case::must("kill.keeps-the-id", "Errors", keeps_the_id),
    Case::must("kill.terminates-first", "Kill", terminates_first),
    Case::must("kill.reaches-children", "Kill", reaches_children),
    Case::must("kill.reaches-other-sessions", "Kill", reaches_other_sessions),
    Case::must("kill.after-the-grace", "Kill", after_the_grace),
    Case::must("kill.body.empty-object", "Kill", empty_object),
    Case::should("kill.body.fields", "Kill", fields),
    Case::should("kill.body.content-type", "Kill", content_type),
    Case::beyond("kill.signal", "Kill", signal),
    Case::beyond("kill.signal.kill", "Kill", sigkill),
    Case::beyond("kill.signal.unknown", "Kill", unknown_signal),
    Case::beyond("kill.grace.own", "Kill", own_grace),
    Case::beyond("kill.grace.shorter", "Kill", shorter_grace),
    Case::beyond("kill.grace.longer", "Kill", longer_grace),
    Case::beyond("kill.grace.range", "Kill", grace_range),
    Case::beyond("kill.how.in-events", "Kill", how_in_events),
    Case::beyond("kill.owner.missing", "Kill", |it| owned(it, None)),
    Case::beyond("kill.owner.wrong", "Kill", |it| owned(it, Some("mallory"))),
    Case::beyond("kill.owner.case", "Kill", |it| owned(it, Some("ALICE"))),
    Case::beyond("kill.owner.prefix", "Kill", |it| owned(it, Some("alic"))),
    Case::beyond("kill.owner.right", "Kill", right_owner),
    Case::beyond("kill.owner.of-an-ended-task", "Kill", owner_of_an_ended_task),
    Case::beyond("kill.owner.not-asked-for", "Kill", owner_not_asked_for),
];

/// A longer grace is not worth its time.
const MAX_GRACE_MS: u64 = 10_000;
const OWNER: &str = "alice";

fn kill_of(id: &str) -> Call {
    Call::new(Method::POST, &format!("/api/v1/tasks/{id}/kill"))
}

fn started(context: &Context, request: &Value) -> Result<String, NotPassed> {
    let id = context.submit(request)?;
    context.running(&id)?;
    Ok(id)
}

fn sleeping(context: &Context) -> Result<String, NotPassed> {
    started(context, &sh("exec sleep 600"))
}

fn cancelled(context: &Context, id: &str) -> Result<Exchange, NotPassed> {
    let status = context.ended(id)?;
    status.expect_field("/status", &json!("cancelled"))?;
    status.expect_field("/error/code", &json!("cancelled"))?;
    Ok(status)
}

fn running(context: &Context) -> Outcome {
    let id = sleeping(context)?;
    let answer = context.kill(&id)?;
    let is = answer.text_at("/status");
    answer.expect(matches!(is, "running" | "cancelled"), "the answer to a kill is the status of the task")?;
    cancelled(context, &id)?;
    let (events, types) = context.event_types(&id)?;
    for event in ["kill_requested", "cancelled"] {
        events.expect(types.iter().any(|t| t == event), &format!("the events say {event}"))?;
    }
    Ok(())
}

fn ended(context: &Context) -> Outcome {
    for command in ["exit 3", "true"] {
        let before = context.run(&sh(command))?;
        let killed = context.kill(before.text_at("/task_id"))?;
        killed.expect(killed.body == before.body, "a kill changes nothing about a task that has ended")?;
    }
    Ok(())
}

fn waiting(context: &Context) -> Outcome {
    fill_slots(context)?;
    let id = context.submit(&sh("echo ran"))?;
    let answer = context.kill(&id)?;
    answer.expect_field("/status", &json!("cancelled"))?;
    answer.expect_field("/error/code", &json!("cancelled"))?;
    for absent in ["/started_at", "/pid", "/exit_code", "/reservation"] {
        answer.expect_absent(absent)?;
    }
    cancelled(context, &id).map(drop)
}

fn waiting_never_starts(context: &Context) -> Outcome {
    let before = fill_slots(context)?;
    let id = context.submit(&sh("echo ran"))?;
    context.kill(&id)?;
    context.kill(&before[0])?;
    // It came later, and has its turn.
    context.prints(&sh("echo next"), "next\n")?;
    let status = cancelled(context, &id)?;
    status.expect_field("/stdout", &json!(""))?;
    status.expect_absent("/started_at")
}

/// Wherever the task is on its way from the queue to its start.
fn just_accepted(context: &Context) -> Outcome {
    for _ in 0..10 {
        let id = context.submit(&sh("exec sleep 600"))?;
        context.kill(&id)?;
        cancelled(context, &id)?;
    }
    Ok(())
}

fn unknown_task(context: &Context) -> Outcome {
    let answer = context.client.send(kill_of(&context.fresh_id()))?;
    answer.expect_failure(404, "not_found", "an unknown task cannot be killed")
}

fn twice(context: &Context) -> Outcome {
    let id = sleeping(context)?;
    for _ in 0..3 {
        context.kill(&id)?;
    }
    cancelled(context, &id)?;
    context.kill(&id)?;
    let (events, types) = context.event_types(&id)?;
    let requests = types.iter().filter(|event| *event == "kill_requested").count();
    events.expect(requests == 1, "the first kill request alone is an event")
}

fn at_the_same_time(context: &Context) -> Outcome {
    let id = sleeping(context)?;
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(|| context.kill(&id))).collect();
        clients.into_iter().try_for_each(|client| client.join().expect("a client does not panic").map(drop))
    })?;
    cancelled(context, &id).map(drop)
}

/// Another task of the same kind lives on.
fn the_right_one(context: &Context) -> Outcome {
    let (one, other) = (sleeping(context)?, context.submit(&sh("sleep 0.5; echo whole"))?);
    context.kill(&one)?;
    cancelled(context, &one)?;
    let status = context.ended(&other)?;
    status.expect_field("/status", &json!("success"))?;
    status.expect_field("/stdout", &json!("whole\n"))
}

fn keeps_the_id(context: &Context) -> Outcome {
    let request = with(sh("exec sleep 600"), json!({"task_id": context.fresh_id()}));
    let id = started(context, &request)?;
    context.kill(&id)?;
    cancelled(context, &id)?;
    let again = context.offer(&request)?;
    again.expect_failure(409, "conflict", "the task_id of a cancelled task stays taken")?;
    again.expect_field("/error/details/status", &json!("cancelled"))
}

fn terminates_first(context: &Context) -> Outcome {
    let id = context.submit(&sh("trap 'echo terminated; exit' TERM; sleep 600 & echo ready; wait"))?;
    context.says(&id, "ready\n")?;
    context.kill(&id)?;
    cancelled(context, &id)?.expect_field("/stdout", &json!("ready\nterminated\n"))
}

/// SIGTERM is for the whole task: the child could not say this otherwise.
fn reaches_children(context: &Context) -> Outcome {
    let child = "trap 'echo child; exit' TERM; sleep 600 & echo ready; wait";
    let id = context.submit(&sh(&format!("trap 'wait; exit' TERM; sh -c \"{child}\" & wait")))?;
    context.says(&id, "ready\n")?;
    context.kill(&id)?;
    cancelled(context, &id)?.expect_field("/stdout", &json!("ready\nchild\n"))
}

fn reaches_other_sessions(context: &Context) -> Outcome {
    context.needs_program("setsid")?;
    let id = context.submit(&sh("setsid sh -c 'while :; do echo x; sleep 0.02; done' & exec sleep 600"))?;
    context.until(&id, "the child speaks", |status| status.text_at("/stdout").len() > 2)?;
    context.kill(&id)?;
    let status = cancelled(context, &id)?;
    context.stays(&status)
}

fn after_the_grace(context: &Context) -> Outcome {
    let grace = context.configured("termination_grace_ms")?;
    if grace > MAX_GRACE_MS {
        return Err(skipped(format!("termination_grace_ms is {grace}: too long to wait for")));
    }
    let id = context.submit(&sh("trap '' TERM; echo ready; while :; do sleep 1; done"))?;
    context.says(&id, "ready\n")?;
    context.kill(&id)?;
    let status = cancelled(context, &id)?;
    status.expect_field("/exit_signal", &json!(9))?;
    context.stays(&status)
}

fn empty_object(context: &Context) -> Outcome {
    let id = sleeping(context)?;
    let answer = context.client.send(kill_of(&id).json(&json!({})))?;
    answer.expect_status(200, "the body of a kill may be an empty object")?;
    cancelled(context, &id).map(drop)
}

fn fields(context: &Context) -> Outcome {
    let id = sleeping(context)?;
    let answer = context.client.send(kill_of(&id).json(&json!({"no_such_field": 1})))?;
    answer.expect_failure(400, "invalid_input", "a kill with an unknown field is refused")?;
    context.status(&id)?.expect_field("/status", &json!("running"))
}

fn content_type(context: &Context) -> Outcome {
    let id = sleeping(context)?;
    let answer = context.client.send(kill_of(&id).header("content-type", "text/plain").bytes(b"{}".to_vec()))?;
    answer.expect_failure(415, "unsupported_media_type", "a body must be declared as JSON")?;
    context.status(&id)?.expect_field("/status", &json!("running"))
}

/// Says each signal that it gets, and goes on.
const DEAF: &str = "for s in HUP INT TERM USR1; do trap \"echo $s\" $s; done; echo ready; while :; do sleep 0.02; done";

fn kill_so(context: &Context, id: &str, how: &Value) -> Outcome {
    let answer = context.client.send(kill_of(id).json(how))?;
    answer.expect_status(200, "a kill may say how")
}

fn deaf(context: &Context) -> Result<String, NotPassed> {
    let id = context.submit(&sh(DEAF))?;
    context.says(&id, "ready\n")?;
    Ok(id)
}

fn signal(context: &Context) -> Outcome {
    for signal in ["HUP", "INT", "USR1"] {
        let id = deaf(context)?;
        kill_so(context, &id, &json!({"signal": format!("SIG{signal}"), "grace_ms": 600_000}))?;
        context.says(&id, &format!("ready\n{signal}\n"))?;
        kill_so(context, &id, &json!({"signal": "SIGKILL"}))?;
        cancelled(context, &id)?.expect_field("/stdout", &json!(format!("ready\n{signal}\n")))?;
    }
    Ok(())
}

/// Also where a grace was asked for.
fn sigkill(context: &Context) -> Outcome {
    let id = deaf(context)?;
    kill_so(context, &id, &json!({"signal": "SIGKILL", "grace_ms": 600_000}))?;
    let status = cancelled(context, &id)?;
    status.expect_field("/exit_signal", &json!(9))?;
    status.expect_field("/stdout", &json!("ready\n"))
}

fn unknown_signal(context: &Context) -> Outcome {
    let id = sleeping(context)?;
    for signal in [json!("SIGSTOP"), json!("SIGCHLD"), json!("INT"), json!("sigint"), json!(""), json!(2)] {
        let answer = context.client.send(kill_of(&id).json(&json!({"signal": signal})))?;
        answer.expect_failure(400, "invalid_input", "a signal that is none to end by is refused")?;
        answer.expect_field("/error/details/field", &json!("signal"))?;
    }
    context.status(&id)?.expect_field("/status", &json!("running"))
}

fn own_grace(context: &Context) -> Outcome {
    let id = deaf(context)?;
    kill_so(context, &id, &json!({"grace_ms": 0}))?;
    let status = cancelled(context, &id)?;
    status.expect_field("/exit_signal", &json!(9))
}

fn shorter_grace(context: &Context) -> Outcome {
    let id = deaf(context)?;
    kill_so(context, &id, &json!({"grace_ms": 600_000}))?;
    context.says(&id, "ready\nTERM\n")?;
    context.status(&id)?.expect_field("/status", &json!("running"))?;
    kill_so(context, &id, &json!({"grace_ms": 1}))?;
    cancelled(context, &id)?.expect_field("/stdout", &json!("ready\nTERM\n"))
}

fn longer_grace(context: &Context) -> Outcome {
    let id = deaf(context)?;
    kill_so(context, &id, &json!({"grace_ms": 300}))?;
    kill_so(context, &id, &json!({"signal": "SIGHUP", "grace_ms": 3_600_000}))?;
    cancelled(context, &id).map(drop)
}

fn grace_range(context: &Context) -> Outcome {
    let id = sleeping(context)?;
    for grace in [json!(-1), json!(3_600_001), json!(1.5), json!("1")] {
        let answer = context.client.send(kill_of(&id).json(&json!({"grace_ms": grace})))?;
        answer.expect_failure(400, "invalid_input", "a grace that can be none is refused")?;
        answer.expect_field("/error/details/field", &json!("grace_ms"))?;
    }
    context.status(&id)?.expect_field("/status", &json!("running"))
}

fn how_in_events(context: &Context) -> Outcome {
    let id = deaf(context)?;
    let how = json!({"signal": "SIGINT", "grace_ms": 200});
    for _ in 0..2 {
        kill_so(context, &id, &how)?;
    }
    cancelled(context, &id)?;
    let (events, _) = context.event_types(&id)?;
    let list = events.body.as_array().cloned().unwrap_or_default();
    let kills: Vec<_> = list.iter().filter(|event| event["event_type"] == "kill_requested").collect();
    events.expect(kills.len() == 1 && kills[0]["data"] == how, "the event says how the task was told to end, once")
}

fn owned_task(command: &str) -> Value {
    with(sh(command), json!({"control_context": {"owner": OWNER}}))
}

/// Refused, and the task lives on.
fn owned(context: &Context, shown: Option<&str>) -> Outcome {
    let id = started(context, &owned_task("exec sleep 600"))?;
    let call = kill_of(&id);
    let answer = context.client.send(shown.map_or(call.clone(), |name| call.header("x-execgo-owner", name)))?;
    answer.expect_failure(403, "permission_denied", "a task that has an owner is killed by its owner alone")?;
    context.status(&id)?.expect_field("/status", &json!("running"))?;
    let (events, types) = context.event_types(&id)?;
    events.expect(!types.iter().any(|event| event == "kill_requested"), "a refused kill leaves no event")
}

fn right_owner(context: &Context) -> Outcome {
    let id = started(context, &owned_task("exec sleep 600"))?;
    let answer = context.client.send(kill_of(&id).header("x-execgo-owner", OWNER))?;
    answer.expect_status(200, "the owner may kill the task")?;
    cancelled(context, &id).map(drop)
}

fn owner_of_an_ended_task(context: &Context) -> Outcome {
    let id = context.submit(&owned_task("true"))?;
    context.ended(&id)?;
    let answer = context.client.send(kill_of(&id))?;
    answer.expect_failure(403, "permission_denied", "the owner is asked for after the end, too")?;
    let answer = context.client.send(kill_of(&id).header("x-execgo-owner", OWNER))?;
    answer.expect_status(200, "and may ask again")?;
    answer.expect_field("/status", &json!("success"))
}

fn owner_not_asked_for(context: &Context) -> Outcome {
    let id = sleeping(context)?;
    let answer = context.client.send(kill_of(&id).header("x-execgo-owner", "anybody"))?;
    answer.expect_status(200, "a task without an owner is killed by anybody")?;
    cancelled(context, &id).map(drop)
}
