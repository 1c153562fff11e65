//! A runtime of this tree for a test, gone at its end with all that it ran.

use std::env;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const STARTS_WITHIN: Duration = Duration::from_secs(60);

/// On a free port, with a data directory of its own.
pub struct Runtime {
    process: Child,
    dir: tempfile::TempDir,
}

impl Runtime {
    /// `None`, said aloud, when there is no binary to start.
    pub fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// With more flags.
    pub fn start_with(flags: &[&str]) -> Option<Self> {
        let Some(binary) = binary() else {
            // Not `eprintln!`: the harness would keep it for itself.
            let told = "SKIPPED: no runtime to ask; build the workspace or set EXECGO_RUNTIME_BIN";
            writeln!(io::stderr(), "{told}").expect("standard error is open");
            return None;
        };
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut command = Command::new(binary);
        command.args(["serve", "--listen-addr", "127.0.0.1:0", "--disable-cgroup", "--data-dir"]).arg(dir.path());
        command.args(flags);
        for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("EXECGO_")) {
            command.env_remove(name);
        }
        let log = fs::File::create(dir.path().join("log")).expect("a log");
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("it starts");
        Some(Self { process, dir })
    }

    /// Waits until the runtime has said where it is.
    pub fn url(&self) -> String {
        let until = Instant::now() + STARTS_WITHIN;
        let announcement = format!("pid {}, ", self.process.id());
        loop {
            let line = fs::read_to_string(self.dir.path().join("runtime.lock")).unwrap_or_default();
            if let Some(url) = line.strip_suffix('\n').and_then(|line| line.strip_prefix(&announcement)) {
                return url.to_owned();
            }
            let log = || fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            assert!(Instant::now() < until, "the runtime did not start: {}", log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// As the runtime writes it.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().canonicalize().expect("it is there")
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        // A task outlives its runtime, by design; a case that fails may leave one.
        let left = working_below(&self.data_dir());
        if !left.is_empty() {
            let _ = Command::new("kill").arg("-KILL").args(left).stderr(Stdio::null()).status();
        }
    }
}

/// The binary named by `EXECGO_RUNTIME_BIN`, else the one that stands beside this test.
fn binary() -> Option<PathBuf> {
    if let Some(named) = env::var_os("EXECGO_RUNTIME_BIN") {
        let named = PathBuf::from(named);
        assert!(named.is_file(), "EXECGO_RUNTIME_BIN names {}, which is no file", named.display());
        return Some(named);
    }
    let test = env::current_exe().expect("a test has a path");
    let built = test.ancestors().nth(2).expect("target/debug/deps/test").join("execgo-runtime");
    built.is_file().then_some(built)
}

/// The ids of the processes whose working directory is in `dir`.
fn working_below(dir: &Path) -> Vec<String> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let works_there = |path: PathBuf| fs::read_link(path.join("cwd")).is_ok_and(|cwd| cwd.starts_with(dir));
    let ids = processes.filter(|process| works_there(process.path()));
    ids.filter_map(|process| process.file_name().into_string().ok()).filter(|id| id.parse::<u32>().is_ok()).collect()
}
