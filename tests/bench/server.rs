//! The runtime that is measured: the binary of the same build, on loopback, with a data directory of its own.

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client;
use crate::http::{Connection, get};
use crate::usage;

const BINARY: &str = env!("CARGO_BIN_EXE_execgo-runtime");
const STARTS_WITHIN: Duration = Duration::from_secs(120);
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// Where servers have their directories. They are removed at the end of the run: a file system that has just removed
/// many files makes new ones more slowly.
#[derive(Debug)]
pub struct Site {
    /// On the disk of the build directory: one in memory would flatter.
    root: TempDir,
    /// For every server.
    flags: Vec<OsString>,
    servers: AtomicU32,
}

#[derive(Debug)]
pub struct Server {
    process: Option<Child>,
    pub address: SocketAddr,
    pub dir: PathBuf,
    flags: Vec<OsString>,
    /// Process group and shim of each task that sleeps.
    sleepers: Vec<(i32, u32)>,
}

impl Site {
    pub fn new(flags: &[OsString]) -> Self {
        let root = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary directory");
        Self { root, flags: flags.to_vec(), servers: AtomicU32::new(0) }
    }

    pub fn start(&self, flags: &[&str]) -> Server {
        let dir = self.root.path().join(self.servers.fetch_add(1, Ordering::Relaxed).to_string());
        fs::create_dir(&dir).expect("a new directory");
        let flags = flags.iter().map(OsString::from).chain(self.flags.iter().cloned()).collect();
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut server = Server { process: None, address, dir, flags, sleepers: Vec::new() };
        server.start();
        server
    }
}

impl Server {
    /// Starts it on its directory; how long it took to be ready.
    pub fn start(&mut self) -> Duration {
        let log = fs::File::create(self.dir.join("log")).expect("a log");
        let mut command = Command::new(BINARY);
        command.args(["serve", "--listen-addr", "127.0.0.1:0"]).arg("--data-dir").arg(self.data()).args(&self.flags);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("EXECGO_")) {
            command.env_remove(name);
        }
        let begun = Instant::now();
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("it starts");
        let announcement = format!("pid {}, http://", process.id());
        self.process = Some(process);
        let announced = until(|| {
            let line = fs::read_to_string(self.data().join("runtime.lock")).ok()?;
            line.strip_suffix('\n')?.strip_prefix(&announcement)?.parse().ok()
        });
        let log = || fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        self.address = announced.unwrap_or_else(|| panic!("the runtime did not start: {}", log()));
        let mut connection = self.connect();
        until(|| (connection.ask(&get("/readyz")).status == 200).then_some(())).expect("it becomes ready");
        begun.elapsed()
    }

    /// It ends what is open and then itself; tasks that run go on.
    pub fn stop(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        let pid = Pid::from_raw(i32::try_from(process.id()).expect("a pid"));
        if kill(pid, Signal::SIGTERM).is_err() {
            let _ = process.kill();
        }
        let _ = process.wait();
    }

    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("it runs").id()
    }

    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    pub fn connect(&self) -> Connection {
        Connection::open(self.address)
    }

    /// Takes a slot with a task that sleeps as long as the server lives; its id.
    pub fn occupy(&mut self, tenant: Option<&str>) -> String {
        let mut connection = self.connect();
        let task = json!({
            "execution": {"kind": "command", "program": "/bin/sleep", "args": ["7200"]},
            "limits": {"wall_time_ms": 7_200_000},
            "control_context": {"tenant": tenant},
        });
        let id = connection.ask(&client::submit(&task)).text("task_id").to_owned();
        let status = get(&format!("{}/{id}", client::TASKS));
        let running = until(|| {
            let status: Value = serde_json::from_str(connection.ask(&status).body).ok()?;
            let (group, shim) = (status["pgid"].as_i64()?, status["shim_pid"].as_i64()?);
            (status["status"] == "running").then_some((group.try_into().ok()?, shim.try_into().ok()?))
        });
        self.sleepers.push(running.expect("it runs"));
        id
    }

    pub fn task_dir(&self, id: &str) -> PathBuf {
        self.data().join("tasks").join(id)
    }

    pub fn database(&self) -> PathBuf {
        self.data().join("runtime.db")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // First, so that what waits does not start when the sleepers are gone.
        self.stop();
        for (group, _) in &self.sleepers {
            let _ = killpg(Pid::from_raw(*group), Signal::SIGKILL);
        }
        // They write in their directories until they end.
        let has_ended = |(_, shim): &(i32, u32)| usage::has_ended(*shim);
        until(|| self.sleepers.iter().all(has_ended).then_some(()));
    }
}

/// What `look` finds in time.
fn until<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let begun = Instant::now();
    loop {
        let found = look();
        if found.is_some() || begun.elapsed() > STARTS_WITHIN {
            return found;
        }
        thread::sleep(LOOK_AGAIN);
    }
}
