//! The server's end of the line to the launcher.
//!
//! Two threads, so that nothing here ever waits in the caller: one writes requests to the pipe, one reads reports from
//! the socket and watches the launcher's process.

use std::io::{self, PipeWriter, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;

use super::frame;
use super::process::ROLE;
use super::protocol::{LaunchRequest, Report};
use crate::sys::poll::{self, Interest};
use crate::sys::process::{self, Pid};
use crate::sys::socket::{self, Blocking, Received};
use crate::sys::{clock, fd, lock, rlimit};

/// Above any report.
const REPORT_BYTES: usize = 256 * 1024;

/// The running launcher. Dropping it closes the pipe: the launcher ends, requests that it has not launched by then are
/// dropped, shims go on, and their reports are delivered as long as this process lives.
#[derive(Debug)]
pub struct Launcher {
    instance: String,
    pid: i32,
    requests: mpsc::Sender<Box<LaunchRequest>>,
    /// Closed to tell the writer to stop, even in the middle of a frame.
    _open: io::PipeWriter,
}

/// What the server hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LauncherEvent {
    /// From a shim, or from the launcher.
    Report(Report),
    /// The launcher's process is gone, and everything it had reported was delivered before. Its shims live on, and their
    /// reports may still follow. A request that has left no record by the time its lock is free will never run.
    Died { instance: String },
}

impl Launcher {
    /// Starts a launcher from this very binary. `run_dir` gets its lock file. `reports` is called from a thread of its
    /// own, one event at a time.
    ///
    /// # Errors
    /// The lock file, a pipe, a socket, a thread or the process cannot be made.
    pub fn spawn(run_dir: &Path, reports: impl Fn(LauncherEvent) + Send + 'static) -> io::Result<Self> {
        // By this name the file is found even when an upgrade has replaced it on disk.
        Self::spawn_program(Command::new("/proc/self/exe").arg0("execgo-runtime").arg(ROLE), run_dir, reports)
    }

    /// Hands a task over. Never blocks. Without a launcher (see [`LauncherEvent::Died`]) the request is dropped.
    pub fn launch(&self, request: LaunchRequest) {
        // Fails when the writer has ended, which it does when the launcher has died.
        let _ = self.requests.send(Box::new(request));
    }

    /// The name of this launcher's lock file, without `.lock`; unique.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.instance
    }

    #[must_use]
    pub const fn pid(&self) -> i32 {
        self.pid
    }

    fn spawn_program(
        program: &mut Command,
        run_dir: &Path,
        reports: impl Fn(LauncherEvent) + Send + 'static,
    ) -> io::Result<Self> {
        let instance = uuid::Uuid::new_v4().simple().to_string();
        let lock_path = run_dir.join(format!("{instance}.lock"));
        let (requests_in, requests_out) = io::pipe()?;
        let (reports_in, reports_out) = socket::pair()?;
        fd::set_nonblocking(requests_out.as_fd())?;
        // Tells a later server whether the machine has restarted since.
        lock::create(&lock_path)?.write_all(clock::boot_id()?.as_bytes())?;
        // Nothing that would make std fork instead of posix_spawn: this process is large.
        let child = program
            .arg(&lock_path)
            .stdin(Stdio::from(requests_in))
            .stdout(Stdio::from(reports_out))
            .stderr(Stdio::inherit())
            .spawn()?;
        // The command keeps its ends of pipe and socket until it gets others.
        program.stdin(Stdio::null()).stdout(Stdio::null());
        let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
        let pidfd = process::pidfd_open(Pid::from_child(&child))?;
        // Before it gets its first request. It inherits what a server raises for its connections.
        rlimit::lower_open_files_of(Pid::from_child(&child))?;
        let (sender, receiver) = mpsc::channel();
        let (closing, open) = io::pipe()?;
        named("launcher-out", move || write_requests(requests_out, &closing, &receiver))?;
        let name = instance.clone();
        named("launcher-in", move || read_reports(&name, child, &pidfd, &reports_in, reports))?;
        Ok(Self { instance, pid, requests: sender, _open: open })
    }
}

fn named(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.to_owned()).spawn(body).map(|_| ())
}

