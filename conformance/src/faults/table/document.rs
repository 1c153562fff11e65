//! Faults that the OpenAPI document shows, and faults of it.

use serde_json::{Value, json};

use crate::faults::mutation::{Mutation, answer, failure, remove, replace, request};

pub const FAULTS: &[Mutation] = &[
    answer("an answer of a success lacks a field", "document.answers", |it, _| {
        it.json(|body| remove(body, "updated_at"));
    }),
    answer("a field has another type", "document.every-answer", |it, _| {
        it.json(|body| replace(body, "version", json!(1)));
    }),
    answer("an absent field is null", "document.answers", |it, _| {
        if it.path.starts_with("/api/v1/tasks/") && it.method == "GET" {
            it.json(|body| {
                body.as_object_mut().map(|body| body.insert("exit_signal".to_owned(), Value::Null));
            });
        }
    }),
    answer("a time is no time", "document.answers", |it, _| {
        it.json(|body| replace(body, "finished_at", json!("soon")));
    }),
    request("an unknown field is let through", "document.unknown-fields", |it| {
        it.json(|body| {
            remove(body, "no_such_field");
            if body.get("limits").is_some() {
                remove(&mut body["limits"], "no_such_field");
            }
        });
    }),
    request("a bound is not kept", "document.minimum", |it| {
        it.json(|body| {
            if body["limits"]["wall_time_ms"] == json!(0) {
                body["limits"]["wall_time_ms"] = json!(1);
            }
        });
    }),
    answer("a fault is told of another field", "document.pattern", |it, _| {
        failure(it, "invalid_input", |body| body["error"]["message"] = json!("something is wrong"));
    }),
    request("unknown parameters are passed over", "document.parameters", |it| {
        it.path = it.path.split('?').next().unwrap_or_default().to_owned();
    }),
    answer("the document promises less", "document.kept", |it, _| {
        if it.path == "/openapi.json" {
            it.json(|body| remove(&mut body["paths"], "/readyz"));
        }
    }),
    answer("the document cannot be read", "document.served", |it, _| {
        if it.path == "/openapi.json" {
            it.status = 500;
        }
    }),
];
