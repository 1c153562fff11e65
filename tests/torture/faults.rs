//! Faults of the machine, one at a time: what a client sees, and that nothing acknowledged is lost. The table in
//! `docs/reliability.md` says the same.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::api::Api;
use crate::plan::Profile;
use crate::processes::Role;
use crate::runtime::{Runtime, until};
use crate::scene::{
    SOON, accepted, end, gated, is_root, open_gate, pid_of, started, status, submit, until_gone, until_running,
};

/// The file of this kind in the directory of launchers and shims.
fn run_file(runtime: &Runtime, extension: &str) -> Option<fs::File> {
    let run = fs::read_dir(runtime.data_dir().join("run")).expect("there").filter_map(Result::ok);
    let path = run.map(|entry| entry.path()).find(|path| path.extension().is_some_and(|end| end == extension))?;
    Some(fs::File::options().write(true).read(true).open(path).expect("opened"))
}

#[test]
fn a_damaged_exit_record_makes_a_lost_task_and_never_a_success() {
    let mut runtime = started(false, &[]);
    let api = runtime.api();
    accepted(&api, "damaged", &gated(0));
    until_running(&api, "damaged");
    runtime.kill();
    open_gate(&runtime, "damaged");
    until_gone(&runtime, Role::Shim);
    let journal = run_file(&runtime, "journal").expect("a journal");
    let length = journal.metadata().expect("there").len();
    journal.write_at(b"#", length - 20).expect("written");
    runtime.start().expect("it starts");
    let ended = end(&api, "damaged");
    assert_eq!((&ended["status"], &ended["error"]["code"]), (&json!("failed"), &json!("internal")), "{ended}");
    assert!(runtime.log().contains("ignored damaged records"), "{}", runtime.log());
}

#[test]
fn a_deleted_task_directory_costs_its_files_and_not_the_outcome() {
    let runtime = started(false, &[]);
    let api = runtime.api();
    accepted(&api, "running", "echo out; sleep 0.5; exit 3");
    until_running(&api, "running");
    fs::remove_dir_all(runtime.task_dir("running")).expect("deleted");
    assert_eq!(end(&api, "running")["exit_code"], 3);
    fs::remove_dir_all(runtime.task_dir("running")).ok();
    let ended = status(&api, "running");
    assert_eq!((&ended["exit_code"], &ended["stdout"]), (&json!(3), &json!("")), "{ended}");
    accepted(&api, "next", "exit 4");
    assert_eq!(end(&api, "next")["exit_code"], 4);
}

#[test]
fn a_stopped_launcher_delays_starts_and_loses_none() {
    let runtime = started(false, &[]);
    let api = runtime.api();
    accepted(&api, "before", &gated(5));
    until_running(&api, "before");
    let launcher = pid_of(&runtime, Role::Launcher);
    kill(launcher, Signal::SIGSTOP).expect("stopped");
    accepted(&api, "meanwhile", "exit 6");
    open_gate(&runtime, "before");
    assert_eq!(end(&api, "before")["exit_code"], 5, "what runs needs no launcher");
    let waited = api.get("/api/v1/tasks/meanwhile?wait_ms=10000").expect("an answer").body;
    assert_eq!(waited["status"], "accepted");
    let refused = api.get("/readyz").expect("an answer");
    assert_eq!((refused.status, &refused.body["error"]["code"]), (503, &json!("unavailable")), "{}", refused.body);
    kill(launcher, Signal::SIGCONT).expect("continued");
    until(SOON, || (api.get("/readyz")?.status == 200).then_some(())).expect("it is ready at once");
    assert_eq!(end(&api, "meanwhile")["exit_code"], 6);
}

#[test]
fn a_server_that_finds_a_stopped_launcher_ends_it_and_loses_nothing() {
    let mut runtime = started(false, &[]);
    let api = runtime.api();
    accepted(&api, "running", &gated(5));
    until_running(&api, "running");
    let launcher = pid_of(&runtime, Role::Launcher);
    kill(launcher, Signal::SIGSTOP).expect("stopped");
    let lock = run_file(&runtime, "lock").expect("a lock");
    let mut reader = Command::new("sleep").arg("600").stdin(lock).spawn().expect("sleep");
    let pid = Pid::from_raw(i32::try_from(reader.id()).expect("a pid"));
    kill(pid, Signal::SIGSTOP).expect("stopped");
    accepted(&api, "launching", "exit 6");
    runtime.kill();
    runtime.start().unwrap_or_else(|error| panic!("{error}\n{}", runtime.log()));
    assert_ne!(pid_of(&runtime, Role::Launcher), launcher);
    assert!(reader.try_wait().expect("waitable").is_none(), "whoever else has the lock's file open is left alone");
    reader.kill().expect("killable");
    reader.wait().expect("reaped");
    assert_eq!(end(&api, "launching")["exit_code"], 6);
    open_gate(&runtime, "running");
    assert_eq!(end(&api, "running")["exit_code"], 5, "its shim lives on");
}

