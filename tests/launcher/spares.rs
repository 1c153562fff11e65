//! Shims that are there before their task, and sandboxes that are.

use std::collections::HashSet;
use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::harness::{Rig, eventually, exited, launch_id, signal};

#[test]
fn each_task_goes_to_a_shim_that_was_there_and_had_no_task() {
    let mut rig = Rig::start();
    assert_eq!(rig.sh("first", "exit 0")["status"], exited(0));
    let mut used = HashSet::new();
    for (id, code) in [("a", 1), ("b", 2), ("c", 3)] {
        let spare = rig.spare();
        assert!(used.insert(spare), "used twice");
        rig.launch(&rig.request(id, &["/bin/sh", "-c", &format!("exit {code}")]));
        assert_eq!(rig.started(id)["shim_pid"], json!(spare));
        assert_eq!(rig.exit(id)["status"], exited(code));
    }
    assert_eq!(rig.recorded("exited"), ["first", "a", "b", "c"]);
}

/// Launches a shell script, with the word that the launch before it has ended; the pid of its shim.
fn again(rig: &mut Rig, id: &str, script: &str) -> i32 {
    let mut request = rig.request(id, &["/bin/sh", "-c", script]);
    request["ended"] = json!([launch_id()]);
    rig.launch(&request);
    pid(&rig.started(id)["shim_pid"])
}

/// Runs a task; its shim, which rests when this returns, and its exit.
fn rested(rig: &mut Rig, id: &str, script: &str) -> (i32, Value) {
    rig.launch(&rig.request(id, &["/bin/sh", "-c", script]));
    let shim = pid(&rig.started(id)["shim_pid"]);
    let exit = rig.exit(id);
    rests(shim);
    (shim, exit)
}

fn rests(shim: i32) {
    eventually("it rests", || comm(shim) == "execgo-resting");
}

#[test]
fn a_rested_shim_carries_out_task_after_task_and_counts_each_by_itself() {
    let mut rig = Rig::start();
    let much = "x=$(head -c 30000000 /dev/zero | tr '\\0' x); i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
    let used = |exit: &Value, name: &str| exit["usage"][name].as_u64().expect("a number");
    let (shim, first) = rested(&mut rig, "first", much);
    let (memory, time) = (used(&first, "max_rss_bytes"), used(&first, "user_cpu_ms"));
    assert!(memory > 30_000_000 && time > 40, "{first}");
    for (id, code) in [("a", 1), ("b", 2), ("c", 3)] {
        assert_eq!(again(&mut rig, id, &format!("echo {id}; exit {code}")), shim);
        let exit = rig.exit(id);
        assert_eq!((&exit["status"], rig.stdout(id)), (&exited(code), format!("{id}\n")));
        let is_more = used(&exit, "max_rss_bytes") > 30_000_000 || used(&exit, "user_cpu_ms") > time / 2;
        assert!(!is_more, "with the first task's, {first}: {exit}");
        rests(shim);
    }
    assert_eq!(rig.recorded("started"), ["first", "a", "b", "c"]);
    assert_eq!(rig.recorded("exited"), ["first", "a", "b", "c"]);
}

#[test]
fn a_late_request_to_end_a_task_does_not_end_the_next_one_of_its_shim() {
    let mut rig = Rig::start();
    let (shim, _) = rested(&mut rig, "first", "exit 0");
    signal(&json!(shim), Signal::SIGTERM);
    assert_eq!(again(&mut rig, "a", "until [ -e go ]; do sleep 0.01; done; exit 5"), shim);
    fs::write(rig.task_dir("a").join("workspace/go"), "").expect("written");
    let exit = rig.exit("a");
    assert_eq!((&exit["killed"], &exit["status"]), (&json!(false), &exited(5)));
    rests(shim);
    assert_eq!(again(&mut rig, "b", "sleep 60"), shim);
    signal(&json!(shim), Signal::SIGTERM);
    assert_eq!(rig.exit("b")["killed"], json!(true));
}

#[test]
fn a_rested_shim_that_is_killed_is_no_task_s_loss() {
    let mut rig = Rig::start();
    let (shim, _) = rested(&mut rig, "first", "exit 0");
    signal(&json!(shim), Signal::SIGKILL);
    eventually("it is dead", || !rig.of_launcher().contains(&shim));
    assert_ne!(again(&mut rig, "a", "exit 4"), shim);
    assert_eq!(rig.exit("a")["status"], exited(4));
    assert!(rig.other_reports().is_empty());
    assert_eq!(rig.recorded("exited"), ["first", "a"]);
}

