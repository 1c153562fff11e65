//! A request with exactly one thing wrong is refused, by the path of what is wrong, and leaves nothing behind.

use std::collections::BTreeMap;

use proptest::prelude::{Strategy, any};
use proptest::sample::Index;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::round_trip::with_fresh_id;
use crate::case::{Context, NotPassed, Outcome, skipped};
use crate::cases::document::refused;
use crate::document::Document;
use crate::fields::probes;
use crate::generate::{rules, submissions};
use crate::property::for_all;

pub const ID: &str = "generated.one-fault.refused";

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Broken {
    field: String,
    request: Value,
}

pub fn holds(context: &Context) -> Outcome {
    for_all(context, ID, context.inputs, &broken(context.document()?)?, |Broken { field, request }| {
        let request = if field == "task_id" { request } else { &with_fresh_id(context, request) };
        let answer = context.client.post("/api/v1/tasks", request)?;
        refused(&answer, field, &format!("{field}: a request with this one fault is refused"))?;
        let Some(id) = request["task_id"].as_str().filter(|_| field != "task_id") else { return Ok(()) };
        let gone = context.client.get(&format!("/api/v1/tasks/{id}"))?;
        gone.expect_failure(404, "not_found", "a refused submission leaves no task")
    })
}

fn broken(document: &Document) -> Result<impl Strategy<Value = Broken>, NotPassed> {
    let schema = document.operation("submit_task")?.request();
    let schema = schema.ok_or_else(|| skipped("the document says nothing of the body of a submission"))?;
    let chosen = (submissions(document)?, any::<Index>(), any::<Index>());
    Ok(chosen.prop_map(move |(request, kind, which)| {
        // Of each kind as often: nearly all that can be wrong is a type.
        let mut kinds = BTreeMap::from([("together".to_owned(), rules::broken(&request))]);
        for probe in probes(document, schema, &request).into_iter().filter(|probe| !probe.allowed) {
            kinds.entry(format!("{:?}", probe.rule)).or_default().push((probe.field, probe.body));
        }
        let mut kinds: Vec<_> = kinds.into_values().collect();
        let mut all = kinds.swap_remove(kind.index(kinds.len()));
        let (field, request) = all.swap_remove(which.index(all.len()));
        Broken { field, request }
    }))
}
