//! Generated inputs: right ones are accepted and come back, wrong ones are refused, and nothing brings the runtime down.

mod bytes;
mod fault;
mod http;
mod round_trip;

use std::time::Instant;

use serde_json::json;

use crate::case::{Case, Context, LOOK_EVERY, Level, Outcome};

use Level::Must;

pub const CASES: &[Case] = &[
    Case { id: round_trip::ID, section: "Submit", level: Must, run: round_trip::holds },
    Case { id: fault::ID, section: "Errors", level: Must, run: fault::holds },
    Case { id: bytes::ID, section: "Errors", level: Must, run: bytes::holds },
    Case { id: http::ID, section: "Errors", level: Must, run: http::holds },
];

/// Run behind all others that make tasks.
pub const LAST: &[Case] =
    &[Case { id: "generated.nothing-left", section: "Resources", level: Must, run: nothing_left }];

/// Behind each input that may have hurt.
fn expect_alive(context: &Context) -> Outcome {
    let alive = context.client.get("/healthz")?;
    alive.expect_status(200, "the runtime still answers")?;
    alive.expect_field("/status", &json!("ok"))
}

/// Every task of this run has ended, also those that nobody asked for again.
fn nothing_left(context: &Context) -> Outcome {
    let deadline = Instant::now() + context.patience.get();
    loop {
        let resources = context.client.get("/api/v1/runtime/resources")?;
        let active = resources.body["active_reservations"].as_array();
        resources.expect(active.is_some(), "the active reservations can be read")?;
        let ids = active.into_iter().flatten().filter_map(|active| active["task_id"].as_str());
        let left: Vec<_> = ids.filter(|id| context.is_ours(id)).collect();
        if left.is_empty() {
            return Ok(());
        }
        resources
            .expect(Instant::now() < deadline, &format!("no task of this run is left behind; these are: {left:?}"))?;
        std::thread::sleep(LOOK_EVERY);
    }
}
