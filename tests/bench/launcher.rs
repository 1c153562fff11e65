//! A launcher that is driven as its server would: a launch is a frame into its standard input, and the end of the task
//! is a report out of its standard output. Everything else of the runtime is left out.

use std::fs;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, socketpair};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::machine::PROGRAM;

const MEMORY_BYTES: u64 = 256 << 20;
const PIDS_MAX: u64 = 64;
/// As `sandbox.uid_base` is by default.
const UID_BASE: u64 = 200_000;

#[derive(Debug)]
pub struct Launcher {
    process: Child,
    /// Closed first at the end, so that the launcher ends.
    requests: Option<ChildStdin>,
    reports: OwnedFd,
    launched: u64,
    groups: Option<Groups>,
    /// How many sandboxes it keeps begun.
    warm: u32,
    dir: TempDir,
}

/// How a task is held.
#[derive(Clone, Copy, Debug)]
pub enum Profile {
    /// A plain process without a cgroup.
    Process,
    /// Every layer, and a cgroup that limits memory and processes where there is one.
    Sandbox,
}

/// Where the groups of launches are made.
#[derive(Debug)]
struct Groups {
    version: &'static str,
    memory: PathBuf,
    pids: PathBuf,
}

impl Launcher {
    pub fn start(warm: u32) -> Self {
        // What it costs to make a task's files on this disk is none of the sandbox's.
        let in_memory = Path::new("/dev/shm");
        let place = if in_memory.is_dir() { in_memory } else { Path::new(env!("CARGO_TARGET_TMPDIR")) };
        let dir = tempfile::tempdir_in(place).expect("a temporary directory");
        let lock = dir.path().join("lock");
        fs::write(&lock, "").expect("a lock file");
        let (reports, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).expect("a pair");
        let mut process = Command::new(env!("CARGO_BIN_EXE_execgo-runtime"))
            .arg("__launcher")
            .arg(lock)
            .stdin(Stdio::piped())
            .stdout(Stdio::from(theirs))
            .spawn()
            .expect("it starts");
        let requests = process.stdin.take();
        Self { process, requests, reports, launched: 0, groups: Groups::make(), warm, dir }
    }

    /// Whether the sandboxes that are measured have a cgroup.
    pub fn has_groups(&self) -> bool {
        self.groups.is_some()
    }

    /// Runs one task to its end, which is when all of it has been reaped and recorded.
    pub fn run(&mut self, profile: Profile) {
        self.launched += 1;
        let json = self.request(profile).to_string();
        let mut frame = u32::try_from(json.len()).expect("short").to_le_bytes().to_vec();
        frame.extend_from_slice(json.as_bytes());
        self.requests.as_mut().expect("open").write_all(&frame).expect("written");
        let exit = self.exit();
        assert_eq!(exit["status"], json!({"kind": "exited", "code": 0}), "{exit}");
    }

    fn exit(&self) -> Value {
        let mut buffer = [0; 64 * 1024];
        loop {
            let length = recv(self.reports.as_raw_fd(), &mut buffer, MsgFlags::empty()).expect("received");
            assert_ne!(length, 0, "the launcher has ended");
            let report: Value = serde_json::from_slice(&buffer[..length]).expect("a report is JSON");
            if report["report"] == "exited" {
                return report["exit"].clone();
            }
        }
    }

    fn request(&self, profile: Profile) -> Value {
        let id = format!("task-{}", self.launched);
        let task_dir = self.dir.path().join("tasks").join(&id);
        let (sandbox, cgroup) = match profile {
            Profile::Process => (Value::Null, Value::Null),
            Profile::Sandbox => (self.sandbox(), self.groups.as_ref().map_or(Value::Null, |groups| groups.spec(&id))),
        };
        json!({
            "version": 1,
            "launch_id": {"seq": self.launched, "revision": 1},
            "task_id": id,
            "journal": self.dir.path().join("journal"),
            "task_dir": task_dir,
            "working_dir": task_dir.join("workspace"),
            "argv": [PROGRAM],
            "script": null,
            "env": [],
            "wall_time_ms": 60_000,
            "grace_ms": 1_000,
            "cpu_time_sec": null,
            "address_space_bytes": null,
            "stdout_log_max_bytes": 1 << 20,
            "stderr_log_max_bytes": 1 << 20,
            "sandbox": sandbox,
            "cgroup": cgroup,
        })
    }

    fn sandbox(&self) -> Value {
        let is_root = nix::unistd::geteuid().is_root();
        json!({
            "namespaces": {"mount": true, "pid": true, "uts": true, "ipc": true, "net": true},
            "uid": is_root.then_some(UID_BASE + 1 + self.launched % 65_535),
            "init_uid": is_root.then_some(UID_BASE),
            "rootfs": null,
            "landlock": true,
            "seccomp": true,
            "warm": self.warm,
        })
    }
}

impl Drop for Launcher {
    fn drop(&mut self) {
        self.requests = None;
        let _ = self.process.wait();
        if let Some(groups) = &self.groups {
            groups.remove();
        }
    }
}

impl Groups {
    /// Groups of this benchmark's own; none where they may not be made.
    fn make() -> Option<Self> {
        let root = Path::new("/sys/fs/cgroup");
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let name = format!("execgo-bench-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let groups = if root.join("cgroup.controllers").exists() {
            Self { version: "v2", memory: root.join(&name), pids: root.join(&name) }
        } else {
            Self { version: "v1", memory: root.join("memory").join(&name), pids: root.join("pids").join(&name) }
        };
        fs::create_dir_all(&groups.memory).and_then(|()| fs::create_dir_all(&groups.pids)).ok()?;
        if groups.version == "v2" {
            fs::write(groups.memory.join("cgroup.subtree_control"), "+memory +pids").ok()?;
        }
        Some(groups)
    }

    fn spec(&self, id: &str) -> Value {
        json!({
            "version": self.version,
            "memory": self.memory.join(id),
            "pids": self.pids.join(id),
            "limits": {"memory_bytes": MEMORY_BYTES, "pids_max": PIDS_MAX},
        })
    }

    fn remove(&self) {
        let _ = fs::remove_dir(&self.memory);
        let _ = fs::remove_dir(&self.pids);
    }
}