#[test]
fn a_rested_shim_that_is_killed_with_its_next_task_has_that_task_told_as_lost() {
    let mut rig = Rig::start();
    let (shim, _) = rested(&mut rig, "first", "exit 0");
    assert_eq!(again(&mut rig, "a", "sleep 60"), shim);
    signal(&json!(shim), Signal::SIGKILL);
    assert_eq!(rig.exit("a")["status"]["kind"], "lost");
    assert_eq!(rig.recorded("exited"), ["first", "a"]);
}

#[test]
fn a_shim_rests_for_a_while_and_not_longer_than_its_launcher() {
    let mut rig = Rig::start();
    let (shim, _) = rested(&mut rig, "first", "exit 0");
    eventually("it is not needed", || !rig.of_launcher().contains(&shim));
    rested(&mut rig, "a", "exit 0");
    rig.close_requests();
    eventually("all are gone", || rig.of_launcher().is_empty());
    assert!(rig.lock_is_free());
}

#[test]
fn a_spare_shim_ends_with_its_launcher_and_does_not_hold_the_lock() {
    let mut rig = Rig::start();
    assert_eq!(rig.sh("first", "exit 0")["status"], exited(0));
    let spare = json!(rig.spare());
    // One that cannot end: what it held would stay.
    signal(&spare, Signal::SIGSTOP);
    rig.launcher.kill().expect("killed");
    eventually("it is dead", || rig.launcher.try_wait().expect("waitable").is_some());
    assert!(rig.lock_is_free(), "held by a shim without a task");
    // The kernel has done that already, for its group is an orphan's now (setpgid(2)), and it may be gone.
    let _ = kill(Pid::from_raw(pid(&spare)), Signal::SIGCONT);
    eventually("all are gone", || rig.of_launcher().is_empty());
}

#[test]
fn without_its_spare_shim_a_launcher_forks_one() {
    let mut rig = Rig::start();
    assert_eq!(rig.sh("first", "exit 0")["status"], exited(0));
    let spare = rig.spare();
    signal(&json!(spare), Signal::SIGKILL);
    eventually("it is dead", || !rig.of_launcher().contains(&spare));
    rig.launch(&rig.request("a", &["/bin/sh", "-c", "exit 4"]));
    assert_ne!(rig.started("a")["shim_pid"], json!(spare));
    assert_eq!(rig.exit("a")["status"], exited(4));
}

/// A FIFO in place of the log holds the shim before its start.
#[test]
fn a_shim_that_was_there_holds_the_lock_from_its_task_to_its_start() {
    let mut rig = Rig::start();
    assert_eq!(rig.sh("first", "exit 0")["status"], exited(0));
    let spare = rig.spare();
    fs::create_dir_all(rig.task_dir("a")).expect("made");
    let log = rig.task_dir("a").join("stdout.log");
    nix::unistd::mkfifo(&log, nix::sys::stat::Mode::S_IRWXU).expect("made");
    rig.launch(&rig.request("a", &["/bin/sh", "-c", "exit 5"]));
    eventually("it has its task", || comm(spare) == "execgo-shim");
    rig.close_requests();
    assert!(!rig.lock_is_free(), "a start that is not on record will follow");
    assert_eq!(rig.recorded("started"), ["first"]);
    let _reader = fs::OpenOptions::new().read(true).write(true).open(&log).expect("opened");
    assert_eq!(rig.exit("a")["status"], exited(5));
    assert_eq!(rig.recorded("started"), ["first", "a"]);
    assert!(rig.lock_is_free());
}

#[test]
fn a_task_whose_shim_is_killed_before_it_took_it_is_lost_and_never_starts() {
    let mut rig = Rig::start();
    assert_eq!(rig.sh("first", "exit 0")["status"], exited(0));
    let spare = json!(rig.spare());
    signal(&spare, Signal::SIGSTOP);
    rig.launch(&rig.request("a", &["/bin/sh", "-c", "touch ran"]));
    eventually("it was given away, and another is forked", || rig.spares().len() == 2);
    signal(&spare, Signal::SIGKILL);
    assert_eq!(rig.exit("a")["status"]["kind"], "lost");
    assert_eq!(rig.recorded("started"), ["first"]);
    assert!(!rig.task_dir("a").exists());
}

