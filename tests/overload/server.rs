//! The runtime under load: the binary of the same build, on loopback, in a directory of its own.

use std::fs;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use serde_json::json;
use tempfile::TempDir;

use crate::http::Connection;

const STARTS_WITHIN: Duration = Duration::from_secs(30);
/// Between two looks at something that is about to happen.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
const MIB: u64 = 1024;

pub struct Server {
    process: Child,
    pub address: SocketAddr,
    dir: TempDir,
    /// Process group and shim of each task that sleeps.
    sleepers: Vec<(Pid, Pid)>,
}

/// What it holds of the machine.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// Resident memory in MiB, now and at most so far.
    pub memory: u64,
    pub most_memory: u64,
    pub descriptors: usize,
}

impl Server {
    /// With these flags, and these keys of the configuration in the environment.
    pub fn start(flags: &[&str], keys: &[(&str, u128)]) -> Self {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary directory");
        let mut command = Command::new(env!("CARGO_BIN_EXE_execgo-runtime"));
        command.args(["serve", "--listen-addr", "127.0.0.1:0"]).arg("--data-dir").arg(dir.path().join("data"));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("EXECGO_")) {
            command.env_remove(name);
        }
        for (key, value) in keys {
            command.env(format!("EXECGO_RUNTIME_{key}"), value.to_string());
        }
        let log = fs::File::create(dir.path().join("log")).expect("a log");
        command.args(flags).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let process = command.spawn().expect("the server starts");
        let lock = dir.path().join("data/runtime.lock");
        let announcement = format!("pid {}, http://", process.id());
        let address = until(STARTS_WITHIN, || {
            let line = fs::read_to_string(&lock).ok()?;
            line.strip_suffix('\n')?.strip_prefix(&announcement)?.parse().ok()
        });
        let address = address
            .unwrap_or_else(|| panic!("no server: {}", fs::read_to_string(dir.path().join("log")).unwrap_or_default()));
        Self { process, address, dir, sleepers: Vec::new() }
    }

    pub fn connect(&self) -> Connection {
        Connection::open(self.address).expect("connected")
    }

    /// Takes this many slots with tasks that sleep as long as the server lives; their ids.
    pub fn occupy(&mut self, slots: usize) -> Vec<String> {
        let mut connection = self.connect();
        let request = json!({"execution": {"kind": "command", "program": "sleep", "args": ["600"]},
                             "limits": {"wall_time_ms": 600_000}});
        let submitted = (0..slots).map(|_| {
            let accepted = connection.post("/api/v1/tasks", &request.to_string()).expect("answered");
            accepted.body["task_id"].as_str().expect("accepted").to_owned()
        });
        let ids: Vec<_> = submitted.collect();
        for id in &ids {
            let running = until(STARTS_WITHIN, || {
                let status = connection.get(&format!("/api/v1/tasks/{id}")).ok()?.body;
                let pid = |field: &str| Some(Pid::from_raw(status[field].as_i64()?.try_into().ok()?));
                (status["status"] == "running").then_some((pid("pgid")?, pid("shim_pid")?))
            });
            self.sleepers.push(running.expect("it runs"));
        }
        ids
    }

    pub fn usage(&self) -> Usage {
        let proc = format!("/proc/{}", self.process.id());
        let status = fs::read_to_string(format!("{proc}/status")).expect("it lives");
        let mib = |field: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(field));
            line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok()).expect("a size") / MIB
        };
        let descriptors = fs::read_dir(format!("{proc}/fd")).expect("it lives").count();
        Usage { memory: mib("VmRSS:"), most_memory: mib("VmHWM:"), descriptors }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = Pid::from_raw(i32::try_from(self.process.id()).expect("a pid"));
        // It ends what is open and then itself; what waits does not start any more.
        if kill(pid, Signal::SIGTERM).is_err() {
            let _ = self.process.kill();
        }
        let _ = self.process.wait();
        for (group, shim) in &self.sleepers {
            let _ = killpg(*group, Signal::SIGKILL);
            // It writes in the directory until it ends.
            until(STARTS_WITHIN, || kill(*shim, None).is_err().then_some(()));
        }
        let _ = fs::remove_dir_all(self.dir.path());
    }
}

/// What `look` finds within this time.
pub fn until<T>(within: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let begun = Instant::now();
    loop {
        let found = look();
        if found.is_some() || begun.elapsed() > within {
            return found;
        }
        thread::sleep(LOOK_AGAIN);
    }
}
