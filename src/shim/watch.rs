//! From the start of the command to the end of its last descendant: one loop over signals, the command's pidfd, the
//! line to the starting child, and the clock.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use super::output::Output;
use super::spawn::{Command, Launched};
use super::step::StepError;
use super::terminate;
use super::timeline::{Due, Timeline};
use super::workspace::Workspace;
use crate::launcher::outbox::Outbox;
use crate::launcher::protocol::{LaunchRequest, Report};
use crate::sandbox::cgroup::{CpuTime, Facts, Group};
use crate::sys::clock::monotonic_ms;
use crate::sys::poll::{self, Interest, Ready};
use crate::sys::process::{self, End, Reaped, Used};
use crate::sys::signal::{Arrived, Signal, Signals};
use crate::task::exit::{OutputFault, WorkspaceExcess};
use crate::task::state::Running;
use crate::task::{Exit, ExitStatus, KillOrder, KillSignal, TaskId, Timestamp, Usage};

/// A started task under watch.
#[derive(Debug)]
pub struct Watch<'a> {
    task_id: TaskId,
    running: Running,
    signals: &'a Signals,
    command: Command,
    timeline: Timeline,
    outputs: [Output; 2],
    cgroup: Option<Group>,
    /// Of a task whose workspace is limited.
    workspace: Option<Workspace>,
    excess: Option<WorkspaceExcess>,
    /// A step of the child failed, so the command never ran.
    failure: Option<StepError>,
    end: Option<CommandEnd>,
    /// By all that was reaped.
    used: Used,
}

/// What is left of a task when all its processes are gone: to be dropped when its end has been told, for the kernel takes
/// a while to take it down.
#[derive(Debug)]
pub struct Remains {
    _cgroup: Option<Group>,
    _mounts: Option<OwnedFd>,
}

#[derive(Clone, Copy, Debug)]
struct CommandEnd {
    /// Unknown when the sandbox's pid 1 failed us.
    end: Option<End>,
    at: Timestamp,
    duration_ms: u64,
}

/// Whether anything of the task is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Something,
    Nothing,
}

impl<'a> Watch<'a> {
    #[must_use]
    pub fn new(
        request: &LaunchRequest,
        running: Running,
        signals: &'a Signals,
        command: Command,
        outputs: [Output; 2],
        cgroup: Option<Group>,
        workspace: Option<Workspace>,
    ) -> Self {
        let timeline = Timeline::new(running.started_monotonic_ms, request.wall_time_ms, request.grace_ms);
        let task_id = request.task_id.clone();
        Self {
            task_id,
            running,
            signals,
            command,
            timeline,
            outputs,
            cgroup,
            workspace,
            excess: None,
            failure: None,
            end: None,
            used: Used::default(),
        }
    }

    /// Watches until the command and all its descendants are gone.
    ///
    /// # Errors
    /// A system call that cannot fail did.
    pub fn until_the_end(mut self, outbox: &mut Outbox) -> io::Result<(Exit, Remains)> {
        loop {
            let [sync, exited, signals, server, stdout, stderr] = self.wait(outbox)?;
            if server.write {
                outbox.send_waiting();
            }
            if sync.read {
                self.on_launched(outbox)?;
            }
            // Before the signals: a kill request that finds the command dead has come too late.
            if exited.read && self.end.is_none() {
                self.on_command_exit(outbox)?;
            }
            if signals.read {
                self.on_signals()?;
            }
            self.take_output([stdout, stderr])?;
            if self.reap(outbox)? == Left::Nothing {
                return self.into_exit();
            }
            self.on_clock(outbox)?;
            self.measure()?;
        }
    }

