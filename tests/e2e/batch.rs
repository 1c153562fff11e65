//! Many tasks in one request, against the real dispatcher and store.

use serde_json::{Value, json};

use crate::support::{Server, sh};

fn named(id: &str) -> Value {
    let mut task = sh("exit 0");
    task["task_id"] = json!(id);
    task
}

#[test]
fn a_thousand_tasks_in_one_request_are_stored_in_order_and_all_end() {
    let mut server = Server::with_flags(&["--max-queued-tasks", "1000"]);
    let ids: Vec<String> = (0..1000).map(|n| format!("t{n}")).collect();
    let tasks: Vec<Value> = ids.iter().map(|id| named(id)).collect();
    let answer = server.post("/api/v1/tasks/batch", &json!({"tasks": tasks, "atomic": true}));
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    let results = answer.body["results"].as_array().expect("results");
    let accepted: Vec<_> = results.iter().map(|result| result["task_id"].as_str().expect("accepted")).collect();
    assert_eq!(accepted, ids);
    server.crash();
    server.restart();
    for id in [&ids[0], &ids[500], &ids[999]] {
        assert_eq!(server.wait(id)["status"], "success");
    }
    let first = |id: &String| server.events(id)[0]["seq"].as_u64().expect("a number");
    assert!(ids.iter().map(first).collect::<Vec<_>>().is_sorted(), "queued in the order of the request");
    assert_eq!(server.post("/api/v1/tasks/batch", &json!({"tasks": vec![sh("true"); 1001]})).status, 400);
}

#[test]
fn an_atomic_batch_with_one_refusal_leaves_no_task_and_no_directory() {
    let server = Server::start();
    server.submit(&named("known"));
    server.wait("known");
    let tasks = json!([named("a"), named("b"), named("known")]);
    let answer = server.post("/api/v1/tasks/batch", &json!({"tasks": tasks, "atomic": true}));
    assert_eq!((answer.status, answer.code()), (409, "conflict"));
    assert_eq!(answer.body["error"]["details"], json!({"task_id": "known", "status": "success", "index": 2}));
    for id in ["a", "b"] {
        assert_eq!(server.get(&format!("/api/v1/tasks/{id}")).status, 404);
        assert!(!server.task_dir(id).exists());
    }
    let answer = server.post("/api/v1/tasks/batch", &json!({"tasks": tasks}));
    let results = answer.body["results"].as_array().expect("results");
    assert_eq!(results.iter().filter(|result| result["status"] == "accepted").count(), 2);
    assert_eq!(server.wait("b")["status"], "success");
}
