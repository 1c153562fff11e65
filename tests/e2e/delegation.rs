//! A group of version 2 that was given to a server that is not root, as systemd does with `Delegate=yes`. Needs root, to
//! give it, and a version 2 that has the controllers; elsewhere each test says so and does nothing.

use std::fs;
use std::io::Write;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::support::{SOMEBODY, Server, eventually, has_python};

const CONTROLLERS: [&str; 3] = ["memory", "pids", "cpu"];

/// Removed in the end, with what is in it.
pub struct Given(pub PathBuf);

impl Given {
    pub fn make(test: &str) -> Option<Self> {
        let made = Self::try_make(test);
        // The macros of the test harness would hide it.
        made.inspect_err(|why| drop(writeln!(std::io::stderr(), "SKIPPED {test}: {why}"))).ok()
    }

    fn try_make(test: &str) -> Result<Self, String> {
        if !nix::unistd::geteuid().is_root() {
            return Err("not run by root".to_owned());
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounted");
        let mount = mounts.lines().find(|line| line.contains(" - cgroup2 ")).and_then(|line| line.split(' ').nth(4));
        let root = Path::new(mount.ok_or("no cgroup2 is mounted")?);
        let offered = fs::read_to_string(root.join("cgroup.controllers")).map_err(|error| error.to_string())?;
        if let Some(missing) = CONTROLLERS.iter().find(|name| !offered.split_whitespace().any(|had| had == **name)) {
            return Err(format!("{} has no {missing} controller", root.display()));
        }
        let told = |error: std::io::Error| error.to_string();
        fs::write(root.join("cgroup.subtree_control"), "+memory +pids +cpu").map_err(told)?;
        let given = Self(root.join(format!("execgo-test-{}-{test}", std::process::id())));
        fs::create_dir(&given.0).map_err(told)?;
        for path in ["", "cgroup.procs", "cgroup.subtree_control"] {
            chown(given.0.join(path), Some(SOMEBODY), Some(SOMEBODY)).map_err(told)?;
        }
        Ok(given)
    }

    /// As `/proc/<pid>/cgroup` shows it.
    pub fn holds(&self, pid: u32, below: &str) -> bool {
        let path = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("readable");
        let name = self.0.file_name().expect("a name").to_string_lossy();
        path.lines().any(|line| line.starts_with("0::") && line.ends_with(&format!("/{name}{below}")))
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        // What a test that failed has left.
        let _ = fs::write(self.0.join("cgroup.kill"), "1");
        let below = || fs::read_dir(&self.0).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
        eventually("the group is removed", || {
            below().filter(|path| path.is_dir()).for_each(|dir| drop(fs::remove_dir(dir)));
            fs::remove_dir(&self.0).ok()
        });
    }
}

#[test]
fn a_server_that_is_not_root_divides_the_group_that_was_given_to_it() {
    let Some(given) = Given::make("divided") else { return };
    if !has_python("a test of a delegated cgroup") {
        return;
    }
    let mut server = Server::rootless_in(&given.0);
    let resources = server.get("/api/v1/runtime/capabilities").body["resources"].clone();
    for name in ["cgroup_v2", "cgroup_writable", "memory_limit", "pids_limit", "cpu_quota", "oom_detection"] {
        assert_eq!(resources[name], true, "{name}: {resources}");
    }
    assert_eq!(server.get("/api/v1/runtime/config").body["cgroup_root"], given.0.display().to_string());
    assert!(given.holds(server.pid(), "/runtime") && given.holds(server.launcher_pid(), "/runtime"));
    let hog = json!({"kind": "command", "program": "python3", "args": ["-c", "x = b'x' * (300 << 20)"]});
    let status = server.run(&json!({"execution": hog, "limits": {"memory_bytes": 64 << 20, "cpu_millis": 900}}));
    assert_eq!(status["error"]["code"], "memory_limit_exceeded", "{status}");
    // A server that is started in the leaf finds the same group.
    server.crash();
    server.group_for_next_start(&given.0.join("runtime"));
    server.restart();
    assert_eq!(server.get("/api/v1/runtime/config").body["cgroup_root"], given.0.display().to_string());
    assert_eq!(server.run_sh("echo on")["stdout"], "on\n");
    assert_eq!(server.stop(), Some(0));
    let left = || fs::read_dir(&given.0).expect("there").filter_map(Result::ok).map(|entry| entry.path());
    eventually("the leaf alone is left", || {
        left().filter(|path| path.is_dir()).eq([given.0.join("runtime")]).then_some(())
    });
}

#[test]
fn somebody_else_in_the_group_stays_there_and_is_told_of() {
    let Some(given) = Given::make("shared") else { return };
    let mut other = Command::new("sleep").arg("99").spawn().expect("spawned");
    fs::write(given.0.join("cgroup.procs"), other.id().to_string()).expect("moved");
    let server = Server::rootless_in(&given.0);
    let manifest = server.get("/api/v1/runtime/capabilities").body;
    assert_eq!(manifest["resources"]["cgroup_v2"], false, "{manifest}");
    assert!(manifest["warnings"].to_string().contains("which holds other processes"), "{manifest}");
    assert!(given.holds(other.id(), "") && given.holds(server.pid(), ""), "nobody is moved for nothing");
    assert_eq!(server.run_sh("echo runs")["stdout"], "runs\n");
    other.kill().expect("killable");
    other.wait().expect("reaped");
}
