//! What cgroups do for a task, where the host has them. Where it has not, each test says so and does nothing.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::{Server, eventually, has_python, is_alive, patience, sh, signal};

const MIB: u64 = 1 << 20;

/// Never stops trying. It pauses when a fork is refused, so that it does not starve the tests beside it.
const FORK_BOMB: &str = "import os, signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n\
                         while True:\n  try: os.fork()\n  except OSError: open('refused', 'w'); time.sleep(0.01)";

/// A server whose manifest offers all that is needed; else `None`, and the reason on the real standard error.
fn server_with(needed: &[&str], flags: &[&str]) -> Option<Server> {
    if !has_python("a test of cgroups") {
        return None;
    }
    let server = Server::with_flags(flags);
    let manifest = server.get("/api/v1/runtime/capabilities").body;
    if needed.iter().all(|name| manifest["resources"][*name] == true) {
        return Some(server);
    }
    // The macros of the test harness would hide it.
    let _ = writeln!(std::io::stderr(), "SKIPPED, this host lacks {needed:?}: {}", manifest["warnings"]);
    None
}

fn python(code: &str, limits: &Value) -> Value {
    json!({"execution": {"kind": "command", "program": "python3", "args": ["-c", code]}, "limits": limits})
}

fn instances(server: &Server) -> Vec<PathBuf> {
    let noted = fs::read_to_string(server.data_dir().join("run/cgroups")).expect("noted");
    noted.lines().map(PathBuf::from).collect()
}

/// The directories of all launches that have a group.
fn groups(server: &Server) -> Vec<PathBuf> {
    let below = |dir: &PathBuf| fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok).map(|e| e.path());
    let all: Vec<PathBuf> = instances(server).iter().flat_map(below).collect();
    all.into_iter().filter(|path| path.is_dir()).collect()
}

/// A group is removed right after the end of its task was told.
fn no_group_is_left(server: &Server) {
    eventually("no group is left", || groups(server).is_empty().then_some(()));
}

fn number(dir: &Path, files: &[&str]) -> Option<u64> {
    files.iter().find_map(|file| fs::read_to_string(dir.join(file)).ok()?.trim().parse().ok())
}

#[test]
fn a_task_over_its_memory_is_told_from_any_other_kill() {
    let Some(server) = server_with(&["memory_limit", "oom_detection"], &[]) else { return };
    let hog = "x = bytearray(300 << 20)\nfor i in range(0, len(x), 4096): x[i] = 1\nprint('all of it')";
    let status = server.run(&python(hog, &json!({"memory_bytes": 64 * MIB})));
    assert_eq!((&status["status"], &status["stdout"]), (&json!("failed"), &json!("")), "{status}");
    assert_eq!(status["error"]["code"], "memory_limit_exceeded", "{status}");
    assert_eq!(status["error"]["details"], json!({"memory_bytes": 64 * MIB}));
    assert_eq!(status["exit_signal"], 9);
    // Linux has told the peak of version 2 since 5.19.
    if let Some(peak) = status["usage"]["memory_peak_bytes"].as_u64() {
        assert!((60 * MIB..=65 * MIB).contains(&peak), "{peak}");
    }
    let enforced = &status["execution_plan"]["resource_enforcement"];
    let told = ["memory_enforced", "cgroup_enforced", "oom_detection"].map(|name| enforced[name] == true);
    assert_eq!(told, [true; 3], "{enforced}");
    assert_eq!(status["execution_plan"]["capability_warnings"], json!([]));
    // A child of the task is the task too, and what survives it does not make a success of it.
    let child = format!("import os\nif os.fork() == 0:\n  {}\nos.wait()", hog.replace('\n', "\n  "));
    let status = server.run(&python(&child, &json!({"memory_bytes": 64 * MIB})));
    assert_eq!(status["error"]["code"], "memory_limit_exceeded", "{status}");
    no_group_is_left(&server);
}

#[test]
fn a_runtime_that_reserves_much_address_space_runs_under_little_memory() {
    let Some(server) = server_with(&["memory_limit"], &[]) else { return };
    let limits = json!({"memory_bytes": 256 * MIB});
    // Private and read-only, which is no promise of memory, so that no machine is too small for it.
    let reserves = "import mmap\nmmap.mmap(-1, 1 << 32, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)\nprint('ok')";
    let status = server.run(&python(reserves, &limits));
    assert_eq!((&status["status"], &status["stdout"]), (&json!("success"), &json!("ok\n")), "{status}");
    let mut unlimited = sh("ulimit -v");
    unlimited["limits"] = limits;
    assert_eq!(server.run(&unlimited)["stdout"], "unlimited\n");
}

