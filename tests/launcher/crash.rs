//! Deaths of server, launcher and shim.

use std::fs;
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::harness::{Rig, command, eventually, exit_record, exited, launch_failed, signal, signaled, spawn};

#[test]
fn a_task_outlives_the_launcher_and_its_end_is_recorded_and_reported() {
    let mut rig = Rig::start();
    let gate = gate(&rig);
    rig.ready("a", &format!("echo ready; read -r code <'{gate}'; exit $code"), |_| {});
    rig.close_requests();
    assert!(rig.lock_is_free(), "the start is on record");
    fs::write(&gate, "6\n").expect("written");
    let exit = rig.exit("a");
    assert_eq!(exit["status"], exited(6));
    assert_eq!(rig.journal().last(), Some(&exit_record("a", &exit)));
}

#[test]
fn the_end_of_a_task_is_recorded_without_any_server() {
    let mut rig = Rig::start();
    let gate = gate(&rig);
    rig.ready("a", &format!("echo ready; read -r code <'{gate}'; exit $code"), |_| {});
    rig.reports = None;
    rig.close_requests();
    fs::write(&gate, "6\n").expect("written");
    eventually("the exit record is written", || rig.recorded("exited") == ["a"]);
    let exit = rig.journal().pop().expect("a record")["exit"].clone();
    assert_eq!(exit["status"], exited(6));
}

#[test]
fn a_launcher_killed_outright_leaves_its_shims_in_charge() {
    let mut rig = Rig::start();
    let running = rig.ready("a", "sleep 99 & echo ready; wait", |_| {});
    rig.launcher.kill().expect("killed");
    eventually("it is dead", || rig.launcher.try_wait().expect("waitable").is_some());
    signal(&running["shim_pid"], Signal::SIGTERM);
    let exit = rig.exit("a");
    assert_eq!((&exit["status"], &exit["killed"]), (&signaled(libc::SIGTERM), &json!(true)));
    assert_eq!(rig.survivors(), Vec::<i32>::new());
}

#[test]
fn a_task_whose_shim_is_killed_is_lost_and_nothing_of_it_is_left() {
    let mut rig = Rig::start();
    let gate = gate(&rig);
    rig.ready("other", &format!("echo ready; read -r code <'{gate}'; exit $code"), |_| {});
    let script =
        "trap '' TERM HUP; setsid sh -c 'trap \"\" TERM; sleep 99' & (setsid sleep 98 &); echo ready; sleep 97";
    let running = rig.ready("a", script, |_| {});
    signal(&running["shim_pid"], Signal::SIGKILL);
    let exit = rig.exit("a");
    let reason = "the task's shim was killed by signal 9 (SIGKILL)";
    assert_eq!(exit["status"], json!({"kind": "lost", "reason": reason}));
    assert_eq!(rig.journal().last(), Some(&exit_record("a", &exit)));
    assert_eq!(rig.survivors().len(), 1, "the other task's shell alone");
    fs::write(&gate, "0\n").expect("written");
    assert_eq!(rig.exit("other")["status"], exited(0));
    assert_eq!(rig.sh("next", "exit 1")["status"], exited(1));
}

/// A FIFO in place of the log holds the shim before its start, for as long as the test wants.
#[test]
fn the_lock_is_held_until_every_shim_has_its_start_on_record() {
    let mut rig = Rig::start();
    fs::create_dir_all(rig.task_dir("a")).expect("made");
    let log = rig.task_dir("a").join("stdout.log");
    nix::unistd::mkfifo(&log, nix::sys::stat::Mode::S_IRWXU).expect("made");
    rig.launch(&rig.request("a", &["/bin/sleep", "99"]));
    only_shim(&rig);
    rig.close_requests();
    assert!(!rig.lock_is_free(), "a shim without a record is there");
    assert_eq!(rig.recorded("started"), Vec::<String>::new());
    let _reader = fs::OpenOptions::new().read(true).write(true).open(&log).expect("opened");
    eventually("the lock is free", || rig.lock_is_free());
    assert_eq!(rig.recorded("started"), ["a"]);
    let running = rig.started("a");
    signal(&running["shim_pid"], Signal::SIGTERM);
    assert_eq!(rig.exit("a")["status"], signaled(libc::SIGTERM));
}