    fn wait(&self, outbox: &Outbox) -> io::Result<[Ready; 6]> {
        let measuring = self.workspace.as_ref().filter(|_| self.is_measuring()).map_or(u64::MAX, Workspace::next_due);
        let due = self.timeline.next_due(self.end.is_none()).min(measuring);
        let timeout = due.saturating_sub(monotonic_ms());
        let [stdout, stderr] = &self.outputs;
        let pidfd = self.end.is_none().then(|| self.command.pidfd.as_fd());
        poll::poll(
            [
                self.command.sync().map(Interest::read),
                pidfd.map(Interest::read),
                Some(Interest::read(self.signals.as_fd())),
                outbox.blocked_on().map(Interest::write),
                stdout.pipe().map(Interest::read),
                stderr.pipe().map(Interest::read),
            ],
            Some(timeout),
        )
    }

    fn on_launched(&mut self, outbox: &mut Outbox) -> io::Result<()> {
        match self.command.take_launched()? {
            Launched::Pending => {}
            Launched::Execed => {
                outbox.push(&Report::Started { task_id: self.task_id.clone(), running: self.running.clone() });
            }
            Launched::Failed(error) => self.failure = Some(error),
        }
        Ok(())
    }

    /// The pidfd says that the command is a zombie.
    fn on_command_exit(&mut self, outbox: &mut Outbox) -> io::Result<()> {
        if self.timeline.is_running() {
            self.kill_group();
        }
        let (end, used) = process::reap(self.command.pid)?;
        self.used = self.used.and(used);
        self.on_command_reaped(end, outbox)
    }

    fn on_command_reaped(&mut self, end: End, outbox: &mut Outbox) -> io::Result<()> {
        let now = monotonic_ms();
        let duration_ms = now.saturating_sub(self.running.started_monotonic_ms);
        let end = self.command.end(end)?;
        self.end = Some(CommandEnd { end, at: Timestamp::now(), duration_ms });
        self.timeline.on_command_exit(now);
        // What the child had to say, it has said by now.
        self.on_launched(outbox)
    }

    fn on_signals(&mut self) -> io::Result<()> {
        // SIGCHLD only wakes: each turn of the loop reaps.
        while let Some(arrived) = self.signals.take_any()? {
            let order = match arrived {
                Arrived::Signal(Signal::SIGTERM) => Some(KillOrder::default()),
                Arrived::Order(bits) => KillOrder::from_bits(bits),
                Arrived::Signal(_) | Arrived::BesideOrder => None,
            };
            let Some(order) = order else { continue };
            let lives = self.command_lives()?;
            if let Some(signal) = self.timeline.on_kill_request(monotonic_ms(), order, lives) {
                terminate::ask_all(process::getpid(), signal)?;
            }
        }
        Ok(())
    }

    fn take_output(&mut self, ready: [Ready; 2]) -> io::Result<()> {
        let faulty = self.output_fault().is_some();
        for (output, _) in self.outputs.iter_mut().zip(ready).filter(|(_, ready)| ready.read) {
            output.take()?;
        }
        if !faulty && self.output_fault().is_some() && self.end.is_none() && self.timeline.on_limit(monotonic_ms()) {
            terminate::ask_all(process::getpid(), KillSignal::Term)?;
        }
        Ok(())
    }

    fn output_fault(&self) -> Option<OutputFault> {
        self.outputs.iter().find_map(Output::fault)
    }

    fn command_lives(&self) -> io::Result<bool> {
        Ok(self.end.is_none() && !poll::is_readable(self.command.pidfd.as_fd())?)
    }

    /// Reaps all that have exited. ECHILD is the proof that nothing is left: orphans of the task are our children.
    fn reap(&mut self, outbox: &mut Outbox) -> io::Result<Left> {
        loop {
            match process::reap_any()? {
                Reaped::Child(pid, end, used) => {
                    self.used = self.used.and(used);
                    if pid == self.command.pid && self.end.is_none() {
                        self.on_command_reaped(end, outbox)?;
                    } else {
                        self.timeline.on_reaped(monotonic_ms());
                    }
                }
                Reaped::None => return Ok(Left::Something),
                Reaped::NoChildren => return Ok(Left::Nothing),
            }
        }
    }

