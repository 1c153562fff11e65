//! Priorities, times and dependencies, on the real binary.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::support::{Server, eventually, sh};

fn scheduled(script: &str, schedule: &Value) -> Value {
    let mut request = sh(script);
    request["schedule"] = schedule.clone();
    request
}

/// So many milliseconds from now.
fn in_ms(ms: u64) -> String {
    humantime::format_rfc3339_millis(SystemTime::now() + Duration::from_millis(ms)).to_string()
}

fn on(task_id: &str, how: &str) -> Value {
    json!({"depends_on": [{"task_id": task_id, "on": how}]})
}

fn started_at(status: &Value) -> &str {
    status["started_at"].as_str().unwrap_or_else(|| panic!("it was not started: {status}"))
}

#[test]
fn a_higher_priority_starts_first_and_equal_ones_in_their_order() {
    let server = Server::with_flags(&["--max-running-tasks", "1"]);
    let blocker = server.submit_sh("echo begun; sleep 99");
    server.until_output(&blocker, "begun");
    let ids = [-5, 0, 7, 0, 7].map(|priority| server.submit(&scheduled("true", &json!({"priority": priority}))));
    server.kill(&blocker, None);
    let ended = ids.each_ref().map(|id| server.wait(id));
    let mut order: Vec<_> = (0..5).collect();
    let first_event = |n: &usize| {
        let events = server.get(&format!("/api/v1/tasks/{}/events", ids[*n])).body;
        let all = events.as_array().expect("a list");
        all.iter().find(|event| event["event_type"] == "resource_reserved").expect("reserved")["seq"].as_u64()
    };
    order.sort_by_key(first_event);
    assert_eq!(order, [2, 4, 1, 3, 0]);
    assert_eq!(ended[0]["schedule"], json!({"priority": -5}));
    assert!(ended[1].get("schedule").is_none(), "it asks for nothing");
}

#[test]
fn what_is_delayed_dependent_or_expiring_keeps_all_of_it_over_a_crash() {
    let mut server = Server::with_flags(&["--max-running-tasks", "8"]);
    let first = server.submit_sh("echo begun; until [ -e go ]; do sleep 0.02; done");
    server.until_output(&first, "begun");
    let start = in_ms(2500);
    let delayed = server.submit(&scheduled("true", &json!({"start_after": start})));
    let second = server.submit(&scheduled("exit 3", &on(&first, "success")));
    let any_end = server.submit(&scheduled("true", &on(&second, "end")));
    let needs_success = server.submit(&scheduled("true", &on(&second, "success")));
    let mut expiring = on(&first, "end");
    expiring["expires_at"] = json!(in_ms(1500));
    let expiring = server.submit(&scheduled("true", &expiring));
    let waiting = server.status(&second);
    assert_eq!((&waiting["status"], &waiting["waiting_for"]), (&json!("accepted"), &json!({"tasks": [first]})));
    assert_eq!(server.status(&delayed)["waiting_for"], json!({"until": start}));
    server.crash();
    // Its time comes while nobody is there.
    eventually("the expiry has passed", || (in_ms(0) > server_time(&server, &expiring)).then_some(()));
    server.restart();
    let expired = server.wait(&expiring);
    assert_eq!((&expired["status"], &expired["error"]["code"]), (&json!("cancelled"), &json!("cancelled")));
    assert_eq!(expired["error"]["details"]["expires_at"], expired["schedule"]["expires_at"]);
    assert!(expired.get("started_at").is_none());
    std::fs::write(server.task_dir(&first).join("workspace/go"), "").expect("written");
    let second = server.wait(&second);
    assert_eq!(second["exit_code"], 3);
    assert_eq!(server.wait(&any_end)["status"], "success");
    let cancelled = server.wait(&needs_success);
    assert_eq!(cancelled["status"], "cancelled");
    assert_eq!(cancelled["error"]["details"], json!({"task_id": second["task_id"], "status": "failed"}));
    let delayed = server.wait(&delayed);
    assert_eq!(delayed["status"], "success");
    assert!(started_at(&delayed) >= start.as_str(), "{start}: {delayed}");
    assert!(delayed.get("waiting_for").is_none());
}

/// The expiry as the request that is kept has it: the server is away.
fn server_time(server: &Server, id: &str) -> String {
    let request = std::fs::read_to_string(server.task_dir(id).join("request.json")).expect("kept");
    let request: Value = serde_json::from_str(&request).expect("JSON");
    request["schedule"]["expires_at"].as_str().expect("a time").to_owned()
}

#[test]
fn a_dependency_that_is_forgotten_was_heard_of_before() {
    let server =
        Server::with_flags(&["--result-retention-secs", "0", "--gc-interval-ms", "20", "--max-running-tasks", "2"]);
    let blocker = server.submit_sh("echo begun; until [ -e go ]; do sleep 0.02; done");
    server.until_output(&blocker, "begun");
    let first = server.submit_sh("sleep 0.3");
    let mut both = on(&first, "success");
    both["depends_on"].as_array_mut().expect("a list").push(json!({"task_id": blocker}));
    let waiting = server.submit(&scheduled("echo ran; sleep 99", &both));
    eventually("the first one is forgotten", || {
        (server.get(&format!("/api/v1/tasks/{first}")).status == 404).then_some(())
    });
    assert_eq!(server.status(&waiting)["waiting_for"], json!({"tasks": [blocker]}));
    let refused = server.post("/api/v1/tasks", &scheduled("true", &on(&first, "end")));
    assert_eq!(
        (refused.status, &refused.body["error"]["details"]["field"]),
        (400, &json!("schedule.depends_on[0].task_id"))
    );
    std::fs::write(server.task_dir(&blocker).join("workspace/go"), "").expect("written");
    server.until_output(&waiting, "ran");
}
