//! The launcher process: one loop over the server's requests and the ends of shims.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::iter;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;

use super::frame::{FrameBuffer, FrameError};
use super::orphans::{Charge, Orphans};
use super::outbox::Outbox;
use super::protocol::{LaunchRequest, Report};
use super::spares::Spares;
use crate::sandbox::cgroup::{self, GroupSpec};
use crate::sandbox::{Supplies, Supply};
use crate::shim::journal::{Journal, Record};
use crate::shim::{self, StepError};
use crate::sys::fork::SingleThreaded;
use crate::sys::poll::{self, Interest};
use crate::sys::process::{End, Pid, Reaped};
use crate::sys::signal::{self, Signal, Signals};
use crate::sys::{clock, fd, lock, memory, process};
use crate::task::state::LaunchId;
use crate::task::{Exit, TaskId};

/// The hidden first argument that makes a process the launcher.
pub const ROLE: &str = "__launcher";

/// The step of a launch that is the launcher's.
const FORK: &str = "fork shim";

/// Why a launcher did not start, or ended before its server.
#[derive(Debug, thiserror::Error)]
enum LauncherError {
    #[error("usage: execgo-runtime {ROLE} <lock-file>")]
    Usage,
    #[error("{call}")]
    Call { call: &'static str, source: io::Error },
    #[error("open the lock file {path}")]
    OpenLock { path: PathBuf, source: io::Error },
    #[error("another process holds the lock file {path}")]
    Locked { path: PathBuf },
    #[error("the lock file {path} has been removed")]
    Unlinked { path: PathBuf },
    #[error(transparent)]
    Frame(#[from] FrameError),
}

/// Runs the launcher until its server is gone. To be called at the start of the process, with the arguments behind
/// [`ROLE`]. Standard input is the pipe of requests, standard output the socket for reports.
#[must_use]
pub fn run(args: impl Iterator<Item = OsString>) -> ExitCode {
    match start(args).and_then(LauncherProcess::serve) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            // There is nowhere else to tell it.
            let _ = writeln!(io::stderr(), "execgo-launcher: {error}{cause}");
            ExitCode::FAILURE
        }
    }
}

struct LauncherProcess {
    single: SingleThreaded,
    requests: File,
    children: Signals,
    lock: File,
    outbox: Outbox,
    frames: FrameBuffer,
    journal: Option<(PathBuf, Rc<Journal>)>,
    shims: HashMap<Pid, Charge>,
    orphans: Orphans,
    supplies: Supplies,
    spares: Spares,
    /// The groups in which those of launches were made.
    instances: Vec<PathBuf>,
}

fn start(mut args: impl Iterator<Item = OsString>) -> Result<LauncherProcess, LauncherError> {
    let (Some(path), None) = (args.next(), args.next()) else { return Err(LauncherError::Usage) };
    let path = std::path::absolute(&path).map_err(call("read the working directory"))?;
    let single = SingleThreaded::at_process_start().map_err(call("start with one thread"))?;
    memory::return_large_blocks();
    // A session of its own, so that Ctrl-C at the server's terminal does not reach it. Fails for the leader of a process
    // group: a launcher that was started by hand from a shell.
    let _ = process::setsid();
    process::set_name(c"execgo-launcher").map_err(call("prctl PR_SET_NAME"))?;
    process::become_subreaper().map_err(call("prctl PR_SET_CHILD_SUBREAPER"))?;
    // A blocked signal that nobody reads is as good as an ignored one, but a command does not inherit it: commands
    // start with an empty mask and default dispositions.
    signal::block_all().map_err(call("sigprocmask"))?;
    signal::reset_dispositions();
    let lock = take_lock(&path)?;
    let stdio = (io::stdin().as_fd().try_clone_to_owned(), io::stdout().as_fd().try_clone_to_owned());
    let (requests, reports) = (stdio.0.map_err(call("dup stdin"))?, stdio.1.map_err(call("dup stdout"))?);
    // What a shim's or a command's standard input is, and nothing that holds the server's pipes in a shim.
    let null = fd::dev_null().map_err(call("open /dev/null"))?;
    fd::dup2_stdin(&null).map_err(io::Error::from).map_err(call("dup2 stdin"))?;
    fd::dup2_stdout(&null).map_err(io::Error::from).map_err(call("dup2 stdout"))?;
    Ok(LauncherProcess {
        single,
        requests: requests.into(),
        children: Signals::of(&[Signal::SIGCHLD]).map_err(call("signalfd"))?,
        lock,
        outbox: Outbox::new(reports),
        frames: FrameBuffer::default(),
        journal: None,
        shims: HashMap::new(),
        orphans: Orphans::default(),
        supplies: Supplies::new(path.parent().unwrap_or(&path)),
        spares: Spares::new().map_err(call("socketpair"))?,
        instances: Vec::new(),
    })
}

