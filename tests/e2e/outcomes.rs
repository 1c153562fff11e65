//! Every way in which a task can end.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Server, eventually, is_alive, sh};

fn limited(script: &str, limits: &Value) -> Value {
    let mut request = sh(script);
    request["limits"] = limits.clone();
    request
}

fn error_code(status: &Value) -> &str {
    status["error"]["code"].as_str().unwrap_or("none")
}

#[test]
fn exit_codes_and_signals_are_exact() {
    let server = Server::start();
    let seven = server.run_sh("exit 7");
    assert_eq!((&seven["status"], &seven["exit_code"], seven.get("exit_signal")), (&json!("failed"), &json!(7), None));
    assert_eq!((error_code(&seven), &seven["error"]["details"]), ("exit_non_zero", &json!({"exit_code": 7})));
    let segv = server.run_sh("kill -SEGV $$");
    assert_eq!((&segv["exit_signal"], segv.get("exit_code")), (&json!(11), None));
    assert_eq!(segv["error"]["details"], json!({"exit_signal": 11, "signal": "SIGSEGV"}));
    assert_eq!(segv["error"]["message"], "killed by signal 11 (SIGSEGV)");
}

#[test]
fn a_failed_launch_names_its_step_and_errno() {
    let server = Server::start();
    let missing = server.run(&json!({"execution": {"kind": "command", "program": "/no/such/program"}}));
    assert_eq!((&missing["status"], error_code(&missing)), (&json!("failed"), "launch_failed"));
    let message = missing["error"]["message"].as_str().expect("text");
    assert!(message.contains("/no/such/program") && message.contains("ENOENT"), "{message}");
    assert!(missing.get("started_at").is_none() && missing.get("exit_code").is_none());
    let own_path = json!({"execution": {"kind": "command", "program": "sh", "env": {"PATH": "/nowhere"}}});
    assert_eq!(error_code(&server.run(&own_path)), "launch_failed");
    let directory = json!({"execution": {"kind": "command", "program": "/etc"}});
    let message = server.run(&directory)["error"]["message"].as_str().expect("text").to_owned();
    assert!(message.contains("EACCES"), "{message}");
}

#[test]
fn a_timeout_ends_everything_even_what_ignores_sigterm() {
    let server = Server::with_flags(&["--termination-grace-ms", "200"]);
    let script = "trap '' TERM; sleep 99 & setsid sleep 98 & echo $! > pid; while :; do sleep 0.1; done";
    let status = server.run(&limited(script, &json!({"wall_time_ms": 300})));
    assert_eq!((&status["status"], error_code(&status)), (&json!("failed"), "timeout"));
    assert_eq!(status["exit_signal"], 9);
    let id = status["task_id"].as_str().expect("an id");
    let types = server.event_types(id);
    let end = &types[types.len() - 3..];
    assert_eq!(end, ["timeout_triggered", "resource_released", "failed"], "{types:?}");
    let pid = fs::read_to_string(server.task_dir(id).join("workspace/pid")).expect("there");
    assert!(!is_alive(pid.trim().parse().expect("a pid")), "the child that called setsid lives");
    let duration = status["duration_ms"].as_u64().expect("a number");
    assert!((450..5000).contains(&duration), "{duration}");
}

#[test]
fn a_kill_reaches_a_child_that_called_setsid() {
    let server = Server::start();
    let id = server.submit_sh("setsid sleep 99 & echo $! > pid; echo ready; sleep 99");
    server.until_output(&id, "ready");
    let answer = server.kill(&id, None);
    assert_eq!((answer.status, &answer.body["status"]), (200, &json!("running")));
    let status = server.wait(&id);
    assert_eq!((&status["status"], error_code(&status)), (&json!("cancelled"), "cancelled"));
    let pid = fs::read_to_string(server.task_dir(&id).join("workspace/pid")).expect("there");
    assert!(!is_alive(pid.trim().parse().expect("a pid")));
    assert_eq!(server.kill(&id, None).body, status, "idempotent");
    let kills = server.event_types(&id).iter().filter(|t| *t == "kill_requested").count();
    assert_eq!(kills, 1);
}

#[test]
fn a_waiting_task_is_cancelled_at_once() {
    let server = Server::with_flags(&["--max-running-tasks", "1"]);
    let first = server.submit_sh("sleep 99");
    let second = server.submit_sh("echo never");
    let answer = server.kill(&second, None);
    assert_eq!((&answer.body["status"], answer.body.get("started_at")), (&json!("cancelled"), None));
    assert!(answer.body.get("reservation").is_none());
    assert!(server.task_dir(&second).join("result.json").exists());
    let types = server.event_types(&second);
    assert_eq!(types, ["submitted", "accepted", "planned", "kill_requested", "cancelled"]);
    server.kill(&first, None);
    server.wait(&first);
}