    fn on_clock(&mut self, outbox: &mut Outbox) -> io::Result<()> {
        while let Some(due) = self.timeline.on_clock(monotonic_ms(), self.end.is_none()) {
            match due {
                Due::TimedOut { terminate } => {
                    outbox.push(&Report::TimedOut {
                        task_id: self.task_id.clone(),
                        launch_id: self.running.launch_id,
                        at: Timestamp::now(),
                    });
                    if terminate {
                        terminate::ask_all(process::getpid(), KillSignal::Term)?;
                    }
                }
                Due::Kill => {
                    if self.end.is_none() {
                        self.kill_group();
                    }
                    if let Some(cgroup) = &self.cgroup {
                        cgroup.kill();
                    }
                    terminate::kill_all(process::getpid(), |_| false)?;
                    self.timeline.on_killed(monotonic_ms());
                }
            }
        }
        Ok(())
    }

    /// A task that is about to end is measured at its end.
    fn is_measuring(&self) -> bool {
        self.end.is_none() && self.timeline.is_running()
    }

    fn measure(&mut self) -> io::Result<()> {
        if !self.is_measuring() {
            return Ok(());
        }
        let now = monotonic_ms();
        self.excess = self.workspace.as_mut().and_then(|workspace| workspace.on_clock(now));
        if self.excess.is_some() && self.timeline.on_limit(now) {
            terminate::ask_all(process::getpid(), KillSignal::Term)?;
        }
        Ok(())
    }

    /// One call reaches all of the command's process group, which a scan of many forking processes may not. Only while
    /// the command was not reaped: until then the group's number is its own.
    fn kill_group(&self) {
        // A child that has not come to its setsid has no group; the scan finds it.
        let _ = process::signal_group(self.command.pid, process::Signal::KILL);
    }

    fn into_exit(mut self) -> io::Result<(Exit, Remains)> {
        self.outputs.iter_mut().try_for_each(Output::take_the_rest)?;
        let output_fault = self.output_fault();
        let Some(CommandEnd { end, at, duration_ms }) = self.end else {
            return Err(io::Error::other("the command vanished without being reaped"));
        };
        let ran = self.failure.is_none();
        let judged = !ran || self.excess.is_some() || self.timeline.timed_out() || self.timeline.killed();
        let at_the_end = self.workspace.as_ref().filter(|_| !judged).and_then(Workspace::at_the_end);
        let facts = self.cgroup.as_ref().map(Group::facts).unwrap_or_default();
        let status = match (self.failure, end) {
            (Some(error), _) => error.into_status(),
            (None, Some(End::Exited(code))) => ExitStatus::Exited { code },
            (None, Some(End::Signaled(signal))) => ExitStatus::Signaled { signal },
            (None, None) => ExitStatus::Lost {
                reason: "pid 1 of the task's sandbox ended without telling how the command did".into(),
            },
        };
        let exit = Exit {
            status,
            timed_out: self.timeline.timed_out(),
            killed: self.timeline.killed(),
            oom_killed: ran && facts.oom_kills.is_some_and(|kills| kills > 0),
            workspace_excess: self.excess.or(at_the_end),
            output_fault,
            at,
            duration_ms: ran.then_some(duration_ms),
            usage: ran.then(|| usage(self.used, facts)),
            collected: None,
        };
        Ok((exit, Remains { _cgroup: self.cgroup, _mounts: self.command.mounts }))
    }
}

/// The group's word first: it counts what nobody waited for, too.
fn usage(reaped: Used, facts: Facts) -> Usage {
    let Used { user_cpu, system_cpu, max_rss_bytes } = reaped;
    let Facts { cpu, oom_kills: _, memory_peak_bytes } = facts;
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let of_reaped = CpuTime { user_ms: millis(user_cpu), system_ms: millis(system_cpu) };
    let CpuTime { user_ms, system_ms } = cpu.unwrap_or(of_reaped);
    Usage {
        user_cpu_ms: Some(user_ms),
        system_cpu_ms: Some(system_ms),
        max_rss_bytes: Some(max_rss_bytes),
        memory_peak_bytes,
    }
}
