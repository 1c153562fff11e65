//! Faults of scheduling.

use serde_json::{Value, json};

use crate::faults::mutation::{Mutation, accept_if, answer, remove, replace, request, status};
use crate::faults::proxy::Passing;

pub const FAULTS: &[Mutation] = &[
    request("a priority is not heeded", "schedule.priority", |it| without(it, "priority")),
    answer("any priority will do", "schedule.priority.range", |it, _| {
        accept_if(it, |sent| !sent["schedule"]["priority"].is_null());
    }),
    request("a task starts before its time", "schedule.start-after", |it| without(it, "start_after")),
    request("a time that has passed never comes", "schedule.start-after.past", |it| {
        in_schedule(it, |schedule| replace(schedule, "start_after", json!("2100-01-01T00:00:00Z")));
    }),
    answer("any time will do", "schedule.start-after.format", |it, _| {
        accept_if(it, |sent| !sent["schedule"]["start_after"].is_null());
    }),
    request("a task waits for ever", "schedule.expires-at", |it| without(it, "expires_at")),
    answer("a task may expire before it may start", "schedule.expires-at.order", |it, _| {
        accept_if(it, |sent| !sent["schedule"]["expires_at"].is_null());
    }),
    request("a dependency is not waited for", "schedule.depends-on.success", |it| without(it, "depends_on")),
    status("why a dependent was cancelled is not said", "schedule.depends-on.failure", |it, _| {
        replace(&mut it["error"], "details", Value::Null);
    }),
    request("only a success will do", "schedule.depends-on.end", |it| {
        in_schedule(it, |schedule| replace(&mut schedule["depends_on"][0], "on", json!("success")));
    }),
    answer("a task may depend on one that is not there", "schedule.depends-on.unknown", |it, _| {
        accept_if(it, |sent| !sent["schedule"]["depends_on"].is_null());
    }),
    answer("a task may depend on another twice", "schedule.depends-on.twice", |it, _| {
        accept_if(it, |sent| sent["schedule"]["depends_on"].as_array().is_some_and(|all| all.len() > 1));
    }),
];

fn in_schedule(request: &mut Passing, alter: fn(&mut Value)) {
    if request.is_submission() {
        request.json(|body| {
            if let Some(schedule) = body.get_mut("schedule") {
                alter(schedule);
            }
        });
    }
}

fn without(request: &mut Passing, field: &str) {
    if request.is_submission() {
        request.json(|body| {
            if let Some(schedule) = body.get_mut("schedule") {
                remove(schedule, field);
            }
        });
    }
}
