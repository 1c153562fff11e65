//! The command line against a live server.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::support::{Server, sh};

fn cli(server: &str, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_execgo-runtime"));
    command.args(args).env("EXECGO_RUNTIME_URL", server).env_remove("EXECGO_RUNTIME_OWNER").stdin(Stdio::null());
    command.output().expect("the program runs")
}

fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"))
}

#[test]
fn run_prints_the_final_status_and_exits_by_the_outcome() {
    let server = Server::start();
    let ok = cli(&server.url, &["run", "--", "/bin/sh", "-c", "echo hi"]);
    assert_eq!(ok.status.code(), Some(0), "{ok:?}");
    assert_eq!((&json_of(&ok)["status"], &json_of(&ok)["stdout"]), (&json!("success"), &json!("hi\n")));
    let failed = cli(&server.url, &["run", "--json", &sh("exit 4").to_string()]);
    assert_eq!((failed.status.code(), &json_of(&failed)["exit_code"]), (Some(1), &json!(4)));
    let refused = cli(&server.url, &["run", "--json", "{\"execution\":{}}"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("invalid_input"), "{refused:?}");
    let late = cli(&server.url, &["run", "--timeout-ms", "300", "--", "sleep", "99"]);
    assert_eq!(late.status.code(), Some(3), "{late:?}");
}

#[test]
fn the_verbs_work_together() {
    let server = Server::start();
    let submitted = cli(&server.url, &["submit", "--owner", "ann", "--", "sleep", "99"]);
    let id = json_of(&submitted)["task_id"].as_str().expect("an id").to_owned();
    assert_eq!(json_of(&cli(&server.url, &["status", &id]))["task_id"], json!(id));
    assert_eq!(cli(&server.url, &["kill", &id]).status.code(), Some(2), "not the owner");
    assert_eq!(cli(&server.url, &["kill", &id, "--owner", "ann"]).status.code(), Some(0));
    let waited = cli(&server.url, &["wait", &id]);
    assert_eq!((waited.status.code(), &json_of(&waited)["status"]), (Some(1), &json!("cancelled")));
    assert_eq!(cli(&server.url, &["status", "nobody"]).status.code(), Some(2));
    assert_eq!(cli("http://127.0.0.1:1", &["status", &id]).status.code(), Some(2), "unreachable");
}

#[test]
fn a_request_is_read_from_standard_input() {
    let server = Server::start();
    let mut child = Command::new(env!("CARGO_BIN_EXE_execgo-runtime"))
        .args(["run", "--file", "-", "--server", &server.url])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program runs");
    child.stdin.take().expect("piped").write_all(sh("echo piped").to_string().as_bytes()).expect("written");
    let output = child.wait_with_output().expect("waited");
    assert_eq!(json_of(&output)["stdout"], "piped\n");
}

#[test]
fn config_show_names_file_environment_and_flag() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("own.yaml");
    std::fs::write(&file, "queue:\n  max_queued_tasks: 7\n").expect("written");
    let output = Command::new(env!("CARGO_BIN_EXE_execgo-runtime"))
        .args(["config", "show", "--output", "text", "--max-running-tasks", "3", "--config"])
        .arg(&file)
        .env("EXECGO_RUNTIME_CAPACITY_PIDS", "99")
        .output()
        .expect("the program runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let line = |key: &str| text.lines().find(|l| l.contains(key)).unwrap_or_else(|| panic!("{key}: {text}"));
    assert!(line("queue.max_queued_tasks").contains("own.yaml"));
    assert!(line("ledger.pids").contains("EXECGO_RUNTIME_CAPACITY_PIDS"));
    assert!(line("queue.max_running_tasks").contains("--max-running-tasks"));
    assert!(line("server.listen_addr").contains("default"));
}
