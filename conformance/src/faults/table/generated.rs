//! Faults that only generated inputs meet.

use serde_json::Value;

use crate::faults::mutation::{Mutation, answer, remove, request};

pub const FAULTS: &[Mutation] = &[
    request("a limit is silently another", "generated.valid.round-trip", |it| {
        it.json(|body| remove(&mut body["limits"], "open_files"));
    }),
    request("an argument is lost", "generated.valid.round-trip", |it| {
        it.json(|body| drop(body["execution"]["args"].as_array_mut().filter(|a| a.len() != 3).map(Vec::pop)));
    }),
    request("a fault is let through", "generated.one-fault.refused", |it| {
        it.json(|body| remove_everywhere(body, "no_such_field"));
    }),
    answer("a damaged body is a fault of the runtime", "generated.bytes.no-5xx", |it, _| {
        if it.status == 400 {
            it.status = 500;
        }
    }),
    answer("an unknown path has an answer of its own", "generated.bytes.no-5xx", |it, _| {
        if it.status == 404 {
            it.body = b"not found".to_vec();
        }
    }),
];

fn remove_everywhere(body: &mut Value, name: &str) {
    remove(body, name);
    let inner = body.as_object_mut().into_iter().flat_map(|object| object.values_mut());
    inner.for_each(|value| remove_everywhere(value, name));
}
