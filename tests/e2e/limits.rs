//! Limits that need no cgroup: each seen from inside the task, and by what becomes of a task that breaks it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::sandbox::{boxed, skipped, whole};
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
        server.run(&limited("ulimit -f; head -c 65536 /dev/zero > fits; exec head -c 65537 /dev/zero > long", &limits));
    assert_eq!((&status["status"], error_code(&status)), (&json!("failed"), "resource_limit_exceeded"), "{status}");
    assert_eq!(status["exit_signal"], libc::SIGXFSZ);
    assert!(status["error"]["message"].as_str().is_some_and(|m| m.contains("limits.file_size_bytes")), "{status}");
    assert_eq!(status["error"]["details"], json!({"file_size_bytes": 65_536}));
    let plan = &status["execution_plan"]["resource_enforcement"];
    assert_eq!((&plan["file_size_bytes"], &plan["file_size_enforced"]), (&json!(65_536), &json!(true)));
    assert_eq!(plan["enforced_by"]["file_size_bytes"], "rlimit");
    let task = server.task_dir(status["task_id"].as_str().expect("an id"));
    let length = |name: &str| task.join(name).metadata().expect("there").len();
    assert_eq!((length("workspace/fits"), length("workspace/long")), (65_536, 65_536));
}

#[test]
fn a_signal_of_that_number_is_no_limit_where_there_is_none() {
    let server = Server::start();
    let status = server.run_sh("kill -XFSZ $$");
    assert_eq!((&status["exit_signal"], error_code(&status)), (&json!(libc::SIGXFSZ), "exit_non_zero"), "{status}");
}

