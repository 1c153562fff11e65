//! Faults of the storage below a running server, injected by strace(1) into its system calls on the files of the
//! database, and on nothing else: the server is the one that is released, and it knows nothing of this.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::api::Api;
use crate::events::check_events;
use crate::processes::Role;
use crate::runtime::{Runtime, until};
use crate::scene::{SOON, accepted, end, gated, open_gate, pid_of, started, status, submit, until_gone, until_running};

/// A fault that lasts until this is dropped.
struct Fault {
    strace: Child,
    /// It tells of each new thread, and would die of a pipe that nobody holds.
    _messages: BufReader<ChildStderr>,
}

impl Fault {
    /// `what` as in `strace --inject=…`, on the database's files of these endings.
    fn of(runtime: &Runtime, endings: &[&str], what: &str) -> Self {
        let mut command = Command::new("strace");
        command.args(["-f", "-p", &pid_of(runtime, Role::Server).to_string(), "-o", "/dev/null", "-e", "signal=none"]);
        for ending in endings {
            command.arg("-P").arg(runtime.data_dir().join(format!("runtime.db{ending}")));
        }
        let calls = what.split(':').next().unwrap_or(what);
        command.arg("-e").arg(format!("trace={calls}")).arg("-e").arg(format!("inject={what}"));
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("strace");
        let mut messages = BufReader::new(child.stderr.take().expect("piped"));
        let mut told = String::new();
        messages.read_line(&mut told).expect("readable");
        assert!(told.contains("attached"), "{told}");
        Self { strace: child, _messages: messages }
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        // On SIGTERM it lets go of the server.
        let _ = kill(Pid::from_raw(i32::try_from(self.strace.id()).expect("a pid")), Signal::SIGTERM);
        let _ = self.strace.wait();
    }
}

fn has_strace(test: &str) -> bool {
    // It may be there and not be allowed to trace.
    let traced = Command::new("strace").args(["-o", "/dev/null", "true"]).stderr(Stdio::null()).status();
    let can = traced.is_ok_and(|status| status.success());
    if !can {
        let _ = writeln!(std::io::stderr(), "SKIPPED {test}: strace cannot trace here (apt-get install strace)");
    }
    can
}

fn is_ready(api: &Api) -> bool {
    api.get("/readyz").is_some_and(|answer| answer.status == 200)
}

fn refused(api: &Api, id: &str) {
    let answer = submit(api, id, "exit 9");
    assert_eq!((answer.status, &answer.body["error"]["code"]), (503, &json!("unavailable")), "{}", answer.body);
}

fn event_types(api: &Api, id: &str) -> Vec<String> {
    let events = api.get(&format!("/api/v1/tasks/{id}/events")).expect("an answer").body;
    let types = events.as_array().expect("events").iter().map(|event| event["event_type"].clone());
    types.map(|kind| kind.as_str().expect("a name").to_owned()).collect()
}

/// Refuses while the fault lasts, loses nothing, and heals by itself: what is true of all that cannot be written.
fn refuses_and_heals(test: &str, endings: &[&str], what: &str) {
    if !has_strace(test) {
        return;
    }
    let mut runtime = started(false, &[]);
    let api = runtime.api();
    accepted(&api, "before", "exit 1");
    end(&api, "before");
    accepted(&api, "during", &gated(8));
    until_running(&api, "during");
    let fault = Fault::of(&runtime, endings, what);
    refused(&api, "refused");
    assert!(!is_ready(&api), "it promises what it cannot keep");
    assert_eq!(status(&api, "before")["exit_code"], 1, "what is stored can be read");
    open_gate(&runtime, "during");
    let result = runtime.task_dir("during").join("result.json");
    until(SOON, || result.exists().then_some(())).expect("its end is known");
    assert_eq!(status(&api, "during")["status"], "running", "an end is told when it is committed");
    refused(&api, "refused");
    drop(fault);
    assert_eq!(end(&api, "during")["exit_code"], 8);
    until(SOON, || is_ready(&api).then_some(())).expect("it heals");
    accepted(&api, "refused", "exit 2");
    assert_eq!(end(&api, "refused")["exit_code"], 2);
    let events = [event_types(&api, "during"), event_types(&api, "refused")];
    assert_eq!(events[0], events[1], "each event is there once");
    // What is true in memory is also what is on the disk.
    runtime.kill();
    runtime.start().expect("it starts");
    assert_eq!((&status(&api, "during")["exit_code"], &status(&api, "refused")["exit_code"]), (&json!(8), &json!(2)));
    assert_eq!([event_types(&api, "during"), event_types(&api, "refused")], events);
}