/// Ends when the launcher is gone or when it is to go. Dropping the pipe is what ends the launcher.
fn write_requests(mut pipe: PipeWriter, closing: &io::PipeReader, requests: &mpsc::Receiver<Box<LaunchRequest>>) {
    for request in requests {
        let frame = match frame::encode(&request) {
            Ok(frame) => frame,
            Err(error) => {
                tracing::error!(task_id = %request.task_id, %error, "a launch request cannot be sent");
                continue;
            }
        };
        drop(request);
        if !write_frame(&mut pipe, closing, &frame) {
            return;
        }
    }
}

/// Says whether the frame was written and more may follow.
fn write_frame(pipe: &mut PipeWriter, closing: &io::PipeReader, frame: &[u8]) -> bool {
    let mut rest = frame;
    loop {
        let interests = [Some(Interest::write(pipe.as_fd())), Some(Interest::hangup(closing.as_fd()))];
        match poll::poll(interests, None) {
            Ok([_, closing]) if closing.hangup => return false,
            Ok([pipe, _]) if !pipe.write => continue,
            Ok(_) => {}
            Err(_) => return false,
        }
        match pipe.write(rest) {
            Ok(written) if written == rest.len() => return true,
            Ok(written) => rest = &rest[written..],
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            // EPIPE: the launcher is dead, and the other thread says so.
            Err(_) => return false,
        }
    }
}

/// Ends when launcher and shims are all gone.
fn read_reports(
    instance: &str,
    mut launcher: Child,
    pidfd: &OwnedFd,
    socket: &OwnedFd,
    deliver: impl Fn(LauncherEvent),
) {
    let mut buffer = vec![0; REPORT_BYTES];
    let mut alive = true;
    let mut open = true;
    while alive || open {
        let interests = [open.then(|| Interest::read(socket.as_fd())), alive.then(|| Interest::read(pidfd.as_fd()))];
        let Ok([readable, exited]) = poll::poll(interests, None) else { return };
        if readable.read || exited.read {
            // Also after its death: what it sent before comes first.
            open = open && deliver_waiting(socket, &mut buffer, &deliver);
        }
        if exited.read {
            alive = false;
            if let Ok(status) = launcher.wait() {
                tracing::info!(pid = launcher.id(), %status, "the launcher has ended");
            }
            deliver(LauncherEvent::Died { instance: instance.to_owned() });
        }
    }
}

