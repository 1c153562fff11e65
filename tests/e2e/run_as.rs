//! `execution.run_as`: plain tasks as a user that is not root, seen from inside and in the files on the host. Only root
//! can give tasks another user; where the test is not root, it says so and ends.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Server, copy_executable, deadline, sh};

/// A user that no system has a name for.
const SOMEBODY: &str = "54321:54322";

fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}

fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        skipped("tasks as another user: this test is not run by root");
    }
    root
}

/// What `serve` with these flags says when it refuses to start.
fn refusal(dir: &Path, not_root: bool, run_as: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_execgo-runtime"));
    if not_root {
        let program = dir.join("program");
        copy_executable(Path::new(env!("CARGO_BIN_EXE_execgo-runtime")), &program);
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).expect("chmod");
        command = Command::new(program);
        command.uid(54_321).gid(54_321).current_dir("/");
    }
    command.args(["serve", "--listen-addr", "127.0.0.1:0", "--run-as", run_as]);
    command.arg("--data-dir").arg(dir.join("data")).stdin(Stdio::null()).stdout(Stdio::null());
    let mut server = command.stderr(Stdio::piped()).spawn().expect("starts");
    let until = Instant::now() + deadline();
    let status = loop {
        match server.try_wait().expect("waitable") {
            Some(status) => break status,
            None if Instant::now() < until => thread::sleep(Duration::from_millis(5)),
            None => {
                server.kill().expect("killable");
                break server.wait().expect("reaped");
            }
        }
    };
    assert_ne!(status.code(), None, "{run_as}: the server did not end by itself");
    assert!(!status.success(), "{run_as}");
    let mut told = String::new();
    server.stderr.expect("piped").read_to_string(&mut told).expect("UTF-8");
    told
}

#[test]
fn a_task_is_that_user_without_any_privilege_and_owns_its_files() {
    if !is_root() {
        return;
    }
    let server = Server::reachable(&["--run-as", SOMEBODY]);
    let script = "id -u; id -g; id -G; grep -E '^Cap[IPEA]' /proc/self/status | cut -f2; pwd; echo $HOME; \
                  echo \"USER=$USER\"; echo x > file; cd \"$HOME\"; cat a/b/file; echo again >> /dev/stdout; echo end";
    let request = json!({
        "execution": {"kind": "script", "script": script, "interpreter": ["/bin/sh"]},
        "sandbox": {"workspace_subdir": "a/b"},
    });
    let status = server.run(&request);
    let id = status["task_id"].as_str().expect("an id");
    let workspace = server.task_dir(id).join("workspace");
    let workspace = workspace.canonicalize().expect("there");
    let lines: Vec<&str> = status["stdout"].as_str().expect("text").lines().collect();
    let none = "0000000000000000";
    let home = workspace.to_str().expect("UTF-8");
    let below = format!("{home}/a/b");
    let expected = ["54321", "54322", "54322", none, none, none, none, &below, home, "USER=", "x", "again", "end"];
    assert_eq!(lines, expected, "{status}");
    assert_eq!(status["execution_plan"]["run_as"], SOMEBODY);
    assert_eq!(server.get("/api/v1/runtime/config").body["run_as"], SOMEBODY);
    for name in ["workspace", "workspace/a", "workspace/a/b", "workspace/a/b/file", "script.sh"] {
        let file = fs::metadata(server.task_dir(id).join(name)).expect("there");
        assert_eq!((file.uid(), file.gid()), (54_321, 54_322), "{name}");
    }
    let id = server.submit(&sh("echo ready; sleep 99"));
    server.until_output(&id, "ready");
    server.kill(&id, None);
    assert_eq!(server.wait(&id)["status"], "cancelled");
}