#[test]
fn a_failing_sync_refuses_and_heals() {
    refuses_and_heals("a_failing_sync_refuses_and_heals", &["-wal", ""], "fsync,fdatasync:error=EIO");
}

#[test]
fn a_failing_write_refuses_and_heals() {
    refuses_and_heals("a_failing_write_refuses_and_heals", &["-wal", ""], "pwrite64:error=EIO");
}

#[test]
fn a_file_system_that_became_read_only_refuses_and_heals() {
    let test = "a_file_system_that_became_read_only_refuses_and_heals";
    refuses_and_heals(test, &["-wal", "", "-shm"], "pwrite64,fsync,fdatasync,openat,ftruncate:error=EROFS");
}

/// Two clients, who submit what was refused again, while the syncs fail, work, and fail again.
#[test]
fn what_is_acknowledged_between_failing_syncs_runs_once() {
    if !has_strace("what_is_acknowledged_between_failing_syncs_runs_once") {
        return;
    }
    let mut runtime = started(false, &[]);
    let api = runtime.api();
    let ran = runtime.ran_of_task().display().to_string();
    let (refused, taken, over) = (AtomicUsize::new(0), Mutex::new(Vec::new()), AtomicBool::new(false));
    let client = |name: &str| {
        for n in (0..2000).take_while(|_| !over.load(Ordering::Relaxed)) {
            let id = format!("{name}-{n}");
            let take = || {
                let answer = submit(&api, &id, &format!("echo {id} >> {ran}"));
                assert!(matches!(answer.status, 200 | 503), "a refused task is not there: {}", answer.body);
                refused.fetch_add(usize::from(answer.status == 503), Ordering::Relaxed);
                (answer.status == 200).then_some(())
            };
            until(SOON, take).expect("taken in the end");
            taken.lock().expect("no panic").push(id);
        }
    };
    let grows = |count: &dyn Fn() -> usize| {
        let before = count();
        until(SOON, || (count() > before + 4).then_some(())).is_some()
    };
    thread::scope(|clients| {
        ["a", "b"].iter().for_each(|name| drop(clients.spawn(|| client(name))));
        let both_go_on = (0..5).all(|_| {
            let taken = grows(&|| taken.lock().expect("no panic").len());
            let _fault = Fault::of(&runtime, &["-wal", ""], "fsync,fdatasync:error=EIO");
            taken && grows(&|| refused.load(Ordering::Relaxed))
        });
        over.store(true, Ordering::Relaxed);
        assert!(both_go_on, "{refused:?} refused");
    });
    let mut ids = taken.into_inner().expect("no panic");
    runtime.kill();
    runtime.start().expect("it starts");
    for id in &ids {
        let ended = end(&api, id);
        assert_eq!(ended["exit_code"], 0, "{ended}");
        let events = api.get(&format!("/api/v1/tasks/{id}/events")).expect("an answer").body;
        check_events(events.as_array().expect("events"), &ended, 2).unwrap_or_else(|wrong| panic!("{wrong}"));
    }
    let mut runs = runtime.runs(std::iter::empty());
    ids.sort();
    runs.sort();
    assert_eq!(runs, ids);
}

#[test]
fn a_failing_read_is_told_and_heals() {
    if !has_strace("a_failing_read_is_told_and_heals") {
        return;
    }
    let runtime = started(false, &[]);
    let api = runtime.api();
    accepted(&api, "before", "exit 1");
    end(&api, "before");
    accepted(&api, "during", &gated(8));
    until_running(&api, "during");
    let fault = Fault::of(&runtime, &["-wal", ""], "pread64:error=EIO");
    // The commit of its end makes the readers read anew.
    open_gate(&runtime, "during");
    let told = until(SOON, || api.get("/api/v1/tasks/before").filter(|answer| answer.status != 200));
    let told = told.expect("what cannot be read is told");
    assert_eq!((told.status, &told.body["error"]["code"]), (503, &json!("unavailable")), "{}", told.body);
    drop(fault);
    assert_eq!(end(&api, "during")["exit_code"], 8);
    assert_eq!(status(&api, "before")["exit_code"], 1);
    accepted(&api, "after", "exit 2");
    assert_eq!(end(&api, "after")["exit_code"], 2);
}

