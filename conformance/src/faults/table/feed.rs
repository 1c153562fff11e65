//! Faults of the feed, of deletion, and of kill by a filter.

use serde_json::json;
use ureq::http::Method;

use crate::faults::mutation::{Mutation, answer, remove, request};
use crate::faults::proxy::Passing;

pub const FAULTS: &[Mutation] = &[
    answer("the feed loses an event", "feed.story", |it, _| {
        each_event(it, |event| (!event.contains("\"started\"")).then(|| event.to_owned()));
    }),
    answer("the feed tells an event twice", "feed.resumed", |it, _| {
        each_event(it, |event| Some(if event.contains("\"finished\"") { event.repeat(2) } else { event.to_owned() }));
    }),
    request("the feed begins at the beginning", "feed.from-now", |it| {
        if is_feed(it) && !it.headers.contains_key("last-event-id") {
            it.headers.insert("last-event-id", "0".parse().expect("a value"));
        }
    }),
    request("the feed tells of all tenants", "feed.filter", |it| {
        if is_feed(it) {
            it.path.truncate(it.path.find('?').unwrap_or(it.path.len()));
        }
    }),
    request("the feed begins with what comes next, where it does not know the id", "feed.refused", |it| {
        if is_feed(it) && it.headers.get("last-event-id").is_some_and(|id| id.as_bytes() == b"none") {
            it.headers.remove("last-event-id");
        }
    }),
    request("a deletion is lost", "delete.ended", |it| {
        if it.method == Method::DELETE {
            it.method = Method::GET;
        }
    }),
    answer("a task that runs is deleted", "delete.alive", |it, _| {
        if it.method == Method::DELETE && it.status == 409 {
            it.status = 204;
            it.body.clear();
        }
    }),
    answer("another owner may delete", "delete.owner", |it, _| {
        if it.method == Method::DELETE && it.status == 403 {
            it.status = 204;
            it.body.clear();
        }
    }),
    answer("a kill of many names none of them", "kill.many", |it, _| {
        if it.path == "/api/v1/tasks/kill" {
            it.json(|body| body["killed"] = json!([]));
        }
    }),
    request("a kill of many takes any owner", "kill.many.owner", |it| {
        if it.path == "/api/v1/tasks/kill" {
            it.headers.insert("x-execgo-owner", "somebody".parse().expect("a value"));
        }
    }),
    request("a kill of many ignores what it does not know", "kill.many.refused", |it| {
        if it.path == "/api/v1/tasks/kill" {
            it.json(|body| {
                if body.get("filter").is_some() {
                    remove(body, "filter");
                    body["q"] = json!("nothing has this");
                }
            });
        }
    }),
];

fn is_feed(it: &Passing) -> bool {
    it.path.split('?').next() == Some("/api/v1/events")
}

/// Keeps what it gets back of each event.
fn each_event(it: &mut Passing, alter: fn(&str) -> Option<String>) {
    if is_feed(it) && it.status == 200 {
        let text = String::from_utf8_lossy(&it.body);
        let events: String = text.split_inclusive("\n\n").filter_map(alter).collect();
        it.body = events.into_bytes();
    }
}
