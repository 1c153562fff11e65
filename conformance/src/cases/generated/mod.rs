//! Generated inputs: right ones are accepted and come back, wrong ones are refused, and nothing brings the runtime down.

mod bytes;
mod fault;
mod http;
mod round_trip;

use serde_json::json;

use crate::case::{Case, Context, Level, Outcome};

use Level::Must;

pub const CASES: &[Case] = &[
    Case { id: round_trip::ID, section: "Submit", level: Must, run: round_trip::holds },
    Case { id: fault::ID, section: "Errors", level: Must, run: fault::holds },
    Case { id: bytes::ID, section: "Errors", level: Must, run: bytes::holds },
    Case { id: http::ID, section: "Errors", level: Must, run: http::holds },
];

/// Behind each input that may have hurt.
fn expect_alive(context: &Context) -> Outcome {
    let alive = context.client.get("/healthz")?;
    alive.expect_status(200, "the runtime still answers")?;
    alive.expect_field("/status", &json!("ok"))
}