#[test]
fn a_kill_request_that_comes_before_the_command_is_not_lost() {
    let mut rig = Rig::start();
    fs::create_dir_all(rig.task_dir("a")).expect("made");
    let log = rig.task_dir("a").join("stdout.log");
    nix::unistd::mkfifo(&log, nix::sys::stat::Mode::S_IRWXU).expect("made");
    rig.launch(&rig.request("a", &["/bin/sleep", "99"]));
    kill(Pid::from_raw(only_shim(&rig)), Signal::SIGTERM).expect("sent");
    let _reader = fs::OpenOptions::new().read(true).write(true).open(&log).expect("opened");
    let exit = rig.exit("a");
    assert_eq!((&exit["status"], &exit["killed"]), (&signaled(libc::SIGTERM), &json!(true)));
}

#[test]
fn when_the_server_dies_what_is_in_the_pipe_never_runs() {
    let mut rig = Rig::start();
    assert_eq!(rig.sh("before", "exit 0")["status"], exited(0));
    let launcher = json!(rig.launcher.id());
    signal(&launcher, Signal::SIGSTOP);
    for n in 0..10 {
        rig.launch(&rig.request(&format!("t{n}"), &["/bin/true"]));
    }
    rig.hang_up();
    signal(&launcher, Signal::SIGCONT);
    rig.close_requests();
    // What was just forked holds a copy for a moment.
    eventually("the lock is free", || rig.lock_is_free());
    assert_eq!((rig.recorded("started"), rig.survivors()), (vec!["before".to_owned()], vec![]));
}

#[test]
fn nothing_starts_once_the_lock_is_free() {
    let mut rig = Rig::start();
    for n in 0..60 {
        rig.launch(&rig.request(&format!("t{n}"), &["/bin/true"]));
    }
    rig.started("t0");
    rig.close_requests();
    eventually("the lock is free", || rig.lock_is_free());
    let started = rig.recorded("started");
    eventually("all that started have ended", || rig.recorded("exited").len() == started.len());
    assert_eq!(rig.recorded("started"), started);
}

#[test]
fn signals_that_end_a_server_do_not_end_the_launcher() {
    let mut rig = Rig::start();
    assert_eq!(rig.sh("first", "exit 0")["status"], exited(0));
    let launcher = json!(rig.launcher.id());
    for each in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGPIPE, Signal::SIGQUIT] {
        signal(&launcher, each);
    }
    assert_eq!(rig.sh("second", "exit 2")["status"], exited(2));
    let stat = fs::read_to_string(format!("/proc/{launcher}/stat")).expect("alive");
    assert!(stat.contains("(execgo-launcher)"), "{stat}");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    assert_eq!(fields[3], launcher.to_string(), "a session of its own");
}

#[test]
fn a_launcher_without_its_lock_ends_at_once() {
    let mut rig = Rig::start();
    // Who runs tasks has its lock. To try it would take it, for a moment, from the launcher.
    assert_eq!(rig.sh("a", "exit 0")["status"], exited(0));
    let start = |name: &str| {
        let mut command = command(&rig.dir.path().join(name));
        let run = spawn(command.stdin(Stdio::piped()).stderr(Stdio::piped())).wait_with_output().expect("ends");
        (run.status.code(), String::from_utf8(run.stderr).expect("UTF-8"))
    };
    let (code, stderr) = start("a.lock");
    assert!(code == Some(1) && stderr.contains("another process holds the lock"), "{code:?} {stderr}");
    let (code, stderr) = start("missing.lock");
    assert!(code == Some(1) && stderr.contains("missing.lock: No such file"), "{code:?} {stderr}");
    assert!(!rig.dir.path().join("missing.lock").exists(), "made by the launcher");
}

#[test]
fn a_change_of_journal_starts_a_new_file() {
    let mut rig = Rig::start();
    assert_eq!(rig.sh("a", "exit 0")["status"], exited(0));
    let second = rig.dir.path().join("second");
    let mut request = rig.request("b", &["/bin/true"]);
    request["journal"] = json!(second);
    assert_eq!(rig.run(&request)["status"], exited(0));
    assert_eq!(rig.recorded("exited"), ["a"]);
    assert_eq!(fs::read_to_string(&second).expect("a journal").lines().count(), 3);
}

#[test]
fn nothing_is_launched_when_it_could_not_be_recorded() {
    let mut rig = Rig::start();
    let mut request = rig.request("a", &["/bin/sh", "-c", "touch ran"]);
    request["journal"] = json!("/dev/full");
    assert_eq!(rig.run(&request)["status"], launch_failed("open the journal /dev/full", libc::ENOSPC));
    request["journal"] = json!("/no/such/dir/journal");
    assert_eq!(rig.run(&request)["status"], launch_failed("open the journal /no/such/dir/journal", libc::ENOENT));
    assert!(!rig.task_dir("a").exists());
    assert_eq!(rig.sh("b", "exit 0")["status"], exited(0));
}

