//! Wait: a status request that is answered at the end of the task.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::case::{Case, Context, NotPassed, Outcome, sh};
use crate::client::Exchange;

pub const CASES: &[Case] = &[
    Case::beyond("wait.until-end", "Wait", until_end),
    Case::beyond("wait.until-cancelled", "Wait", until_cancelled),
    Case::beyond("wait.no-longer", "Wait", no_longer),
    Case::beyond("wait.zero", "Wait", zero),
    Case::beyond("wait.ended-task", "Wait", ended_task),
    Case::beyond("wait.longest", "Wait", longest),
    Case::beyond("wait.several", "Wait", several),
    Case::beyond("wait.unknown-task", "Wait", unknown_task),
    Case::beyond("wait.too-long", "Wait", |it| refused(it, &["600001", "9007199254740992", "99999999999999999999"])),
    Case::beyond("wait.negative", "Wait", |it| refused(it, &["-1", "-600000"])),
    Case::beyond("wait.no-number", "Wait", |it| refused(it, &["", "soon", "1s", "1.5", "0x10", "1e3"])),
    Case::beyond("wait.given-twice", "Wait", |it| refused(it, &["1&wait_ms=2"])),
    Case::beyond("wait.for-the-start", "Wait", for_the_start),
    Case::beyond("wait.for-output", "Wait", for_output),
    Case::beyond("wait.for-a-change", "Wait", for_a_change),
    Case::beyond("wait.for-the-end", "Wait", for_the_end),
    Case::beyond("wait.for-nothing-more", "Wait", for_nothing_more),
    Case::beyond("wait.for-what-is-unknown", "Wait", for_what_is_unknown),
    Case::beyond("wait.of-the-status-alone", "General", of_the_status_alone),
];

/// Far less than any task here lives, and more than a busy machine needs for an answer.
const SOON: Duration = Duration::from_secs(20);

fn wait(context: &Context, id: &str, ms: &str) -> Result<(Exchange, Duration), NotPassed> {
    let asked = Instant::now();
    let status = context.client.get(&format!("/api/v1/tasks/{id}?wait_ms={ms}"))?;
    Ok((status, asked.elapsed()))
}

fn sleeper() -> Value {
    sh("exec sleep 600")
}

fn until_end(context: &Context) -> Outcome {
    let id = context.submit(&sh("sleep 0.3; echo done"))?;
    let (status, took) = wait(context, &id, "60000")?;
    status.expect_status(200, "a status request may say how long it waits")?;
    status.expect_field("/status", &json!("success"))?;
    status.expect_field("/stdout", &json!("done\n"))?;
    status.expect(took < SOON, "the answer comes when the task ends")
}

fn until_cancelled(context: &Context) -> Outcome {
    let id = context.submit(&sleeper())?;
    context.running(&id)?;
    context.kill(&id)?;
    let (status, took) = wait(context, &id, "60000")?;
    status.expect_field("/status", &json!("cancelled"))?;
    status.expect(took < SOON, "the answer comes when the task ends")
}

fn no_longer(context: &Context) -> Outcome {
    let id = context.submit(&sleeper())?;
    context.running(&id)?;
    let (status, took) = wait(context, &id, "300")?;
    status.expect_status(200, "a wait that ends before the task is no failure")?;
    status.expect_field("/status", &json!("running"))?;
    status.expect(took >= Duration::from_millis(300), "the wait is as long as it was asked for")?;
    status.expect(took < SOON, "and not much longer")
}

fn zero(context: &Context) -> Outcome {
    let id = context.submit(&sleeper())?;
    context.running(&id)?;
    let (status, took) = wait(context, &id, "0")?;
    status.expect_field("/status", &json!("running"))?;
    status.expect(took < SOON, "wait_ms=0 does not wait")
}

fn ended_task(context: &Context) -> Outcome {
    let ended = context.run(&sh("exit 3"))?;
    let (status, took) = wait(context, ended.text_at("/task_id"), "60000")?;
    status.expect(status.body == ended.body, "the answer is the status")?;
    status.expect(took < SOON, "for the end of a task that has ended nobody waits")
}

fn longest(context: &Context) -> Outcome {
    let ended = context.run(&sh("true"))?;
    let (status, _) = wait(context, ended.text_at("/task_id"), "600000")?;
    status.expect_status(200, "a wait may be 600000 ms long")?;
    status.expect_field("/status", &json!("success"))
}

fn several(context: &Context) -> Outcome {
    let id = context.submit(&sh("sleep 0.3"))?;
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(|| wait(context, &id, "60000"))).collect();
        clients.into_iter().try_for_each(|client| {
            let (status, took) = client.join().expect("a client does not panic")?;
            status.expect_field("/status", &json!("success"))?;
            status.expect(took < SOON, "each client that waits is answered when the task ends")
        })
    })
}

