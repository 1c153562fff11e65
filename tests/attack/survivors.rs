//! Processes that want to outlive their task, or to make it look well. Each is tried as root and rootless.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::suite::servers;
use crate::support::{Server, descendants, eventually, is_alive, patience, sh, shims_of, signal};

fn boxed(script: &str) -> Value {
    let mut request = sh(script);
    request["sandbox"] = json!({"profile": "linux_sandbox"});
    request["policy"] = json!({"capability_mode": "strict"});
    request
}

fn pid(status: &Value, name: &str) -> u32 {
    u32::try_from(status[name].as_u64().expect("a pid")).expect("a pid")
}

/// Everything below the task's shim, when the task has said that it is ready.
fn processes(server: &Server, id: &str) -> Vec<u32> {
    let running = server.until_output(id, "ready");
    let all = descendants(pid(&running, "shim_pid"));
    assert!(all.len() >= 2, "pid 1 and the command: {all:?}");
    all
}

/// What such a task waits for.
fn go(server: &Server, id: &str) {
    std::fs::write(server.task_dir(id).join("workspace/go"), "").expect("written");
}

fn assert_gone(server: &Server, all: &[u32]) {
    assert!(!all.iter().any(|pid| is_alive(*pid)), "something is left of {all:?}");
    eventually("no shim is left", || shims_of(&server.data_dir()).is_empty().then_some(()));
}

#[test]
fn a_task_that_stops_itself_ends_at_its_timeout() {
    for server in servers(&["--termination-grace-ms", "200"]) {
        let mut request = boxed("echo ready; kill -STOP $$; echo never");
        request["limits"] = json!({"wall_time_ms": 1000 * patience()});
        let id = server.submit(&request);
        let all = processes(&server, &id);
        let status = server.wait(&id);
        assert_eq!((&status["error"]["code"], &status["stdout"]), (&json!("timeout"), &json!("ready\n")), "{status}");
        assert_gone(&server, &all);
    }
}

#[test]
fn a_task_that_kills_all_it_can_is_reported() {
    for server in servers(&[]) {
        let script = "setsid sleep 91 & echo ready; until [ -e go ]; do sleep 0.02; done; kill -9 -1; exit 5";
        let id = server.submit(&boxed(script));
        let all = processes(&server, &id);
        go(&server, &id);
        let status = server.wait(&id);
        // dash does not see its own number in -1: it lives on.
        assert!(status["exit_code"] == 5 || status["exit_signal"] == 9, "{status}");
        assert_eq!(status["status"], "failed", "{status}");
        assert_gone(&server, &all);
    }
}

#[test]
fn a_task_that_ignores_every_signal_that_can_be_ignored_dies_with_its_daemons() {
    const STUBBORN: &str = "trap '' TERM INT HUP QUIT USR1; while :; do sleep 1; done";
    for server in servers(&["--termination-grace-ms", "200"]) {
        // Forked twice, in sessions of their own, the output held open.
        let script =
            format!("(setsid sh -c \"(setsid sh -c \\\"{STUBBORN}\\\") &\" &) ; sleep 0.2; echo ready; {STUBBORN}");
        let id = server.submit(&boxed(&script));
        let all = processes(&server, &id);
        server.kill(&id, None);
        assert_eq!(server.wait(&id)["status"], "cancelled");
        assert_gone(&server, &all);
    }
}

#[test]
fn a_task_outlives_its_killed_server_and_its_result_is_true() {
    for mut server in servers(&[]) {
        let id = server.submit(&boxed("echo ready; until [ -e go ]; do sleep 0.02; done; echo done; exit 3"));
        let all = processes(&server, &id);
        server.crash();
        server.restart();
        assert!(is_alive(pid(&server.status(&id), "pid")), "the sandbox died with its server");
        go(&server, &id);
        let status = server.wait(&id);
        assert_eq!((&status["exit_code"], &status["stdout"]), (&json!(3), &json!("ready\ndone\n")), "{status}");
        assert_gone(&server, &all);
    }
}

#[test]
fn a_killed_init_or_shim_is_no_success() {
    for server in servers(&[]) {
        for victim in ["pid", "shim_pid"] {
            let id = server.submit(&boxed("trap '' TERM; setsid sleep 90 & echo ready; sleep 99"));
            let all = processes(&server, &id);
            signal(pid(&server.status(&id), victim), Signal::SIGKILL);
            assert_eq!(server.wait(&id)["status"], "failed");
            eventually("all is gone", || (!all.iter().any(|pid| is_alive(*pid))).then_some(()));
        }
        eventually("no shim is left", || shims_of(&server.data_dir()).is_empty().then_some(()));
    }
}
