//! The command's process: forked with everything ready, led through its steps, held back until its start is on record.

use std::fmt;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use super::prepare::Streams;
use super::sequence::{has_init, steps};
use super::step::{MAX_STEP_BYTES, Step, StepError};
use crate::launcher::protocol::LaunchRequest;
use crate::sandbox::cgroup::{Entry, GroupDir};
use crate::sandbox::{self, Mounts, Supply};
use crate::sys::fork::{Birthplace, NamespaceFlags, SingleThreaded};
use crate::sys::process::{self, End, Pid, Signal};
use crate::sys::socket::{self, Blocking, Received};

/// What the child exits with when a step fails; nobody looks at it.
pub const STEP_FAILED_EXIT_CODE: i32 = 127;

/// Bytes of the longest message that a failed step sends: its errno, whether it is the sandbox's, and its name.
const FAILURE_BYTES: usize = 4 + 1 + MAX_STEP_BYTES;

/// The command, from fork to its end.
#[derive(Debug)]
pub struct Command {
    /// Of the command's process; of the sandbox's pid 1, where there is one, which ends right after the command.
    pub pid: Pid,
    /// Readable once the command has exited.
    pub pidfd: OwnedFd,
    /// The line to the child, until it has exec'ed or failed.
    sync: Option<OwnedFd>,
    /// The line to pid 1 of the sandbox, where there is one. It lives no longer than this.
    init: Option<OwnedFd>,
    /// The mount namespace of the sandbox, so that it is not taken down before the end of pid 1 is seen.
    pub mounts: Option<OwnedFd>,
}

/// What the line to the child said.
#[derive(Debug)]
pub enum Launched {
    /// Nothing yet, or nothing new.
    Pending,
    /// The end of the line: exec closed it. (A child that a signal kills before its exec looks the same.)
    Execed,
    Failed(StepError),
}

/// How the command's process, while this one stands still, puts its start on record.
pub struct StartRecord<'a> {
    /// The journal, and the lock: whoever gets that finds the record, or a process that will never exec.
    pub keep: [RawFd; 2],
    pub write: &'a dyn Fn() -> Result<(), StepError>,
}

/// Makes the command's process, or the first of its sandbox. A plain process writes the start record and has exec'ed, or
/// failed, when this returns; any other runs up to its start and waits for [`Command::go`].
///
/// # Errors
/// Names the call that failed.
pub fn spawn(
    single: &SingleThreaded,
    request: &LaunchRequest,
    supply: Supply<'_>,
    streams: Streams,
    entry: Entry,
    record: &StartRecord<'_>,
) -> Result<Command, StepError> {
    let failed = |call: &'static str| move |error| StepError::new(call, error);
    let (ours, theirs) = socket::pair().map_err(failed("socketpair"))?;
    let Entry { gates, directory } = entry;
    let (of_first, of_command) = if has_init(request) { (None, directory) } else { (directory, None) };
    let steps = steps(request, supply, streams, gates, of_command)?;
    let mut keep: Vec<_> = steps.iter().filter_map(Step::descriptor).chain([theirs.as_raw_fd()]).collect();
    if request.sandbox.is_none() && SingleThreaded::SHARES_MEMORY {
        keep.extend(record.keep);
        let directory = of_first.as_ref().map(GroupDir::as_fd);
        let made = single.vfork(directory, &keep, &|| run(&steps, &theirs, record.write));
        let call = || of_first.as_ref().map_or("vfork".to_owned(), ToString::to_string);
        return with_pidfd(made.map_err(|error| StepError::forking(call(), error))?, ours);
    }
    let (init, line) = if has_init(request) {
        let (init, line) = socket::pair().map_err(failed("socketpair"))?;
        keep.push(line.as_raw_fd());
        (Some(init), Some(line))
    } else {
        (None, None)
    };
    let namespaces = request.sandbox.as_ref().map(|sandbox| sandbox.shape().flags()).unwrap_or_default();
    let init_uid = request.sandbox.as_ref().and_then(|sandbox| sandbox.init_uid);
    let birthplace = Birthplace { namespaces, cgroup: of_first.as_ref().map(GroupDir::as_fd) };
    let made = single.clone_into(birthplace, &keep, move || match line {
        Some(line) => run_init(single, steps, theirs, &line, init_uid),
        None => run(&steps, &theirs, &|| await_go(&theirs)),
    });
    let (pid, pidfd) = made.map_err(|error| {
        let failed = StepError::forking(of_first.as_ref().map_or("clone3".to_owned(), ToString::to_string), error);
        if request.sandbox.is_some() { failed.in_sandbox() } else { failed }
    })?;
    // Without it the end is seen a little later.
    let mounts = request.sandbox.as_ref().and_then(|_| process::mount_namespace(pid).ok());
    Ok(Command { pid, pidfd, sync: Some(ours), init, mounts })
}

