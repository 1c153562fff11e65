//! Files that a task leaves behind for the host to stumble over. Each is tried as root and rootless.

use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::rows::Task;
use crate::suite::{manifest, request, servers, skipped};
use crate::support::{SOMEBODY, Server, eventually, sh};

fn done(server: &Server, request: &Value) -> String {
    let status = server.run(request);
    assert_eq!(status["status"], "success", "{}", json!([status["error"], status["stdout"], status["stderr"]]));
    assert!(!status["stdout"].as_str().expect("text").contains("\theld"), "{}", status["stdout"]);
    status["task_id"].as_str().expect("an id").to_owned()
}

/// Inside it counts for nothing; on the host it would be the task's user for whoever runs it.
#[test]
fn a_setuid_file_is_out_of_everybody_s_reach() {
    for server in servers(&[]) {
        let id = done(&server, &request(Task::Usual, "./attack leave-setuid"));
        let file = server.task_dir(&id).join("workspace/setuid");
        assert_eq!(fs::metadata(&file).expect("there").mode() & 0o6000, 0o6000);
        let data_dir = fs::metadata(server.data_dir()).expect("there");
        assert_eq!(data_dir.mode() & 0o077, 0, "the data directory is its owner's alone");
        if !nix::unistd::geteuid().is_root() {
            skipped("running it as somebody else, for this is not run by root");
            continue;
        }
        let parent = server.data_dir().parent().expect("a parent").to_owned();
        fs::set_permissions(parent, Permissions::from_mode(0o755)).expect("opened");
        let stranger = SOMEBODY + 1;
        let run = Command::new(&file).uid(stranger).gid(stranger).stdout(Stdio::null()).spawn();
        assert_eq!(run.expect_err("it ran").kind(), ErrorKind::PermissionDenied);
    }
}

/// What has ended is removed after its time, or because it is measured to be too much, whatever it looks like, and
/// nothing beside it.
#[test]
fn traps_and_depths_are_cleaned_up() {
    let by_age = servers(&["--result-retention-secs", "1", "--gc-interval-ms", "100"]);
    let by_size = servers(&["--retention-max-bytes", "0", "--gc-interval-ms", "100"]);
    for server in by_age.into_iter().chain(by_size) {
        limit_descriptors(&server, 256);
        let outside = tempfile::tempdir().expect("a temporary directory");
        fs::set_permissions(outside.path(), Permissions::from_mode(0o777)).expect("opened");
        fs::write(outside.path().join("kept"), "").expect("written");
        let link = format!("ln -s {} outside && ./attack leave-traps leave-deep", outside.path().display());
        let id = done(&server, &request(Task::Usual, &link));
        let trash = server.data_dir().join("trash");
        eventually("the task is forgotten", || (!server.task_dir(&id).exists()).then_some(()));
        let is_empty = || fs::read_dir(&trash).expect("readable").next().is_none();
        eventually("its files are gone", || is_empty().then_some(()));
        assert!(outside.path().join("kept").exists(), "a link was followed");
    }
}

/// So few that a server which opens each level of a deep tree runs out of them.
fn limit_descriptors(server: &Server, most: u32) {
    let pid = format!("--pid={}", server.pid());
    let limited = Command::new("prlimit").args([&pid, &format!("--nofile={most}:{most}")]).status();
    if !limited.expect("prlimit (util-linux) runs").success() {
        skipped("few descriptors for a server of another user: that needs CAP_SYS_RESOURCE");
    }
}

/// A plain process can reach its own logs' names; who asks for its status must get an answer all the same.
#[test]
fn a_log_that_became_something_else_holds_up_nobody() {
    for server in servers(&[]) {
        for trap in ["mkfifo ../stdout.log", "ln -s /etc/hostname ../stdout.log", "mkdir ../stdout.log"] {
            let status = server.run(&sh(&format!("echo hidden; rm ../stdout.log; {trap}")));
            assert_eq!((&status["status"], &status["stdout"]), (&json!("success"), &json!("")), "{trap}: {status}");
        }
    }
}

/// Endless output is kept up to its limit, cut in answers, and the end of its task.
#[test]
fn endless_output_ends_with_its_task() {
    for server in servers(&["--termination-grace-ms", "100"]) {
        let mut endless = sh("trap '' PIPE TERM; while :; do yes; done");
        endless["sandbox"] = json!({"profile": "linux_sandbox"});
        endless["limits"] = json!({"stdout_log_max_bytes": 1 << 20, "stdout_max_bytes": 1000});
        let status = server.run(&endless);
        assert_eq!(status["error"]["code"], "resource_limit_exceeded", "{status}");
        let log = server.task_dir(status["task_id"].as_str().expect("an id")).join("stdout.log");
        assert_eq!(fs::metadata(log).expect("there").len(), 1 << 20);
        let answered = status["stdout"].as_str().expect("text").len();
        assert_eq!((answered, &status["stdout_truncated"]), (1000, &json!(true)));
    }
}

/// Memory file systems are bounded by their size, and by the task's memory where that is limited.
#[test]
fn what_fills_tmp_counts_as_the_task_s_memory() {
    for server in servers(&[]) {
        if manifest(&server)["resources"]["memory_limit"] != true {
            skipped("a memory limit for what fills /tmp: this runtime has none");
            continue;
        }
        let mut filling = sh("head -c 200M /dev/zero >/tmp/large; echo written");
        filling["sandbox"] = json!({"profile": "linux_sandbox"});
        filling["limits"] = json!({"memory_bytes": 64 << 20});
        let status = server.run(&filling);
        assert_eq!(status["error"]["code"], "memory_limit_exceeded", "{status}");
    }
}
