//! The rules of parameters in path and query.

use serde_json::json;
use ureq::http::Method;

use super::constraints::refused;
use crate::case::{Context, Faults, Outcome, sh, skipped};
use crate::client::Call;

/// Ids that cannot be one, as a path writes them.
const NO_IDS: [&str; 7] = [".", "..", ".hidden", "%2e%2e%2f", "a%2Fb", "a%20b", "%00"];

pub fn enforced(context: &Context) -> Outcome {
    let document = context.document()?;
    let id = context.submit(&sh("true"))?;
    context.ended(&id)?;
    let mut faults = Faults::default();
    let mut seen = 0;
    for operation in document.operations().iter().filter(|operation| operation.method == Method::GET) {
        let path = operation.path.replace("{task_id}", &id);
        for parameter in operation.parameters().filter(|parameter| parameter["in"] == json!("query")) {
            let (name, schema) =
                (parameter["name"].as_str().unwrap_or_default(), document.resolve(&parameter["schema"]));
            if path.contains('{') || schema["type"] != json!("integer") {
                continue;
            }
            seen += 1;
            for (value, allowed) in around(schema["minimum"].as_i64(), schema["maximum"].as_i64()) {
                let answer = context.client.get(&format!("{path}?{name}={value}"))?;
                let rule = format!("{name}={value} of {} is as the document says", operation.id);
                let outcome = if allowed { answer.expect_status(200, &rule) } else { refused(&answer, name, &rule) };
                faults.note(outcome)?;
            }
        }
    }
    for text in NO_IDS.iter().map(|text| (*text).to_owned()).chain(["a".repeat(129)]) {
        for call in [
            Call::new(Method::GET, &format!("/api/v1/tasks/{text}")),
            Call::new(Method::GET, &format!("/api/v1/tasks/{text}/events")),
            Call::new(Method::GET, &format!("/api/v1/tasks/{text}/stdout")),
            Call::new(Method::POST, &format!("/api/v1/tasks/{text}/kill")),
        ] {
            let answer = context.client.send(call)?;
            let refused = answer.status == 404 || answer.status == 400;
            faults.note(answer.expect(refused, "an id that cannot be one is not found, and no other path either"))?;
        }
    }
    if seen == 0 { Err(skipped("the document has no parameter with bounds")) } else { faults.outcome() }
}

fn around(minimum: Option<i64>, maximum: Option<i64>) -> Vec<(String, bool)> {
    let mut values = vec![("soon".to_owned(), false), ("1.5".to_owned(), false), (String::new(), false)];
    if let Some(minimum) = minimum {
        values.extend([(minimum.to_string(), true), ((minimum - 1).to_string(), false)]);
    }
    if let Some(maximum) = maximum {
        values.extend([(maximum.to_string(), true), ((maximum + 1).to_string(), false)]);
    }
    values
}
