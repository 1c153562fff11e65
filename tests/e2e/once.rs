//! Requests under an `Idempotency-Key`: done once, whatever happens in between.

use std::thread;

use serde_json::{Value, json};

use crate::support::{Server, eventually, sh};

fn request(server: &Server, path: &str, key: &str, body: &Value) -> (u16, bool, Value) {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let request = agent.post(format!("{}{path}", server.url)).header("idempotency-key", key);
    let mut answer = request.send_json(body).expect("answered");
    let is_replayed = answer.headers().get("idempotent-replayed").is_some();
    (answer.status().as_u16(), is_replayed, answer.body_mut().read_json().expect("JSON"))
}

fn submit(server: &Server, key: &str, body: &Value) -> (u16, bool, Value) {
    request(server, "/api/v1/tasks", key, body)
}

#[test]
fn a_request_is_done_once_also_when_it_comes_at_once_from_many_or_behind_a_crash() {
    let mut server = Server::start();
    let script = sh("echo done >> ../../../count");
    let answers: Vec<_> = thread::scope(|scope| {
        let asked: Vec<_> = (0..8).map(|_| scope.spawn(|| submit(&server, "k", &script))).collect();
        asked.into_iter().map(|one| one.join().expect("asks")).collect()
    });
    assert_eq!(answers.iter().filter(|(_, is_replayed, _)| !is_replayed).count(), 1, "{answers:?}");
    let first = answers[0].2.clone();
    assert!(answers.iter().all(|(status, _, answer)| *status == 200 && *answer == first), "{answers:?}");
    server.crash();
    server.restart();
    assert_eq!(submit(&server, "k", &script), (200, true, first.clone()));
    server.wait(first["task_id"].as_str().expect("an id"));
    let count = std::fs::read_to_string(server.data_dir().join("count")).expect("written");
    assert_eq!(count, "done\n");
    assert_eq!(submit(&server, "k", &sh("true")).0, 409);
}

#[test]
fn a_key_is_free_again_when_the_tasks_are_forgotten() {
    let server = Server::with_flags(&["--result-retention-secs", "1", "--gc-interval-ms", "50"]);
    let tasks = json!({"tasks": [sh("true"), sh("true")]});
    let (_, _, first) = request(&server, "/api/v1/tasks/batch", "k", &tasks);
    eventually("a new answer", || {
        let (_, is_replayed, answer) = request(&server, "/api/v1/tasks/batch", "k", &tasks);
        (!is_replayed && answer != first).then_some(())
    });
}