#[test]
fn a_task_sees_neither_the_database_nor_what_belongs_to_others() {
    if !is_root() {
        return;
    }
    let server = Server::reachable(&["--run-as", SOMEBODY]);
    let other = server.run_sh("echo secret");
    let other = server.task_dir(other["task_id"].as_str().expect("an id"));
    let data = server.data_dir();
    let (data, other) = (data.display(), other.display());
    let attempts = [
        format!("cat {data}/runtime.db"),
        format!("cat {data}/runtime.db-wal"),
        format!("cat {data}/runtime.lock"),
        format!("cat {other}/request.json"),
        format!("cat {other}/result.json"),
        format!("ls {other}"),
        format!("ls {data}"),
        format!("ls {data}/tasks"),
        format!("cd {data}/run"),
        format!("cd {data}/trash"),
        "touch ../own".to_owned(),
        "mv ../workspace ../other".to_owned(),
        "cat ../request.json".to_owned(),
        "cat /etc/shadow".to_owned(),
    ];
    let tried = attempts.iter().map(|a| format!("if ({a}) >/dev/null 2>&1; then echo '{a}'; fi\n"));
    // The last is a control: one that must succeed.
    let script: String = tried.chain([format!("if cd {data}/tasks; then echo control; fi")]).collect();
    let status = server.run_sh(&script);
    assert_eq!(status["stdout"], "control\n", "{status}");
    assert_private(&server.data_dir(), &server.data_dir());
}

/// Nobody but its owner may do anything with what lies below, but pass on the way to a workspace.
fn assert_private(path: &Path, data_dir: &Path) {
    let inside = path.strip_prefix(data_dir).expect("below").to_str().expect("UTF-8");
    let metadata = fs::symlink_metadata(path).expect("there");
    let passes =
        inside.is_empty() || inside == "tasks" || (inside.starts_with("tasks/") && inside.matches('/').count() == 1);
    let others = if passes { 0o11 } else { 0 };
    assert_eq!(metadata.mode() & 0o77, others, "{inside:?} has the mode {:o}", metadata.mode());
    // The root of sandboxes is for everybody, but behind this door.
    if metadata.is_dir() && inside != "run" {
        for entry in fs::read_dir(path).expect("listable") {
            assert_private(&entry.expect("an entry").path(), data_dir);
        }
    }
}

#[test]
fn a_user_with_a_name_is_called_by_it() {
    if !is_root() {
        return;
    }
    if !fs::read_to_string("/etc/passwd").is_ok_and(|users| users.contains("\ndaemon:")) {
        skipped("there is no user daemon here");
        return;
    }
    let server = Server::reachable(&["--run-as", "daemon"]);
    let status = server.run_sh("id -un; echo $USER; [ -w . ] && echo writable");
    assert_eq!(status["stdout"], "daemon\ndaemon\nwritable\n", "{status}");
    assert_eq!(status["execution_plan"]["run_as"], "daemon");
    let mut sandboxed = sh("id -u");
    sandboxed["sandbox"] = json!({"profile": "linux_sandbox"});
    sandboxed["policy"] = json!({"capability_mode": "strict"});
    let answer = server.post("/api/v1/tasks", &sandboxed);
    if answer.status == 200 {
        let status = server.wait(answer.body["task_id"].as_str().expect("an id"));
        let uid: u32 = status["stdout"].as_str().expect("text").trim().parse().expect("a number");
        assert!(uid >= 200_000 && status["execution_plan"].get("run_as").is_none(), "{status}");
    } else {
        skipped("this machine has no whole linux_sandbox");
    }
}

#[test]
fn a_user_that_cannot_be_is_refused_at_the_start() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let told = refusal(dir.path(), nix::unistd::geteuid().is_root(), "1");
    assert!(told.contains("execution.run_as") && told.contains("not root"), "{told}");
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    for (run_as, why) in
        [("root", "is root"), ("0", "is root"), ("no-such-user", "no user"), ("200000", "linux_sandbox")]
    {
        let told = refusal(dir.path(), false, run_as);
        assert!(told.contains("execution.run_as") && told.contains(why), "{run_as}: {told}");
    }
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).expect("chmod");
    let told = refusal(dir.path(), false, SOMEBODY);
    assert!(told.contains("execution.run_as") && told.contains("cannot get there"), "{told}");
}
