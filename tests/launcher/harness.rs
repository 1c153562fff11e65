//! A launcher of the test's own, in a directory of its own. Everything waits on a condition, with a deadline.

use std::collections::VecDeque;
use std::fs;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, socketpair};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long a test waits for anything before it fails.
pub fn deadline() -> Duration {
    Duration::from_secs(30) * patience()
}

/// How much longer than elsewhere everything may take, for a slow machine such as the one of `.ci/vm`: the whole number
/// in `EXECGO_TEST_PATIENCE`, else 1.
pub fn patience() -> u32 {
    let named = std::env::var("EXECGO_TEST_PATIENCE").ok();
    named.map_or(1, |factor| factor.parse().expect("EXECGO_TEST_PATIENCE is a whole number"))
}

/// Names the processes of one test, whatever becomes of them.
const MARK: &str = "EXECGO_TEST_MARK";

pub struct Rig {
    pub dir: TempDir,
    pub launcher: Child,
    pub requests: Option<ChildStdin>,
    pub reports: Option<OwnedFd>,
    seen: VecDeque<Value>,
    mark: String,
}

impl Rig {
    pub fn start() -> Self {
        let dir = tempfile::tempdir().expect("temp dir");
        fs::write(dir.path().join("a.lock"), "").expect("lock file");
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).expect("pair");
        let mut launcher = spawn(command(&dir.path().join("a.lock")).stdin(Stdio::piped()).stdout(Stdio::from(theirs)));
        let requests = launcher.stdin.take();
        let mark = format!("{}-{}", std::process::id(), dir.path().display());
        Self { dir, launcher, requests, reports: Some(ours), seen: VecDeque::new(), mark }
    }

    /// A request to run `argv` with the mark as its whole environment.
    pub fn request(&self, id: &str, argv: &[&str]) -> Value {
        let task_dir = self.task_dir(id);
        json!({
            "version": 1,
            "launch_id": launch_id(),
            "task_id": id,
            "journal": self.dir.path().join("journal"),
            "task_dir": task_dir,
            "working_dir": task_dir.join("workspace"),
            "argv": argv,
            "script": null,
            "env": [[MARK, self.mark]],
            "wall_time_ms": 1_u64 << 53,
            "grace_ms": 60_000,
            "cpu_time_sec": null,
            "address_space_bytes": null,
            "file_size_bytes": null,
            "stdout_log_max_bytes": 1 << 20,
            "stderr_log_max_bytes": 1 << 20,
            "open_files": null,
            "workspace_bytes": null,
            "ended": [],
        })
    }

    pub fn launch(&mut self, request: &Value) {
        let json = request.to_string();
        let mut frame = u32::try_from(json.len()).expect("small").to_le_bytes().to_vec();
        frame.extend_from_slice(json.as_bytes());
        self.requests.as_mut().expect("open").write_all(&frame).expect("written");
    }

    /// Runs a shell script to its end and returns its exit.
    pub fn sh(&mut self, id: &str, script: &str) -> Value {
        let request = self.request(id, &["/bin/sh", "-c", script]);
        self.run(&request)
    }

    pub fn run(&mut self, request: &Value) -> Value {
        self.launch(request);
        self.exit(request["task_id"].as_str().expect("an id"))
    }

    /// Launches a shell script and returns its `running` once it has printed `ready`.
    pub fn ready(&mut self, id: &str, script: &str, change: impl Fn(&mut Value)) -> Value {
        let mut request = self.request(id, &["/bin/sh", "-c", script]);
        change(&mut request);
        self.launch(&request);
        let running = self.started(id);
        eventually("the script is ready", || self.stdout(id).contains("ready"));
        running
    }

    pub fn started(&mut self, id: &str) -> Value {
        self.report("started", id)["running"].clone()
    }

    pub fn exit(&mut self, id: &str) -> Value {
        self.report("exited", id)["exit"].clone()
    }

    /// The next report of this kind about this task; others are kept.
    pub fn report(&mut self, kind: &str, id: &str) -> Value {
        let wanted = |report: &Value| report["report"] == kind && report["task_id"] == id;
        let until = Instant::now() + deadline();
        loop {
            if let Some(index) = self.seen.iter().position(wanted) {
                return self.seen.remove(index).expect("just found");
            }
            match self.receive(until) {
                Some(report) => self.seen.push_back(report),
                None => panic!("no report {kind:?} of {id:?}; seen: {:?}", self.seen),
            }
        }
    }

    /// All that has been reported and was not asked for.
    pub fn other_reports(&mut self) -> Vec<Value> {
        while let Some(report) = self.receive(Instant::now()) {
            self.seen.push_back(report);
        }
        self.seen.drain(..).collect()
    }

    fn receive(&self, until: Instant) -> Option<Value> {
        let reports = self.reports.as_ref().expect("open");
        let left = PollTimeout::try_from(until.saturating_duration_since(Instant::now())).expect("short");
        let mut fds = [PollFd::new(reports.as_fd(), PollFlags::POLLIN)];
        if nix::poll::poll(&mut fds, left).expect("poll") == 0 {
            return None;
        }
        let mut buffer = vec![0; 256 * 1024];
        match recv(reports.as_raw_fd(), &mut buffer, MsgFlags::empty()).expect("received") {
            0 => None,
            length => Some(serde_json::from_slice(&buffer[..length]).expect("a report is JSON")),
        }
    }

    pub fn task_dir(&self, id: &str) -> PathBuf {
        self.dir.path().join("tasks").join(id)
    }

    pub fn stdout(&self, id: &str) -> String {
        fs::read_to_string(self.task_dir(id).join("stdout.log")).unwrap_or_default()
    }

    /// The records of the journal, each line checked.
    pub fn journal(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.dir.path().join("journal")).expect("a journal");
        assert!(text.ends_with('\n'), "torn: {text:?}");
        let record = |line: &str| {
            let (checksum, json) = line.split_once(' ').expect("two parts");
            assert_eq!(checksum, format!("{:08x}", crc32fast::hash(json.as_bytes())));
            serde_json::from_str(json).expect("JSON")
        };
        text.lines().map(record).collect()
    }

    /// The ids of all records of one kind, in order.
    pub fn recorded(&self, kind: &str) -> Vec<String> {
        let records = self.journal();
        let of_kind = records.iter().filter(|record| record["record"] == kind);
        of_kind.map(|record| record["task_id"].as_str().expect("an id").to_owned()).collect()
    }

    /// The living processes of this test's tasks.
    pub fn survivors(&self) -> Vec<i32> {
        processes_with("environ", format!("{MARK}={}", self.mark).as_bytes())
    }

    /// The launcher, its shims, and the first processes of their sandboxes, as far as they live.
    pub fn of_launcher(&self) -> Vec<i32> {
        let lock = self.dir.path().join("a.lock");
        processes_with("cmdline", lock.as_os_str().as_encoded_bytes())
    }

    /// The server dies, or lets go.
    pub fn hang_up(&mut self) {
        let _nobody_has_a_copy = spawning();
        self.requests = None;
    }

    /// The launcher ends by itself then.
    pub fn close_requests(&mut self) {
        self.hang_up();
        let launcher = &mut self.launcher;
        eventually("the launcher ends", || launcher.try_wait().expect("waitable").is_some());
    }

    /// Tries the lock that the launcher and its shims hold.
    pub fn lock_is_free(&self) -> bool {
        let file = fs::File::open(self.dir.path().join("a.lock")).expect("the lock file");
        file.try_lock().is_ok()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.hang_up();
        let _ = self.launcher.wait();
        // Nothing for a test that passed. A shim has the launcher's command line, and ends by itself when it can kill
        // its command; one that a failed test left waiting has no command.
        for pid in self.survivors().into_iter().chain(self.of_launcher()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

/// The processes with this string among those of `/proc/<pid>/<file>`. Zombies have none.
fn processes_with(file: &str, string: &[u8]) -> Vec<i32> {
    let pids = fs::read_dir("/proc").expect("proc").filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok());
    let has_string = |pid: &i32| {
        let strings = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        strings.split(|b| *b == 0).any(|each| each == string)
    };
    pids.filter(has_string).collect()
}

/// Until its exec a child has a copy of every descriptor of this program, those of the tests beside its own too. So a
/// pipe is closed for good only while no child is being started.
fn spawning() -> MutexGuard<'static, ()> {
    static SPAWNING: Mutex<()> = Mutex::new(());
    SPAWNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts the launcher.
pub fn spawn(command: &mut Command) -> Child {
    let _alone = spawning();
    command.spawn().expect("the launcher starts")
}

pub fn command(lock: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_execgo-runtime"));
    command.arg("__launcher").arg(lock);
    command
}

pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let until = Instant::now() + deadline();
    while !condition() {
        assert!(Instant::now() < until, "not within {:?}: {what}", deadline());
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn signal(pid: &Value, signal: Signal) {
    let pid = pid.as_i64().and_then(|pid| i32::try_from(pid).ok()).expect("a pid");
    kill(Pid::from_raw(pid), signal).expect("sent");
}

pub fn exited(code: i32) -> Value {
    json!({"kind": "exited", "code": code})
}

pub fn signaled(signal: i32) -> Value {
    json!({"kind": "signaled", "signal": signal})
}

pub fn launch_failed(step: impl AsRef<str>, errno: i32) -> Value {
    json!({"kind": "launch_failed", "step": step.as_ref(), "errno": errno})
}

/// Every launch of these tests has the same one: the launcher only hands it on.
pub fn launch_id() -> Value {
    json!({"seq": 1, "revision": 2})
}

/// The journal's last word on a task.
pub fn exit_record(task_id: &str, exit: &Value) -> Value {
    json!({"record": "exited", "task_id": task_id, "launch_id": launch_id(), "exit": exit})
}
