//! A server for one test: started on a free port, ended with everything that it runs.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

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

pub struct Server {
    child: Option<Child>,
    dir: tempfile::TempDir,
    flags: Vec<String>,
    /// The server is not to be root.
    pub user: Option<u32>,
    /// It starts in this cgroup, into which root must put it.
    group: Option<PathBuf>,
    /// Shell commands before it starts.
    prelude: Option<&'static str>,
    pub url: String,
}

/// The user of a server that is not root, where the test is.
pub const SOMEBODY: u32 = 54_321;

/// A status code and a JSON body.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

impl Answer {
    /// The error code of the envelope.
    pub fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or("no error code")
    }

    pub fn message(&self) -> &str {
        self.body["error"]["message"].as_str().unwrap_or("no message")
    }
}

impl Server {
    pub fn start() -> Self {
        Self::with_flags(&[])
    }

    /// A server started by a shell that has done this before.
    pub fn after(prelude: &'static str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut server = Self {
            child: None,
            dir,
            flags: Vec::new(),
            user: None,
            group: None,
            prelude: Some(prelude),
            url: String::new(),
        };
        server.restart();
        server
    }

    pub fn with_flags(flags: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let flags = flags.iter().map(|f| (*f).to_owned()).collect();
        let mut server = Self { child: None, dir, flags, user: None, group: None, prelude: None, url: String::new() };
        server.restart();
        server
    }

    /// A server whose data directory other users can get to.
    pub fn reachable(flags: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711)).expect("chmod");
        let flags = flags.iter().map(|f| (*f).to_owned()).collect();
        let mut server = Self { child: None, dir, flags, user: None, group: None, prelude: None, url: String::new() };
        server.restart();
        server
    }

    pub fn rootless() -> Self {
        Self::rootless_with_flags(&[])
    }

    /// A server that is not root, also where the test is.
    pub fn rootless_with_flags(flags: &[&str]) -> Self {
        Self::rootless_server(flags, None)
    }

    /// The same in this cgroup, for which the test must be root.
    pub fn rootless_in(group: &Path) -> Self {
        Self::rootless_server(&[], Some(group))
    }

    fn rootless_server(flags: &[&str], group: Option<&Path>) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let user = (fs::metadata(dir.path()).expect("there").uid() == 0).then_some(SOMEBODY);
        if let Some(user) = user {
            copy_executable(&program(), &dir.path().join("program"));
            std::os::unix::fs::chown(dir.path(), Some(user), Some(user)).expect("chown");
        }
        let flags = flags.iter().map(|f| (*f).to_owned()).collect();
        let group = group.map(Path::to_owned);
        let mut server = Self { child: None, dir, flags, user, group, prelude: None, url: String::new() };
        server.restart();
        server
    }

    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub fn task_dir(&self, id: &str) -> PathBuf {
        self.data_dir().join("tasks").join(id)
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("a running server").id()
    }

    /// Starts the server and does not wait until it can be asked.
    pub fn start_unheard(&mut self) {
        self.child = Some(self.command().spawn().expect("the server starts"));
    }

    /// Starts the server; its former process, if any, must have ended.
    pub fn restart(&mut self) {
        self.start_unheard();
        let lock = self.data_dir().join("runtime.lock");
        let pid = format!("pid {},", self.pid());
        let address = eventually("the server announces itself", || {
            let line = fs::read_to_string(&lock).ok()?;
            let address = line.strip_prefix(&pid)?.trim().to_owned();
            line.ends_with('\n').then_some(address)
        });
        self.url = address;
        eventually("the server is ready", || (self.try_get("/readyz")?.status == 200).then_some(()));
    }

    /// For the next start.
    pub fn set_flag(&mut self, name: &str, value: &str) {
        let at = self.flags.iter().position(|flag| flag == name).expect("a flag that was given");
        value.clone_into(&mut self.flags[at + 1]);
    }

    /// For the next start.
    pub fn add_flag(&mut self, flag: &str) {
        self.flags.push(flag.to_owned());
    }

    /// For the next start.
    pub fn group_for_next_start(&mut self, group: &Path) {
        self.group = Some(group.to_owned());
    }

    fn command(&self) -> Command {
        let mut command = match self.user {
            None => match self.prelude {
                None => Command::new(program()),
                Some(prelude) => {
                    let mut shell = Command::new("sh");
                    shell.args(["-c", &format!("{prelude}; exec \"$0\" \"$@\"")]).arg(program());
                    shell
                }
            },
            Some(user) => {
                let program = self.dir.path().join("program");
                let mut command = match &self.group {
                    None => Command::new(program),
                    Some(group) => {
                        // With the same pid all along.
                        let mut shell = Command::new("sh");
                        let enter = "echo $$ > \"$0/cgroup.procs\" && user=$1 && shift && \
                                     exec setpriv --reuid $user --regid $user --clear-groups \"$@\"";
                        shell.args(["-c", enter]).arg(group).arg(user.to_string()).arg(program);
                        shell
                    }
                };
                if self.group.is_none() {
                    command.uid(user).gid(user);
                }
                command.current_dir(self.dir.path());
                command
            }
        };
        command.arg("serve").arg("--data-dir").arg(self.data_dir());
        if !self.flags.iter().any(|flag| flag == "--listen-addr") {
            command.args(["--listen-addr", "127.0.0.1:0"]);
        }
        command.args(&self.flags).stdin(Stdio::null()).stdout(Stdio::null());
        let log = fs::File::options().append(true).create(true).open(self.dir.path().join("log")).expect("a log");
        command.stderr(log);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("EXECGO_") {
                command.env_remove(name);
            }
        }
        command
    }

    /// A second server on the same data directory, run to its end.
    pub fn run_a_second(&self) -> std::process::Output {
        self.command().stderr(Stdio::piped()).output().expect("the second server starts")
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// `kill -9`.
    pub fn crash(&mut self) {
        let mut child = self.child.take().expect("a running server");
        child.kill().expect("killable");
        child.wait().expect("reaped");
    }

    /// SIGTERM; the exit code.
    pub fn stop(&mut self) -> Option<i32> {
        signal(self.pid(), Signal::SIGTERM);
        let mut child = self.child.take().expect("a running server");
        let status = eventually("the server stops", || child.try_wait().expect("waitable"));
        status.code()
    }

    /// The server's launcher.
    pub fn launcher_pid(&self) -> u32 {
        eventually("the launcher is there", || {
            children(self.pid()).into_iter().find(|pid| comm(*pid).as_deref() == Some("execgo-launcher"))
        })
    }

    pub fn get(&self, path: &str) -> Answer {
        self.try_get(path).unwrap_or_else(|| panic!("GET {path} was not answered\n{}", self.log()))
    }

    fn try_get(&self, path: &str) -> Option<Answer> {
        let response = agent().get(format!("{}{path}", self.url)).call().ok()?;
        Some(answer(response))
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_raw(path, Some("application/json"), body.to_string().as_bytes())
    }

    pub fn post_raw(&self, path: &str, content_type: Option<&str>, body: &[u8]) -> Answer {
        let mut request = agent().post(format!("{}{path}", self.url));
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        answer(request.send(body).unwrap_or_else(|error| panic!("POST {path}: {error}\n{}", self.log())))
    }

    pub fn kill(&self, id: &str, owner: Option<&str>) -> Answer {
        let mut request = agent().post(format!("{}/api/v1/tasks/{id}/kill", self.url));
        if let Some(owner) = owner {
            request = request.header("x-execgo-owner", owner);
        }
        answer(request.send_empty().expect("answered"))
    }

    /// Submits and returns the id.
    pub fn submit(&self, request: &Value) -> String {
        let answer = self.post("/api/v1/tasks", request);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body["task_id"].as_str().expect("an id").to_owned()
    }

    pub fn submit_sh(&self, script: &str) -> String {
        self.submit(&sh(script))
    }

    pub fn status(&self, id: &str) -> Value {
        let answer = self.get(&format!("/api/v1/tasks/{id}"));
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    /// The status of the ended task.
    pub fn wait(&self, id: &str) -> Value {
        let until = Instant::now() + deadline();
        loop {
            let answer = self.get(&format!("/api/v1/tasks/{id}?wait_ms=10000"));
            assert_eq!(answer.status, 200, "{answer:?}");
            if is_terminal(&answer.body) {
                return answer.body;
            }
            assert!(Instant::now() < until, "the task did not end: {}\n{}", answer.body, self.log());
        }
    }

    pub fn run(&self, request: &Value) -> Value {
        let id = self.submit(request);
        self.wait(&id)
    }

    pub fn run_sh(&self, script: &str) -> Value {
        self.run(&sh(script))
    }

    /// Waits until the task runs.
    pub fn until_running(&self, id: &str) -> Value {
        eventually("the task runs", || {
            let status = self.status(id);
            (status["status"] == "running").then_some(status)
        })
    }

    /// Waits until the task is known to run and its output so far holds `text`.
    pub fn until_output(&self, id: &str, text: &str) -> Value {
        eventually("the task writes", || {
            let status = self.status(id);
            let wrote = status["stdout"].as_str().is_some_and(|out| out.contains(text));
            (wrote && status["status"] != "accepted").then_some(status)
        })
    }

    pub fn events(&self, id: &str) -> Vec<Value> {
        let answer = self.get(&format!("/api/v1/tasks/{id}/events"));
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body.as_array().expect("an array").clone()
    }

    pub fn event_types(&self, id: &str) -> Vec<String> {
        self.events(id).iter().map(|e| e["event_type"].as_str().expect("a type").to_owned()).collect()
    }

    pub fn resources(&self) -> Value {
        self.get("/api/v1/runtime/resources").body
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        // What the tasks of this test left running: their shims have the data directory's files open.
        for shim in shims_of(&self.data_dir()) {
            for pid in descendants(shim) {
                signal(pid, Signal::SIGKILL);
            }
            signal(shim, Signal::SIGKILL);
        }
        remove_cgroups(&self.data_dir().join("run/cgroups"));
    }
}

/// The runtime of this build, or the one that `EXECGO_RUNTIME_BIN` names, for tests that were carried elsewhere.
fn program() -> PathBuf {
    std::env::var_os("EXECGO_RUNTIME_BIN").map_or_else(|| env!("CARGO_BIN_EXE_execgo-runtime").into(), PathBuf::from)
}

/// For a user who cannot go where the program lies.
///
/// Not by `fs::copy`: a process that another test forks meanwhile would have the copy open for writing, and a file that is
/// cannot be executed (`ETXTBSY`, execve(2)).
pub fn copy_executable(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg(from).arg(to).status().expect("cp");
    assert!(copied.success(), "cp: {copied}");
}

/// A server that was killed leaves its groups to the next one, and there is none.
fn remove_cgroups(noted: &Path) {
    let Ok(noted) = fs::read_to_string(noted) else { return };
    let (_never, pause) = mpsc::channel::<()>();
    for dir in noted.lines().map(Path::new) {
        for _ in 0..50 {
            for group in fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok) {
                let _ = fs::remove_dir(group.path());
            }
            let _ = fs::remove_dir(dir);
            if !dir.exists() {
                break;
            }
            let _ = pause.recv_timeout(Duration::from_millis(5));
        }
        if let Some(parent) = dir.parent().filter(|parent| parent.ends_with("execgo-runtime")) {
            let _ = fs::remove_dir(parent);
        }
    }
}

fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .proxy(None)
        // Whose certificate is trusted is for the client's tests.
        .tls_config(ureq::tls::TlsConfig::builder().disable_verification(true).build())
        .timeout_global(Some(deadline() * 2))
        .build();
    config.into()
}

fn answer(mut response: ureq::http::Response<ureq::Body>) -> Answer {
    let status = response.status().as_u16();
    let text = response.body_mut().with_config().limit(64 << 20).read_to_string().unwrap_or_default();
    Answer { status, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) }
}

pub fn sh(script: &str) -> Value {
    json!({"execution": {"kind": "command", "program": "/bin/sh", "args": ["-c", script]}})
}

/// Whether there is a python3. Where there is none, the test is skipped aloud: past the macros of the test harness,
/// which hide what a passing test prints.
pub fn has_python(test: &str) -> bool {
    let found = Command::new("python3").arg("--version").output().is_ok();
    if !found {
        let _ = writeln!(std::io::stderr(), "SKIPPED {test}: no python3 here");
    }
    found
}

pub fn is_terminal(status: &Value) -> bool {
    matches!(status["status"].as_str(), Some("success" | "failed" | "cancelled"))
}

/// Tries until `look` finds something; fails after the deadline.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + deadline();
    // A channel that nobody sends on is a pause that is not a bare sleep: the deadline bounds it.
    let (_never, pause) = mpsc::channel::<()>();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "not within {:?}: {what}", deadline());
        let _ = pause.recv_timeout(Duration::from_millis(5));
    }
}

