//! What a task writes: kept up to a limit of each stream, and no longer than the task lives.

use std::fs;
use std::os::unix::fs::MetadataExt;

use serde_json::{Value, json};

use crate::support::{Server, sh};

const CAP: u64 = 1 << 20;

fn capped(script: &str, limits: Value) -> Value {
    let mut request = sh(script);
    request["limits"] = limits;
    request
}

/// The sizes of the two logs.
fn sizes(server: &Server, status: &Value) -> (u64, u64) {
    let dir = server.task_dir(status["task_id"].as_str().expect("an id"));
    let size = |name: &str| fs::metadata(dir.join(name)).expect("there").size();
    (size("stdout.log"), size("stderr.log"))
}

#[test]
fn output_without_end_ends_its_task_at_the_limit_of_its_stream() {
    let profiles = [json!("process"), json!("linux_sandbox")];
    for (server, profile) in
        [Server::start(), Server::rootless()].iter().flat_map(|s| profiles.iter().map(move |p| (s, p)))
    {
        let mut request = capped("echo err >&2; yes", json!({"stdout_log_max_bytes": CAP}));
        request["sandbox"] = json!({"profile": profile});
        let status = server.run(&request);
        let error = &status["error"];
        assert_eq!(
            (&status["status"], &error["code"]),
            (&json!("failed"), &json!("resource_limit_exceeded")),
            "{status}"
        );
        assert_eq!(error["details"], json!({"stream": "stdout", "stdout_log_max_bytes": CAP}));
        assert_eq!(error["message"], "wrote more to stdout than limits.stdout_log_max_bytes (1048576 bytes)");
        assert_eq!(status["exit_signal"], libc::SIGTERM, "{status}");
        assert_eq!(sizes(server, &status), (CAP, 4));
        let plan = &status["execution_plan"]["resource_enforcement"];
        assert_eq!(
            (&plan["stdout_log_max_bytes"], &plan["enforced_by"]["stdout_log_max_bytes"]),
            (&json!(CAP), &json!("pipe"))
        );
    }
}

#[test]
fn each_stream_has_its_own_limit_and_one_byte_decides() {
    let server = Server::with_flags(&["--log-max-bytes", "1000"]);
    let fits = capped("head -c 1000 /dev/zero; head -c 10 /dev/zero >&2", json!({"stderr_log_max_bytes": 10}));
    let status = server.run(&fits);
    assert_eq!((&status["status"], sizes(&server, &status)), (&json!("success"), (1000, 10)), "{status}");
    let longer = capped("trap '' TERM; head -c 11 /dev/zero >&2", json!({"stderr_log_max_bytes": 10}));
    let status = server.run(&longer);
    // It has exited by itself, and still not all of its output was kept.
    assert_eq!((&status["status"], &status["exit_code"]), (&json!("failed"), &json!(0)), "{status}");
    assert_eq!(status["error"]["details"], json!({"stream": "stderr", "stderr_log_max_bytes": 10}));
    assert_eq!(sizes(&server, &status), (0, 10));
    let status = server.run_sh("head -c 1001 /dev/zero");
    assert_eq!(status["error"]["details"], json!({"stream": "stdout", "stdout_log_max_bytes": 1000}), "{status}");
    assert_eq!(server.get("/api/v1/runtime/config").body["log_max_bytes"], 1000);
}

#[test]
fn a_task_over_its_limit_may_still_end_in_its_own_way_and_is_killed_if_it_does_not() {
    let server = Server::with_flags(&["--termination-grace-ms", "300"]);
    let limits = json!({"stdout_log_max_bytes": 10});
    let tidy = "trap 'echo cleaned > done; exit 7' TERM; head -c 70000 /dev/zero; while :; do :; done";
    let status = server.run(&capped(tidy, limits.clone()));
    assert_eq!(
        (&status["exit_code"], &status["error"]["code"]),
        (&json!(7), &json!("resource_limit_exceeded")),
        "{status}"
    );
    let workspace = server.task_dir(status["task_id"].as_str().expect("an id")).join("workspace");
    assert_eq!(fs::read_to_string(workspace.join("done")).expect("written"), "cleaned\n");
    let stubborn = server.run(&capped("trap '' TERM; yes", limits));
    assert_eq!(stubborn["exit_signal"], libc::SIGKILL, "{stubborn}");
    assert_eq!(sizes(&server, &stubborn).0, 10);
}

#[test]
fn a_child_that_holds_the_output_open_holds_up_nobody() {
    let server = Server::start();
    let status = server.run_sh("setsid sleep 600 & echo begun");
    assert_eq!((&status["status"], &status["stdout"]), (&json!("success"), &json!("begun\n")), "{status}");
    let closed = server.run_sh("exec >&- 2>&-; sleep 0.2; exit 4");
    assert_eq!(closed["exit_code"], 4, "{closed}");
}

#[test]
fn the_streams_can_be_opened_again_by_their_names() {
    for server in [Server::start(), Server::rootless()] {
        for profile in ["process", "linux_sandbox"] {
            let mut request = sh("echo a > /dev/stdout; echo b > /dev/stderr; echo c >> /proc/self/fd/1");
            request["sandbox"] = json!({"profile": profile});
            let status = server.run(&request);
            assert_eq!((&status["stdout"], &status["stderr"]), (&json!("a\nc\n"), &json!("b\n")), "{status}");
        }
    }
}

#[test]
fn output_is_kept_while_the_server_is_away() {
    let mut server = Server::start();
    let id = server.submit(&sh("echo before; until [ -e go ]; do sleep 0.02; done; echo after; exit 5"));
    server.until_output(&id, "before");
    server.crash();
    fs::write(server.task_dir(&id).join("workspace/go"), "").expect("written");
    server.restart();
    let status = server.wait(&id);
    assert_eq!((&status["exit_code"], &status["stdout"]), (&json!(5), &json!("before\nafter\n")), "{status}");
}
