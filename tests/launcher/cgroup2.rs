//! A command in a group of version 2: born there, whatever else it is born into. Needs no controller, so that the
//! hierarchy of a host that has its controllers in version 1 will do. Where there is none, a test says so and ends.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::{Rig, eventually, exited, launch_failed};

/// A group of the test's own. A group cannot be removed while anything is in it, so a test that removes it in the end
/// has left nothing there.
struct Own(PathBuf);

impl Own {
    fn make(test: &str) -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounted");
        let mount = mounts.lines().find(|line| line.contains(" - cgroup2 ")).and_then(|line| line.split(' ').nth(4));
        let made = mount.ok_or("no cgroup2 is mounted".to_owned()).and_then(|mount| {
            let dir = Path::new(mount).join(format!("execgo-test-{}-{test}", std::process::id()));
            fs::create_dir(&dir).map(|()| Self(dir)).map_err(|error| error.to_string())
        });
        // The macros of the test harness would hide it.
        made.inspect_err(|why| drop(writeln!(std::io::stderr(), "SKIPPED {test}: {why}"))).ok()
    }

    fn launch(&self) -> PathBuf {
        self.0.join("1-2")
    }

    fn remove(self) {
        // Its shim removes the launch's group when it has told the end.
        eventually("the group of the launch is removed", || !self.launch().exists());
        fs::remove_dir(&self.0).expect("empty");
    }
}

impl Drop for Own {
    /// For tests that fail; a group that is not empty stays.
    fn drop(&mut self) {
        let _ = fs::write(self.launch().join("cgroup.kill"), "1");
        let _ = fs::remove_dir(self.launch());
        let _ = fs::remove_dir(&self.0);
    }
}

fn in_group(request: &mut Value, dir: &Path) {
    request["cgroup"] = json!({"version": "v2", "memory": dir, "pids": dir});
}

fn sandbox(pid: bool) -> Value {
    let namespaces = json!({"mount": true, "pid": pid, "uts": true, "ipc": true, "net": false});
    json!({"namespaces": namespaces, "uid": 200_001, "rootfs": null, "landlock": false, "seccomp": false})
}

/// The names of the processes in the group, once there are some.
fn members(dir: &Path) -> Vec<(String, Value)> {
    let mut members = Vec::new();
    eventually("the group has members", || {
        let list = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
        members = list.lines().filter_map(|pid| Some((name(pid)?, json!(pid.parse::<i32>().ok()?)))).collect();
        !members.is_empty()
    });
    members
}

fn name(pid: &str) -> Option<String> {
    Some(fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim().to_owned())
}

#[test]
fn a_command_is_born_in_its_group_and_nobody_else_is_in_it() {
    let Some(own) = Own::make("born") else { return };
    let mut rig = Rig::start();
    let mut shapes = vec![("plain", None)];
    if nix::unistd::geteuid().is_root() {
        shapes.extend([("boxed", Some(sandbox(false))), ("with-init", Some(sandbox(true)))]);
    }
    for (id, sandbox) in shapes {
        let running = rig.ready(id, "echo ready; until [ -e go ]; do :; done", |request| {
            in_group(request, &own.launch());
            request["sandbox"] = json!(sandbox);
        });
        let members = members(&own.launch());
        assert_eq!(members.len(), 1, "{id}: {members:?}");
        assert_eq!(members[0].0, "sh", "{id}");
        assert_eq!(members[0].1 == running["pid"], id != "with-init", "{id}: {members:?} {running}");
        fs::write(rig.task_dir(id).join("workspace/go"), "").expect("written");
        assert_eq!(rig.exit(id)["status"], exited(0), "{id}");
        eventually("the group is removed", || !own.launch().exists());
    }
    own.remove();
}

#[test]
fn all_that_a_command_leaves_is_killed_with_its_group() {
    let Some(own) = Own::make("left") else { return };
    let mut rig = Rig::start();
    let mut request = rig.request("a", &["/bin/sh", "-c", "setsid sleep 99 & setsid sleep 99 & exit 3"]);
    request["grace_ms"] = json!(100);
    in_group(&mut request, &own.launch());
    assert_eq!(rig.run(&request)["status"], exited(3));
    assert_eq!(rig.survivors(), Vec::<i32>::new());
    own.remove();
}

#[test]
fn cpu_time_that_nobody_waited_for_is_counted() {
    if std::process::Command::new("python3").arg("-V").output().is_err() {
        drop(writeln!(std::io::stderr(), "SKIPPED cpu_time_that_nobody_waited_for_is_counted: there is no python3"));
        return;
    }
    let Some(own) = Own::make("counted") else { return };
    let mut rig = Rig::start();
    // With SIGCHLD ignored the kernel reaps the child, and wait4(2) tells nobody what it used. The parent says what it
    // has used itself, which on a slow machine is much.
    let script = "import os, signal, time\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\n\
                  if os.fork() == 0:\n  until = time.process_time() + 1\n  while time.process_time() < until: pass\n\
                  else:\n  try: os.wait()\n  except ChildProcessError: print(int(time.process_time() * 1000))";
    let mut request = rig.request("a", &["/usr/bin/env", "python3", "-c", script]);
    in_group(&mut request, &own.launch());
    let exit = rig.run(&request);
    let all = exit["usage"]["user_cpu_ms"].as_u64().expect("ms") + exit["usage"]["system_cpu_ms"].as_u64().expect("ms");
    let parent: u64 = rig.stdout("a").trim().parse().expect("a number");
    assert!(all >= parent + 900, "{parent} ms, {all} ms");
    own.remove();
}

#[test]
fn a_group_that_takes_no_process_fails_the_launch_by_its_name() {
    let Some(own) = Own::make("refused") else { return };
    let mut rig = Rig::start();
    let mut request = rig.request("a", &["/bin/true"]);
    // A directory that is no cgroup: EBADF, see clone3(2).
    let dir = rig.dir.path().join("plain/1-2");
    fs::create_dir(rig.dir.path().join("plain")).expect("made");
    in_group(&mut request, &dir);
    let step = format!("clone3 into the cgroup {}", dir.display());
    assert_eq!(rig.run(&request)["status"], launch_failed(step, libc::EBADF));
    own.remove();
}
