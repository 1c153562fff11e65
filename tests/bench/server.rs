//! The runtime that is measured: the binary of the same build, on loopback, with a data directory that goes with it.

use std::ffi::OsString;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

const FLAGS: [&str; 6] = ["--listen-addr", "127.0.0.1:0", "--max-running-tasks", "8", "--max-queued-tasks", "10000"];
const STARTS_WITHIN: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub struct Server {
    process: Child,
    url: String,
    /// On the disk of the build directory: one in memory would flatter.
    dir: TempDir,
}

impl Server {
    pub fn start(more_flags: &[OsString]) -> Self {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary directory");
        let mut command = Command::new(env!("CARGO_BIN_EXE_execgo-runtime"));
        command.arg("serve").args(FLAGS).arg("--data-dir").arg(dir.path()).args(more_flags);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("EXECGO_")) {
            command.env_remove(name);
        }
        let log = fs::File::create(dir.path().join("log")).expect("a log");
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("it starts");
        let mut server = Self { process, url: String::new(), dir };
        server.url = server.announced();
        server
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    fn announced(&self) -> String {
        let until = Instant::now() + STARTS_WITHIN;
        let announcement = format!("pid {}, ", self.process.id());
        loop {
            let line = fs::read_to_string(self.dir.path().join("runtime.lock")).unwrap_or_default();
            if let Some(url) = line.strip_suffix('\n').and_then(|line| line.strip_prefix(&announcement)) {
                return url.to_owned();
            }
            let log = || fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            assert!(Instant::now() < until, "the runtime did not start: {}", log());
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = Pid::from_raw(i32::try_from(self.process.id()).expect("a pid"));
        // It ends what is open and then itself.
        if kill(pid, Signal::SIGTERM).is_err() {
            let _ = self.process.kill();
        }
        let _ = self.process.wait();
    }
}
