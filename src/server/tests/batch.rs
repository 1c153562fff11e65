//! Many tasks in one request.

use poem::http::Method;
use serde_json::{Value, json};

use super::{Answer, Server, command};

/// A batch of requests for `/bin/true`, each with more fields.
pub(super) fn batch(tasks: &[Value]) -> String {
    let tasks: Vec<Value> =
        tasks.iter().map(|more| serde_json::from_str(&command(more.clone())).expect("JSON")).collect();
    json!({"tasks": tasks}).to_string()
}

fn atomic(tasks: &[Value]) -> String {
    batch(tasks).replacen('{', r#"{"atomic":true,"#, 1)
}

impl Server {
    async fn batch(&self, body: String) -> Answer {
        self.post("/api/v1/tasks/batch", body).await
    }

    async fn knows(&self, id: &str) -> bool {
        self.get(&format!("/api/v1/tasks/{id}")).await.status == 200
    }
}

#[tokio::test]
async fn each_task_is_accepted_or_refused_by_itself_and_told_in_order() {
    let server = Server::new();
    server.accept("known").await;
    let tasks = [
        json!({"task_id": "a"}),
        json!({"task_id": "b", "limits": {"memory_bytes": 2_u64 << 30}}),
        json!({"task_id": ".."}),
        json!({"task_id": "known"}),
        json!({"task_id": "a"}),
        json!({"task_id": "c"}),
        json!({"task_id": "d"}),
    ];
    let answer = server.batch(batch(&tasks)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let results = answer.json()["results"].clone();
    assert_eq!(results[0], json!({"task_id": "a", "handle_id": "a", "status": "accepted"}));
    let told: Vec<_> = results.as_array().expect("results")[1..]
        .iter()
        .map(|result| (result["error"]["code"].as_str(), result["error"]["details"]["index"].as_u64()))
        .collect();
    let expected = [
        (Some("insufficient_resources"), Some(1)),
        (Some("invalid_input"), None),
        (Some("conflict"), Some(3)),
        (Some("conflict"), Some(4)),
        (None, None),
        (Some("resource_limit_exceeded"), None),
    ];
    assert_eq!(told, expected);
    assert_eq!(results[2]["error"]["details"], json!({"field": "tasks[2].task_id"}));
    assert!(results[2]["error"]["message"].as_str().expect("text").starts_with("tasks[2].task_id "));
    assert!(results[4]["error"]["message"].as_str().expect("text").contains("twice in the batch"), "{results}");
    assert!(server.knows("c").await && !server.knows("d").await);
    assert!(server.dir.path().join("tasks/c/request.json").exists());
}

#[tokio::test]
async fn an_atomic_batch_is_taken_whole_or_leaves_nothing() {
    let server = Server::new();
    server.accept("known").await;
    let refused = [
        (vec![json!({"task_id": "a"}), json!({"metadata": {"a": "\u{0}"}})], 400, "tasks[1].metadata.a "),
        (
            vec![json!({"task_id": "a"}), json!({"limits": {"pids_max": 5, "memory_bytes": 2_u64 << 30}})],
            400,
            "tasks[1]: ",
        ),
        (vec![json!({"task_id": "a"}), json!({"task_id": "known"})], 409, "tasks[1]: a task with task_id known "),
        (vec![json!({"task_id": "a"}), json!({"task_id": "a"})], 409, "tasks[1]: the task_id a stands twice"),
        (vec![json!({"task_id": "a"}), json!({}), json!({})], 429, "the queue is full"),
    ];
    for (tasks, expected, begin) in refused {
        let answer = server.batch(atomic(&tasks)).await;
        let (status, _, message) = answer.fault();
        assert_eq!(status, expected, "{message}");
        assert!(message.starts_with(begin), "{message}");
        assert_eq!(answer.headers.contains_key("retry-after"), status == 429);
        assert!(!server.knows("a").await, "{message}");
    }
    let answer = server.batch(atomic(&[json!({"task_id": "a"}), json!({"task_id": "b"})])).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(server.knows("a").await && server.knows("b").await);
}

#[tokio::test]
async fn what_is_no_batch_is_refused_whole_by_its_path() {
    let server = Server::new();
    let misspelt = batch(&[json!({"task_id": "a"}), json!({"limits": {"wall_time": 1}})]);
    for (body, field) in [
        ("{}".to_owned(), "tasks"),
        (r#"{"tasks": []}"#.to_owned(), "tasks"),
        (r#"{"tasks": [[]]}"#.to_owned(), "tasks[0]"),
        (json!({"tasks": {}}).to_string(), "tasks"),
        (r#"{"tasks": [], "atomic": 1}"#.to_owned(), "atomic"),
        (r#"{"tasks": [], "all": true}"#.to_owned(), "all"),
        (misspelt, "tasks[1].limits.wall_time"),
    ] {
        let answer = server.batch(body.clone()).await;
        let (status, code, _) = answer.fault();
        assert_eq!((status, code.as_str()), (400, "invalid_input"), "{body}");
        assert_eq!(answer.json()["error"]["details"], json!({"field": field}), "{body}");
    }
    // Small, so that they fit into the body that this server takes.
    let task = r#"{"execution":{"kind":"command"}}"#;
    let short = |n: usize| format!(r#"{{"tasks":[{}]}}"#, vec![task; n].join(","));
    let (_, _, message) = server.batch(short(0)).await.fault();
    assert_eq!(message, "tasks must hold 1 to 1000 tasks, not 0");
    assert!(!server.knows("a").await);
}

#[tokio::test]
async fn a_drained_runtime_takes_no_batch() {
    let server = Server::new();
    server.post("/api/v1/runtime/drain", "{}").await;
    for body in [batch(&[json!({})]), atomic(&[json!({})])] {
        let answer = server.batch(body).await;
        assert_eq!(answer.fault().0, 503, "{}", answer.text);
        assert_eq!(answer.headers["retry-after"], "1");
    }
}

#[tokio::test]
async fn a_task_may_be_called_batch() {
    let server = Server::new();
    server.accept("batch").await;
    let status = server.get("/api/v1/tasks/batch?wait_ms=0").await;
    assert_eq!((status.status.as_u16(), &status.json()["task_id"]), (200, &json!("batch")));
    assert_eq!(server.send(Method::HEAD, "/api/v1/tasks/batch", &[], ()).await.status, 200);
    assert_eq!(server.get("/api/v1/tasks/batch/events").await.status, 200);
    assert_eq!(server.send(Method::POST, "/api/v1/tasks/batch/kill", &[], ()).await.status, 200);
    let answer = server.send(Method::PUT, "/api/v1/tasks/batch", &[], ()).await;
    assert_eq!(answer.headers["allow"], "DELETE, GET, HEAD, POST");
    let (status, _, message) = server.send(Method::GET, "/api/v1/tasks/batch?no=1", &[], ()).await.fault();
    assert_eq!(status, 400, "{message}");
}