#[test]
fn without_a_cgroup_the_processes_of_a_sandbox_are_limited_by_its_user() {
    for server in [Server::with_flags(&["--disable-cgroup"]), Server::rootless_with_flags(&["--disable-cgroup"])] {
        let Some(server) = whole(server) else { return };
        let manifest = server.get("/api/v1/runtime/capabilities").body;
        if manifest["sandbox"]["rlimit_processes"] != true {
            skipped(&format!("RLIMIT_NPROC is not counted for each sandbox here: {}", manifest["warnings"]));
            continue;
        }
        // The shell, and three beside it.
        let script = "for i in 1 2 3; do sleep 60 & done; sleep 60 & echo not reached";
        let mut request = boxed(script);
        request["limits"] = json!({"pids_max": 4});
        let others: Vec<String> = (0..3).map(|_| server.submit(&boxed("sleep 60"))).collect();
        let status = server.run(&request);
        assert!(status["stderr"].as_str().is_some_and(|text| text.to_lowercase().contains("fork")), "{status}");
        let plan = &status["execution_plan"]["resource_enforcement"];
        assert_eq!((&plan["pids_enforced"], &plan["enforced_by"]["pids_max"]), (&json!(true), &json!("rlimit")));
        request["execution"]["args"][1] = json!("for i in 1 2 3; do true & done; wait; echo fits");
        let fits = server.run(&request);
        assert_eq!(fits["stdout"], "fits\n", "other tasks do not count: {fits}");
        others.iter().for_each(|id| drop(server.kill(id, None)));
    }
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

/// No file is too long, but there is no end of them.
const HOARD: &str = "i=0; while :; do head -c 100000 /dev/zero > f$i; i=$((i+1)); done";

fn assert_workspace_exceeded(status: &Value) {
    assert_eq!((&status["status"], error_code(status)), (&json!("failed"), "resource_limit_exceeded"), "{status}");
    let message = status["error"]["message"].as_str().expect("text");
    assert!(message.contains("limits.workspace_bytes"), "{status}");
}

#[test]
fn a_task_that_fills_its_workspace_is_ended() {
    let server = Server::start();
    for profile in ["process", "linux_sandbox"] {
        let mut request = limited(HOARD, &json!({"workspace_bytes": 1 << 20}));
        request["sandbox"] = json!({"profile": profile});
        let status = server.run(&request);
        assert_workspace_exceeded(&status);
        let details = &status["error"]["details"];
        assert_eq!(details["workspace_bytes"], 1 << 20);
        assert!(details["found_bytes"].as_u64().is_some_and(|bytes| bytes > 1 << 20), "{status}");
        assert_eq!(status["exit_signal"], libc::SIGTERM, "{status}");
        let plan = &status["execution_plan"];
        let enforced = &plan["resource_enforcement"];
        assert_eq!((&enforced["workspace_bytes"], &enforced["workspace_enforced"]), (&json!(1 << 20), &json!(true)));
        assert_eq!(enforced["enforced_by"]["workspace_bytes"], "measurement");
        assert!(plan["capability_warnings"].to_string().contains("no quota"), "{plan}");
        let types = server.event_types(status["task_id"].as_str().expect("an id"));
        assert!(!types.iter().any(|t| t == "timeout_triggered" || t == "kill_requested"), "{types:?}");
    }
}

#[test]
fn a_task_that_ignores_sigterm_is_killed_for_its_workspace() {
    let server = Server::with_flags(&["--termination-grace-ms", "100"]);
    let status = server.run(&limited(
        "trap '' TERM; for i in 1 2 3; do head -c 500000 /dev/zero > $i; done; sleep 99 & wait; while :; do :; done",
        &json!({"workspace_bytes": 1 << 20}),
    ));
    assert_workspace_exceeded(&status);
    assert_eq!(status["exit_signal"], libc::SIGKILL, "{status}");
}

#[test]
fn a_task_that_ends_over_its_limit_has_failed() {
    let server = Server::start();
    let limits = json!({"workspace_bytes": 1 << 20});
    let status = server.run(&limited("for i in 1 2 3; do head -c 500000 /dev/zero > $i; done", &limits));
    assert_workspace_exceeded(&status);
    assert_eq!(status["exit_code"], 0, "{status}");
    let tidy = "for i in 1 2 3 4 5; do head -c 500000 /dev/zero > f; rm f; done; mkdir a; ln -s . a/loop; : > a/b";
    assert_eq!(server.run(&limited(tidy, &limits))["status"], "success");
    let deep =
        server.run(&limited("d=d; i=1; while [ $i -lt 300 ]; do d=$d/d; i=$((i+1)); done; mkdir -p $d", &limits));
    assert_workspace_exceeded(&deep);
    assert!(deep["error"]["message"].as_str().is_some_and(|m| m.contains("deeply")), "{deep}");
}

#[test]
fn no_single_file_is_longer_than_the_workspace_may_be() {
    let server = Server::start();
    let limits = json!({"workspace_bytes": 1 << 20, "file_size_bytes": 1 << 30});
    let status = server.run(&limited("exec head -c 2000000 /dev/zero > f", &limits));
    assert_workspace_exceeded(&status);
    assert_eq!(
        (&status["exit_signal"], &status["error"]["details"]),
        (&json!(libc::SIGXFSZ), &json!({"workspace_bytes": 1 << 20}))
    );
}

#[test]
fn a_rootless_runtime_finds_what_a_task_has_hidden_when_it_has_ended() {
    let server = Server::rootless();
    // Hidden before it grows, or a measurement would find it meanwhile and end the task.
    let script =
        "mkdir h; exec 3> h/1 4> h/2 5> h/3; chmod 0 h; for i in 3 4 5; do head -c 500000 /dev/zero >&$i; done";
    let status = server.run(&limited(script, &json!({"workspace_bytes": 1 << 20})));
    assert_workspace_exceeded(&status);
    let hidden = server.task_dir(status["task_id"].as_str().expect("an id")).join("workspace/h");
    assert_eq!(fs::metadata(&hidden).expect("there").permissions().mode() & 0o777, 0, "its mode is the task's");
    fs::set_permissions(&hidden, fs::Permissions::from_mode(0o700)).expect("for the clean-up");
}
