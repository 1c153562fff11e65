//! The steps of a launch, each with the name that its error carries.

use std::ffi::CString;
use std::fmt;
use std::fs::File;
use std::io::{self, PipeWriter};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use super::program::Program;
use crate::sandbox::cgroup::{CgroupError, Gate, GroupDir};
use crate::sandbox::{LayoutError, Mounts, SandboxStep};
use crate::sys::process::{self, Pid};
use crate::sys::rlimit::Limit;
use crate::sys::{fd, identity, memory, network, signal, timer};
use crate::task::{Exit, ExitStatus, RunAs, Timestamp};

/// A report is one datagram; a step names a path, which a client may make as long as it likes.
pub const MAX_STEP_BYTES: usize = 4096;

/// Of 1000: half the machine's memory is added to what the command uses when the kernel looks for whom to kill.
const OOM_SCORE_ADJ: i32 = 500;

/// A step of a launch failed: "mkdir /x: No such file or directory".
#[derive(Debug, thiserror::Error)]
#[error("{step}")]
pub struct StepError {
    step: String,
    source: io::Error,
    /// It was the sandbox that could not be made.
    in_sandbox: bool,
    /// A process was to be made.
    forking: bool,
}

impl StepError {
    #[must_use]
    pub fn new(step: impl fmt::Display, source: io::Error) -> Self {
        Self { step: step.to_string(), source, in_sandbox: false, forking: false }
    }

    /// A process that could not be made.
    #[must_use]
    pub fn forking(step: impl fmt::Display, source: io::Error) -> Self {
        Self { forking: true, ..Self::new(step, source) }
    }

    /// The machine had no process or no memory for one (fork(2)): that may pass, and nothing has run.
    #[must_use]
    pub fn is_shortage(&self) -> bool {
        self.forking && matches!(self.source.raw_os_error(), Some(libc::EAGAIN | libc::ENOMEM))
    }

    /// The same as a failure of the sandbox.
    #[must_use]
    pub fn in_sandbox(self) -> Self {
        Self { in_sandbox: true, ..self }
    }

    /// The step, whether it is the sandbox's, and the error.
    #[must_use]
    pub fn parts(&self) -> (&str, bool, &io::Error) {
        (&self.step, self.in_sandbox, &self.source)
    }

    /// The exit of a task that never ran.
    #[must_use]
    pub fn into_status(self) -> ExitStatus {
        let Self { mut step, source, in_sandbox, .. } = self;
        let end = (0..=step.len().min(MAX_STEP_BYTES)).rfind(|index| step.is_char_boundary(*index));
        step.truncate(end.unwrap_or(0));
        let errno = source.raw_os_error().unwrap_or(libc::EIO);
        if in_sandbox {
            ExitStatus::SandboxSetupFailed { step, errno }
        } else {
            ExitStatus::LaunchFailed { step, errno }
        }
    }

    /// [`Self::into_status`] with nothing else known.
    #[must_use]
    pub fn into_exit(self) -> Exit {
        Exit {
            status: self.into_status(),
            timed_out: false,
            killed: false,
            oom_killed: false,
            workspace_excess: None,
            output_fault: None,
            at: Timestamp::now(),
            duration_ms: None,
            usage: None,
            collected: None,
        }
    }
}

impl From<LayoutError> for StepError {
    fn from(LayoutError { path, source }: LayoutError) -> Self {
        Self::new(format_args!("read {}", path.display()), source).in_sandbox()
    }
}

impl From<CgroupError> for StepError {
    fn from(CgroupError { step, source }: CgroupError) -> Self {
        Self::new(step, source)
    }
}

/// What the command's process does between fork and exec. Made before the fork. Performing one allocates nothing from
/// the first limit on.
#[derive(Debug)]
pub enum Step {
    DieWithShim(Pid),
    /// Unless it has exec'ed by then: its shim may stand still until it has.
    DieIn(u64),
    JoinCgroup(Gate),
    NewSession,
    /// Of the sandbox's pid 1, whom no session needs: one costs the kernel a group of its scheduler.
    NewGroup,
    /// One that was made ahead.
    EnterNetwork(OwnedFd),
    /// Rather this than anything else of the machine's.
    OfferAsVictim,
    Stdin(File),
    Stdout(PipeWriter),
    Stderr(PipeWriter),
    ChangeDirectory(CString),
    UnblockSignals,
    CloseOnExec,
    /// Of a plain process.
    BecomeUser(RunAs),
    Limit(Limit),
    /// Part of `linux_sandbox`.
    Sandbox(SandboxStep),
    /// The process is pid 1 of a sandbox and forks the command's, into this group, which goes on with the rest.
    ForkCommand(Option<GroupDir>),
    /// Until the start record is written. What can fail comes before, but for the exec.
    AwaitStart,
    Exec(Program),
}

