//! A shim that is forked before its task is known, so that the task need not wait for it. It holds neither the launcher's
//! lock nor anything of a task, and ends with its launcher; and it is never used twice.

use std::os::fd::{AsFd, OwnedFd};

use super::supervise::{Origin, Shim, Task, carry_out};
use super::warm::Warm;
use crate::launcher::protocol::LaunchRequest;
use crate::sandbox::{Base, Shape, Supply};
use crate::sys::fork::SingleThreaded;
use crate::sys::poll::{self, Interest};
use crate::sys::process;
use crate::sys::socket::{self, Received};

/// The longest request that a spare shim is given; what is longer goes with a fork.
pub const MESSAGE_BYTES: usize = 16 << 10;

/// Waits for a task on `line`: one message, the request as the server has sent it, with a copy of the lock and, if there
/// is one for it, a network. With a shape it begins a sandbox before that. Returns the exit code: 0 when it carried its
/// task out, and only then, for the launcher takes the end of such a task for told.
#[must_use]
pub fn wait(
    single: &SingleThreaded,
    line: OwnedFd,
    reports: OwnedFd,
    base: Option<&Base>,
    shape: Option<Shape>,
) -> i32 {
    let Ok(shim) = Shim::begin(c"execgo-spare") else { return 1 };
    let warm = match (shape, base) {
        (Some(shape), Some(base)) => match Warm::begin(single, shape, base) {
            Ok(warm) => Some(warm),
            Err(_) => return 1,
        },
        _ => None,
    };
    let mut message = [0; MESSAGE_BYTES];
    let pidfd = warm.as_ref().map(|warm| Interest::read(warm.pidfd()));
    // Every signal is blocked, so nothing else ends the wait.
    let Ok([given, ended]) = poll::poll([Some(Interest::read(line.as_fd())), pidfd], None) else { return 1 };
    // The sandbox has ended: there will be no task, unless it was given in this moment.
    if !given.read && socket::refuse_more(line.as_fd()).is_err() {
        return 1;
    }
    // Without the sandbox the task gets one in the other way.
    let warm = warm.filter(|_| !ended.read);
    let (length, mut descriptors) = match socket::take_over(line.as_fd(), &mut message) {
        Ok((Received::Message(length), descriptors)) => (length, descriptors.into_iter()),
        Ok((Received::End | Received::Cut, _)) | Err(_) => return 1,
    };
    drop(line);
    let message = &message[..length];
    // The launcher has read it before.
    let Ok(mut request) = serde_json::from_slice::<LaunchRequest>(message) else { return 1 };
    let Some(lock) = descriptors.next() else { return 1 };
    let network = descriptors.next();
    if let (Some(_), Some(sandbox)) = (&network, &mut request.sandbox) {
        // It is there already.
        sandbox.namespaces.net = false;
    }
    let origin = match warm {
        Some(warm) => Origin::Warm(warm, message),
        None => Origin::Supply(Supply { base, network }),
    };
    if process::set_name(c"execgo-shim").is_err() {
        return 1;
    }
    carry_out(single, Ok(shim), Task { request: &request, origin, lock, reports })
}
