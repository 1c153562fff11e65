//! Liveness and readiness.

use serde_json::json;

use crate::case::{Case, Context, Outcome};

pub const CASES: &[Case] = &[
    Case::must("health.alive", "Health", |it| says(it, "/healthz", "ok")),
    Case::must("health.ready", "Health", |it| says(it, "/readyz", "ready")),
    Case::beyond("health.query", "Health", |it| {
        says(it, "/healthz?from=a-prober", "ok")?;
        says(it, "/readyz?from=a-prober", "ready")
    }),
];

fn says(context: &Context, path: &str, word: &str) -> Outcome {
    let health = context.client.get(path)?;
    health.expect_status(200, "a runtime that works says so")?;
    health.expect_field("/status", &json!(word))?;
    health.expect(health.body["version"].is_string(), "the version is named")
}
