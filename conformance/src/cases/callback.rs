//! Callbacks that are refused. Those that are allowed are told by the configuration, which a client cannot see.

use serde_json::{Value, json};

use crate::case::{Case, Context, Outcome, sh, skipped, with};

pub const CASES: &[Case] = &[
    Case::beyond("callback.url", "Callbacks", |it| {
        refused(it, &["", "hooks", "ftp://192.0.2.1/", "http://u:p@192.0.2.1/"])
    }),
    // TEST-NET-1 (RFC 5737): nobody is there.
    Case::beyond("callback.allowed", "Callbacks", |it| {
        refused(it, &["http://192.0.2.1/", "https://192.0.2.1:8443/a?b"])
    }),
];

fn refused(context: &Context, urls: &[&str]) -> Outcome {
    let document = context.document()?;
    let schema = document.operation("submit_task")?.request().map(|schema| document.resolve(schema));
    if schema.is_none_or(|schema| schema["properties"].get("callback").is_none()) {
        return Err(skipped("the document knows no callback"));
    }
    for url in urls {
        let callback: Value = json!({"callback": {"url": url}});
        let answer = context.offer(&with(sh("true"), callback))?;
        answer.expect_failure(400, "invalid_input", "a URL that may not be told is refused")?;
        answer.expect_field("/error/details/field", &json!("callback.url"))?;
        answer.expect(answer.message().contains("callback.url"), "the message names the field")?;
    }
    Ok(())
}
