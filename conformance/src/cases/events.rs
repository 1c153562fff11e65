//! Events: which ones each outcome leaves, in which order, when, and with what data.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::plan::{ended_if_known, perhaps_missing};
use super::resources::with_a_waiting_task;
use super::status::{kill, millis};
use crate::case::{Case, Context, Level, NotPassed, Outcome, sh, skipped};
use crate::client::Exchange;

use Level::{Must, Should};

pub const CASES: &[Case] = &[
    Case { id: "events.success", section: "Events", level: Must, run: success },
    Case { id: "events.exit", section: "Events", level: Must, run: exit },
    Case { id: "events.signal", section: "Events", level: Must, run: signal },
    Case { id: "events.timeout", section: "Events", level: Must, run: timeout },
    Case { id: "events.cancelled.running", section: "Events", level: Must, run: cancelled_running },
    Case { id: "events.cancelled.waiting", section: "Events", level: Must, run: cancelled_waiting },
    Case { id: "events.launch-failed", section: "Events", level: Must, run: launch_failed },
    Case { id: "events.degraded", section: "Events", level: Must, run: degraded },
    Case { id: "events.planned", section: "Events", level: Should, run: planned },
    Case { id: "events.reservation", section: "Events", level: Should, run: reservation },
    Case { id: "events.seq", section: "Events", level: Must, run: seq },
    Case { id: "events.times", section: "Events", level: Must, run: times },
    Case { id: "events.task-id", section: "Events", level: Must, run: task_id },
    Case { id: "events.only-added", section: "Events", level: Must, run: only_added },
    Case { id: "events.stable", section: "Events", level: Must, run: stable },
];

const BEFORE: [&str; 3] = ["submitted", "accepted", "planned"];
const LAUNCHED: [&str; 2] = ["resource_reserved", "started"];

/// The events of a task that was launched, from its submission to its end.
fn of_a_run(between: &[&str], end: &str) -> Vec<String> {
    let all = [&BEFORE[..], &LAUNCHED, between, &["resource_released", end]].concat();
    all.into_iter().map(str::to_owned).collect()
}

/// The events are exactly these, in this order; the answer that holds them.
fn expect_types<T: AsRef<str>>(context: &Context, id: &str, expected: &[T]) -> Result<Exchange, NotPassed> {
    let (events, types) = context.event_types(id)?;
    let expected: Vec<_> = expected.iter().map(AsRef::as_ref).collect();
    events.expect(types == expected, &format!("the events are {}, each once", expected.join(", ")))?;
    Ok(events)
}

fn of_type<'a>(events: &'a Exchange, event_type: &str) -> &'a Value {
    list(events).find(|event| event["event_type"] == event_type).unwrap_or(&Value::Null)
}

fn list(events: &Exchange) -> impl Iterator<Item = &Value> {
    events.body.as_array().into_iter().flatten()
}

/// The event has this, and perhaps more, in its `data`.
fn expect_data(events: &Exchange, event_type: &str, data: &Value) -> Outcome {
    let given = &of_type(events, event_type)["data"];
    let agrees = data.as_object().into_iter().flatten().all(|(key, value)| given.get(key) == Some(value));
    events.expect(agrees, &format!("the data of {event_type} has {data}"))
}

fn success(context: &Context) -> Outcome {
    let id = context.submit(&sh("true"))?;
    let status = context.ended(&id)?.body;
    let events = expect_types(context, &id, &of_a_run(&[], "finished"))?;
    let pids = json!({"pid": status["pid"], "pgid": status["pgid"], "shim_pid": status["shim_pid"]});
    expect_data(&events, "started", &pids)?;
    expect_data(&events, "finished", &json!({"exit_code": 0, "duration_ms": status["duration_ms"]}))
}