/// A limit on the size of files stands in for a full disk: the exit record is cut short, and then fits.
#[test]
fn an_exit_record_without_room_is_reported_at_once_and_written_when_there_is_room() {
    let mut rig = Rig::start();
    let limit_file_size = |pid: &Value, bytes: Option<u64>| {
        let pid = pid.as_i64().and_then(|pid| i32::try_from(pid).ok()).and_then(rustix::process::Pid::from_raw);
        let maximum = rustix::process::getrlimit(rustix::process::Resource::Fsize).maximum;
        let limit = rustix::process::Rlimit { current: bytes, maximum };
        rustix::process::prlimit(pid, rustix::process::Resource::Fsize, limit).expect("set");
    };
    let gate = gate(&rig);
    // Header and start record are some 400 bytes with such an id, and the exit record as many more.
    let id = "x".repeat(110);
    limit_file_size(&json!(rig.launcher.id()), Some(600));
    let running = rig.ready(&id, &format!("echo ready; read -r code <'{gate}'; exit $code"), |_| {});
    fs::write(&gate, "3\n").expect("written");
    let exit = rig.exit(&id);
    assert_eq!(exit["status"], exited(3));
    let journal = || fs::read_to_string(rig.dir.path().join("journal")).expect("a journal");
    assert_eq!(journal().len(), 600, "cut short");
    limit_file_size(&running["shim_pid"], None);
    eventually("the record is written", || journal().ends_with('\n'));
    let journal = journal();
    let (_, json) = journal.lines().last().expect("a line").split_once(' ').expect("two parts");
    let record: Value = serde_json::from_str(json).expect("JSON");
    assert_eq!(record, exit_record(&id, &exit));
}

#[test]
fn a_shim_holds_nothing_of_the_server_open() {
    let mut rig = Rig::start();
    let running = rig.ready("a", "echo ready; sleep 99", |_| {});
    let shim = &running["shim_pid"];
    let fds = || {
        let entries = fs::read_dir(format!("/proc/{shim}/fd")).expect("a shim");
        let target = |entry: fs::DirEntry| fs::read_link(entry.path()).map(|t| t.display().to_string());
        let mut targets: Vec<String> = entries.filter_map(|e| target(e.ok()?).ok()).collect();
        targets.sort();
        targets
    };
    let journal = rig.dir.path().join("journal").display().to_string();
    let logs = rig.task_dir("a").display().to_string();
    let expected = |targets: &[String]| {
        let count = |name: &str| targets.iter().filter(|t| t.starts_with(name)).count();
        // Standard streams, signalfd and pidfd, the sockets for tasks, for rest and for reports, the journal; the task's
        // output and its logs.
        targets.len() == 13
            && count("/dev/null") == 3
            && count("anon_inode:") + count("pidfd:") == 2
            && count("socket:") == 3
            && count(&journal) == 1
            && count("pipe:") == 2
            && count(&logs) == 2
    };
    eventually("only its own descriptors are open", || expected(&fds()));
    signal(shim, Signal::SIGTERM);
    assert_eq!(rig.exit("a")["killed"], json!(true));
    let comm = |pid: &Value| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    assert_ne!(comm(shim), "execgo-launcher\n");
}

/// A FIFO that a task waits on.
fn gate(rig: &Rig) -> String {
    let path = rig.dir.path().join("gate");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("made");
    path.to_str().expect("UTF-8").to_owned()
}

/// The pid of the one shim that the launcher has.
fn only_shim(rig: &Rig) -> i32 {
    let launcher = rig.launcher.id();
    let mut shims = Vec::new();
    eventually("the shim waits for its log", || {
        let is_spare = |pid: &i32| {
            let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            matches!(comm.trim_end(), "execgo-spare" | "execgo-resting")
        };
        let children = fs::read_to_string(format!("/proc/{launcher}/task/{launcher}/children")).expect("a launcher");
        shims = children.split_whitespace().map(|pid| pid.parse::<i32>().expect("a pid")).collect();
        shims.retain(|pid| !is_spare(pid));
        let waits = |pid: &i32| {
            fs::read_to_string(format!("/proc/{pid}/wchan")).is_ok_and(|at| at.contains("fifo") || at.contains("pipe"))
                || fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| s.contains("(execgo-shim) S"))
        };
        shims.len() == 1 && shims.iter().all(waits)
    });
    shims[0]
}
