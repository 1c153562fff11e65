//! Limits that need no cgroup: each seen from inside the task, and by what becomes of a task that breaks it.

use serde_json::{Value, json};

use crate::support::{Server, sh};

fn limited(script: &str, limits: &Value) -> Value {
    let mut request = sh(script);
    request["limits"] = limits.clone();
    request
}

fn error_code(status: &Value) -> &str {
    status["error"]["code"].as_str().unwrap_or("none")
}

#[test]
fn a_file_longer_than_the_limit_ends_its_writer() {
    let server = Server::start();
    let limits = json!({"file_size_bytes": 65_536});
    let status =
        server.run(&limited("ulimit -f; head -c 65536 /dev/zero > fits; exec head -c 65537 /dev/zero", &limits));
    assert_eq!((&status["status"], error_code(&status)), (&json!("failed"), "resource_limit_exceeded"), "{status}");
    assert_eq!(status["exit_signal"], libc::SIGXFSZ);
    assert!(status["error"]["message"].as_str().is_some_and(|m| m.contains("limits.file_size_bytes")), "{status}");
    assert_eq!(status["error"]["details"], json!({"file_size_bytes": 65_536}));
    let plan = &status["execution_plan"]["resource_enforcement"];
    assert_eq!((&plan["file_size_bytes"], &plan["file_size_enforced"]), (&json!(65_536), &json!(true)));
    assert_eq!(plan["enforced_by"], json!({"wall_time_ms": "timer", "file_size_bytes": "rlimit"}));
    let task = server.task_dir(status["task_id"].as_str().expect("an id"));
    let length = |name: &str| task.join(name).metadata().expect("there").len();
    // The log is a file that the command writes, too.
    assert_eq!((length("workspace/fits"), length("stdout.log")), (65_536, 65_536));
}

#[test]
fn a_signal_of_that_number_is_no_limit_where_there_is_none() {
    let server = Server::start();
    let status = server.run_sh("kill -XFSZ $$");
    assert_eq!((&status["exit_signal"], error_code(&status)), (&json!(libc::SIGXFSZ), "exit_non_zero"), "{status}");
}

#[test]
fn open_files_are_limited_and_the_command_starts_all_the_same() {
    let server = Server::start();
    let status = server.run(&limited("ulimit -Sn; ulimit -Hn; exec 20</dev/null", &json!({"open_files": 16})));
    assert_eq!(status["stdout"], "16\n16\n", "{status}");
    assert_ne!(status["exit_code"], 0, "{status}");
    let plan = &status["execution_plan"]["resource_enforcement"];
    assert_eq!((&plan["open_files"], &plan["open_files_enforced"]), (&json!(16), &json!(true)));
    assert_eq!(plan["enforced_by"]["open_files"], "rlimit");
    let most = server.run(&limited("ulimit -n", &json!({"open_files": 1_048_576})));
    assert_eq!(most["status"], "success", "more than the server's own hard limit is lowered to it: {most}");
    for bad in [json!(15), json!(1_048_577), json!(-1), json!(16.5)] {
        let answer = server.post("/api/v1/tasks", &limited("true", &json!({"open_files": bad})));
        assert_eq!((answer.status, answer.code()), (400, "invalid_input"));
        let told = format!("limits.open_files must be an integer from 16 to 1048576, not {bad}");
        assert_eq!(answer.message(), told);
    }
}

#[test]
fn the_same_limits_hold_in_a_sandbox() {
    let server = Server::start();
    let mut request = limited("ulimit -n; ulimit -f", &json!({"file_size_bytes": 1_048_576, "open_files": 32}));
    request["sandbox"] = json!({"profile": "linux_sandbox"});
    // Where there is no sandbox the task runs as a plain process, with the same limits.
    let status = server.run(&request);
    assert_eq!((&status["status"], &status["stdout"]), (&json!("success"), &json!("32\n2048\n")), "{status}");
}