#[test]
fn a_request_that_is_too_long_for_a_spare_shim_is_launched_all_the_same() {
    let mut rig = Rig::start();
    assert_eq!(rig.sh("first", "exit 0")["status"], exited(0));
    let spare = rig.spare();
    let long = "x".repeat(100_000);
    rig.launch(&rig.request("a", &["/bin/sh", "-c", "test ${#1} = 100000", "sh", &long]));
    assert_ne!(rig.started("a")["shim_pid"], json!(spare));
    assert_eq!(rig.exit("a")["status"], exited(0));
}

/// Where this user cannot make sandboxes it is said, and the test is over.
fn with_warm_sandboxes() -> Option<Rig> {
    let mut rig = Rig::start();
    let exit = sandboxed(&mut rig, "first", "touch /tmp/mine; exit 0");
    if exit["status"]["kind"] == "sandbox_setup_failed" {
        println!("skipped: {}", exit["status"]);
        return None;
    }
    assert_eq!(exit["status"], exited(0));
    eventually("two sandboxes are begun", || rig.warm().len() == 2);
    Some(rig)
}

fn sandboxed(rig: &mut Rig, id: &str, script: &str) -> Value {
    let request = sandbox_request(rig, id, script);
    rig.run(&request)
}

fn sandbox_request(rig: &Rig, id: &str, script: &str) -> Value {
    let is_root = nix::unistd::geteuid().is_root();
    let mut request = rig.request(id, &["/bin/sh", "-c", script]);
    request["sandbox"] = json!({
        "namespaces": {"mount": true, "pid": true, "uts": true, "ipc": true, "net": true},
        "uid": is_root.then_some(200_001),
        "init_uid": is_root.then_some(200_000),
        "rootfs": null,
        "landlock": true,
        "seccomp": true,
        "warm": 2,
    });
    request
}

#[test]
fn a_begun_sandbox_is_a_task_s_own_and_used_once() {
    let Some(mut rig) = with_warm_sandboxes() else { return };
    let mut used = HashSet::new();
    for id in ["a", "b", "c"] {
        eventually("two sandboxes are begun", || rig.warm().len() == 2);
        let warm = rig.warm();
        let script =
            "test ! -e /tmp/mine && touch /tmp/mine mine && echo $$; hostname; ls; cat /proc/self/cgroup; exit 7";
        rig.launch(&sandbox_request(&rig, id, script));
        let running = rig.started(id);
        let pair = (pid(&running["shim_pid"]), pid(&running["pid"]));
        assert!(warm.contains(&pair), "{pair:?} is none of {warm:?}");
        assert!(used.insert(pair.1), "used twice");
        assert_eq!(rig.exit(id)["status"], exited(7));
        let stdout = rig.stdout(id);
        assert!(stdout.starts_with("2\nsandbox\nmine\n"), "{stdout:?}");
        assert!(rig.task_dir(id).join("workspace/mine").exists());
    }
}

#[test]
fn a_shim_rests_after_a_sandbox_that_was_not_begun_before() {
    let Some(mut rig) = with_warm_sandboxes() else { return };
    let mut run = |id: &str, script: &str, sandboxed: bool| {
        let mut request = sandbox_request(&rig, id, script);
        request["ended"] = json!([launch_id()]);
        request["sandbox"]["warm"] = json!(0);
        if !sandboxed {
            request["sandbox"] = json!(null);
        }
        rig.launch(&request);
        let shim = pid(&rig.started(id)["shim_pid"]);
        assert_eq!(rig.exit(id)["status"], exited(7));
        rests(shim);
        (shim, rig.stdout(id))
    };
    let (shim, _) = run("a", "touch /tmp/mine; exit 7", true);
    assert_eq!(run("b", "test ! -e /tmp/mine && hostname; exit 7", true), (shim, "sandbox\n".to_owned()));
    assert_eq!(run("c", "exit 7", false).0, shim);
}