/// Makes the first process of a sandbox for a task that is not known yet, and gives `child` its ends of the two lines:
/// of that to the command, and of its own.
///
/// # Errors
/// Names the call that failed.
pub fn spawn_ahead(
    single: &SingleThreaded,
    namespaces: NamespaceFlags,
    child: impl FnOnce(OwnedFd, OwnedFd) -> i32,
) -> Result<Command, StepError> {
    let failed = |call: &'static str| move |error| StepError::new(call, error);
    let (ours, theirs) = socket::pair().map_err(failed("socketpair"))?;
    let (init, line) = socket::pair().map_err(failed("socketpair"))?;
    let keep = [theirs.as_raw_fd(), line.as_raw_fd()];
    let made = single.clone_into(Birthplace { namespaces, cgroup: None }, &keep, move || child(theirs, line));
    let (pid, pidfd) = made.map_err(failed("clone3"))?;
    Ok(Command { pid, pidfd, sync: Some(ours), init: Some(init), mounts: process::mount_namespace(pid).ok() })
}

fn with_pidfd(pid: Pid, ours: OwnedFd) -> Result<Command, StepError> {
    match process::pidfd_open(pid) {
        Ok(pidfd) => Ok(Command { pid, pidfd, sync: Some(ours), init: None, mounts: None }),
        Err(error) => {
            // Without its go the child ends by itself.
            drop(ours);
            let _ = process::reap(pid);
            Err(StepError::new("pidfd_open", error))
        }
    }
}

/// Pid 1 of a sandbox: makes it, forks the command into it, and watches.
pub fn run_init(single: &SingleThreaded, mut steps: Vec<Step>, sync: OwnedFd, line: &OwnedFd, uid: Option<u32>) -> i32 {
    let fork = steps.iter().position(|step| matches!(step, Step::ForkCommand(_))).unwrap_or(steps.len());
    let rest = steps.split_off(fork);
    if !perform(&steps, sync.as_fd()) {
        return STEP_FAILED_EXIT_CODE;
    }
    let mut keep = vec![sync.as_raw_fd()];
    keep.extend(rest.iter().skip(1).filter_map(Step::descriptor));
    let group = match rest.first() {
        Some(Step::ForkCommand(directory)) => directory.as_ref().map(GroupDir::as_fd),
        _ => None,
    };
    // This process has nothing to do until the command has exec'ed.
    match single.vfork(group, &keep, &|| run(&rest, &sync, &|| await_go(&sync))) {
        Ok(command) => {
            // The streams and the line to the shim are the command's alone now.
            drop((rest, sync));
            sandbox::supervise(line, command, uid)
        }
        Err(error) => {
            if let Some(step) = rest.first() {
                tell(step, step.is_of_sandbox(), &error, sync.as_fd());
            }
            STEP_FAILED_EXIT_CODE
        }
    }
}

/// The child. Comes back only to fail.
fn run(steps: &[Step], sync: &OwnedFd, await_start: &dyn Fn() -> Result<(), StepError>) -> i32 {
    let at = steps.iter().position(|step| matches!(step, Step::AwaitStart)).unwrap_or(steps.len());
    let (before, after) = steps.split_at(at);
    if perform(before, sync.as_fd()) {
        match await_start() {
            Ok(()) => drop(perform(after, sync.as_fd())),
            Err(error) => tell_error(&error, sync.as_fd()),
        }
    }
    STEP_FAILED_EXIT_CODE
}

fn await_go(sync: &OwnedFd) -> Result<(), StepError> {
    let failed = |error| StepError::new(Step::AwaitStart, error);
    let mut go = [0];
    match socket::receive(sync.as_fd(), &mut go, Blocking::Yes).map_err(failed)? {
        Received::Message(_) => Ok(()),
        // The shim died or gave up, and nobody will read this error.
        Received::End | Received::Cut => Err(failed(io::Error::from_raw_os_error(libc::ECANCELED))),
    }
}

