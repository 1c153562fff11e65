//! Crashes, restarts, drains: what survives what.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::{Server, deadline, eventually, is_alive, sh, shims_of, signal};
use crate::transport::client;

/// A task that runs until the file `go` is in its workspace, then writes and exits with `code`.
fn gated(code: i32) -> String {
    format!("echo begun; until [ -e go ]; do sleep 0.02; done; echo code {code}; exit {code}")
}

fn open_gate(server: &Server, id: &str) {
    fs::write(server.task_dir(id).join("workspace/go"), "").expect("writable");
}

#[test]
fn running_tasks_survive_a_killed_server_and_a_waiting_one_runs_once() {
    let mut server = Server::with_flags(&["--max-running-tasks", "10"]);
    let ids: Vec<String> = (0..10).map(|code| server.submit_sh(&gated(code))).collect();
    for id in &ids {
        server.until_output(id, "begun");
    }
    let waiting = server.submit_sh("echo ran >> once; cat once");
    server.crash();
    // Half of them end while no server is there, half after it is back.
    for id in &ids[..5] {
        open_gate(&server, id);
    }
    server.restart();
    for id in &ids[5..] {
        open_gate(&server, id);
    }
    for (id, code) in ids.iter().zip(0..) {
        let status = server.wait(id);
        assert_eq!(status["exit_code"], json!(code), "{status}");
        assert_eq!(status["stdout"], format!("begun\ncode {code}\n"));
        assert!(status["usage"]["max_rss_bytes"].is_u64());
        assert_eq!(server.event_types(id).iter().filter(|t| *t == "started").count(), 1);
    }
    assert_eq!(server.wait(&waiting)["stdout"], "ran\n");
    assert_eq!(server.resources()["reserved"]["task_slots"], 0);
    assert!(shims_of(&server.data_dir()).is_empty());
}

#[test]
fn an_adopted_task_is_killed_and_times_out_as_before() {
    let mut server = Server::with_flags(&["--termination-grace-ms", "200"]);
    let killed = server.submit_sh("echo begun; sleep 99");
    let mut slow = sh("echo begun; sleep 99");
    slow["limits"] = json!({"wall_time_ms": 2500});
    let slow = server.submit(&slow);
    server.until_output(&killed, "begun");
    server.until_output(&slow, "begun");
    server.crash();
    server.restart();
    assert_eq!(server.status(&killed)["status"], "running");
    assert!(server.event_types(&killed).contains(&"recovered".to_owned()));
    server.kill(&killed, None);
    assert_eq!(server.wait(&killed)["status"], "cancelled");
    assert_eq!(server.wait(&slow)["error"]["code"], "timeout");
}

/// Its shim holds the grace, and a later server may shorten it.
#[test]
fn a_kill_keeps_its_signal_and_its_grace_over_a_crash() {
    let mut server = Server::start();
    let script = "trap 'echo interrupted' INT; echo begun; while :; do sleep 0.05; done";
    let [soon, late] = [4_000, 600_000].map(|grace_ms| {
        let id = server.submit_sh(script);
        server.until_output(&id, "begun");
        let how = json!({"signal": "SIGINT", "grace_ms": grace_ms});
        assert_eq!(server.post(&format!("/api/v1/tasks/{id}/kill"), &how).body["status"], "running");
        id
    });
    server.crash();
    server.restart();
    for id in [&soon, &late] {
        server.until_output(id, "interrupted");
        assert_eq!(server.status(id)["status"], "running", "the grace goes on");
    }
    let ended = server.wait(&soon);
    assert_eq!((&ended["status"], &ended["exit_signal"]), (&json!("cancelled"), &json!(9)));
    assert_eq!(ended["stdout"], "begun\ninterrupted\n", "the signal came once");
    let now = json!({"signal": "SIGINT", "grace_ms": 0});
    server.post(&format!("/api/v1/tasks/{late}/kill"), &now);
    let ended = server.wait(&late);
    assert_eq!((&ended["status"], &ended["stdout"]), (&json!("cancelled"), &json!("begun\ninterrupted\n")));
}

