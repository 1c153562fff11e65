//! The life of one task, from its request to its exit record.

use std::cell::Cell;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use super::collect::Collection;
use super::prepare::prepare;
use super::recorder::Recorder;
use super::spawn::{StartRecord, spawn};
use super::step::StepError;
use super::warm::Warm;
use super::watch::Watch;
use super::workspace::Workspace;
use crate::launcher::outbox::Outbox;
use crate::launcher::protocol::LaunchRequest;
use crate::sandbox::Supply;
use crate::sandbox::cgroup::{self, Group};
use crate::sys::fork::SingleThreaded;
use crate::sys::process::Pid;
use crate::sys::signal::{Signal, Signals};
use crate::sys::{clock, fd, proc_stat, process};
use crate::task::Timestamp;
use crate::task::state::Running;

/// The shim, right after its fork from a launcher whose signals are all blocked and whose standard input and output are
/// `/dev/null`. `lock` is a copy of the launcher's lock: it is closed when the start (or the failure to start) is on
/// record, so that whoever gets the lock has all starts before them. `supply` is what the launcher has for a sandbox.
/// Returns the exit code: 0 when the task's end is known; else the launcher has to tell it.
#[must_use]
pub fn run(
    single: &SingleThreaded,
    request: &LaunchRequest,
    supply: Supply<'_>,
    lock: OwnedFd,
    reports: OwnedFd,
) -> i32 {
    let origin = Origin::Supply(supply);
    let outbox = Outbox::new(reports);
    let (told, _) = match Shim::begin(c"execgo-shim") {
        Ok(shim) => carry_out(single, &shim, Task { request, origin, lock, outbox }),
        Err(error) => Recorder::new(request, outbox).exited(error.into_exit()),
    };
    told.exit_code()
}

/// What a shim does before it knows its task.
#[derive(Debug)]
pub struct Shim {
    launcher: Option<Pid>,
    own_start_ticks: u64,
    signals: Signals,
}

/// What a shim is to do.
#[derive(Debug)]
pub struct Task<'a> {
    pub request: &'a LaunchRequest,
    pub origin: Origin<'a>,
    pub lock: OwnedFd,
    pub outbox: Outbox,
}

/// What is known of a task's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Nothing, or nobody knows of it: the launcher has to tell it.
    Nothing,
    /// It is in the journal, or the server was told.
    Reported,
    /// Both.
    Everything,
}

impl Told {
    /// Of a shim after its last task.
    #[must_use]
    pub fn exit_code(self) -> i32 {
        i32::from(self == Self::Nothing)
    }
}