/// Whoever is gone already needs no signal.
pub fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).expect("a pid");
    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal);
}

/// Alive and no zombie.
pub fn is_alive(pid: u32) -> bool {
    stat(pid).is_some_and(|fields| fields[0] != "Z")
}

pub fn comm(pid: u32) -> Option<String> {
    Some(fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim().to_owned())
}

/// The fields after the name: state, ppid, pgrp, session, …
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

fn pids() -> Vec<u32> {
    let names = fs::read_dir("/proc").expect("/proc").filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok());
    names.collect()
}

pub fn children(of: u32) -> Vec<u32> {
    let is_child = |pid: &u32| stat(*pid).is_some_and(|fields| fields[1] == of.to_string());
    pids().into_iter().filter(is_child).collect()
}

pub fn descendants(of: u32) -> Vec<u32> {
    children(of).into_iter().flat_map(|child| [vec![child], descendants(child)].concat()).collect()
}

/// Shims that still work for tasks of this data directory, whoever their parent is now.
pub fn shims_of(data_dir: &Path) -> Vec<u32> {
    let data_dir = data_dir.canonicalize().unwrap_or_else(|_| data_dir.to_owned());
    let in_dir = |pid: &u32| {
        let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
        open.filter_map(|fd| fs::read_link(fd.ok()?.path()).ok()).any(|path| path.starts_with(&data_dir))
    };
    pids().into_iter().filter(|pid| comm(*pid).as_deref() == Some("execgo-shim")).filter(in_dir).collect()
}