fn exit(context: &Context) -> Outcome {
    let id = context.submit(&sh("exit 3"))?;
    let status = context.ended(&id)?.body;
    let events = expect_types(context, &id, &of_a_run(&[], "failed"))?;
    let data = json!({"code": "exit_non_zero", "exit_code": 3, "duration_ms": status["duration_ms"]});
    expect_data(&events, "failed", &data)?;
    let absent = of_type(&events, "failed")["data"].get("exit_signal").is_none();
    events.expect(absent, "a command that exited has no exit_signal in its events either")
}

fn signal(context: &Context) -> Outcome {
    let id = context.submit(&sh("kill -KILL $$"))?;
    context.ended(&id)?;
    let events = expect_types(context, &id, &of_a_run(&[], "failed"))?;
    expect_data(&events, "failed", &json!({"code": "exit_non_zero", "exit_signal": 9}))?;
    let absent = of_type(&events, "failed")["data"].get("exit_code").is_none();
    events.expect(absent, "a command that died of a signal has no exit_code in its events either")
}

fn timeout(context: &Context) -> Outcome {
    let mut request = sh("sleep 600");
    request["limits"] = json!({"wall_time_ms": 200});
    let id = context.submit(&request)?;
    context.ended(&id)?;
    let events = expect_types(context, &id, &of_a_run(&["timeout_triggered"], "failed"))?;
    expect_data(&events, "timeout_triggered", &json!({"wall_time_ms": 200}))?;
    expect_data(&events, "failed", &json!({"code": "timeout"}))
}

/// However often the kill is asked for.
fn cancelled_running(context: &Context) -> Outcome {
    let id = context.submit(&sh("sleep 600"))?;
    context.running(&id)?;
    kill(context, &id)?;
    kill(context, &id)?;
    context.ended(&id)?;
    kill(context, &id)?;
    let events = expect_types(context, &id, &of_a_run(&["kill_requested"], "cancelled"))?;
    expect_data(&events, "cancelled", &json!({"code": "cancelled"}))
}

fn cancelled_waiting(context: &Context) -> Outcome {
    with_a_waiting_task(context, &sh("true"), |id| {
        kill(context, id)?;
        context.ended(id)?.expect_field("/status", &json!("cancelled"))?;
        expect_types(context, id, &[&BEFORE[..], &["kill_requested", "cancelled"]].concat()).map(drop)
    })
}

fn launch_failed(context: &Context) -> Outcome {
    let id = context.submit(&json!({"execution": {"kind": "command", "program": "/nonexistent/program"}}))?;
    context.ended(&id)?.expect_field("/error/code", &json!("launch_failed"))?;
    let expected = [&BEFORE[..], &["resource_reserved", "resource_released", "failed"]].concat();
    let events = expect_types(context, &id, &expected)?;
    expect_data(&events, "failed", &json!({"code": "launch_failed"}))
}

/// Of the things that may be missing on a machine, one that is.
fn degraded(context: &Context) -> Outcome {
    for asked in perhaps_missing() {
        let Some(status) = ended_if_known(context, &asked)? else { continue };
        let id = status.body["task_id"].as_str().unwrap_or_default();
        if status.body["execution_plan"]["degraded"] != json!(true) {
            expect_types(context, id, &of_a_run(&[], "finished"))?;
            continue;
        }
        let mut expected = of_a_run(&[], "finished");
        expected.insert(BEFORE.len(), "degraded".to_owned());
        let events = expect_types(context, id, &expected)?;
        let reasons = &status.body["execution_plan"]["fallback_reasons"];
        return expect_data(&events, "degraded", &json!({"fallback_reasons": reasons}));
    }
    Err(skipped("this runtime enforces everything that the suite can ask for"))
}

fn planned(context: &Context) -> Outcome {
    let id = context.submit(&sh("true"))?;
    let plan = context.ended(&id)?.body["execution_plan"].clone();
    let (events, _) = context.event_types(&id)?;
    let told = ["capability_mode", "requested_sandbox", "effective_sandbox", "degraded"];
    told.iter().try_for_each(|field| expect_data(&events, "planned", &json!({*field: plan[*field]})))
}

