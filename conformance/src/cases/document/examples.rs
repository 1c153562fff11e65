//! The examples of the document: a reader copies them.

use serde_json::{Value, json};
use ureq::http::Method;

use super::constraints::lacks_means;
use crate::case::{Context, Fault, Faults, NotPassed, Outcome, skipped};
use crate::client::Call;
use crate::document::Document;

/// Each example is as the schema beside it says.
pub fn valid(context: &Context) -> Outcome {
    let document = context.document()?;
    let mut faults = Faults::default();
    let mut seen = 0;
    for (name, schema) in document.schemas() {
        seen += 1;
        faults.note(agrees(document, name, schema))?;
        for (field, schema) in schema["properties"].as_object().into_iter().flatten() {
            faults.note(agrees(document, &format!("{name}.{field}"), schema))?;
        }
    }
    if seen == 0 { Err(skipped("the document has no components")) } else { faults.outcome() }
}

fn agrees(document: &Document, name: &str, schema: &Value) -> Outcome {
    let Some(example) = schema.get("example") else { return Ok(()) };
    let fault = |error: String| Fault {
        rule: format!("the example of {name} in the document is as its schema says: {error}"),
        request: "GET /openapi.json".to_owned(),
        response: example.to_string(),
    };
    let validator = document.compile(schema).map_err(|error| NotPassed::from(fault(error)))?;
    validator.validate(example).map_err(|error| fault(error.to_string()).into())
}

/// Sent as they stand, they do what the reader expects, but for the `task_id`, which is given once.
pub fn work(context: &Context) -> Outcome {
    let document = context.document()?;
    let schema = document.operation("submit_task")?.request();
    let schema = document.resolve(schema.ok_or_else(|| skipped("the document says nothing of a submission's body"))?);
    let mut bodies = vec![schema["example"].clone()];
    let kinds = document.resolve(&schema["properties"]["execution"]);
    let kinds = kinds["oneOf"].as_array().into_iter().flatten().map(|kind| document.resolve(kind));
    bodies.extend(kinds.map(|kind| json!({"execution": kind["example"]})));
    let mut faults = Faults::default();
    for mut body in bodies {
        body["task_id"] = json!(context.fresh_id());
        let answer = context.offer(&body)?;
        let accepted = answer.status == 200 || lacks_means(&answer);
        faults.note(answer.expect(accepted, "the example of a request works"))?;
        if answer.status == 200 {
            let id = body["task_id"].as_str().unwrap_or_default();
            faults.note(followed_up(context, document, id, body["control_context"]["owner"].as_str()))?;
        }
    }
    faults.outcome()
}

/// The examples of the parameters of all that can be asked of a task.
fn followed_up(context: &Context, document: &Document, id: &str, owner: Option<&str>) -> Outcome {
    for operation in document.operations().iter().filter(|operation| operation.path.contains("/{task_id}")) {
        let mut path = operation.path.replace("{task_id}", id);
        if path.contains('{') || ![Method::GET, Method::POST].contains(&operation.method) {
            continue;
        }
        let mut call_owner = None;
        for parameter in operation.parameters() {
            let (name, example) = (parameter["name"].as_str().unwrap_or_default(), &parameter["example"]);
            let text = example.as_str().map_or_else(|| example.to_string(), str::to_owned);
            match parameter["in"].as_str() {
                Some("query") if !example.is_null() => {
                    let separator = if path.contains('?') { '&' } else { '?' };
                    path = format!("{path}{separator}{name}={text}");
                }
                Some("header") if name == "x-execgo-owner" => call_owner = owner.map(|_| text),
                _ => {}
            }
        }
        let call = Call::new(operation.method.clone(), &path);
        let call = call_owner.iter().fold(call, |call, owner| call.header("x-execgo-owner", owner));
        let answer = context.client.send(call)?;
        // A task that has not ended has left nothing yet.
        if answer.status == 409 && operation.path.contains("/{task_id}/files") {
            continue;
        }
        answer.expect_status(200, &format!("the examples of {}'s parameters work", operation.id))?;
    }
    Ok(())
}
