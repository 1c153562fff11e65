//! Liveness and readiness.

use serde_json::json;

use crate::case::{Case, Context, Level, Outcome};

pub const CASES: &[Case] = &[
    Case { id: "health.alive", section: "Health", level: Level::Must, run: alive },
    Case { id: "health.ready", section: "Health", level: Level::Must, run: ready },
];

fn alive(context: &Context) -> Outcome {
    says(context, "/healthz", "ok")
}

fn ready(context: &Context) -> Outcome {
    says(context, "/readyz", "ready")
}

fn says(context: &Context, path: &str, word: &str) -> Outcome {
    let health = context.client.get(path)?;
    health.expect_status(200, "a runtime that works says so")?;
    health.expect_field("/status", &json!(word))?;
    health.expect(health.body["version"].is_string(), "the version is named")
}