#[test]
fn a_fork_bomb_ends_at_its_timeout_and_leaves_nothing() {
    let Some(server) = server_with(&["pids_limit"], &["--termination-grace-ms", "200"]) else { return };
    let status = server.run(&python(FORK_BOMB, &json!({"pids_max": 32, "wall_time_ms": 2000 * patience()})));
    assert_eq!((&status["status"], &status["error"]["code"]), (&json!("failed"), &json!("timeout")), "{status}");
    assert_eq!(status["execution_plan"]["resource_enforcement"]["pids_enforced"], true);
    assert_eq!(status["execution_plan"]["degraded"], false);
    let workspace = server.task_dir(status["task_id"].as_str().expect("an id")).join("workspace");
    assert!(workspace.join("refused").exists(), "the kernel refused no fork");
    assert!(status["duration_ms"].as_u64().is_some_and(|ms| ms < 10_000 * u64::from(patience())), "{status}");
    no_group_is_left(&server);
    assert_eq!(server.run_sh("echo next")["stdout"], "next\n");
}

#[test]
fn a_sandboxed_task_has_its_limits_too() {
    let Some(server) = server_with(&["memory_limit", "pids_limit"], &["--termination-grace-ms", "200"]) else { return };
    if server.get("/api/v1/runtime/capabilities").body["sandbox"]["linux_sandbox"] != true {
        let _ = writeln!(std::io::stderr(), "SKIPPED a_sandboxed_task_has_its_limits_too: no linux_sandbox here");
        return;
    }
    let strict = |mut request: Value| {
        request["sandbox"] = json!({"profile": "linux_sandbox"});
        request["policy"] = json!({"capability_mode": "strict"});
        request
    };
    let status = server.run(&strict(python("x = b'x' * (300 << 20)", &json!({"memory_bytes": 64 * MIB}))));
    assert_eq!(status["error"]["code"], "memory_limit_exceeded", "{status}");
    let id = server.submit(&strict(python(FORK_BOMB, &json!({"pids_max": 16}))));
    let refused = server.task_dir(&id).join("workspace/refused");
    eventually("the kernel refuses a fork", || refused.exists().then_some(()));
    server.kill(&id, None);
    assert_eq!(server.wait(&id)["status"], "cancelled");
    no_group_is_left(&server);
}

#[test]
fn two_busy_processes_share_what_the_task_may_have_of_a_core() {
    let Some(server) = server_with(&["cpu_quota"], &[]) else { return };
    let busy = "import os, time\nchild = os.fork()\nuntil = time.monotonic() + 1.5\n\
                while time.monotonic() < until: pass\nif child: os.wait()";
    let mut request = python(busy, &json!({"cpu_millis": 200}));
    request["policy"] = json!({"capability_mode": "strict"});
    let id = server.submit(&request);
    let throttled = |dir: &PathBuf| {
        let stat = fs::read_to_string(dir.join("cpu.stat")).ok()?;
        stat.lines().find_map(|line| line.strip_prefix("nr_throttled ")?.parse::<u64>().ok())
    };
    eventually("the kernel holds it back", || groups(&server).iter().find_map(throttled).filter(|times| *times > 0));
    let status = server.wait(&id);
    let of = |name: &str| status["usage"][name].as_u64().expect("a number");
    let used = of("user_cpu_ms") + of("system_cpu_ms");
    assert_eq!(status["status"], "success", "{status}");
    assert!(used > 0 && used * 2 < of("duration_ms"), "{status}");
    let enforced = &status["execution_plan"]["resource_enforcement"];
    assert_eq!((&enforced["cpu_millis"], &enforced["cpu_enforced"]), (&json!(200), &json!(true)));
    eventually("its shim removes the group", || groups(&server).is_empty().then_some(()));
}