#[test]
fn a_sandbox_of_another_shape_is_made_as_ever() {
    let Some(mut rig) = with_warm_sandboxes() else { return };
    let warm = rig.warm();
    let mut request = sandbox_request(&rig, "a", "hostname; exit 6");
    request["sandbox"]["namespaces"]["uts"] = json!(false);
    rig.launch(&request);
    let running = rig.started("a");
    assert!(warm.iter().all(|(_, init)| *init != pid(&running["pid"])));
    assert_eq!(rig.exit("a")["status"], exited(6));
    assert_ne!(rig.stdout("a"), "sandbox\n");
    // From now on they are like the last.
    eventually("others are begun", || rig.warm().len() == 2 && rig.warm().iter().all(|each| !warm.contains(each)));
}

#[test]
fn without_its_first_process_a_begun_sandbox_is_no_task_s_loss() {
    let Some(mut rig) = with_warm_sandboxes() else { return };
    // One may still have been missing, and be begun meanwhile.
    eventually("they are gone", || {
        let warm = rig.warm();
        for (_, init) in &warm {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(*init), Signal::SIGKILL);
        }
        warm.is_empty()
    });
    assert_eq!(sandboxed(&mut rig, "a", "exit 8")["status"], exited(8));
}

#[test]
fn a_begun_sandbox_tells_which_step_fails() {
    let Some(mut rig) = with_warm_sandboxes() else { return };
    let mut request = sandbox_request(&rig, "a", "exit 0");
    request["argv"] = json!(["/no/such/program"]);
    assert_eq!(rig.run(&request)["status"], crate::harness::launch_failed("execve /no/such/program", libc::ENOENT));
    eventually("two sandboxes are begun", || rig.warm().len() == 2);
    let mut request = sandbox_request(&rig, "b", "exit 0");
    request["argv"] = json!(["a\0b"]);
    assert_eq!(rig.run(&request)["status"], crate::harness::launch_failed("execve a\0b", libc::EINVAL));
}

#[test]
fn begun_sandboxes_end_with_their_launcher() {
    let Some(mut rig) = with_warm_sandboxes() else { return };
    let of_launcher = rig.of_launcher();
    assert!(rig.warm().iter().all(|(shim, init)| of_launcher.contains(shim) && of_launcher.contains(init)));
    rig.launcher.kill().expect("killed");
    eventually("it is dead", || rig.launcher.try_wait().expect("waitable").is_some());
    eventually("all are gone", || rig.of_launcher().is_empty());
    assert!(rig.lock_is_free());
}

#[test]
fn what_the_host_mounts_is_not_missing_in_a_begun_sandbox() {
    let Some(mut rig) = with_warm_sandboxes() else { return };
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: only root mounts");
        return;
    }
    let place = rig.dir.path().join("mount");
    fs::create_dir(&place).expect("made");
    let warm = rig.warm();
    rustix::mount::mount("none", &place, "tmpfs", rustix::mount::MountFlags::empty(), None).expect("mounted");
    eventually("they are let go", || rig.warm().iter().all(|each| !warm.contains(each)));
    rustix::mount::unmount(&place, rustix::mount::UnmountFlags::empty()).expect("not in use");
    assert_eq!(sandboxed(&mut rig, "a", "exit 9")["status"], exited(9));
}

fn pid(value: &Value) -> i32 {
    value.as_i64().and_then(|pid| i32::try_from(pid).ok()).expect("a pid")
}

impl Rig {
    /// The spare shims without a sandbox, also when they were given a task and have not taken it.
    fn spares(&self) -> Vec<i32> {
        let mut found = children(pid(&json!(self.launcher.id())));
        found.retain(|child| comm(*child) == "execgo-spare" && children(*child).is_empty());
        found
    }

    /// The one that there is.
    fn spare(&self) -> i32 {
        eventually("there is a spare shim", || self.spares().len() == 1);
        self.spares()[0]
    }

    /// The spare shims with a sandbox, each with the first process of that.
    fn warm(&self) -> Vec<(i32, i32)> {
        let spares = children(pid(&json!(self.launcher.id()))).into_iter().filter(|pid| comm(*pid) == "execgo-spare");
        spares.flat_map(|spare| children(spare).into_iter().map(move |init| (spare, init))).collect()
    }
}

fn children(pid: i32) -> Vec<i32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().map(|pid| pid.parse().expect("a pid")).collect()
}

fn comm(pid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}
