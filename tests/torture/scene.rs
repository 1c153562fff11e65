//! What the tests of faults share: a runtime, and looks at its tasks that wait with a deadline.

use std::fs;
use std::io::Write;
use std::time::Duration;

use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::api::{Answer, Api};
use crate::plan::Profile;
use crate::processes::Role;
use crate::runtime::{Runtime, until};

pub const SOON: Duration = Duration::from_secs(30);

pub fn started(rootless: bool, prefix: &[&str]) -> Runtime {
    let mut runtime = Runtime::new(Profile::Process, rootless);
    runtime.prefix = prefix.iter().map(|word| (*word).to_owned()).collect();
    runtime.start().unwrap_or_else(|error| panic!("{error}\n{}", runtime.log()));
    runtime
}

/// Whether a fault can be made that only root can make.
pub fn is_root(test: &str) -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        // Past the macros of the test harness, which hide what a passing test prints.
        let _ = writeln!(std::io::stderr(), "SKIPPED {test}: only root can do this");
    }
    root
}

pub fn submit(api: &Api, id: &str, script: &str) -> Answer {
    let execution = json!({"kind": "command", "program": "/bin/sh", "args": ["-c", script]});
    api.post("/api/v1/tasks", &json!({"task_id": id, "execution": execution})).expect("an answer")
}

pub fn accepted(api: &Api, id: &str, script: &str) {
    let answer = submit(api, id, script);
    assert_eq!(answer.status, 200, "{}", answer.body);
}

pub fn status(api: &Api, id: &str) -> Value {
    let answer = api.get(&format!("/api/v1/tasks/{id}")).expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body
}

pub fn end(api: &Api, id: &str) -> Value {
    let ended = || {
        let status = api.get(&format!("/api/v1/tasks/{id}?wait_ms=1000"))?.body;
        matches!(status["status"].as_str(), Some("success" | "failed" | "cancelled")).then_some(status)
    };
    until(SOON, ended).unwrap_or_else(|| panic!("it did not end: {}", status(api, id)))
}

pub fn until_running(api: &Api, id: &str) {
    until(SOON, || (status(api, id)["status"] == "running").then_some(())).expect("it runs");
}

/// A task that waits for the file `go` in its workspace, and then exits with `code`.
pub fn gated(code: u8) -> String {
    format!("until [ -e go ]; do sleep 0.02; done; exit {code}")
}

/// Lets such a task go on.
pub fn open_gate(runtime: &Runtime, id: &str) {
    fs::write(runtime.task_dir(id).join("workspace/go"), "").expect("written");
}

pub fn pid_of(runtime: &Runtime, role: Role) -> Pid {
    let found = until(SOON, || runtime.processes.of_runtime().into_iter().find(|held| held.role == role));
    Pid::from_raw(found.unwrap_or_else(|| panic!("no {role:?}")).pid)
}

pub fn until_gone(runtime: &Runtime, role: Role) {
    let gone = || runtime.processes.of_runtime().iter().all(|held| held.role != role).then_some(());
    until(SOON, gone).unwrap_or_else(|| panic!("a {role:?} is left"));
}
