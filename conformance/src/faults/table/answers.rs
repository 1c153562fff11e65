//! Faults of any answer: status, form of failures, content type; health.

use serde_json::json;

use crate::faults::mutation::{Mutation, answer, failure, remove, replace};

pub const FAULTS: &[Mutation] = &[
    answer("an unknown task is a bad request", "status.unknown-task", |it, _| {
        if it.status == 404 {
            it.status = 400;
        }
    }),
    answer("a failure has no envelope", "status.unknown-task", |it, _| {
        failure(it, "not_found", |body| *body = json!({"message": "not found"}));
    }),
    answer("a failure lacks details", "status.unknown-task", |it, _| {
        failure(it, "not_found", |body| remove(&mut body["error"], "details"));
    }),
    answer("a failure says nothing", "status.unknown-task", |it, _| {
        failure(it, "not_found", |body| body["error"]["message"] = json!(""));
    }),
    answer("a failure has another code", "status.unknown-task", |it, _| {
        failure(it, "not_found", |body| body["error"]["code"] = json!("notFound"));
    }),
    answer("a failure is told as HTML", "status.unknown-task", |it, _| {
        if it.status == 404 {
            it.headers.insert("content-type", "text/html".parse().expect("a value"));
        }
    }),
    answer("every ninth answer is a fault of the runtime", "status.order", |it, memory| {
        if it.path.starts_with("/api/") && memory.count("answers").is_multiple_of(9) {
            it.status = 500;
            let failure = json!({"error": {"code": "internal", "message": "it failed", "details": null}});
            it.body = failure.to_string().into_bytes();
        }
    }),
    answer("a reading breaks", "submit.success", |it, _| {
        if it.path.ends_with("/events") {
            it.status = 500;
        }
    }),
    answer("a content type is another", "document.answers", |it, _| {
        it.headers.insert("content-type", "text/html".parse().expect("a value"));
    }),
    answer("a header is gone", "document.answers", |it, _| drop(it.headers.remove("x-request-id"))),
    answer("liveness says another word", "health.alive", |it, _| {
        it.json(|body| replace(body, "status", json!("up")));
    }),
    answer("liveness has no version", "health.alive", |it, _| it.json(|body| remove(body, "version"))),
    answer("readiness is refused by a runtime that works", "health.ready", |it, _| {
        if it.path == "/readyz" {
            it.status = 503;
        }
    }),
    answer("readiness is liveness by another name", "health.ready", |it, _| {
        it.json(|body| replace(body, "status", json!("ok")));
    }),
];
