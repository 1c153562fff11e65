//! Timeouts and kill requests reach everything; what has ended is gone.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::harness::{Rig, eventually, exited, signal, signaled};

#[test]
fn a_command_that_ignores_sigterm_is_killed_after_the_grace() {
    let mut rig = Rig::start();
    rig.ready("a", "trap '' TERM; echo ready; while :; do sleep 1; done", |request| {
        request["wall_time_ms"] = json!(2000);
        request["grace_ms"] = json!(300);
    });
    let timed_out = rig.report("timed_out", "a");
    assert!(timed_out["at"].as_str().expect("a time").ends_with('Z'));
    let exit = rig.exit("a");
    assert_eq!(exit["status"], signaled(libc::SIGKILL));
    assert_eq!((&exit["timed_out"], &exit["killed"]), (&json!(true), &json!(false)));
    assert!(exit["duration_ms"].as_u64().expect("ms") >= 2300, "{exit}");
    assert_eq!(rig.survivors(), Vec::<i32>::new());
    assert_eq!(rig.other_reports(), Vec::<Value>::new());
}

#[test]
fn a_command_that_heeds_sigterm_uses_its_grace() {
    let mut rig = Rig::start();
    let script = "trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.01; done";
    let running = rig.ready("a", script, |_| {});
    signal(&running["shim_pid"], Signal::SIGTERM);
    let exit = rig.exit("a");
    assert_eq!((&exit["status"], &exit["killed"]), (&exited(5), &json!(true)));
    assert_eq!(rig.stdout("a"), "ready\nbye\n");
}

#[test]
fn kill_reaches_a_child_that_called_setsid() {
    let mut rig = Rig::start();
    let running = rig.ready("a", "setsid sleep 99 & echo ready; sleep 99", |_| {});
    eventually("shell and two sleeps run", || rig.survivors().len() == 3);
    signal(&running["shim_pid"], Signal::SIGTERM);
    let exit = rig.exit("a");
    assert_eq!((&exit["status"], &exit["killed"]), (&signaled(libc::SIGTERM), &json!(true)));
    assert_eq!((&exit["timed_out"], rig.survivors()), (&json!(false), vec![]));
}

#[test]
fn a_descendant_gets_the_grace_too_when_the_command_is_gone() {
    let mut rig = Rig::start();
    let child = "trap 'sleep 0.3; echo tidied; exit' TERM; echo ready; while :; do sleep 0.01; done";
    let running = rig.ready("a", &format!("setsid sh -c \"{child}\" & sleep 99"), |_| {});
    signal(&running["shim_pid"], Signal::SIGTERM);
    let exit = rig.exit("a");
    assert_eq!(exit["status"], signaled(libc::SIGTERM));
    assert_eq!(rig.stdout("a"), "ready\ntidied\n");
}

#[test]
fn a_stopped_command_dies_of_sigterm() {
    let mut rig = Rig::start();
    let running = rig.ready("a", "sleep 99 & kill -STOP $!; echo ready; kill -STOP $$", |_| {});
    let is_stopped = |pid: i32| std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| s.contains(") T "));
    eventually("both are stopped", || {
        let processes = rig.survivors();
        processes.len() == 2 && processes.into_iter().all(is_stopped)
    });
    signal(&running["shim_pid"], Signal::SIGTERM);
    let exit = rig.exit("a");
    assert_eq!(exit["status"], signaled(libc::SIGTERM));
    assert_eq!(rig.survivors(), Vec::<i32>::new());
}

#[test]
fn a_daemon_that_holds_stdout_neither_hangs_the_task_nor_outlives_it() {
    let mut rig = Rig::start();
    let daemon = "trap '' TERM INT HUP; echo ready; while :; do sleep 1; done";
    let script = format!("(setsid sh -c \"{daemon}\" &); until grep -q ready ../stdout.log; do :; done; exit 3");
    let exit = rig.sh("a", &script);
    assert_eq!((&exit["status"], &exit["killed"]), (&exited(3), &json!(false)));
    assert_eq!(rig.survivors(), Vec::<i32>::new());
}

#[test]
fn processes_that_fork_away_from_their_killer_are_caught() {
    let mut rig = Rig::start();
    let path = rig.task_dir("a").join("script.sh");
    let path = path.to_str().expect("UTF-8");
    // Each generation starts three of the next in new sessions and exits.
    let text = "for n in 1 2 3; do [ $(ls -d /proc/[0-9]* | wc -l) -lt 600 ] && setsid sh \"$0\" & done";
    let mut request = rig.request("a", &["/bin/sh", "-c", &format!("sh {path} & sleep 0.5; exit 4")]);
    request["script"] = json!({"path": path, "text": text});
    let exit = rig.run(&request);
    assert_eq!(exit["status"], exited(4));
    assert_eq!(rig.survivors(), Vec::<i32>::new());
}

#[test]
fn many_orphans_of_a_running_command_are_reaped_while_it_runs() {
    let mut rig = Rig::start();
    let script = "for n in 1 2 3 4 5 6 7 8 9; do (true &); done; echo ready; read -r _ </proc/self/fd/9";
    let script = script.replace("read -r _ </proc/self/fd/9", "sleep 99");
    let running = rig.ready("a", &script, |_| {});
    let shim = running["shim_pid"].as_i64().expect("a pid");
    eventually("the command is the shim's only child", || {
        let children = std::fs::read_to_string(format!("/proc/{shim}/task/{shim}/children")).expect("a shim");
        children.split_whitespace().count() == 1
    });
    signal(&running["shim_pid"], Signal::SIGTERM);
    assert_eq!(rig.exit("a")["killed"], json!(true));
}

#[test]
fn timeout_and_kill_may_both_be_true() {
    let mut rig = Rig::start();
    let running = rig.ready("a", "trap '' TERM; echo ready; while :; do sleep 0.1; done", |request| {
        request["wall_time_ms"] = json!(1500);
        request["grace_ms"] = json!(1500);
    });
    rig.report("timed_out", "a");
    signal(&running["shim_pid"], Signal::SIGTERM);
    let exit = rig.exit("a");
    assert_eq!((&exit["timed_out"], &exit["killed"]), (&json!(true), &json!(true)));
    assert_eq!(exit["status"], signaled(libc::SIGKILL));
}