/// The lock says that this launcher, or a shim whose start is not on record, is there. A new server takes the lock and
/// removes the file; so a launcher that comes late must find the lock taken or the file gone, and never make it anew.
fn take_lock(path: &Path) -> Result<File, LauncherError> {
    let failed = |source| LauncherError::OpenLock { path: path.to_owned(), source };
    let file = lock::open(path).map_err(failed)?;
    if !lock::try_exclusive(&file).map_err(failed)? {
        return Err(LauncherError::Locked { path: path.to_owned() });
    }
    if lock::is_unlinked(&file).map_err(failed)? {
        return Err(LauncherError::Unlinked { path: path.to_owned() });
    }
    Ok(file)
}

fn call(call: &'static str) -> impl FnOnce(io::Error) -> LauncherError {
    move |source| LauncherError::Call { call, source }
}

/// Whether a child of the launcher is no orphan.
fn is_shim<'a>(shims: &'a HashMap<Pid, Charge>, spares: &'a Spares) -> impl Fn(Pid) -> bool + use<'a> {
    |pid| shims.contains_key(&pid) || spares.contains(pid)
}

impl LauncherProcess {
    fn serve(mut self) -> Result<(), LauncherError> {
        loop {
            let due = [self.orphans.next_round_in(), self.spares.due_in()].into_iter().flatten().min();
            let timeout = if self.frames.is_ready() { Some(0) } else { due };
            let interests = [
                Some(Interest::read(self.requests.as_fd())),
                Some(Interest::read(self.children.as_fd())),
                self.outbox.blocked_on().map(Interest::write),
                self.spares.changes().map(Interest::hangup),
                Some(Interest::read(self.spares.rest())),
            ];
            let [requests, children, server, mounts, rest] = poll::poll(interests, timeout).map_err(call("poll"))?;
            if server.write {
                self.outbox.send_waiting();
            }
            if children.read {
                self.on_children()?;
            } else if rest.read {
                self.on_rest()?;
            }
            if mounts.hangup {
                self.spares.on_changes();
            }
            let over = self.orphans.round(is_shim(&self.shims, &self.spares)).map_err(call("scan /proc"))?;
            self.report_lost(over);
            if requests.hangup {
                return self.on_server_gone();
            }
            if self.frames.is_ready() {
                // One for each turn, so that the server's death and the ends of shims are seen in between.
                self.launch_next()?;
            } else if !requests.read {
                self.spares.refill(&self.single, &self.outbox, &mut self.supplies);
            } else if !self.frames.fill(&self.requests).map_err(call("read requests"))? {
                return self.on_server_gone();
            }
        }
    }

    /// What was not launched by now never will be: the server that follows finds no trace of it and queues it again.
    fn on_server_gone(mut self) -> Result<(), LauncherError> {
        self.on_children()?;
        let over = self.orphans.last_round(is_shim(&self.shims, &self.spares));
        self.report_lost(over);
        cgroup::remove_instances(&self.instances);
        Ok(())
    }

    fn launch_next(&mut self) -> Result<(), LauncherError> {
        // As it came, for a spare shim.
        let message = self.frames.next().filter(|message| message.len() <= shim::MESSAGE_BYTES).map(Vec::from);
        let Some(mut request) = self.frames.take()? else { return Ok(()) };
        let journal = self.journal(&request.journal);
        let launched = match &journal {
            Ok(journal) => self.start_shim(message.as_deref(), &mut request).and_then(|started| {
                let (task_id, launch_id) = (request.task_id.clone(), request.launch_id);
                let pid = match started {
                    Ok(pid) => pid,
                    Err(error) => {
                        let error = StepError::forking(FORK, error);
                        if !error.is_shortage() {
                            return Err(error);
                        }
                        self.outbox.push(&Report::NotForked { task_id, launch_id, failure: error.into_exit() });
                        return Ok(());
                    }
                };
                let (journal, cgroup) = (Rc::clone(journal), request.cgroup.clone());
                self.instances = cgroup.as_ref().map(GroupSpec::instances).unwrap_or_default();
                self.shims.insert(pid, Charge { task_id, launch_id, journal, cgroup });
                Ok(())
            }),
            Err(error) => Err(StepError::new(
                format_args!("open the journal {}", request.journal.display()),
                io::Error::from_raw_os_error(error.raw_os_error().unwrap_or(libc::EIO)),
            )),
        };
        if let Err(error) = launched {
            self.report_exit(&request, journal.ok().as_deref(), error.into_exit());
        }
        Ok(())
    }