#[test]
fn a_killed_shim_fails_its_task_and_leaves_nothing() {
    let mut server = Server::start();
    let has_cgroups = server.get("/api/v1/runtime/capabilities").body["resources"]["cgroup_writable"] == true;
    for restart in [false, true] {
        let id = server.submit_sh("setsid sleep 99 & echo $! > pid; echo begun; sleep 99");
        let status = server.until_output(&id, "begun");
        if restart {
            server.crash();
            server.restart();
        }
        let shim = status["shim_pid"].as_u64().expect("a pid");
        let pid = status["pid"].as_u64().expect("a pid");
        signal(u32::try_from(shim).expect("a pid"), Signal::SIGKILL);
        let ended = server.wait(&id);
        assert_eq!((&ended["status"], &ended["error"]["code"]), (&json!("failed"), &json!("internal")), "{ended}");
        assert!(!is_alive(u32::try_from(pid).expect("a pid")));
        let child = fs::read_to_string(server.task_dir(&id).join("workspace/pid")).expect("there");
        let child: u32 = child.trim().parse().expect("a pid");
        if restart && !has_cgroups {
            // Without a cgroup nobody can find a child that left its session once its shim and launcher are gone.
            signal(child, Signal::SIGKILL);
        }
        eventually("the child is gone", || (!is_alive(child)).then_some(()));
    }
}

#[test]
fn what_a_task_left_in_its_session_is_ended_by_the_next_server_without_cgroups() {
    let mut server = Server::with_flags(&["--disable-cgroup"]);
    let id = server.submit_sh("sleep 99 & echo $! > pid; echo begun; sleep 98");
    let status = server.until_output(&id, "begun");
    let launcher = server.launcher_pid();
    server.crash();
    eventually("the launcher has followed its server", || (!is_alive(launcher)).then_some(()));
    let pid = |field: &str| u32::try_from(status[field].as_u64().expect("a pid")).expect("a pid");
    signal(pid("shim_pid"), Signal::SIGKILL);
    let child = fs::read_to_string(server.task_dir(&id).join("workspace/pid")).expect("there");
    let child: u32 = child.trim().parse().expect("a pid");
    eventually("the command has followed its shim", || (!is_alive(pid("pid"))).then_some(()));
    assert!(is_alive(child));
    server.restart();
    eventually("the child is gone", || (!is_alive(child)).then_some(()));
    assert_eq!(server.wait(&id)["error"]["message"], "the task was lost: the task's shim died without a word");
}

#[test]
fn a_killed_launcher_is_replaced_and_its_tasks_go_on() {
    let server = Server::start();
    let running = server.submit_sh(&gated(3));
    server.until_output(&running, "begun");
    let launcher = server.launcher_pid();
    signal(launcher, Signal::SIGKILL);
    eventually("another launcher is there", || (server.launcher_pid() != launcher).then_some(()));
    assert_eq!(server.run_sh("echo after")["stdout"], "after\n");
    open_gate(&server, &running);
    assert_eq!(server.wait(&running)["exit_code"], 3);
    let second = server.submit_sh("echo begun; sleep 99");
    let status = server.until_output(&second, "begun");
    let launcher = server.launcher_pid();
    signal(launcher, Signal::SIGKILL);
    eventually("another launcher is there", || (server.launcher_pid() != launcher).then_some(()));
    signal(u32::try_from(status["shim_pid"].as_u64().expect("a pid")).expect("a pid"), Signal::SIGKILL);
    assert_eq!(server.wait(&second)["error"]["code"], "internal");
}

#[test]
fn a_drain_starts_nothing_ends_well_and_loses_nothing() {
    let mut server = Server::with_flags(&["--max-running-tasks", "1"]);
    let running = server.submit_sh(&gated(5));
    server.until_output(&running, "begun");
    let waiting = server.submit_sh("echo late");
    assert_eq!(server.stop(), Some(0), "{}", server.log());
    assert!(!shims_of(&server.data_dir()).is_empty(), "the task goes on");
    server.restart();
    assert_eq!(server.status(&running)["status"], "running");
    open_gate(&server, &running);
    assert_eq!(server.wait(&running)["exit_code"], 5);
    assert_eq!(server.wait(&waiting)["stdout"], "late\n");
}

/// One running task and two that wait.
fn crowded() -> (Server, String, [String; 2]) {
    let server = Server::with_flags(&["--max-running-tasks", "1"]);
    let running = server.submit_sh(&gated(7));
    server.until_output(&running, "begun");
    let waiting = [server.submit_sh("echo late"), server.submit_sh("echo later")];
    (server, running, waiting)
}

