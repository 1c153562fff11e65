//! What a client does with the runtime. Each worker keeps one connection.

use std::time::Duration;

use serde_json::{Value, json};
use ureq::Agent;

use crate::machine::PROGRAM;

/// Much longer than any answer takes, the wait for the end of a task included.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
const WAIT_MS: u32 = 10_000;

/// One task: submitted, waited for, successful.
pub fn lifecycle(url: &str) -> impl FnMut() {
    let agent = agent();
    let request = json!({"execution": {"kind": "command", "program": PROGRAM}}).to_string();
    let tasks = format!("{url}/api/v1/tasks");
    move || {
        let accepted = agent.post(&tasks).content_type("application/json").send(&request);
        let accepted = read(accepted);
        let id = accepted["task_id"].as_str().expect("an accepted task has an id");
        let until_end = format!("{tasks}/{id}?wait_ms={WAIT_MS}");
        loop {
            let status = read(agent.get(&until_end).call());
            match status["status"].as_str() {
                Some("accepted" | "running") => {}
                Some("success") => return,
                _ => panic!("the task did not succeed: {status}"),
            }
        }
    }
}

pub fn status_read(url: &str, id: &str) -> impl FnMut() {
    let agent = agent();
    let status = format!("{url}/api/v1/tasks/{id}");
    move || assert_eq!(read(agent.get(&status).call())["status"], "success")
}

/// The id of a task that has succeeded.
pub fn ended_task(url: &str) -> String {
    let request = json!({"execution": {"kind": "command", "program": PROGRAM}}).to_string();
    let tasks = format!("{url}/api/v1/tasks");
    let accepted = read(agent().post(&tasks).content_type("application/json").send(&request));
    let id = accepted["task_id"].as_str().expect("an accepted task has an id").to_owned();
    let status = read(agent().get(format!("{tasks}/{id}?wait_ms={WAIT_MS}")).call());
    assert_eq!(status["status"], "success", "{status}");
    id
}

fn agent() -> Agent {
    Agent::config_builder().proxy(None).timeout_global(Some(ANSWER_WITHIN)).build().into()
}

fn read(answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Value {
    answer.expect("the runtime answers with 200").body_mut().read_json().expect("JSON")
}
