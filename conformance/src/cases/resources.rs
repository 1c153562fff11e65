//! The ledger: what is reserved and what is left.

use std::time::Instant;

use serde_json::{Value, json};

use super::status::{kill, millis, parse};
use crate::case::{Case, Context, Level, NotPassed, Outcome, sh, skipped};
use crate::client::Exchange;

use Level::{Beyond, Must};

pub const CASES: &[Case] = &[
    Case { id: "resources.law", section: "Resources", level: Must, run: law },
    Case { id: "resources.as-asked", section: "Resources", level: Must, run: as_asked },
    Case { id: "resources.waiting", section: "Resources", level: Must, run: waiting },
    Case { id: "resources.released", section: "Resources", level: Must, run: released },
    Case { id: "resources.busy", section: "Resources", level: Must, run: busy },
    Case { id: "resources.too-much", section: "Errors", level: Must, run: too_much },
    Case { id: "resources.tenants", section: "Resources", level: Beyond, run: tenants },
];

const KINDS: [&str; 3] = ["task_slots", "memory_bytes", "pids"];
/// To fill a machine with more slots than this would be rude.
const MAX_SLOTS: u64 = 64;
/// More than the slots show a ledger that does not count them.
const MAX_TASKS: usize = 80;

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

/// Several tasks at once, each with limits of its own.
fn as_asked(context: &Context) -> Outcome {
    let asked = [(256_u64 << 20, 8), (512 << 20, 16)];
    let submit = |(memory, pids): &(u64, u64)| {
        let mut request = sh("sleep 600");
        request["limits"] = json!({"memory_bytes": memory, "pids_max": pids});
        context.submit(&request)
    };
    let ids = asked.iter().map(submit).collect::<Result<Vec<_>, _>>()?;
    let seen = ids.iter().try_for_each(|id| context.running(id).map(drop)).and_then(|()| snapshot(context));
    end_all(context, &ids)?;
    let seen = seen?;
    adds_up(&seen)?;
    for (id, (memory, pids)) in ids.iter().zip(asked) {
        let held = reservations(&seen).find(|held| held["task_id"] == json!(id)).unwrap_or(&Value::Null);
        let reservation = json!({"task_slots": 1, "memory_bytes": memory, "pids": pids});
        seen.expect(held["reservation"] == reservation, &format!("{id} holds what it asked for: {reservation}"))?;
        seen.expect(held["status"] == "running", &format!("{id} is running"))?;
        let status = context.status(id)?;
        let reserved_at = held["reserved_at"].as_str().and_then(parse).unwrap_or_default();
        let between = millis(&status, "created_at")? <= reserved_at && reserved_at <= millis(&status, "started_at")?;
        seen.expect(between, "created_at ≤ reserved_at ≤ started_at")?;
    }
    Ok(())
}

fn waiting(context: &Context) -> Outcome {
    let before = snapshot(context)?.body["accepted_waiting_tasks"].as_u64().unwrap_or_default();
    with_a_waiting_task(context, &sh("true"), |id| {
        let full = snapshot(context)?;
        adds_up(&full)?;
        full.expect_field("/available/task_slots", &json!(0))?;
        full.expect_field("/accepted_waiting_tasks", &json!(before + 1))?;
        full.expect(!holds(&full, id), "a task that waits holds no reservation")?;
        kill(context, id)?;
        let after = snapshot(context)?;
        after.expect_field("/accepted_waiting_tasks", &json!(before))
    })
}

/// By whatever end.
fn released(context: &Context) -> Outcome {
    let mut late = sh("sleep 600");
    late["limits"] = json!({"wall_time_ms": 100});
    let missing = json!({"execution": {"kind": "command", "program": "/nonexistent/program"}});
    for request in [sh("true"), sh("exit 3"), sh("kill -KILL $$"), late, missing] {
        let id = context.submit(&request)?;
        context.ended(&id)?;
        let after = snapshot(context)?;
        adds_up(&after)?;
        after.expect(!holds(&after, &id), "a task that has ended holds no reservation")?;
    }
    Ok(())
}

/// One view is consistent, whatever happens at that moment.
fn busy(context: &Context) -> Outcome {
    let ids = (0..16).map(|_| context.submit(&sh("sleep 0.02"))).collect::<Result<Vec<_>, _>>()?;
    let deadline = Instant::now() + context.patience.get();
    loop {
        let view = snapshot(context)?;
        adds_up(&view)?;
        if !ids.iter().any(|id| holds(&view, id)) && view.body["accepted_waiting_tasks"] == json!(0) {
            break;
        }
        view.expect(Instant::now() < deadline, "16 short tasks end in time")?;
    }
    ids.iter().try_for_each(|id| context.ended(id)?.expect_field("/status", &json!("success")))
}