/// Delivers what is there; says whether more may come.
fn deliver_waiting(socket: &OwnedFd, buffer: &mut [u8], deliver: &impl Fn(LauncherEvent)) -> bool {
    loop {
        match socket::receive(socket.as_fd(), buffer, Blocking::No) {
            Ok(Received::Message(length)) => match serde_json::from_slice(&buffer[..length]) {
                Ok(report) => deliver(LauncherEvent::Report(report)),
                Err(error) => tracing::error!(%error, "a report cannot be read"),
            },
            Ok(Received::Cut) => tracing::error!("a report is longer than {} bytes", buffer.len()),
            Ok(Received::End) => return false,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
            // ECONNRESET is told once; the socket still gives what was sent.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
            Err(error) => {
                tracing::error!(%error, "reports cannot be received");
                return false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::Receiver;
    use std::time::Duration;

    use crate::launcher::protocol::PROTOCOL_VERSION;
    use crate::task::{TaskId, Timestamp};

    const PATIENCE: Duration = Duration::from_secs(20);

    /// A stand-in for the launcher: `$0` is the lock file, standard input the requests, each write one report.
    fn spawn(dir: &Path, script: &str) -> (Launcher, Receiver<LauncherEvent>) {
        let (sender, events) = mpsc::channel();
        let launcher = Launcher::spawn_program(Command::new("sh").args(["-c", script]), dir, move |event| {
            // The test may have seen enough.
            let _ = sender.send(event);
        });
        (launcher.expect("spawned"), events)
    }

    fn report(id: &str) -> Report {
        Report::TimedOut {
            task_id: TaskId::parse(id).expect("valid"),
            launch_id: crate::task::state::LaunchId::of_test(1, 2),
            at: Timestamp::from_millis(0),
        }
    }

    fn printf(id: &str) -> String {
        format!("printf %s '{}'", serde_json::to_string(&report(id)).expect("serialises"))
    }

    fn request(id: &str, argument: String) -> LaunchRequest {
        LaunchRequest {
            version: PROTOCOL_VERSION,
            launch_id: crate::task::state::LaunchId::of_test(1, 2),
            task_id: TaskId::parse(id).expect("valid"),
            journal: "/j".into(),
            task_dir: "/t".into(),
            working_dir: "/t".into(),
            argv: vec![argument],
            script: None,
            stdin: None,
            inputs: Vec::new(),
            collect: None,
            env: vec![],
            wall_time_ms: 1,
            grace_ms: 1,
            cpu_time_sec: None,
            address_space_bytes: None,
            file_size_bytes: None,
            open_files: None,
            processes: None,
            workspace_bytes: None,
            stdout_log_max_bytes: 1 << 20,
            stderr_log_max_bytes: 1 << 20,
            run_as: None,
            cgroup: None,
            sandbox: None,
            ended: Vec::new(),
        }
    }

    #[test]
    fn reports_come_before_the_death_and_those_of_shims_after_it() {
        let dir = tempfile::tempdir().expect("temp dir");
        let fifo = dir.path().join("go");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("made");
        let shim = format!("(read -r _ <'{}'; {}) & ", fifo.display(), printf("late"));
        let (_launcher, events) = spawn(dir.path(), &format!("{} {}; {}", shim, printf("a"), printf("b")));
        let next = || events.recv_timeout(PATIENCE).expect("an event");
        assert_eq!(next(), LauncherEvent::Report(report("a")));
        assert_eq!(next(), LauncherEvent::Report(report("b")));
        assert!(matches!(next(), LauncherEvent::Died { .. }));
        std::fs::write(&fifo, "\n").expect("written");
        assert_eq!(next(), LauncherEvent::Report(report("late")));
        // All ends of the socket are closed, so the thread is done and has dropped its sender.
        assert_eq!(events.recv_timeout(PATIENCE), Err(mpsc::RecvTimeoutError::Disconnected));
    }

    #[test]
    fn requests_arrive_whole_and_the_lock_file_is_there() {
        let dir = tempfile::tempdir().expect("temp dir");
        let copy = dir.path().join("copy");
        let script = format!(r#"test -f "$0" && cat >'{}'"#, copy.display());
        let (launcher, events) = spawn(dir.path(), &script);
        let sent = [request("a", "x".repeat(4 << 20)), request("b", String::new())];
        let whole: Vec<u8> = sent.iter().flat_map(|r| frame::encode(r).expect("encodes")).collect();
        assert!(dir.path().join(format!("{}.lock", launcher.instance())).exists());
        sent.into_iter().for_each(|request| launcher.launch(request));
        let until = std::time::Instant::now() + PATIENCE;
        while std::fs::metadata(&copy).map_or(0, |m| m.len()) < u64::try_from(whole.len()).expect("small") {
            assert!(std::time::Instant::now() < until, "the requests did not arrive");
            thread::sleep(Duration::from_millis(5));
        }
        assert!(std::fs::read(&copy).expect("readable") == whole, "the requests arrived changed");
        drop(launcher);
        assert!(matches!(events.recv_timeout(PATIENCE), Ok(LauncherEvent::Died { .. })));
    }

    #[test]
    fn a_launcher_that_does_not_read_blocks_neither_launch_nor_drop() {
        let dir = tempfile::tempdir().expect("temp dir");
        let (launcher, events) = spawn(dir.path(), "exec sleep 60");
        let pid = Pid::from_raw(launcher.pid()).expect("positive");
        for _ in 0..20 {
            launcher.launch(request("big", "x".repeat(1 << 20)));
        }
        let pidfd = process::pidfd_open(pid).expect("alive");
        drop(launcher);
        assert!(events.recv_timeout(Duration::from_millis(50)).is_err(), "it ended by itself");
        process::pidfd_send_signal(pidfd.as_fd(), process::Signal::KILL).expect("sent");
        assert!(matches!(events.recv_timeout(PATIENCE), Ok(LauncherEvent::Died { .. })));
    }
}