#[test]
fn only_the_owner_kills() {
    let server = Server::start();
    let mut request = sh("sleep 99");
    request["control_context"] = json!({"owner": "ann"});
    let id = server.submit(&request);
    for wrong in [None, Some("bob")] {
        let refused = server.kill(&id, wrong);
        assert_eq!((refused.status, refused.code()), (403, "permission_denied"));
    }
    assert_eq!(server.kill(&id, Some("ann")).status, 200);
    assert_eq!(server.wait(&id)["status"], "cancelled");
    assert_eq!(server.kill("nobody", None).status, 404);
}

#[test]
fn the_cpu_limit_is_told_from_other_signals() {
    let server = Server::start();
    let soft = server.run(&limited("while :; do :; done", &json!({"cpu_time_sec": 1})));
    assert_eq!((&soft["exit_signal"], error_code(&soft)), (&json!(24), "cpu_limit_exceeded"), "{soft}");
    let ignoring = server.run(&limited("trap '' XCPU; while :; do :; done", &json!({"cpu_time_sec": 1})));
    assert_eq!((&ignoring["exit_signal"], error_code(&ignoring)), (&json!(9), "cpu_limit_exceeded"), "{ignoring}");
    assert_eq!(soft["execution_plan"]["resource_enforcement"]["cpu_time_enforced"], true);
}

#[test]
fn without_cgroups_limits_hold_inside_the_task_as_the_plan_says() {
    let server = Server::with_flags(&["--disable-cgroup"]);
    let status =
        server.run(&limited("ulimit -v; ulimit -St; ulimit -Ht", &json!({"memory_bytes": 1 << 30, "cpu_time_sec": 9})));
    assert_eq!(status["stdout"], "1048576\n9\n10\n");
    let plan = &status["execution_plan"];
    assert_eq!(plan["resource_enforcement"]["memory_enforced"], true);
    assert_eq!(plan["resource_enforcement"]["cgroup_enforced"], false);
    assert_eq!(plan["degraded"], false);
    let pids = server.run(&limited("true", &json!({"pids_max": 5})));
    assert_eq!(pids["execution_plan"]["resource_enforcement"]["pids_enforced"], false);
    assert!(pids["execution_plan"]["fallback_reasons"][0].as_str().is_some_and(|r| r.contains("pids_max")));
    let share = server.run(&limited("true", &json!({"cpu_millis": 500})));
    assert_eq!(share["execution_plan"]["resource_enforcement"]["cpu_enforced"], false);
    assert!(share["execution_plan"]["fallback_reasons"][0].as_str().is_some_and(|r| r.contains("cpu_millis")));
    let types = server.event_types(pids["task_id"].as_str().expect("an id"));
    assert_eq!(types[3], "degraded");
}

#[test]
fn a_daemon_that_holds_the_output_holds_up_nobody() {
    let server = Server::start();
    let status =
        server.run_sh("(setsid sh -c 'echo $$ > pid; exec sleep 99' &) ; until [ -s pid ]; do :; done; echo done");
    assert_eq!((&status["status"], &status["stdout"]), (&json!("success"), &json!("done\n")));
    let id = status["task_id"].as_str().expect("an id");
    let pid = fs::read_to_string(server.task_dir(id).join("workspace/pid")).expect("there");
    let pid = pid.trim().parse().expect("a pid");
    eventually("the daemon is gone", || (!is_alive(pid)).then_some(()));
}

#[test]
fn usage_counts_the_whole_tree() {
    let server = Server::start();
    let status = server.run_sh("sh -c 'i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done' & wait");
    let usage = &status["usage"];
    assert!(usage["user_cpu_ms"].as_u64().is_some_and(|ms| ms > 20), "{usage}");
    assert!(usage["duration_ms"].is_u64());
}

#[test]
fn strict_refuses_what_adaptive_degrades() {
    let server = Server::start();
    let mut request = sh("echo ran");
    request["sandbox"] = json!({"profile": "linux_sandbox"});
    let sandbox_works = server.get("/api/v1/runtime/capabilities").body["sandbox"]["linux_sandbox"] == true;
    let adaptive = server.run(&request);
    assert_eq!(adaptive["execution_plan"]["degraded"], !sandbox_works);
    assert_eq!(adaptive["stdout"], "ran\n");
    for demand in [
        json!({"policy": {"capability_mode": "strict"}}),
        json!({"control_context": {"requires_strict_sandbox": true}}),
    ] {
        let mut strict = request.clone();
        strict.as_object_mut().expect("an object").extend(demand.as_object().expect("an object").clone());
        let answer = server.post("/api/v1/tasks", &strict);
        if sandbox_works {
            assert_eq!(answer.status, 200);
        } else {
            assert_eq!((answer.status, answer.code()), (400, "unsupported_capability"), "{answer:?}");
            assert!(answer.message().contains("linux_sandbox"));
        }
    }
}