/// Performs the steps; a failure is told to the shim.
pub fn perform(steps: &[Step], sync: BorrowedFd<'_>) -> bool {
    let mut mounts = Mounts::default();
    for step in steps {
        if let Err(error) = step.perform(&mut mounts) {
            tell(step, step.is_of_sandbox(), &error, sync);
            return false;
        }
    }
    true
}

/// Tells the shim of a failure. Allocates nothing: the limits of the task may hold already.
pub fn tell(step: &dyn fmt::Display, in_sandbox: bool, error: &io::Error, sync: BorrowedFd<'_>) {
    let mut message = [0; FAILURE_BYTES];
    let (errno, rest) = message.split_at_mut(4);
    errno.copy_from_slice(&error.raw_os_error().unwrap_or(libc::EIO).to_le_bytes());
    rest[0] = u8::from(in_sandbox);
    let mut name = &mut rest[1..];
    // A name that is too long is cut.
    let _ = write!(name, "{step}");
    let length = FAILURE_BYTES - name.len();
    // Fails only when the shim is gone.
    let _ = socket::send(sync, &message[..length], Blocking::Yes);
}

/// The same of an error with a step of its own.
pub fn tell_error(error: &StepError, sync: BorrowedFd<'_>) {
    let (step, in_sandbox, source) = error.parts();
    tell(&step, in_sandbox, source, sync);
}

/// What [`tell`] said.
fn told_failure(message: &[u8]) -> StepError {
    let Some((errno, [in_sandbox, name @ ..])) = message.split_first_chunk() else {
        return StepError::new("start the command", io::Error::from_raw_os_error(libc::EIO));
    };
    let source = io::Error::from_raw_os_error(i32::from_le_bytes(*errno));
    let failed = StepError::new(String::from_utf8_lossy(name), source);
    if *in_sandbox == 0 { failed } else { failed.in_sandbox() }
}

impl Command {
    /// Lets the child exec.
    pub fn go(&self) {
        if let Some(sync) = &self.sync {
            // When the child is gone, its end is seen on the pidfd.
            let _ = socket::send(sync.as_fd(), b"!", Blocking::No);
        }
    }

    /// The line to the child, to be polled; `None` once its message was taken.
    #[must_use]
    pub fn sync(&self) -> Option<BorrowedFd<'_>> {
        self.sync.as_ref().map(AsFd::as_fd)
    }

    /// Takes the child's message, if it is there, and closes the line.
    ///
    /// # Errors
    /// As recv(2).
    pub fn take_launched(&mut self) -> io::Result<Launched> {
        let Some(sync) = &self.sync else { return Ok(Launched::Pending) };
        let mut message = [0; FAILURE_BYTES];
        let mut receive = || socket::receive(sync.as_fd(), &mut message, Blocking::No);
        let received = match receive() {
            // The child died with our go unread. That is told once, and before what it had to say.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => receive(),
            received => received,
        };
        let launched = match received {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Launched::Pending),
            Err(error) => return Err(error),
            Ok(Received::End) => Launched::Execed,
            Ok(Received::Message(length)) => Launched::Failed(told_failure(&message[..length])),
            Ok(Received::Cut) => Launched::Failed(told_failure(&message)),
        };
        self.sync = None;
        Ok(launched)
    }

    /// The line to pid 1 of the sandbox, where there is one.
    #[must_use]
    pub fn init(&self) -> Option<BorrowedFd<'_>> {
        self.init.as_ref().map(AsFd::as_fd)
    }

    /// Ends a child that was not told to go.
    pub fn abandon(self) {
        let Self { pid, pidfd, sync, init, mounts } = self;
        drop((sync, init, mounts));
        let _ = process::pidfd_send_signal(pidfd.as_fd(), Signal::KILL);
        let _ = process::reap(pid);
    }

    /// How the command ended, now that the process of [`Self::pid`] ended like this; nothing when pid 1 of the sandbox
    /// went without a word.
    ///
    /// # Errors
    /// As recv(2).
    pub fn end(&self, end: End) -> io::Result<Option<End>> {
        let Some(init) = &self.init else { return Ok(Some(end)) };
        match (sandbox::last_word(init)?, end) {
            (Some(end), _) => Ok(Some(end)),
            // It takes the command with it.
            (None, End::Signaled(_)) => Ok(Some(end)),
            (None, End::Exited(_)) => Ok(None),
        }
    }
}