#[test]
fn a_log_that_cannot_be_opened_stops_the_start_and_its_tasks_are_kept() {
    if !has_strace("a_log_that_cannot_be_opened_stops_the_start_and_its_tasks_are_kept") {
        return;
    }
    let mut runtime = started(false, &[]);
    let api = runtime.api();
    accepted(&api, "kept", &gated(7));
    until_running(&api, "kept");
    runtime.kill();
    open_gate(&runtime, "kept");
    let wal = runtime.data_dir().join("runtime.db-wal").display().to_string();
    // Not as the parent of the server.
    let strace = ["strace", "-f", "-D", "-o", "/dev/null", "-P", &wal, "-e", "trace=openat"];
    runtime.prefix = strace.iter().chain(&["-e", "inject=openat:error=EIO"]).map(|word| (*word).to_owned()).collect();
    let refused = runtime.start().expect_err("it starts");
    assert!(refused.contains("ended at its start"), "{refused}");
    assert!(runtime.log().contains("unable to open database file"), "{}", runtime.log());
    runtime.prefix.clear();
    runtime.start().expect("it starts");
    assert_eq!(end(&api, "kept")["exit_code"], 7);
}

#[test]
fn a_slow_sync_delays_the_answers_and_they_are_true() {
    if !has_strace("a_slow_sync_delays_the_answers_and_they_are_true") {
        return;
    }
    let mut runtime = started(false, &[]);
    let api = runtime.api();
    let fault = Fault::of(&runtime, &["-wal", ""], "fsync,fdatasync:delay_exit=2000000");
    let begun = Instant::now();
    accepted(&api, "slow", "exit 3");
    assert!(begun.elapsed() >= Duration::from_secs(2), "it was not yet synced");
    runtime.kill();
    drop(fault);
    runtime.start().expect("it starts");
    assert_eq!(end(&api, "slow")["exit_code"], 3);
}

#[test]
fn a_refused_task_does_not_appear_after_a_crash() {
    if !has_strace("a_refused_task_does_not_appear_after_a_crash") {
        return;
    }
    let mut runtime = started(false, &[]);
    let api = runtime.api();
    accepted(&api, "before", "exit 1");
    end(&api, "before");
    let fault = Fault::of(&runtime, &["-wal", ""], "fsync,fdatasync:error=EIO");
    refused(&api, "refused");
    drop(fault);
    // Nobody writes but the dispatcher itself.
    until(SOON, || runtime.log().contains("the store takes commits again").then_some(())).expect("it heals");
    runtime.kill();
    runtime.start().expect("it starts");
    assert_eq!(api.get("/api/v1/tasks/refused").expect("an answer").status, 404);
    assert_eq!(status(&api, "before")["exit_code"], 1);
}

/// Killed before anything is written over the failed commit: nobody was promised the task, and it may be there.
#[test]
fn a_refused_task_that_a_crash_brings_to_light_runs_once() {
    if !has_strace("a_refused_task_that_a_crash_brings_to_light_runs_once") {
        return;
    }
    let mut runtime = started(false, &[]);
    let api = runtime.api();
    let fault = Fault::of(&runtime, &["-wal", ""], "fsync,fdatasync:error=EIO");
    let script = format!("echo ran >> {}", runtime.ran_of_task().display());
    assert_eq!(submit(&api, "again", &script).status, 503);
    runtime.kill();
    drop(fault);
    runtime.start().expect("it starts");
    let answer = submit(&api, "again", &script);
    assert!(matches!(answer.status, 200 | 409), "{}", answer.body);
    assert_eq!(end(&api, "again")["exit_code"], 0);
    assert_eq!(runtime.runs(std::iter::empty()), ["ran"]);
}

#[test]
fn a_start_that_could_not_be_committed_comes_before_its_end() {
    if !has_strace("a_start_that_could_not_be_committed_comes_before_its_end") {
        return;
    }
    let runtime = started(false, &[]);
    let api = runtime.api();
    let launcher = pid_of(&runtime, Role::Launcher);
    kill(launcher, Signal::SIGSTOP).expect("stopped");
    accepted(&api, "short", "exit 4");
    let fault = Fault::of(&runtime, &["-wal", ""], "fsync,fdatasync:error=EIO");
    kill(launcher, Signal::SIGCONT).expect("continued");
    until(SOON, || runtime.log().contains("a commit failed").then_some(())).expect("its start is known");
    until_gone(&runtime, Role::Shim);
    assert_eq!(status(&api, "short")["status"], "accepted");
    drop(fault);
    let ended = end(&api, "short");
    assert_eq!(ended["exit_code"], 4);
    assert!(ended["started_at"].is_string(), "{ended}");
    let events = event_types(&api, "short");
    assert_eq!(events[3..], ["resource_reserved", "started", "resource_released", "failed"].map(str::to_owned));
}