    /// The open journal, or the one of this name, newly opened.
    fn journal(&mut self, path: &Path) -> io::Result<Rc<Journal>> {
        if let Some((open, journal)) = &self.journal
            && open == path
        {
            return Ok(Rc::clone(journal));
        }
        let own = process::getpid().as_raw_pid();
        let journal = Rc::new(Journal::create(path, clock::boot_id()?, own)?);
        self.journal = Some((path.to_owned(), Rc::clone(&journal)));
        Ok(journal)
    }

    /// Gives the task to a spare shim, or forks one. The inner result is that of the fork itself.
    fn start_shim(
        &mut self,
        message: Option<&[u8]>,
        request: &mut LaunchRequest,
    ) -> Result<io::Result<Pid>, StepError> {
        if let Some(sandbox) = &request.sandbox {
            self.supplies.prepare(sandbox).map_err(|error| {
                StepError::new(format_args!("make {}", error.path.display()), error.source).in_sandbox()
            })?;
        }
        self.spares.on_launch(request.sandbox.as_ref());
        self.spares.free(&request.ended);
        let network = request.sandbox.as_ref().and_then(|sandbox| self.supplies.take_network(sandbox));
        if let Some(message) = message
            && let Some(given) = self.give(message, request, network.as_ref()).transpose()
        {
            return Ok(given);
        }
        let supply = Supply { base: self.supplies.base(), network };
        let failed = |error| StepError::new(FORK, error);
        // Copies that become the shim's: those here are closed when fork returns.
        let lock = self.lock.as_fd().try_clone_to_owned().map_err(failed)?;
        let reports = self.outbox.try_clone_socket().map_err(failed)?;
        let mut keep = vec![lock.as_raw_fd(), reports.as_raw_fd()];
        if let (Some(network), Some(sandbox)) = (&supply.network, &mut request.sandbox) {
            keep.push(network.as_raw_fd());
            // It is there already.
            sandbox.namespaces.net = false;
        }
        let (single, request) = (&self.single, &*request);
        Ok(single.fork(&keep, move || crate::shim::run(single, request, supply, lock, reports)))
    }

    /// The tasks of these shims are over and told.
    fn on_rest(&mut self) -> Result<(), LauncherError> {
        while let Some(pid) = self.spares.take_rested().map_err(call("recv"))? {
            if self.shims.remove(&pid).is_some() {
                self.spares.on_task_end();
            }
        }
        Ok(())
    }

    /// To a shim that is there, or one that is made.
    fn give(&mut self, message: &[u8], request: &LaunchRequest, network: Option<&OwnedFd>) -> io::Result<Option<Pid>> {
        let edition = self.supplies.edition();
        let descriptors: Vec<_> = iter::once(self.lock.as_fd()).chain(network.map(AsFd::as_fd)).collect();
        if let Some(pid) = self.spares.give(message, request, edition, &descriptors) {
            return Ok(Some(pid));
        }
        self.spares.fork(&self.single, &self.outbox, &self.supplies, None)?;
        Ok(self.spares.give(message, request, edition, &descriptors))
    }

    fn on_children(&mut self) -> Result<(), LauncherError> {
        // First, for a shim that has died may have rested before.
        self.on_rest()?;
        while self.children.take().map_err(call("read signalfd"))?.is_some() {}
        loop {
            match process::reap_any().map_err(call("wait"))? {
                Reaped::None | Reaped::NoChildren => return Ok(()),
                Reaped::Child(pid, end, _) => match (self.shims.remove(&pid), end, self.spares.on_ended(pid)) {
                    (Some(_), End::Exited(0), _) => self.spares.on_task_end(),
                    (Some(charge), end, _) => self.orphans.adopt(charge, end),
                    (None, _, true) => {}
                    (None, _, false) => self.orphans.on_reaped(),
                },
            }
        }
    }

    fn report_lost(&mut self, over: Vec<(Charge, Exit)>) {
        for (Charge { task_id, launch_id, journal, cgroup: _ }, exit) in over {
            self.record_and_report(task_id, launch_id, Some(&*journal), exit);
        }
    }

    fn report_exit(&mut self, request: &LaunchRequest, journal: Option<&Journal>, exit: Exit) {
        self.record_and_report(request.task_id.clone(), request.launch_id, journal, exit);
    }

    fn record_and_report(&mut self, task_id: TaskId, launch_id: LaunchId, journal: Option<&Journal>, exit: Exit) {
        let record = Record::Exited { task_id: task_id.clone(), launch_id, exit: exit.clone() };
        if let Some(Err(error)) = journal.map(|journal| journal.append(&record)) {
            // The server learns of it from the report all the same.
            let _ = writeln!(io::stderr(), "execgo-launcher: append to the journal: {error}");
        }
        self.outbox.push(&Report::Exited { task_id, launch_id, exit });
    }
}
