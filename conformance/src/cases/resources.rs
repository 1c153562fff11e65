//! The ledger: what is reserved and what is left.

use serde_json::{Value, json};

use crate::case::{Case, Context, Level, NotPassed, Outcome, sh};
use crate::client::Exchange;

pub const CASES: &[Case] = &[Case { id: "resources.law", section: "Resources", level: Level::Must, run: law }];

/// Checked while a task runs, so that there is something to add up.
fn law(context: &Context) -> Outcome {
    let id = context.submit(&sh("sleep 600"))?;
    context.running(&id)?;
    let during = snapshot(context);
    context.client.post_nothing(&format!("/api/v1/tasks/{id}/kill"))?;
    let during = during?;
    adds_up(&during)?;
    during.expect(holds(&during, &id), "a running task is among the active reservations")?;
    context.ended(&id)?;
    let after = snapshot(context)?;
    adds_up(&after)?;
    after.expect(!holds(&after, &id), "an ended task has no active reservation")
}

fn snapshot(context: &Context) -> Result<Exchange, NotPassed> {
    let resources = context.client.get("/api/v1/runtime/resources")?;
    resources.expect_status(200, "the ledger can be read")?;
    Ok(resources)
}

fn adds_up(resources: &Exchange) -> Outcome {
    let body = &resources.body;
    resources.expect(body["capacity"]["task_slots"].is_u64(), "capacity.task_slots is a number")?;
    for what in ["task_slots", "memory_bytes", "pids"] {
        let Some(capacity) = body["capacity"][what].as_u64() else { continue };
        let amount = |part: &str| body[part][what].as_u64().unwrap_or_default();
        let (reserved, available) = (amount("reserved"), amount("available"));
        resources.expect(reserved + available == capacity, &format!("{what}: reserved + available = capacity"))?;
        let active = reservations(resources).map(|active| active["reservation"][what].as_u64().unwrap_or_default());
        resources
            .expect(active.sum::<u64>() == reserved, &format!("{what}: reserved is the sum of the reservations"))?;
    }
    Ok(())
}

fn holds(resources: &Exchange, id: &str) -> bool {
    reservations(resources).any(|active| active["task_id"] == json!(id))
}

fn reservations(resources: &Exchange) -> impl Iterator<Item = &Value> {
    resources.body["active_reservations"].as_array().into_iter().flatten()
}
