//! The events of all tasks: from where a client left, once and in order, and those alone that it asked for.

use serde_json::{Value, json};
use ureq::http::Method;

use crate::case::{Case, Context, NotPassed, Outcome, sh, skipped, with};
use crate::client::{Call, Exchange};

pub const CASES: &[Case] = &[
    Case::beyond("feed.story", "Events of all tasks", story),
    Case::beyond("feed.resumed", "Events of all tasks", resumed),
    Case::beyond("feed.from-now", "Events of all tasks", from_now),
    Case::beyond("feed.filter", "Events of all tasks", filter),
    Case::beyond("feed.refused", "Events of all tasks", refused),
];

const PATH: &str = "/api/v1/events";

/// The events behind `last`, until `count` of them are of this task.
fn feed(
    context: &Context,
    query: &str,
    last: &Value,
    id: &str,
    count: usize,
) -> Result<(Exchange, Vec<Value>), NotPassed> {
    let call = Call::new(Method::GET, &format!("{PATH}{query}")).header("last-event-id", &last.to_string());
    let named = json!(id).to_string();
    let is_whole = |text: &str| {
        text.split_inclusive("\n\n").filter(|e| e.ends_with("\n\n") && e.contains(&named)).count() >= count
    };
    let answer = context.client.listen(call, is_whole)?;
    if answer.status == 404 {
        return Err(skipped("the runtime has no feed of all events"));
    }
    answer.expect_status(200, "the events of all tasks can be followed")?;
    answer.expect(answer.content_type.starts_with("text/event-stream"), "they are server-sent events")?;
    let mut events = Vec::new();
    for block in answer.text.split("\n\n") {
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::trim_start);
        // A comment alone is no event.
        let Some(data) = field("data:") else { continue };
        let event: Value = serde_json::from_str(data).unwrap_or_default();
        let id = field("id:").and_then(|id| id.parse::<u64>().ok());
        answer.expect(id.is_some() && event["seq"].as_u64() == id, "the id of each event is its seq")?;
        answer.expect(field("event:") == Some("event"), "each is called `event`")?;
        events.push(event);
    }
    let is_in_order = events.windows(2).all(|pair| pair[0]["seq"].as_u64() < pair[1]["seq"].as_u64());
    answer.expect(is_in_order, "seq grows from event to event")?;
    Ok((answer, events))
}

/// An ended task and its events.
fn ended(context: &Context, more: Value) -> Result<(String, Vec<Value>), NotPassed> {
    let id = context.submit(&with(sh("true"), more))?;
    context.ended(&id)?;
    let (events, _) = context.event_types(&id)?;
    Ok((id, events.body.as_array().cloned().unwrap_or_default()))
}

fn of<'a>(events: &'a [Value], id: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["task_id"] == id).collect()
}

fn seq(events: &[Value], index: usize) -> Value {
    events.get(index).map(|event| event["seq"].clone()).unwrap_or_default()
}

fn story(context: &Context) -> Outcome {
    let (_, before) = ended(context, json!({}))?;
    let (id, expected) = ended(context, json!({}))?;
    let (answer, events) = feed(context, "", &seq(&before, before.len() - 1), &id, expected.len())?;
    answer.expect(of(&events, &id).into_iter().eq(&expected), "the feed tells all events of a task, once and in order")
}

fn resumed(context: &Context) -> Outcome {
    let (id, expected) = ended(context, json!({}))?;
    for left_after in [0, 2, expected.len() - 2] {
        let rest = &expected[left_after + 1..];
        let (answer, events) = feed(context, "", &seq(&expected, left_after), &id, rest.len())?;
        answer
            .expect(of(&events, &id).into_iter().eq(rest), "who comes again gets what it has not seen, and no more")?;
    }
    Ok(())
}

fn from_now(context: &Context) -> Outcome {
    ended(context, json!({}))?;
    let is_told = |text: &str| text.contains("\n\n");
    let answer = context.client.listen(Call::new(Method::GET, PATH), is_told)?;
    if answer.status == 404 {
        return Err(skipped("the runtime has no feed of all events"));
    }
    answer.expect_status(200, "the events of all tasks can be followed")?;
    let last = answer.text.lines().find_map(|line| line.strip_prefix("id: ")).and_then(|id| id.parse::<u64>().ok());
    answer.expect(!answer.text.contains("data:"), "without Last-Event-ID nothing is told that happened before")?;
    let (id, expected) = ended(context, json!({}))?;
    let last = json!(last.unwrap_or_default());
    let (answer, events) = feed(context, "", &last, &id, expected.len())?;
    answer.expect(of(&events, &id).into_iter().eq(&expected), "the id that comes first is where a client goes on from")
}

fn filter(context: &Context) -> Outcome {
    let tenant = context.fresh_id();
    let (_, before) = ended(context, json!({}))?;
    let (own, expected) = ended(context, json!({"control_context": {"tenant": tenant}}))?;
    ended(context, json!({}))?;
    let last = seq(&before, before.len() - 1);
    let (answer, events) = feed(context, &format!("?tenant={tenant}"), &last, &own, expected.len())?;
    answer.expect(events == expected, "the events of a tenant are those of its tasks")?;
    let query = format!("?tenant={tenant}&event_type=finished,accepted");
    let (answer, events) = feed(context, &query, &last, &own, 2)?;
    let types: Vec<_> = events.iter().map(|event| event["event_type"].clone()).collect();
    answer.expect(types == ["accepted", "finished"], "only events of these types are told")
}

fn refused(context: &Context) -> Outcome {
    let never = |text: &str| text.contains("\n\n");
    for (query, last, name) in [
        ("", "none", "Last-Event-ID"),
        ("", "9007199254740991", "Last-Event-ID"),
        ("?event_type=ended", "0", "event_type"),
        ("?tenant=%20", "0", "tenant"),
        ("?since=0", "0", "since"),
    ] {
        let call = Call::new(Method::GET, &format!("{PATH}{query}")).header("last-event-id", last);
        let answer = context.client.listen(call, never)?;
        if answer.status == 404 {
            return Err(skipped("the runtime has no feed of all events"));
        }
        answer.expect_failure(400, "invalid_input", "what cannot be so is refused")?;
        answer.expect(answer.message().starts_with(name), &format!("the message names {name}"))?;
    }
    Ok(())
}
