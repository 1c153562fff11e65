//! The runtime that is tortured: the binary of the same build, on a loopback address and in a directory of its own.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::api::Api;
use crate::plan::Profile;
use crate::processes::Processes;

/// The user of a runtime that is not root, where the campaign is.
const SOMEBODY: u32 = 54_321;
const FIRST_PORT: u16 = 7117;
const STARTS_WITHIN: Duration = Duration::from_secs(30);
/// Between two looks at something that is about to happen.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

pub const MAX_RUNNING: u64 = 16;
pub const GRACE_MS: u64 = 200;

pub struct Runtime {
    dir: TempDir,
    /// It gave root up for this one.
    pub user: Option<u32>,
    program: PathBuf,
    pub address: String,
    profile: Profile,
    child: Option<Child>,
    /// A command that becomes the server, with other limits or mounts, by an exec.
    pub prefix: Vec<String>,
    pub processes: Processes,
    /// From each start to ready.
    pub starts: Vec<Duration>,
}

impl Runtime {
    /// Made, not started. A rootless one gives root up where the campaign has it.
    pub fn new(profile: Profile, rootless: bool) -> Self {
        static PORTS: AtomicU16 = AtomicU16::new(FIRST_PORT);
        let dir = tempfile::Builder::new().prefix("torture").tempdir().expect("a temporary directory");
        let given = fs::metadata(dir.path()).expect("there").uid() == 0;
        let user = (rootless && given).then_some(SOMEBODY);
        let mut program = PathBuf::from(env!("CARGO_BIN_EXE_execgo-runtime"));
        fs::write(dir.path().join("ran"), "").expect("written");
        if let Some(user) = user {
            // He cannot go where the build is.
            let copy = dir.path().join("program");
            let copied = Command::new("cp").arg(&program).arg(&copy).status().expect("cp");
            assert!(copied.success(), "cp: {copied}");
            program = copy;
            fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711)).expect("chmod");
            for path in [dir.path(), &dir.path().join("ran")] {
                chown(path, Some(user), Some(user)).expect("chown");
            }
        }
        // An address of its own: no other program's connection takes the port while no server has it.
        let [_, b, c, d] = std::process::id().to_be_bytes();
        let address = format!("{}:{}", Ipv4Addr::new(127, 64 | b, c, d | 2), PORTS.fetch_add(1, Ordering::Relaxed));
        let mark = dir.path().file_name().expect("a name").to_string_lossy().into_owned();
        let processes = Processes::new(&dir.path().join("data"), &mark);
        Self { dir, user, program, address, profile, child: None, prefix: Vec::new(), processes, starts: Vec::new() }
    }

    pub fn api(&self) -> Api {
        Api::new(&format!("http://{}", self.address))
    }

    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// What the processes of its tasks carry.
    pub fn mark(&self) -> String {
        self.dir.path().file_name().expect("a name").to_string_lossy().into_owned()
    }

    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub fn task_dir(&self, id: &str) -> PathBuf {
        self.data_dir().join("tasks").join(id)
    }

    /// Where a task notes that it runs, by the name that it knows.
    pub fn ran_of_task(&self) -> PathBuf {
        match self.profile {
            Profile::Process => self.dir.path().join("ran"),
            Profile::LinuxSandbox => "/workspace/ran".into(),
        }
    }

    /// The lines that tell of runs: one file for all, or one in each workspace.
    pub fn runs(&self, ids: impl Iterator<Item = String>) -> Vec<String> {
        let files: Vec<PathBuf> = match self.profile {
            Profile::Process => vec![self.ran_of_task()],
            Profile::LinuxSandbox => ids.map(|id| self.task_dir(&id).join("workspace/ran")).collect(),
        };
        let lines = files.iter().map(|file| fs::read_to_string(file).unwrap_or_default());
        lines.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Starts the server without waiting for it.
    pub fn spawn(&mut self) {
        let log = fs::File::options().append(true).create(true).open(self.dir.path().join("log")).expect("a log");
        let mut words = self.prefix.iter().map(AsRef::as_ref).chain([self.program.as_os_str()]);
        let mut command = Command::new(words.next().unwrap_or(self.program.as_os_str()));
        command.args(words).args(["serve", "--listen-addr", &self.address]).arg("--data-dir").arg(self.data_dir());
        command.args(["--max-running-tasks", &MAX_RUNNING.to_string(), "--max-queued-tasks", "1000"]);
        command.args(["--termination-grace-ms", &GRACE_MS.to_string()]);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("EXECGO_")) {
            command.env_remove(name);
        }
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command.current_dir(self.dir.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.child = Some(command.spawn().expect("the server starts"));
    }

    /// Starts the server; how long it took to be ready.
    ///
    /// # Errors
    /// It ended, or was not ready in time.
    pub fn start(&mut self) -> Result<Duration, String> {
        let begun = Instant::now();
        self.spawn();
        let api = self.api();
        while api.get("/readyz").is_none_or(|answer| answer.status != 200) {
            if let Some(status) = self.ended() {
                return Err(format!("the server ended at its start: {status}"));
            }
            if begun.elapsed() > STARTS_WITHIN {
                return Err(format!("the server was not ready within {STARTS_WITHIN:?}"));
            }
            thread::sleep(LOOK_AGAIN);
        }
        self.starts.push(begun.elapsed());
        Ok(begun.elapsed())
    }

    /// How the server ended, if nobody asked it to.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.as_mut()?.try_wait().expect("waitable")
    }

    /// `kill -9` of the server.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("killable");
            child.wait().expect("reaped");
        }
    }

    /// SIGTERM; how it ended.
    pub fn stop(&mut self) -> Option<ExitStatus> {
        let mut child = self.child.take()?;
        let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid"));
        kill(pid, Signal::SIGTERM).expect("it is there");
        until(STARTS_WITHIN, || child.try_wait().expect("waitable"))
    }

    /// The directories that hold the groups of its tasks.
    pub fn cgroups(&self) -> Vec<PathBuf> {
        let noted = fs::read_to_string(self.data_dir().join("run/cgroups")).unwrap_or_default();
        noted.lines().map(PathBuf::from).collect()
    }

    /// Leaves the directory for whoever looks into a violation.
    pub fn keep(&mut self) -> &Path {
        self.dir.disable_cleanup(true);
        self.dir.path()
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.kill();
        self.processes.end_all();
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
