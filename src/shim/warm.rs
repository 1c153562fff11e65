//! A sandbox that is begun before there is a task for it: its pid 1 has performed the steps that are the same for every
//! task with such a sandbox, and waits on its line for the task. It is given one and no other. It ends with its shim.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::prepare::Streams;
use super::sequence;
use super::spare::MESSAGE_BYTES;
use super::spawn::{Command, Launched, STEP_FAILED_EXIT_CODE, perform, run_init, spawn_ahead, tell_error};
use super::step::{Step, StepError};
use crate::launcher::protocol::LaunchRequest;
use crate::sandbox::cgroup::Entry;
use crate::sandbox::{Base, Shape};
use crate::sys::fork::SingleThreaded;
use crate::sys::socket::{self, Received};

/// The waiting sandbox, as its shim has it: without a command so far.
#[derive(Debug)]
pub struct Warm(Command);

impl Warm {
    /// Makes the first process of a sandbox and returns at once; what that does goes on.
    ///
    /// # Errors
    /// Names the call that failed.
    pub fn begin(single: &SingleThreaded, shape: Shape, base: &Base) -> Result<Self, StepError> {
        // Here, where our ids are what the host calls them.
        let ahead = sequence::ahead(shape, base);
        let first = |sync, line| be_first(single, &ahead, base, sync, &line);
        spawn_ahead(single, shape.flags(), first).map(Self)
    }

    /// Polls readable when pid 1 has ended.
    #[must_use]
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.0.pidfd.as_fd()
    }

    /// Gives it its task: the request, and the streams and the way into its group, which are closed here.
    ///
    /// # Errors
    /// The sandbox has ended; with the step that failed, where it could say so.
    pub fn give(self, message: &[u8], streams: Streams, entry: Entry) -> Result<Command, StepError> {
        let Self(mut command) = self;
        let mut descriptors = vec![streams.stdout.as_fd(), streams.stderr.as_fd()];
        descriptors.extend(streams.stdin.as_ref().map(AsFd::as_fd));
        descriptors.extend(entry.descriptors());
        let given = match command.init() {
            Some(line) => socket::hand_over(line, message, &descriptors),
            None => Err(io::ErrorKind::NotConnected.into()),
        };
        let Err(error) = given else { return Ok(command) };
        let told = command.take_launched();
        command.abandon();
        match told {
            Ok(Launched::Failed(told)) => Err(told),
            _ => Err(StepError::new("hand the task to its sandbox", error).in_sandbox()),
        }
    }
}

/// Pid 1, to its end.
fn be_first(single: &SingleThreaded, ahead: &[Step], base: &Base, sync: OwnedFd, line: &OwnedFd) -> i32 {
    if !perform(ahead, sync.as_fd()) {
        return STEP_FAILED_EXIT_CODE;
    }
    let mut message = [0; MESSAGE_BYTES];
    let (length, descriptors) = match socket::take_over(line.as_fd(), &mut message) {
        Ok((Received::Message(length), descriptors)) => (length, descriptors),
        // The shim is gone.
        Ok((Received::Cut | Received::End, _)) | Err(_) => return STEP_FAILED_EXIT_CODE,
    };
    match own_steps(&message[..length], base, descriptors) {
        Ok((steps, uid)) => run_init(single, steps, sync, line, uid),
        Err(error) => {
            tell_error(&error, sync.as_fd());
            STEP_FAILED_EXIT_CODE
        }
    }
}

/// The steps of the task that [`Warm::give`] has given, and the user that pid 1 becomes.
fn own_steps(message: &[u8], base: &Base, given: Vec<OwnedFd>) -> Result<(Vec<Step>, Option<u32>), StepError> {
    let failed = |error: io::Error| StepError::new("read the task", error).in_sandbox();
    let request: LaunchRequest = serde_json::from_slice(message).map_err(|error| failed(error.into()))?;
    let mut given = given.into_iter();
    let (Some(stdout), Some(stderr)) = (given.next(), given.next()) else {
        return Err(failed(io::ErrorKind::UnexpectedEof.into()));
    };
    let stdin = request.stdin.as_ref().and_then(|_| given.next()).map(File::from);
    let streams = Streams { stdin, stdout: stdout.into(), stderr: stderr.into() };
    let entry = request.cgroup.as_ref().map(|spec| Entry::handed_over(spec, given)).unwrap_or_default();
    let steps = sequence::own(&request, Some(base.layout()), streams, entry.gates, entry.directory)?;
    Ok((steps, request.sandbox.and_then(|sandbox| sandbox.init_uid)))
}