#[test]
fn a_drained_server_answers_starts_nothing_and_keeps_what_waits_for_the_next() {
    let (mut server, running, waiting) = crowded();
    let drained = client(&["drain", "--server", &server.url]);
    assert_eq!(drained.status.code(), Some(0), "{drained:?}");
    assert!(String::from_utf8_lossy(&drained.stdout).contains("\"draining\":true"), "{drained:?}");
    let refused = server.post("/api/v1/tasks", &sh("true"));
    assert_eq!((refused.status, refused.code()), (503, "unavailable"), "{refused:?}");
    assert_eq!(server.get("/readyz").status, 503);
    assert_eq!(server.get("/healthz").status, 200);
    open_gate(&server, &running);
    assert_eq!(server.wait(&running)["exit_code"], 7);
    // The place is free, and nobody takes it.
    assert_eq!(server.resources()["reserved"]["task_slots"], 0);
    assert_eq!(server.status(&waiting[0])["status"], "accepted");
    server.kill(&waiting[1], None);
    assert_eq!(server.wait(&waiting[1])["status"], "cancelled");
    assert_eq!(server.post("/api/v1/runtime/drain", &json!({})).body["draining"], true);
    assert_eq!(server.stop(), Some(0));
    server.restart();
    assert_eq!(server.get("/api/v1/runtime/info").body["draining"], false);
    assert_eq!(server.wait(&waiting[0])["stdout"], "late\n");
}

#[test]
fn a_drain_that_cancels_is_answered_when_nothing_waits_any_more() {
    let (mut server, running, waiting) = crowded();
    let drained = server.post("/api/v1/runtime/drain", &json!({"waiting": "cancel"}));
    assert_eq!((drained.status, &drained.body["draining"]), (200, &json!(true)), "{drained:?}");
    for id in &waiting {
        let status = server.status(id);
        assert_eq!(status["status"], "cancelled", "{status}");
        assert_eq!(status["error"]["message"], "cancelled before it started: the runtime was drained");
        assert!(server.task_dir(id).join("result.json").exists());
        assert_eq!(server.event_types(id), ["submitted", "accepted", "planned", "cancelled"]);
    }
    assert_eq!(server.status(&running)["status"], "running");
    assert_eq!(server.resources()["accepted_waiting_tasks"], 0);
    server.crash();
    server.restart();
    assert_eq!(server.status(&waiting[0])["status"], "cancelled");
    open_gate(&server, &running);
    assert_eq!(server.wait(&running)["exit_code"], 7);
}

#[test]
fn a_second_signal_ends_the_server_at_once() {
    let config = tempfile::NamedTempFile::new().expect("a file");
    fs::write(config.path(), "server:\n  shutdown_timeout_ms: 3600000\n").expect("written");
    let mut server = Server::with_flags(&["--config", &config.path().to_string_lossy()]);
    // A request whose body never comes.
    let mut open = TcpStream::connect(server.url.trim_start_matches("http://")).expect("connects");
    let head = "POST /api/v1/tasks HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    open.write_all(format!("{head}content-length: 9\r\nexpect: 100-continue\r\n\r\n").as_bytes()).expect("sends");
    open.set_read_timeout(Some(deadline())).expect("set");
    let mut told = [0; 12];
    open.read_exact(&mut told).expect("an answer");
    assert_eq!(&told, b"HTTP/1.1 100", "the server reads on");
    signal(server.pid(), Signal::SIGTERM);
    eventually("the first signal was taken", || server.log().contains("SIGTERM: draining").then_some(()));
    assert!(is_alive(server.pid()), "the request is open");
    assert_eq!(server.stop(), Some(0));
    assert!(server.log().contains("stopping at once"), "{}", server.log());
}

#[test]
fn one_server_has_the_data_directory() {
    let server = Server::start();
    let second = server.run_a_second();
    assert!(!second.status.success());
    let message = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(message.contains("in use") && message.contains(&server.url), "{message}");
}

#[test]
fn a_smaller_runtime_fails_what_can_never_start_any_more() {
    let mut server = Server::with_flags(&["--max-running-tasks", "1", "--capacity-memory-bytes", "1000000000"]);
    let running = server.submit_sh(&gated(0));
    server.until_output(&running, "begun");
    let mut large = sh("true");
    large["limits"] = json!({"memory_bytes": 900_000_000});
    let large = server.submit(&large);
    server.crash();
    server.set_flag("--capacity-memory-bytes", "1000");
    server.restart();
    let status = server.wait(&large);
    assert_eq!((&status["status"], &status["error"]["code"]), (&json!("failed"), &json!("resource_limit_exceeded")));
    open_gate(&server, &running);
    server.wait(&running);
}
