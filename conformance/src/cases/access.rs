//! What a runtime that asks for tokens gives to those who have none.

use ureq::http::Method;

use crate::case::{Case, Context, NotPassed, Outcome, sh, skipped};
use crate::client::{Call, Exchange};

pub const CASES: &[Case] = &[
    Case::beyond("access.token.none", "Tokens", |it| refuses(it, Call::anonymous)),
    Case::beyond("access.token.unknown", "Tokens", |it| {
        refuses(it, |call| call.header("authorization", "Bearer unknown"))
    }),
    Case::beyond("access.token.empty", "Tokens", |it| refuses(it, |call| call.header("authorization", "Bearer "))),
    Case::beyond("access.token.scheme", "Tokens", |it| refuses(it, |call| call.header("authorization", "Basic eDp5"))),
    Case::beyond("access.open", "Tokens", open),
];

fn needs_token(context: &Context) -> Outcome {
    if context.client.has_token() { Ok(()) } else { Err(skipped("this run has no token")) }
}

fn refuses(context: &Context, without: impl Fn(Call) -> Call) -> Outcome {
    needs_token(context)?;
    let id = context.submit(&sh("sleep 600"))?;
    let task = format!("/api/v1/tasks/{id}");
    let calls = [
        Call::new(Method::POST, "/api/v1/tasks").json(&sh("true")),
        Call::new(Method::GET, &task),
        Call::new(Method::GET, &format!("{task}/events")),
        Call::new(Method::POST, &format!("{task}/kill")).bytes(Vec::new()),
        Call::new(Method::GET, "/api/v1/runtime/info"),
        Call::new(Method::GET, "/api/v1/runtime/capabilities"),
        Call::new(Method::GET, "/api/v1/runtime/config"),
        Call::new(Method::GET, "/api/v1/runtime/resources"),
    ];
    for call in calls {
        let answer = context.client.send(without(call))?;
        answer.expect_failure(401, "unauthenticated", "without a known token nothing is told and nothing done")?;
        answer.expect(challenges(&answer), "a 401 names the scheme in WWW-Authenticate (RFC 9110, 11.6.1)")?;
    }
    let events = context.client.get(&format!("{task}/events"))?;
    let is_asked = events.body.as_array().into_iter().flatten().any(|event| event["event_type"] == "kill_requested");
    events.expect(!is_asked, "a refused kill does nothing")
}

fn challenges(answer: &Exchange) -> bool {
    let challenge = answer.headers.get("www-authenticate").and_then(|value| value.to_str().ok());
    challenge.is_some_and(|value| value.to_ascii_lowercase().starts_with("bearer"))
}

fn open(context: &Context) -> Result<(), NotPassed> {
    needs_token(context)?;
    for (path, field) in [("/healthz", "status"), ("/readyz", "status"), ("/openapi.json", "openapi")] {
        let answer = context.client.send(Call::new(Method::GET, path).anonymous())?;
        answer.expect_status(200, "probers have no token")?;
        answer.expect(answer.body[field].is_string(), "what is open to all answers as ever")?;
    }
    Ok(())
}