impl Step {
    /// Performs the step. [`Self::ForkCommand`] and [`Self::AwaitStart`] are its caller's.
    ///
    /// # Errors
    /// Those of the one system call that the step is.
    pub fn perform(&self, mounts: &mut Mounts) -> io::Result<()> {
        match self {
            Self::DieWithShim(pid) => process::die_with(*pid),
            // Without it a process whose exec hangs stays until the file system answers.
            Self::DieIn(millis) => timer::kill_unless_execed_in(*millis).or(Ok(())),
            Self::JoinCgroup(gate) => gate.enter(),
            Self::NewSession => process::setsid().map(|_| ()).map_err(io::Error::from),
            Self::NewGroup => process::new_group(),
            Self::EnterNetwork(network) => network::enter(network.as_fd()),
            Self::OfferAsVictim => memory::offer_as_victim(OOM_SCORE_ADJ),
            Self::Stdin(file) => fd::dup2_stdin(file).map_err(io::Error::from),
            Self::Stdout(pipe) => fd::dup2_stdout(pipe).map_err(io::Error::from),
            Self::Stderr(pipe) => fd::dup2_stderr(pipe).map_err(io::Error::from),
            Self::ChangeDirectory(path) => process::chdir(path.as_c_str()).map_err(io::Error::from),
            Self::UnblockSignals => signal::unblock_all(),
            Self::CloseOnExec => fd::close_all_on_exec(),
            Self::BecomeUser(RunAs { name: _, uid, gid, groups }) => identity::become_user(*uid, *gid, groups),
            Self::Limit(limit) => limit.apply(),
            Self::Sandbox(step) => step.perform(mounts),
            Self::ForkCommand(_) | Self::AwaitStart => Ok(()),
            Self::Exec(program) => Err(program.exec()),
        }
    }
}

impl Step {
    /// The descriptor that it brings along.
    #[must_use]
    pub fn descriptor(&self) -> Option<RawFd> {
        match self {
            Self::Stdout(pipe) | Self::Stderr(pipe) => Some(pipe.as_raw_fd()),
            Self::Stdin(file) => Some(file.as_raw_fd()),
            Self::JoinCgroup(gate) => Some(gate.fd()),
            Self::EnterNetwork(network) => Some(network.as_raw_fd()),
            Self::ForkCommand(directory) => directory.as_ref().map(|directory| directory.as_fd().as_raw_fd()),
            Self::DieWithShim(_)
            | Self::DieIn(_)
            | Self::NewSession
            | Self::NewGroup
            | Self::OfferAsVictim
            | Self::ChangeDirectory(_)
            | Self::UnblockSignals
            | Self::CloseOnExec
            | Self::BecomeUser(_)
            | Self::Limit(_)
            | Self::Sandbox(_)
            | Self::AwaitStart
            | Self::Exec(_) => None,
        }
    }

    /// Its failure is the sandbox's.
    #[must_use]
    pub const fn is_of_sandbox(&self) -> bool {
        matches!(self, Self::Sandbox(_) | Self::EnterNetwork(_) | Self::ForkCommand(_))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DieWithShim(_) => f.write_str("prctl PR_SET_PDEATHSIG"),
            Self::DieIn(_) => f.write_str("timer_create"),
            Self::JoinCgroup(gate) => gate.fmt(f),
            Self::NewSession => f.write_str("setsid"),
            Self::NewGroup => f.write_str("setpgid"),
            Self::EnterNetwork(_) => f.write_str("setns CLONE_NEWNET"),
            Self::OfferAsVictim => write!(f, "set oom_score_adj {OOM_SCORE_ADJ}"),
            Self::Stdin(_) => f.write_str("dup2 standard input"),
            Self::Stdout(_) => f.write_str("dup2 standard output"),
            Self::Stderr(_) => f.write_str("dup2 standard error"),
            Self::ChangeDirectory(path) => write!(f, "chdir {}", path.to_string_lossy()),
            Self::UnblockSignals => f.write_str("sigprocmask"),
            Self::CloseOnExec => f.write_str("close_range"),
            Self::BecomeUser(run_as) => write!(f, "become user {run_as}"),
            Self::Limit(limit) => write!(f, "setrlimit {}", limit.name()),
            Self::Sandbox(step) => step.fmt(f),
            Self::ForkCommand(None) => f.write_str("fork in the sandbox"),
            Self::ForkCommand(Some(directory)) => directory.fmt(f),
            Self::AwaitStart => f.write_str("wait for the start record"),
            Self::Exec(program) => write!(f, "execve {program}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_step_is_cut_between_characters() {
        let error = StepError::new("é".repeat(5000), io::Error::from_raw_os_error(libc::ENOENT));
        let ExitStatus::LaunchFailed { step, errno } = error.into_status() else { panic!("a failed launch") };
        assert_eq!((step.len(), errno), (4096, libc::ENOENT));
        let odd = StepError::new(format!("x{}", "é".repeat(5000)), io::Error::other("no errno"));
        let ExitStatus::LaunchFailed { step, errno } = odd.into_status() else { panic!("a failed launch") };
        assert_eq!((step.len(), errno), (4095, libc::EIO));
    }
}