fn reservation(context: &Context) -> Outcome {
    let mut request = sh("true");
    request["limits"] = json!({"memory_bytes": 1 << 30});
    let id = context.submit(&request)?;
    let reservation = context.ended(&id)?.body["reservation"].clone();
    let (events, _) = context.event_types(&id)?;
    for event_type in ["resource_reserved", "resource_released"] {
        let data = &of_type(&events, event_type)["data"];
        events.expect(*data == reservation, &format!("the data of {event_type} is the task's reservation"))?;
    }
    Ok(())
}

/// Within a task, and across tasks that run side by side.
fn seq(context: &Context) -> Outcome {
    let ids = (0..4).map(|_| context.submit(&sh("sleep 0.05"))).collect::<Result<Vec<_>, _>>()?;
    let mut seen = BTreeSet::new();
    let mut accepted_before = 0;
    for id in &ids {
        context.ended(id)?;
        let (events, types) = context.event_types(id)?;
        let seqs: Vec<_> = list(&events).filter_map(|event| event["seq"].as_u64()).collect();
        let grows = seqs.len() == types.len() && seqs.is_sorted_by(|a, b| a < b);
        events.expect(grows && !seqs.is_empty(), "seq is a number that grows from event to event")?;
        events.expect(seqs.iter().all(|seq| seen.insert(*seq)), "no two events of the runtime have the same seq")?;
        let in_order = seqs.first().is_some_and(|first| *first > accepted_before);
        events.expect(in_order, "a task that was submitted later has a greater seq when it is submitted")?;
        accepted_before = of_type(&events, "accepted")["seq"].as_u64().unwrap_or_default();
    }
    Ok(())
}

fn times(context: &Context) -> Outcome {
    let killed = context.submit(&sh("sleep 600"))?;
    context.running(&killed)?;
    kill(context, &killed)?;
    for id in [killed, context.submit(&sh("sleep 0.05"))?, context.submit(&sh("exit 1"))?] {
        let status = context.ended(&id)?;
        let (events, _) = context.event_types(&id)?;
        let (mut before, last) = (millis(&status, "created_at")?, millis(&status, "updated_at")?);
        for event in list(&events) {
            let at = event["timestamp"].as_str().and_then(super::status::parse);
            let Some(at) = at else { return events.expect(false, "every event has a time in RFC 3339") };
            let rule = "no event is before the one before it, before created_at or after updated_at";
            events.expect(before <= at && at <= last, rule)?;
            before = at;
        }
        let started = of_type(&events, "started")["timestamp"].clone();
        events.expect(started == status.body["started_at"], "the time of started is the task's started_at")?;
    }
    Ok(())
}

fn task_id(context: &Context) -> Outcome {
    let ids = [context.submit(&sh("true"))?, context.submit(&sh("exit 1"))?];
    for id in &ids {
        context.ended(id)?;
        let (events, types) = context.event_types(id)?;
        let own = !types.is_empty() && list(&events).all(|event| event["task_id"] == json!(id));
        events.expect(own, &format!("every event names its task, {id}"))?;
    }
    Ok(())
}

/// What has happened stays as it was told.
fn only_added(context: &Context) -> Outcome {
    let id = context.submit(&sh("sleep 600"))?;
    context.running(&id)?;
    let (during, _) = context.event_types(&id)?;
    kill(context, &id)?;
    context.ended(&id)?;
    let (after, _) = context.event_types(&id)?;
    during.expect(list(&during).count() >= 5, "a running task has its events up to started")?;
    let prefix = list(&during).zip(list(&after)).all(|(before, now)| before == now);
    after.expect(prefix && list(&after).count() > list(&during).count(), "later events stand behind earlier ones")
}

fn stable(context: &Context) -> Outcome {
    let id = context.submit(&sh("exit 1"))?;
    context.ended(&id)?;
    let (first, _) = context.event_types(&id)?;
    let (second, _) = context.event_types(&id)?;
    second.expect(first.body == second.body, "the events of an ended task do not change")
}