#[test]
fn a_data_directory_that_is_read_only_is_refused_and_its_tasks_are_kept() {
    if !is_root("a_data_directory_that_is_read_only_is_refused_and_its_tasks_are_kept") {
        return;
    }
    let mut runtime = started(false, &[]);
    let api = runtime.api();
    accepted(&api, "kept", &gated(7));
    until_running(&api, "kept");
    runtime.kill();
    open_gate(&runtime, "kept");
    until_gone(&runtime, Role::Shim);
    let script = "mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\" && exec \"$@\"";
    let data_dir = runtime.data_dir().display().to_string();
    runtime.prefix = ["unshare", "-m", "sh", "-c", script, &data_dir].map(str::to_owned).to_vec();
    let refused = runtime.start().expect_err("it starts");
    assert!(refused.contains("ended at its start") && runtime.log().contains("Read-only file system"), "{refused}");
    runtime.prefix.clear();
    runtime.start().expect("it starts");
    assert_eq!(end(&api, "kept")["exit_code"], 7);
}

/// Fills what is left of the file system of this directory.
fn fill(dir: &Path) {
    let mut file = fs::File::create(dir.join("filler")).expect("made");
    for block in [vec![0_u8; 64 << 10], vec![0; 4 << 10], vec![0; 1]] {
        while file.write_all(&block).is_ok() {}
    }
}

#[test]
fn a_full_disk_refuses_what_it_cannot_keep_and_heals() {
    if !is_root("a_full_disk_refuses_what_it_cannot_keep_and_heals") {
        return;
    }
    let mut runtime = Runtime::new(Profile::Process, false);
    let data_dir = runtime.data_dir();
    fs::create_dir(&data_dir).expect("made");
    // Mounted for the runtime alone, so it goes with it.
    let script = "mount -t tmpfs -o size=16m none \"$0\" && exec \"$@\"";
    runtime.prefix = ["unshare", "-m", "sh", "-c", script, &data_dir.display().to_string()].map(str::to_owned).to_vec();
    runtime.start().unwrap_or_else(|error| panic!("{error}\n{}", runtime.log()));
    let api = runtime.api();
    let inside = format!("/proc/{}/root{}", pid_of(&runtime, Role::Server), data_dir.display());
    let inside = Path::new(&inside);
    accepted(&api, "before", "exit 1");
    end(&api, "before");
    accepted(&api, "during", &gated(8));
    until_running(&api, "during");
    fs::write(inside.join("tasks/during/workspace/go.part"), "").expect("written");
    fill(inside);
    // A few may find room in pages that the database has already.
    let mut kept = Vec::new();
    let refused = (0..1000).map(|n| format!("full-{n}")).find_map(|id| {
        let answer = submit(&api, &id, "exit 9");
        if answer.status == 200 {
            kept.push(id);
        }
        (answer.status != 200).then_some(answer)
    });
    let refused = refused.expect("a full disk refuses");
    assert_eq!((refused.status, &refused.body["error"]["code"]), (503, &json!("unavailable")), "{}", refused.body);
    until(SOON, || (api.get("/readyz")?.status == 503).then_some(())).expect("not ready while it cannot promise");
    assert_eq!(status(&api, "before")["exit_code"], 1, "what is stored can be read");
    fs::rename(inside.join("tasks/during/workspace/go.part"), inside.join("tasks/during/workspace/go"))
        .expect("renamed");
    fs::remove_file(inside.join("filler")).expect("deleted");
    until(SOON, || (api.get("/readyz")?.status == 200).then_some(())).expect("it heals");
    assert_eq!(end(&api, "during")["exit_code"], 8);
    accepted(&api, "after", "exit 2");
    assert_eq!(end(&api, "after")["exit_code"], 2);
    for id in kept {
        let ended = end(&api, &id);
        let told = [&ended["exit_code"], &ended["error"]["code"]];
        assert!(told == [&json!(9), &json!("exit_non_zero")] || told[1] == "launch_failed", "{ended}");
    }
}

#[test]
fn without_descriptors_connections_wait_and_tasks_go_on() {
    let runtime = started(false, &["prlimit", "--nofile=64:64"]);
    let api = runtime.api();
    accepted(&api, "before", "sleep 0.5; exit 3");
    let idle: Vec<_> = (0..100).filter_map(|_| TcpStream::connect(&runtime.address).ok()).collect();
    until(SOON, || runtime.log().contains("Too many open files").then_some(())).expect("it has run out");
    // By the connection that is open already.
    accepted(&api, "during", "exit 5");
    let result = runtime.task_dir("during").join("result.json");
    assert_eq!(end(&api, "during")["exit_code"], 5, "the launcher has descriptors of its own");
    assert!(!result.exists(), "the server has none");
    drop(idle);
    until(SOON, || (api.get("/readyz")?.status == 200).then_some(())).expect("it heals");
    until(SOON, || result.exists().then_some(())).expect("it is written later");
    assert_eq!(end(&api, "before")["exit_code"], 3);
    accepted(&api, "after", "exit 4");
    assert_eq!(end(&api, "after")["exit_code"], 4);
}

