//! Reservations, refusals, quotas, and who goes first.

use serde_json::{Value, json};

use crate::support::{Server, sh};

fn with(script: &str, limits: &Value, tenant: Option<&str>) -> Value {
    let mut request = sh(script);
    request["limits"] = limits.clone();
    if let Some(tenant) = tenant {
        request["control_context"] = json!({"tenant": tenant});
    }
    request
}

/// `reserved + available = capacity`, and `reserved` is the sum of the active reservations.
fn check(resources: &Value) {
    for kind in ["task_slots", "memory_bytes", "pids"] {
        let Some(capacity) = resources["capacity"][kind].as_u64() else { continue };
        let number = |part: &str| resources[part][kind].as_u64().expect("a number");
        assert_eq!(number("reserved") + number("available"), capacity, "{kind}: {resources}");
        let active = resources["active_reservations"].as_array().expect("an array");
        let sum: u64 = active.iter().map(|a| a["reservation"][kind].as_u64().unwrap_or(0)).sum();
        assert_eq!(number("reserved"), sum, "{kind}: {resources}");
    }
}

#[test]
fn amounts_are_reserved_while_a_task_runs_and_come_back() {
    let server = Server::with_flags(&["--capacity-memory-bytes", "1000000000", "--capacity-pids", "100"]);
    let id = server.submit(&with("sleep 99", &json!({"memory_bytes": 600_000_000, "pids_max": 60}), None));
    server.until_running(&id);
    let waiting = server.submit(&with("true", &json!({"memory_bytes": 500_000_000}), None));
    let resources = server.resources();
    check(&resources);
    assert_eq!(resources["reserved"], json!({"task_slots": 1, "memory_bytes": 600_000_000, "pids": 60}));
    assert_eq!(resources["accepted_waiting_tasks"], 1);
    assert_eq!(resources["active_reservations"][0]["task_id"], json!(id));
    assert_eq!(resources["active_reservations"][0]["status"], "running");
    server.kill(&id, None);
    assert_eq!(server.wait(&waiting)["status"], "success");
    server.wait(&id);
    let resources = server.resources();
    check(&resources);
    assert_eq!(resources["reserved"]["task_slots"], 0);
    assert_eq!(server.status(&id)["reservation"]["memory_bytes"], 600_000_000, "kept for audit");
}

#[test]
fn what_can_never_fit_is_refused_with_its_field() {
    let server = Server::with_flags(&["--capacity-memory-bytes", "1000", "--tenant-quota", "acme=slots:1,pids:5"]);
    let refused = server.post("/api/v1/tasks", &with("true", &json!({"memory_bytes": 1001}), None));
    assert_eq!((refused.status, refused.code()), (400, "insufficient_resources"));
    assert!(refused.message().contains("limits.memory_bytes"), "{}", refused.message());
    let refused = server.post("/api/v1/tasks", &with("true", &json!({"pids_max": 6}), Some("acme")));
    assert_eq!((refused.status, refused.code()), (400, "insufficient_resources"));
    assert!(refused.message().contains("acme"), "{}", refused.message());
}

#[test]
fn a_full_queue_answers_429_and_retry_after() {
    let server = Server::with_flags(&["--max-running-tasks", "1", "--max-queued-tasks", "1"]);
    let first = server.submit_sh("sleep 99");
    let second = server.submit_sh("true");
    let full = server.post("/api/v1/tasks", &sh("true"));
    assert_eq!((full.status, full.code()), (429, "resource_limit_exceeded"));
    server.kill(&first, None);
    assert_eq!(server.wait(&second)["status"], "success");
}

#[test]
fn a_tenant_at_its_quota_waits_and_others_do_not() {
    let server = Server::with_flags(&["--tenant-quota", "acme=slots:1"]);
    let first = server.submit(&with("sleep 99", &json!({}), Some("acme")));
    server.until_running(&first);
    let second = server.submit(&with("true", &json!({}), Some("acme")));
    assert_eq!(server.run(&with("true", &json!({}), Some("other")))["status"], "success");
    assert_eq!(server.status(&second)["status"], "accepted");
    let tenants = server.resources()["tenants"].clone();
    assert_eq!(tenants[0]["tenant"], "acme");
    assert_eq!(tenants[0]["quota"]["task_slots"], 1);
    assert_eq!(tenants[0]["reserved"]["task_slots"], 1);
    assert_eq!(tenants[0]["available"]["task_slots"], 0);
    server.kill(&first, None);
    assert_eq!(server.wait(&second)["status"], "success");
}