fn too_much(context: &Context) -> Outcome {
    let view = snapshot(context)?;
    adds_up(&view)?;
    let mut checked = false;
    for (kind, limit) in [("memory_bytes", "memory_bytes"), ("pids", "pids_max")] {
        let Some(capacity) = view.body["capacity"][kind].as_u64() else { continue };
        let mut request = sh("true");
        request["limits"] = json!({limit: capacity + 1});
        let refused = context.offer(&request)?;
        refused.expect_failure(400, "insufficient_resources", &format!("more {kind} than there can be is refused"))?;
        refused.expect_field("/error/details/asked", &json!(capacity + 1))?;
        refused.expect_field("/error/details/limit", &json!(capacity))?;
        checked = true;
    }
    if checked { Ok(()) } else { Err(skipped("the runtime has no capacity of memory and none of processes")) }
}

fn tenants(context: &Context) -> Outcome {
    let view = snapshot(context)?;
    adds_up(&view)?;
    let tenants = view.body["tenants"].as_array().cloned().unwrap_or_default();
    let name = tenants.iter().find_map(|tenant| tenant["tenant"].as_str());
    let name = name.ok_or_else(|| skipped("no tenant has a quota"))?;
    let mut request = sh("sleep 600");
    request["control_context"] = json!({"tenant": name});
    let id = context.submit(&request)?;
    let seen = context.running(&id).and_then(|_| snapshot(context));
    end_all(context, std::slice::from_ref(&id))?;
    let seen = seen?;
    let tenant = seen.body["tenants"].as_array().into_iter().flatten().find(|tenant| tenant["tenant"] == name);
    let tenant = tenant.cloned().unwrap_or_default();
    seen.expect(tenant["reserved"]["task_slots"].as_u64() >= Some(1), "a task counts against its tenant's quota")?;
    for kind in KINDS {
        let Some(quota) = tenant["quota"][kind].as_u64() else { continue };
        let amount = |part: &str| tenant[part][kind].as_u64().unwrap_or_default();
        let adds_up = amount("reserved") + amount("available") == quota;
        seen.expect(adds_up, &format!("{kind} of the tenant: reserved + available = quota"))?;
    }
    Ok(())
}

/// Checks something with a machine whose slots are all taken, and a task that waits for one. All of them have ended
/// when it returns.
pub fn with_a_waiting_task(context: &Context, request: &Value, check: impl Fn(&str) -> Outcome) -> Outcome {
    let mut ids = Vec::new();
    let checked = fill(context, &mut ids).and_then(|()| {
        ids.push(context.submit(request)?);
        check(&ids[ids.len() - 1])
    });
    end_all(context, &ids)?;
    checked
}

fn fill(context: &Context, ids: &mut Vec<String>) -> Outcome {
    loop {
        let view = snapshot(context)?;
        adds_up(&view)?;
        match view.body["available"]["task_slots"].as_u64() {
            Some(0) => return Ok(()),
            Some(1..=MAX_SLOTS) if ids.len() < MAX_TASKS => {}
            free => return Err(skipped(format!("the runtime has {free:?} free slots, too many to fill"))),
        }
        let id = context.submit(&sh("sleep 600"))?;
        ids.push(id.clone());
        context.running(&id)?;
    }
}

fn end_all(context: &Context, ids: &[String]) -> Outcome {
    // The waiting ones first, so that none of them starts.
    ids.iter().rev().try_for_each(|id| kill(context, id).map(drop))?;
    ids.iter().try_for_each(|id| context.ended(id).map(drop))
}

fn snapshot(context: &Context) -> Result<Exchange, NotPassed> {
    let resources = context.client.get("/api/v1/runtime/resources")?;
    resources.expect_status(200, "the ledger can be read")?;
    Ok(resources)
}

fn adds_up(resources: &Exchange) -> Outcome {
    let body = &resources.body;
    resources.expect(body["capacity"]["task_slots"].is_u64(), "capacity.task_slots is a number")?;
    for what in KINDS {
        let amount = |part: &str| body[part][what].as_u64().unwrap_or_default();
        let reserved = amount("reserved");
        let active = reservations(resources).map(|active| active["reservation"][what].as_u64().unwrap_or_default());
        resources
            .expect(active.sum::<u64>() == reserved, &format!("{what}: reserved is the sum of the reservations"))?;
        let Some(capacity) = body["capacity"][what].as_u64() else { continue };
        let sum = reserved + amount("available");
        resources.expect(sum == capacity, &format!("{what}: reserved + available = capacity"))?;
    }
    Ok(())
}

fn holds(resources: &Exchange, id: &str) -> bool {
    reservations(resources).any(|active| active["task_id"] == json!(id))
}

fn reservations(resources: &Exchange) -> impl Iterator<Item = &Value> {
    resources.body["active_reservations"].as_array().into_iter().flatten()
}