#[test]
fn a_launcher_that_cannot_fork_tries_again_until_it_can() {
    // Root is not limited.
    let runtime = started(true, &[]);
    let api = runtime.api();
    let launcher = pid_of(&runtime, Role::Launcher);
    let limits = fs::read_to_string(format!("/proc/{launcher}/limits")).expect("readable");
    let line = limits.lines().find_map(|line| line.strip_prefix("Max processes"));
    let before = line.and_then(|line| line.split_whitespace().next()).expect("a limit");
    limit_processes(&runtime, launcher, "1");
    accepted(&api, "during", "exit 3");
    accepted(&api, "killed", "exit 0");
    until(SOON, || (requeued(&api, "during") >= 2).then_some(())).expect("it was tried twice");
    assert_eq!(status(&api, "during")["status"], "accepted");
    api.post("/api/v1/tasks/killed/kill", &json!({})).expect("an answer");
    assert_eq!(end(&api, "killed")["status"], "cancelled", "it can be killed meanwhile");
    limit_processes(&runtime, launcher, before);
    assert_eq!(end(&api, "during")["exit_code"], 3);
    accepted(&api, "after", "exit 4");
    assert_eq!(end(&api, "after")["exit_code"], 4);
}

#[test]
fn a_shim_that_cannot_fork_gives_its_task_back() {
    let runtime = started(true, &[]);
    let api = runtime.api();
    accepted(&api, "before", "exit 2");
    assert_eq!(end(&api, "before")["exit_code"], 2);
    // It gets the next task.
    limit_processes(&runtime, pid_of(&runtime, Role::Spare), "1");
    accepted(&api, "during", "exit 3");
    assert_eq!(end(&api, "during")["exit_code"], 3);
    assert_eq!(requeued(&api, "during"), 1);
}

fn limit_processes(runtime: &Runtime, pid: Pid, processes: &str) {
    let mut set = Command::new("prlimit");
    set.args(["--pid", &pid.to_string(), &format!("--nproc={processes}:")]);
    // Its own user may, and root without all capabilities may not.
    runtime.user.map(|user| set.uid(user).gid(user));
    assert!(set.status().expect("prlimit").success());
}

fn requeued(api: &Api, id: &str) -> usize {
    let events = api.get(&format!("/api/v1/tasks/{id}/events")).expect("events").body;
    let is_requeued = |event: &&Value| event["event_type"] == "recovered" && event["data"]["action"] == "requeued";
    events.as_array().expect("a list").iter().filter(is_requeued).count()
}

/// Every page of the database but the first, which is the list of its tables.
fn damage(runtime: &Runtime) {
    // The log beside it would heal the file.
    let path = runtime.data_dir().join("runtime.db");
    let connection = rusqlite::Connection::open(&path).expect("opened");
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("all is in the file");
    let database = fs::File::options().read(true).write(true).open(&path).expect("there");
    let pages = database.metadata().expect("there").len() / 4096;
    for page in 1..pages {
        database.write_at(&[0x5a; 4096], page * 4096).expect("written");
    }
}

#[test]
fn a_database_that_is_damaged_below_a_running_server_is_told_and_nothing_is_made_up() {
    let mut runtime = started(false, &[]);
    let api = runtime.api();
    let ids = || (0..20).map(|n| format!("t{n}"));
    ids().for_each(|id| accepted(&api, &id, "exit 6"));
    ids().for_each(|id| drop(end(&api, &id)));
    accepted(&api, "during", &gated(7));
    until_running(&api, "during");
    damage(&runtime);
    open_gate(&runtime, "during");
    // Never "no such task", and never a new task beside what cannot be read.
    for id in ids().chain(["during".to_owned()]) {
        let told = api.get(&format!("/api/v1/tasks/{id}")).expect("an answer");
        assert_eq!((told.status, &told.body["error"]["code"]), (503, &json!("unavailable")), "{}", told.body);
        // What lives is in memory too.
        let again = submit(&api, &id, "exit 8").status;
        assert!(again == 503 || (again, id.as_str()) == (409, "during"), "{id}: {again}");
    }
    assert_eq!(submit(&api, "new", "exit 8").status, 503);
    assert_eq!(api.get("/readyz").expect("an answer").status, 503);
    assert!(runtime.log().contains("malformed"), "{}", runtime.log());
    assert!(runtime.ended().is_none(), "it goes on and says so");
}

#[test]
fn a_corrupt_database_is_refused_or_told_and_never_made_up() {
    let mut runtime = started(false, &[]);
    let api = runtime.api();
    for n in 0..20 {
        accepted(&api, &format!("t{n}"), "exit 0");
    }
    for n in 0..20 {
        end(&api, &format!("t{n}"));
    }
    assert!(runtime.stop().is_some_and(|status| status.success()));
    damage(&runtime);
    let refused = runtime.start().expect_err("it starts");
    assert!(refused.contains("ended at its start") && runtime.log().contains("malformed"), "{}", runtime.log());
}
