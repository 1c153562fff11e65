//! The rules of the schema of a submission: at the bound it is accepted, and one step past it refused by name.

use serde_json::json;

use crate::case::{Context, Faults, Outcome, skipped};
use crate::client::Exchange;
use crate::fields::{Probe, Rule, probes};

pub fn required(context: &Context) -> Outcome {
    holds(context, Rule::Required)
}

pub fn types(context: &Context) -> Outcome {
    holds(context, Rule::Type)
}

pub fn null(context: &Context) -> Outcome {
    holds(context, Rule::Nullable)
}

pub fn unknown(context: &Context) -> Outcome {
    holds(context, Rule::Unknown)
}

pub fn minimum(context: &Context) -> Outcome {
    holds(context, Rule::Minimum)
}

pub fn maximum(context: &Context) -> Outcome {
    holds(context, Rule::Maximum)
}

pub fn length(context: &Context) -> Outcome {
    holds(context, Rule::Length)
}

pub fn pattern(context: &Context) -> Outcome {
    holds(context, Rule::Pattern)
}

pub fn words(context: &Context) -> Outcome {
    holds(context, Rule::Enum)
}

fn holds(context: &Context, rule: Rule) -> Outcome {
    let document = context.document()?;
    let schema = document.operation("submit_task")?.request();
    let schema = schema.ok_or_else(|| skipped("the document says nothing of the body of a submission"))?;
    // Adaptive: what this machine cannot enforce is not the question.
    let policy = json!({"capability_mode": "adaptive"});
    let command = json!({"execution": {"kind": "command", "program": "true"}, "policy": policy});
    let script = json!({"execution": {"kind": "script", "script": "true"}, "policy": policy});
    let mut all = probes(document, schema, &command);
    all.extend(probes(document, schema, &script).into_iter().filter(|probe| probe.field.starts_with("execution.")));
    all.retain(|probe| probe.rule == rule);
    if all.is_empty() {
        return Err(skipped("the document has no such rule"));
    }
    let mut faults = Faults::default();
    for probe in &all {
        faults.note(check(context, probe))?;
    }
    faults.outcome()
}

fn check(context: &Context, probe: &Probe) -> Outcome {
    let Probe { field, rule, body, allowed } = probe;
    let mut body = body.clone();
    // No bound on the length of an id must meet the id of an earlier run.
    let long = body["task_id"].as_str().filter(|_| *allowed).map(str::len);
    if let Some(length) = long {
        body["task_id"] = json!(id_of(context, length));
    }
    let answer = context.offer(&body)?;
    if *allowed {
        let is_short_id = long.is_some_and(|length| length < 8) && answer.status == 409;
        let accepted = answer.status == 200 || is_short_id || lacks_means(&answer);
        return answer.expect(accepted, &format!("{field}: what {rule:?} allows in the document is accepted"));
    }
    refused(&answer, field, &format!("{field}: what {rule:?} forbids in the document is refused"))
}

/// The request is right, and this machine cannot do it.
pub fn lacks_means(answer: &Exchange) -> bool {
    let code = answer.body["error"]["code"].as_str().unwrap_or_default();
    answer.status == 400 && ["unsupported_capability", "insufficient_resources"].contains(&code)
}

/// The failure is the caller's, and names the field; an element may be named by what it is in.
pub fn refused(answer: &Exchange, field: &str, rule: &str) -> Outcome {
    answer.expect_failure(400, "invalid_input", rule)?;
    let whole = field.split('[').next().unwrap_or(field);
    answer.expect(answer.message().contains(whole), &format!("{rule}: the message names {field}"))?;
    let named = &answer.body["error"]["details"]["field"];
    let agrees = named.is_null() || [field, whole].iter().any(|field| named == field);
    answer.expect(agrees, &format!("{rule}: details.field is {field}"))
}

/// An id of this length that no task has, where it is long enough for that.
fn id_of(context: &Context, length: usize) -> String {
    let fresh = context.fresh_id();
    let tail: String = fresh.chars().rev().take(length).collect::<Vec<_>>().into_iter().rev().collect();
    format!("{}{tail}", "a".repeat(length.saturating_sub(tail.len())))
}
