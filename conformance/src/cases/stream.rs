//! The stream of a task: server-sent events, everything once and in order, also for a client that comes again.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use ureq::http::Method;

use crate::case::{Case, Context, NotPassed, Outcome, sh};
use crate::client::{Call, Exchange};

pub const CASES: &[Case] = &[
    Case::beyond("stream.form", "Stream", form),
    Case::beyond("stream.story", "Stream", story),
    Case::beyond("stream.output", "Stream", output),
    Case::beyond("stream.events", "Stream", events),
    Case::beyond("stream.status", "Stream", status),
    Case::beyond("stream.characters", "Stream", characters),
    Case::beyond("stream.bytes", "Stream", bytes),
    Case::beyond("stream.large", "Stream", large),
    Case::beyond("stream.live", "Stream", live),
    Case::beyond("stream.cancelled", "Stream", cancelled),
    Case::beyond("stream.resumed", "Stream", resumed),
    Case::beyond("stream.resumed.behind-the-end", "Stream", behind_the_end),
    Case::beyond("stream.resumed.of-another-task", "Stream", of_another_task),
    Case::beyond("stream.unknown-task", "Stream", unknown_task),
];

/// One server-sent event.
#[derive(Clone, Debug, PartialEq)]
struct Told {
    name: String,
    id: String,
    data: Value,
}

fn call(id: &str, last: Option<&str>) -> Call {
    let call = Call::new(Method::GET, &format!("/api/v1/tasks/{id}/stream"));
    last.into_iter().fold(call, |call, last| call.header("last-event-id", last))
}

/// The stream to its end, and what it told behind `last`.
fn stream(context: &Context, id: &str, last: Option<&str>) -> Result<(Exchange, Vec<Told>), NotPassed> {
    let answer = context.client.send(call(id, last))?;
    answer.expect_status(200, "a task has a stream")?;
    let mut told = Vec::new();
    for block in answer.text.split("\n\n").filter(|block| !block.is_empty()) {
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::trim_start);
        // A comment alone is no event.
        let Some(data) = field("data:") else { continue };
        let data = serde_json::from_str(data).ok();
        answer.expect(data.is_some(), "the data of each event is JSON on one line")?;
        let text = |name| field(name).unwrap_or_default().to_owned();
        told.push(Told { name: text("event:"), id: text("id:"), data: data.unwrap_or_default() });
    }
    Ok((answer, told))
}

fn ended(context: &Context, command: &str) -> Result<(Exchange, Vec<Told>), NotPassed> {
    let id = context.submit(&sh(command))?;
    context.ended(&id)?;
    stream(context, &id, None)
}

/// The text of one stream; fails where a piece is not where the one before it ended.
fn text_of(answer: &Exchange, told: &[Told], stream: &str) -> Result<String, NotPassed> {
    let mut text = String::new();
    for piece in told.iter().filter(|told| told.name == "output" && told.data["stream"] == stream) {
        let in_order = piece.data["offset"] == json!(text.len());
        answer.expect(in_order, &format!("each piece of {stream} begins where the one before it ended"))?;
        answer.expect(piece.data["encoding"] == "utf-8", "what is text is told as text")?;
        text += piece.data["data"].as_str().unwrap_or_default();
    }
    Ok(text)
}

fn form(context: &Context) -> Outcome {
    let (answer, told) = ended(context, "echo out")?;
    answer.expect(answer.content_type.starts_with("text/event-stream"), "the type is text/event-stream")?;
    let mut ids: Vec<&str> = told.iter().map(|told| told.id.as_str()).collect();
    answer.expect(!ids.is_empty() && ids.iter().all(|id| !id.is_empty()), "each event has an id")?;
    ids.sort_unstable();
    answer.expect(ids.windows(2).all(|pair| pair[0] != pair[1]), "no two events have the same id")?;
    let known = ["output", "event", "status", "end"];
    answer.expect(told.iter().all(|told| known.contains(&told.name.as_str())), "each event has one of the four names")
}

fn story(context: &Context) -> Outcome {
    let (answer, told) = ended(context, "echo out; exit 3")?;
    let at = |name: &str, of: &dyn Fn(&Value) -> bool| told.iter().position(|t| t.name == name && of(&t.data));
    let event = |kind: &'static str| at("event", &move |data| data["event_type"] == kind);
    let order =
        [event("submitted"), event("started"), at("output", &|_| true), event("failed"), at("status", &|_| true)];
    let in_order = order.iter().all(Option::is_some) && order.is_sorted();
    answer.expect(in_order, "a task is submitted, starts, writes, ends, and its last status comes behind that")?;
    let end = told.last().filter(|last| last.name == "end");
    answer.expect(end.is_some(), "the last event is the end")?;
    let status = end.map(|end| &end.data["status"]);
    answer.expect(status == Some(&json!("failed")), "the end says how the task ended")?;
    answer.expect(told.iter().filter(|told| told.name == "end").count() == 1, "there is one end")
}

fn output(context: &Context) -> Outcome {
    let (answer, told) = ended(context, "echo 1; echo 2 >&2; echo 3")?;
    answer.expect(text_of(&answer, &told, "stdout")? == "1\n3\n", "standard output is told")?;
    answer.expect(text_of(&answer, &told, "stderr")? == "2\n", "standard error is told")
}