fn unknown_task(context: &Context) -> Outcome {
    let (answer, took) = wait(context, &context.fresh_id(), "60000")?;
    answer.expect_failure(404, "not_found", "nobody waits for a task that is not there")?;
    answer.expect(took < SOON, "and the answer comes at once")
}

fn refused(context: &Context, values: &[&str]) -> Outcome {
    let ended = context.run(&sh("true"))?;
    for value in values {
        let (answer, _) = wait(context, ended.text_at("/task_id"), value)?;
        answer.expect_failure(400, "invalid_input", "such a wait is refused")?;
        answer.expect(answer.message().contains("wait_ms"), "the message names wait_ms")?;
    }
    Ok(())
}

/// What `wait_for` may name.
const EVENTS: [&str; 4] = ["terminal", "started", "output", "change"];

fn wait_for(context: &Context, id: &str, ms: &str, what: &str) -> Result<(Exchange, Duration), NotPassed> {
    wait(context, id, &format!("{ms}&wait_for={what}"))
}

fn for_the_start(context: &Context) -> Outcome {
    let id = context.submit(&sleeper())?;
    let (status, took) = wait_for(context, &id, "60000", "started")?;
    status.expect_field("/status", &json!("running"))?;
    status.expect(took < SOON, "the answer comes when the task starts")
}

fn for_output(context: &Context) -> Outcome {
    let id = context.submit(&sh("echo one; sleep 1; echo two >&2; exec sleep 600"))?;
    context.says(&id, "one\n")?;
    let (status, took) = wait_for(context, &id, "60000", "output")?;
    status.expect_field("/status", &json!("running"))?;
    status.expect_field("/stderr", &json!("two\n"))?;
    status.expect(took < SOON, "the answer comes when the task writes, to whichever stream")?;
    let (status, took) = wait_for(context, &id, "300", "output")?;
    let waited = took >= Duration::from_millis(300);
    status.expect(waited, "what was there before the request is no more output than there is")
}

fn for_a_change(context: &Context) -> Outcome {
    let (mut status, mut took) = changed_by_a_kill(context, 32)?;
    for answers in [256, 2048] {
        if status.text_at("/status") != "running" {
            (status, took) = changed_by_a_kill(context, answers)?;
        }
    }
    status.expect_field("/status", &json!("running"))?;
    status.expect(took < SOON, "the answer comes with the next event, which is that somebody asked for a kill")
}

/// Kills a task that does not care while a request waits for its change. A kill that comes before the request leaves
/// nothing to wait for but the end, so the request has the time of so many other answers to come.
fn changed_by_a_kill(context: &Context, answers: u32) -> Result<(Exchange, Duration), NotPassed> {
    let id = context.submit(&sh("trap '' TERM; exec sleep 600"))?;
    context.running(&id)?;
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| wait_for(context, &id, "60000", "change"));
        for _ in 0..answers {
            context.client.get(&format!("/api/v1/tasks/{id}"))?;
        }
        context.kill(&id)?;
        waiting.join().expect("a client does not panic")
    })
}

fn for_the_end(context: &Context) -> Outcome {
    let id = context.submit(&sh("sleep 0.3; echo done"))?;
    let (status, _) = wait_for(context, &id, "60000", "terminal")?;
    status.expect_field("/status", &json!("success"))
}

fn for_nothing_more(context: &Context) -> Outcome {
    let ended = context.run(&sh("echo done"))?;
    EVENTS.iter().try_for_each(|what| {
        let (status, took) = wait_for(context, ended.text_at("/task_id"), "60000", what)?;
        status.expect(status.body == ended.body, "the answer is the status")?;
        status.expect(took < SOON, "nothing comes any more of a task that has ended: the answer comes at once")
    })
}

fn for_what_is_unknown(context: &Context) -> Outcome {
    let ended = context.run(&sh("true"))?;
    ["", "end", "Started", "started,output"].iter().try_for_each(|what| {
        let (answer, _) = wait_for(context, ended.text_at("/task_id"), "1000", what)?;
        answer.expect_failure(400, "invalid_input", "nobody waits for what is unknown")?;
        answer.expect(answer.message().contains("wait_for"), "the message names wait_for")
    })
}

fn of_the_status_alone(context: &Context) -> Outcome {
    let ended = context.run(&sh("true"))?;
    let answer = context.client.get(&format!("/api/v1/tasks/{}/events?wait_ms=1", ended.text_at("/task_id")))?;
    answer.expect_failure(400, "invalid_input", "a query parameter that the operation does not know is refused")
}
