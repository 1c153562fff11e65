//! Wait: a status request that is answered at the end of the task.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::case::{Case, Context, Level, Outcome, sh};

pub const CASES: &[Case] = &[Case { id: "wait.until-end", section: "Wait", level: Level::Beyond, run: until_end }];

fn until_end(context: &Context) -> Outcome {
    let id = context.submit(&sh("sleep 0.3"))?;
    let asked = Instant::now();
    let status = context.client.get(&format!("/api/v1/tasks/{id}?wait_ms=60000"))?;
    status.expect_status(200, "a status request may say how long it waits")?;
    status.expect_field("/status", &json!("success"))?;
    status.expect(asked.elapsed() < Duration::from_secs(50), "the answer comes when the task ends")
}
