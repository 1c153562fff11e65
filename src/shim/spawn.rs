//! The command's process: forked with everything ready, led through its steps, held back until its start is on record.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use super::prepare::Logs;
use super::program::Program;
use super::step::{Step, StepError};
use crate::launcher::protocol::LaunchRequest;
use crate::sandbox::cgroup::Gate;
use crate::sys::fork::SingleThreaded;
use crate::sys::process::{self, Pid, Signal};
use crate::sys::rlimit::Limit;
use crate::sys::socket::{self, Blocking, Received};

/// What the child exits with when a step fails; nobody looks at it.
const STEP_FAILED_EXIT_CODE: i32 = 127;

/// Bytes of the message that a failed step sends: its index and its errno.
const FAILURE_BYTES: usize = 2 + 4;

/// The command, from fork to its end.
#[derive(Debug)]
pub struct Command {
    pub pid: Pid,
    /// Readable once the command has exited.
    pub pidfd: OwnedFd,
    /// The line to the child, until it has exec'ed or failed.
    sync: Option<OwnedFd>,
    /// For the name of the one that fails.
    steps: Vec<Step>,
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

/// Forks the command's process. It runs up to its start and waits for [`Command::go`].
///
/// # Errors
/// Names the call that failed.
pub fn spawn(
    single: &SingleThreaded,
    request: &LaunchRequest,
    logs: Logs,
    gates: Vec<Gate>,
) -> Result<Command, StepError> {
    let Logs { stdout, stderr } = logs;
    let (ours, theirs) = socket::pair().map_err(|error| StepError::new("socketpair", error))?;
    let mut keep = vec![stdout.as_raw_fd(), stderr.as_raw_fd(), theirs.as_raw_fd()];
    keep.extend(gates.iter().map(Gate::fd));
    let steps = steps(request, Logs { stdout, stderr }, gates)?;
    let forked = single.fork(&keep, || {
        // Moved, so that the parent's copy is closed when fork returns.
        let sync = theirs;
        run(&steps, sync.as_fd())
    });
    let pid = forked.map_err(|error| StepError::new("fork", error))?;
    match process::pidfd_open(pid) {
        Ok(pidfd) => Ok(Command { pid, pidfd, sync: Some(ours), steps }),
        Err(error) => {
            // Without its go the child ends by itself.
            drop(ours);
            let _ = process::reap(pid);
            Err(StepError::new("pidfd_open", error))
        }
    }
}

/// The straight list. Limits come last, when nothing of ours can run into them any more but the exec.
fn steps(request: &LaunchRequest, logs: Logs, gates: Vec<Gate>) -> Result<Vec<Step>, StepError> {
    let program = || request.argv.first().map_or("", String::as_str);
    let exec = Program::new(&request.argv, &request.env)
        .map_err(|error| StepError::new(format_args!("execve {}", program()), error))?;
    let directory = CString::new(request.working_dir.as_os_str().as_bytes())
        .map_err(|_| StepError::new("chdir", io::Error::from_raw_os_error(libc::EINVAL)))?;
    let mut steps = vec![Step::DieWithShim(process::getpid())];
    steps.extend(gates.into_iter().map(Step::JoinCgroup));
    steps.extend([
        Step::NewSession,
        Step::Stdout(logs.stdout),
        Step::Stderr(logs.stderr),
        Step::ChangeDirectory(directory),
        Step::UnblockSignals,
        Step::CloseOnExec,
        Step::Limit(Limit::NoCore),
    ]);
    steps.extend(request.cpu_time_sec.map(|seconds| Step::Limit(Limit::CpuTime { seconds })));
    steps.extend(request.address_space_bytes.map(|bytes| Step::Limit(Limit::AddressSpace { bytes })));
    steps.extend([Step::AwaitGo, Step::Exec(exec)]);
    Ok(steps)
}

/// The child. Comes back only to fail. Allocates nothing, see [`Step`].
fn run(steps: &[Step], sync: BorrowedFd<'_>) -> i32 {
    for (index, step) in (0_u16..).zip(steps) {
        if let Err(error) = step.perform(sync) {
            let mut message = [0; FAILURE_BYTES];
            message[..2].copy_from_slice(&index.to_le_bytes());
            message[2..].copy_from_slice(&error.raw_os_error().unwrap_or(libc::EIO).to_le_bytes());
            // Fails only when the shim is gone.
            let _ = socket::send(sync, &message, Blocking::Yes);
            break;
        }
    }
    STEP_FAILED_EXIT_CODE
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
        let launched = match socket::receive(sync.as_fd(), &mut message, Blocking::No) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Launched::Pending),
            // The child died with our go unread.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Launched::Execed,
            Err(error) => return Err(error),
            Ok(Received::End) => Launched::Execed,
            Ok(Received::Message(_) | Received::Cut) => Launched::Failed(self.failure(message)),
        };
        self.sync = None;
        // Closes the logs here: they are the command's now.
        self.steps = Vec::new();
        Ok(launched)
    }

    /// Ends a child that was not told to go.
    pub fn abandon(self) {
        let Self { pid, pidfd, sync, steps: _ } = self;
        drop(sync);
        let _ = process::pidfd_send_signal(pidfd.as_fd(), Signal::KILL);
        let _ = process::reap(pid);
    }

    fn failure(&self, message: [u8; FAILURE_BYTES]) -> StepError {
        let [a, b, errno @ ..] = message;
        let source = io::Error::from_raw_os_error(i32::from_le_bytes(errno));
        match self.steps.get(usize::from(u16::from_le_bytes([a, b]))) {
            Some(step) => StepError::new(step, source),
            None => StepError::new("start the command", source),
        }
    }
}