/// Where the first process of the task comes from.
#[derive(Debug)]
pub enum Origin<'a> {
    /// It is made, with this for a sandbox.
    Supply(Supply<'a>),
    /// It is pid 1 of a sandbox that was begun before, and gets the request as it came.
    Warm(Warm, &'a [u8]),
}

impl Shim {
    /// Forgets the signals that came for its former task.
    ///
    /// # Errors
    /// None are known.
    pub fn forget_signals(&self) -> io::Result<()> {
        while self.signals.take_any()?.is_some() {}
        Ok(())
    }

    /// Own process group, own name, parent of all orphans of the task, and nothing of the server's held open.
    ///
    /// # Errors
    /// Names the call.
    pub fn begin(name: &CStr) -> Result<Self, StepError> {
        let launcher = process::getppid();
        detach(name).map_err(|error| StepError::new("detach the shim", error))?;
        let signals = Signals::with_orders(&[Signal::SIGCHLD, Signal::SIGTERM]);
        let signals = signals.map_err(|error| StepError::new("signalfd", error))?;
        let stat = proc_stat::read_self().map_err(|error| StepError::new("read /proc/self/stat", error))?;
        Ok(Self { launcher, own_start_ticks: stat.start_ticks, signals })
    }
}

/// Carries a task out. The outbox comes back.
#[must_use]
pub fn carry_out(single: &SingleThreaded, shim: &Shim, task: Task<'_>) -> (Told, Outbox) {
    let Task { request, origin, lock, outbox } = task;
    let mut recorder = Recorder::new(request, outbox);
    let mut lock = Some(lock);
    let (exit, remains) = match start(single, shim, request, origin, &mut lock, &mut recorder) {
        Ok((watch, collection)) => match watch.until_the_end(&mut recorder.outbox) {
            Ok((mut exit, remains)) => {
                // Of a command that ran.
                exit.collected = exit.duration_ms.and(collection).and_then(Collection::take).map(Box::new);
                (exit, Some(remains))
            }
            // Our own calls fail us. Dying leaves it all to the launcher, which needs none of our state.
            Err(_) => return (Told::Nothing, recorder.outbox),
        },
        Err(error) if error.is_shortage() => {
            return (Told::Reported, recorder.not_forked(error.into_exit()));
        }
        Err(error) => (error.into_exit(), None),
    };
    let (told, outbox) = recorder.exited(exit);
    drop(remains);
    // With the launcher gone, nobody but the next server would remove what the last task leaves empty.
    if process::getppid() != shim.launcher
        && let Some(cgroup) = &request.cgroup
    {
        cgroup::remove_instances(&cgroup.instances());
    }
    drop(lock);
    (told, outbox)
}

fn start<'a>(
    single: &SingleThreaded,
    shim: &'a Shim,
    request: &'a LaunchRequest,
    origin: Origin<'_>,
    lock: &mut Option<OwnedFd>,
    recorder: &mut Recorder,
) -> Result<(Watch<'a>, Option<Collection<'a>>), StepError> {
    let journal = recorder.open()?.as_raw_fd();
    let (streams, outputs) = prepare(request)?;
    let limit = request.workspace_bytes;
    let workspace = limit.map(|bytes| Workspace::open(&request.task_dir.join("workspace"), bytes)).transpose()?;
    let collection = Collection::of(request)?;
    // Dropped on every way out of here, and by the watch.
    let cgroup = request.cgroup.as_ref().map(Group::make).transpose()?;
    let entry = cgroup.as_ref().map(Group::entry).transpose()?.unwrap_or_default();
    let shim_pid = process::getpid().as_raw_pid();
    let running = |pid| Running {
        launch_id: request.launch_id,
        shim_pid,
        shim_start_ticks: shim.own_start_ticks,
        pid: Pid::as_raw_pid(pid),
        // The child makes itself the leader of a session and a group before it execs.
        pgid: Pid::as_raw_pid(pid),
        started_at: Timestamp::now(),
        started_monotonic_ms: clock::monotonic_ms(),
    };
    // By the command's process, in our memory.
    let started = Cell::new(None);
    let write = || {
        let running = running(process::getpid());
        recorder.started(&running)?;
        started.set(Some(running));
        Ok(())
    };
    let command = match origin {
        Origin::Supply(supply) => {
            let keep = [journal, lock.as_ref().map_or(journal, AsRawFd::as_raw_fd)];
            spawn(single, request, supply, streams, entry, &StartRecord { keep, write: &write })?
        }
        Origin::Warm(warm, message) => warm.give(message, streams, entry)?,
    };
    let running = match started.take() {
        Some(running) => running,
        // It waits for its go, or has failed.
        None => {
            let running = running(command.pid);
            if let Err(error) = recorder.started(&running) {
                command.abandon();
                return Err(error);
            }
            running
        }
    };
    *lock = None;
    command.go();
    Ok((Watch::new(request, running, &shim.signals, command, outputs, cgroup, workspace), collection))
}

fn detach(name: &CStr) -> io::Result<()> {
    process::new_group()?;
    process::set_name(name)?;
    process::become_subreaper()?;
    // A panic message has nowhere to go: the launcher's standard error may be a terminal or a pipe that somebody waits
    // on, and a task may run for days.
    fd::dup2_stderr(io::stdin())?;
    Ok(())
}