#[test]
fn the_plan_says_what_the_task_sees_and_the_kernel_holds() {
    let Some(server) = server_with(&["memory_limit", "pids_limit", "cpu_quota"], &[]) else { return };
    let mut request = sh("cat /proc/self/cgroup; echo end; until [ -e go ]; do sleep 0.02; done");
    request["limits"] = json!({"memory_bytes": 64 * MIB, "pids_max": 20, "cpu_millis": 500});
    request["policy"] = json!({"capability_mode": "strict"});
    let id = server.submit(&request);
    let status = server.until_output(&id, "end");
    assert_eq!(status["execution_plan"]["resource_enforcement"]["cgroup_enforced"], true);
    let groups = groups(&server);
    assert_eq!(groups.len(), instances(&server).len(), "{groups:?}");
    let inside = status["stdout"].as_str().expect("text");
    for group in &groups {
        let ending: PathBuf = group.components().skip(group.components().count() - 2).collect();
        assert!(inside.lines().any(|line| Path::new(line).ends_with(&ending)), "{ending:?} is not in {inside}");
        let members = fs::read_to_string(group.join("cgroup.procs")).expect("readable");
        let is_member = |name: &str| members.lines().any(|pid| pid.parse().ok() == status[name].as_u64());
        assert_eq!((is_member("pid"), is_member("shim_pid")), (true, false), "{members}");
    }
    let value = |files: &[&str]| groups.iter().find_map(|group| number(group, files));
    assert_eq!(value(&["memory.limit_in_bytes", "memory.max"]), Some(64 * MIB));
    assert_eq!(value(&["pids.max"]), Some(20));
    let share = ["cpu.cfs_quota_us", "cpu.max"];
    let share = groups.iter().flat_map(|group| share.map(|file| fs::read_to_string(group.join(file)).ok())).flatten();
    assert!(share.into_iter().any(|share| ["50000\n", "50000 100000\n"].contains(&share.as_str())), "{groups:?}");
    let swap = value(&["memory.memsw.limit_in_bytes", "memory.swap.max"]);
    assert!(swap.is_none_or(|swap| swap == 64 * MIB || swap == 0), "{swap:?}");
    fs::write(server.task_dir(&id).join("workspace/go"), "").expect("written");
    let status = server.wait(&id);
    assert_eq!(status["status"], "success");
    eventually("its shim removes the groups", || groups.iter().all(|group| !group.exists()).then_some(()));
}

#[test]
fn a_server_that_comes_back_ends_the_groups_of_dead_launches() {
    let Some(mut server) = server_with(&["cgroup_writable"], &[]) else { return };
    let id = server.submit_sh("setsid sleep 99 & echo $! > pid; echo begun; sleep 99");
    let living = server.submit_sh("echo begun; until [ -e go ]; do sleep 0.02; done");
    let status = server.until_output(&id, "begun");
    server.until_output(&living, "begun");
    let launcher = server.launcher_pid();
    server.crash();
    eventually("the launcher is gone", || (!is_alive(launcher)).then_some(()));
    signal(u32::try_from(status["shim_pid"].as_u64().expect("a pid")).expect("a pid"), Signal::SIGKILL);
    let both = groups(&server).len();
    server.restart();
    assert_eq!(server.wait(&id)["error"]["code"], "internal");
    let child = fs::read_to_string(server.task_dir(&id).join("workspace/pid")).expect("there");
    let child: u32 = child.trim().parse().expect("a pid");
    eventually("the child that left the session is gone", || (!is_alive(child)).then_some(()));
    eventually("its group is gone", || (groups(&server).len() * 2 == both).then_some(()));
    fs::write(server.task_dir(&living).join("workspace/go"), "").expect("written");
    assert_eq!(server.wait(&living)["status"], "success");
    let instances = instances(&server);
    assert_eq!(server.stop(), Some(0));
    eventually("nothing of ours is left", || instances.iter().all(|dir| !dir.exists()).then_some(()));
}

#[test]
fn a_limit_that_a_later_server_cannot_keep_fails_the_launch() {
    let Some(mut server) = server_with(&["pids_limit"], &["--max-running-tasks", "1"]) else { return };
    let first = server.submit_sh("until [ -e go ]; do sleep 0.02; done");
    let mut limited = sh("echo ran");
    limited["limits"] = json!({"pids_max": 20});
    let limited = server.submit(&limited);
    server.crash();
    server.add_flag("--disable-cgroup");
    server.restart();
    fs::write(server.task_dir(&first).join("workspace/go"), "").expect("written");
    let status = server.wait(&limited);
    assert_eq!((&status["stdout"], &status["error"]["code"]), (&json!(""), &json!("launch_failed")), "{status}");
    assert!(status["error"]["message"].as_str().is_some_and(|text| text.contains("cgroup")), "{status}");
}