fn events(context: &Context) -> Outcome {
    let id = context.submit(&sh("true"))?;
    context.ended(&id)?;
    let (answer, told) = stream(context, &id, None)?;
    let (events, _) = context.event_types(&id)?;
    let of_stream: Vec<Value> = told.into_iter().filter(|told| told.name == "event").map(|told| told.data).collect();
    answer.expect(
        Value::from(of_stream) == events.body,
        "the events are those of the list of events, each once, in order",
    )
}

fn status(context: &Context) -> Outcome {
    let id = context.submit(&sh("echo out; exit 3"))?;
    let mut status = context.ended(&id)?.body;
    let (answer, told) = stream(context, &id, None)?;
    for large in ["stdout", "stderr", "execution_plan", "artifacts"] {
        status.as_object_mut().map(|status| status.remove(large));
    }
    let rule = "the status is the status answer without stdout, stderr, execution_plan and artifacts";
    let row = told.iter().rfind(|told| told.name == "status").map(|told| &told.data);
    answer.expect(row == Some(&status), rule)
}

/// A character that comes in two halves is told whole.
fn characters(context: &Context) -> Outcome {
    let id = context.submit(&sh(r"printf 'a\346\227'; sleep 0.5; printf '\245b'"))?;
    let (answer, told) = stream(context, &id, None)?;
    let text = text_of(&answer, &told, "stdout")?;
    answer.expect(text == "a日b", "no character is divided between two pieces")
}

fn bytes(context: &Context) -> Outcome {
    let (answer, told) = ended(context, r"printf '\377\000'")?;
    let piece = told.iter().find(|told| told.name == "output").map_or(Value::Null, |told| told.data.clone());
    let expected = json!({"stream": "stdout", "offset": 0, "data": "/wA=", "encoding": "base64"});
    answer.expect(piece == expected, &format!("bytes that are no text are told as base64: {expected}"))
}

fn large(context: &Context) -> Outcome {
    let (answer, told) =
        ended(context, "head -c 300000 /dev/zero | tr '\\0' x; head -c 300000 /dev/zero | tr '\\0' y >&2")?;
    for (stream, letter) in [("stdout", "x"), ("stderr", "y")] {
        let whole = text_of(&answer, &told, stream)? == letter.repeat(300_000);
        // Not the answer as evidence: it is large.
        context.status(answer.call.path.split('/').nth(4).unwrap_or_default())?.expect(whole, "all output is told")?;
    }
    Ok(())
}

fn live(context: &Context) -> Outcome {
    let id = context.submit(&sh("echo one; sleep 1; echo two"))?;
    let begun = Instant::now();
    let (answer, told) = stream(context, &id, None)?;
    answer.expect(begun.elapsed() < Duration::from_secs(20), "the stream ends with the task")?;
    answer.expect(text_of(&answer, &told, "stdout")? == "one\ntwo\n", "what is written meanwhile is told")?;
    let statuses: Vec<&Value> = told.iter().filter(|told| told.name == "status").map(|t| &t.data["status"]).collect();
    answer
        .expect(statuses.len() > 1 && statuses.last() == Some(&&json!("success")), "each status that was seen is told")
}

fn cancelled(context: &Context) -> Outcome {
    let id = context.submit(&sh("echo early; exec sleep 600"))?;
    context.says(&id, "early\n")?;
    context.kill(&id)?;
    let (answer, told) = stream(context, &id, None)?;
    answer.expect(text_of(&answer, &told, "stdout")? == "early\n", "what a cancelled task had written is told")?;
    let end = told.last().map(|last| (last.name.as_str(), &last.data["status"]));
    answer.expect(end == Some(("end", &json!("cancelled"))), "the end says that it was cancelled")
}

/// From wherever the client got to.
fn resumed(context: &Context) -> Outcome {
    let id = context.submit(&sh("echo out; echo err >&2; exit 3"))?;
    context.ended(&id)?;
    let (_, whole) = stream(context, &id, None)?;
    for (index, seen) in whole.iter().enumerate().take(whole.len().saturating_sub(1)) {
        let (answer, rest) = stream(context, &id, Some(&seen.id))?;
        let all = |told: &[Told]| {
            let mut all: Vec<String> = told.iter().map(|told| format!("{} {}", told.name, told.data)).collect();
            all.sort();
            all
        };
        let rule = "who comes again with the id of what was seen last gets the rest, without loss or repetition";
        answer.expect(all(&rest) == all(&whole[index + 1..]), rule)?;
    }
    Ok(())
}

fn behind_the_end(context: &Context) -> Outcome {
    let id = context.submit(&sh("true"))?;
    context.ended(&id)?;
    let (_, whole) = stream(context, &id, None)?;
    let answer = context.client.send(call(&id, whole.last().map(|last| last.id.as_str())))?;
    answer.expect(answer.status == 204 && answer.bytes.is_empty(), "behind the end there is nothing (status 204)")
}

fn of_another_task(context: &Context) -> Outcome {
    let (_, other) = ended(context, "true")?;
    let id = context.submit(&sh("true"))?;
    context.ended(&id)?;
    let foreign = other.first().map_or("none", |told| told.id.as_str());
    for last in ["", "0", "no id", foreign] {
        let answer = context.client.send(call(&id, Some(last)))?;
        answer.expect_failure(400, "invalid_input", "an id that is none of this task is refused")?;
    }
    Ok(())
}

fn unknown_task(context: &Context) -> Outcome {
    let answer = context.client.send(call(&context.fresh_id(), None))?;
    answer.expect_failure(404, "not_found", "there is no stream of a task that is not there")
}
