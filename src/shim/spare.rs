//! A shim that is forked before its task is known, so that the task need not wait for it. It holds neither the launcher's
//! lock nor anything of a task, and ends with its launcher. After a task it rests, for another one.

use std::os::fd::{AsFd, OwnedFd};

use super::supervise::{Origin, Shim, Task, Told, carry_out};
use super::warm::Warm;
use crate::launcher::outbox::Outbox;
use crate::launcher::protocol::LaunchRequest;
use crate::sandbox::{Base, Shape, Supply};
use crate::sys::fork::SingleThreaded;
use crate::sys::poll::{self, Interest};
use crate::sys::process;
use crate::sys::socket::{self, Blocking, Received};

/// The longest request that a spare shim is given; what is longer goes with a fork.
pub const MESSAGE_BYTES: usize = 16 << 10;

/// What a spare shim has of its launcher.
#[derive(Debug)]
pub struct Lines {
    /// Its tasks come here.
    pub tasks: OwnedFd,
    pub reports: OwnedFd,
    /// Here it says that it rests: its pid, four bytes.
    pub resting: OwnedFd,
}

/// Waits for a task: one message, the request as the server has sent it, with a copy of the lock and, if there
/// is one for it, a network. With a shape it begins a sandbox before that. Returns the exit code: 0 when it carried its
/// task out, and only then, for the launcher takes the end of such a task for told. Of a shim that rests it means nothing.
#[must_use]
pub fn wait(single: &SingleThreaded, lines: Lines, base: Option<&Base>, shape: Option<Shape>) -> i32 {
    let Lines { tasks, reports, resting } = lines;
    let Ok(shim) = Shim::begin(c"execgo-spare") else { return 1 };
    let mut warm = match (shape, base) {
        (Some(shape), Some(base)) => match Warm::begin(single, shape, base) {
            Ok(warm) => Some(warm),
            Err(_) => return 1,
        },
        _ => None,
    };
    let mut outbox = Outbox::new(reports);
    let mut message = [0; MESSAGE_BYTES];
    loop {
        let Some((length, descriptors, warm)) = receive(&tasks, warm.take(), &mut message) else { return 1 };
        let message = &message[..length];
        // The launcher has read it before.
        let Ok(mut request) = serde_json::from_slice::<LaunchRequest>(message) else { return 1 };
        let mut descriptors = descriptors.into_iter();
        let Some(lock) = descriptors.next() else { return 1 };
        let network = descriptors.next();
        if let (Some(_), Some(sandbox)) = (&network, &mut request.sandbox) {
            // It is there already.
            sandbox.namespaces.net = false;
        }
        let rests = request.lets_its_shim_rest() && warm.is_none();
        let origin = match warm {
            Some(warm) => Origin::Warm(warm, message),
            None => Origin::Supply(Supply { base, network }),
        };
        // Whoever has asked for the end of the former task did so before this one was given away.
        if shim.forget_signals().and_then(|()| process::set_name(c"execgo-shim")).is_err() {
            return 1;
        }
        let told;
        (told, outbox) = carry_out(single, &shim, Task { request: &request, origin, lock, outbox });
        // A record that is missing would be looked for as long as this process lives.
        if told != Told::Everything || !rests {
            return told.exit_code();
        }
        let own = process::getpid().as_raw_pid().to_ne_bytes();
        let said = socket::send(resting.as_fd(), &own, Blocking::No);
        if said.and_then(|()| process::set_name(c"execgo-resting")).is_err() {
            return told.exit_code();
        }
    }
}

/// The next task, with what came along, and with the sandbox that was begun for it, unless that has ended.
fn receive(
    tasks: &OwnedFd,
    warm: Option<Warm>,
    message: &mut [u8; MESSAGE_BYTES],
) -> Option<(usize, Vec<OwnedFd>, Option<Warm>)> {
    let pidfd = warm.as_ref().map(|warm| Interest::read(warm.pidfd()));
    // Every signal is blocked, so nothing else ends the wait.
    let [given, ended] = poll::poll([Some(Interest::read(tasks.as_fd())), pidfd], None).ok()?;
    // The sandbox has ended: there will be no task, unless it was given in this moment.
    if !given.read && socket::refuse_more(tasks.as_fd()).is_err() {
        return None;
    }
    // Without the sandbox the task gets one in the other way.
    let warm = warm.filter(|_| !ended.read);
    match socket::take_over(tasks.as_fd(), message).ok()? {
        (Received::Message(length), descriptors) => Some((length, descriptors, warm)),
        (Received::End | Received::Cut, _) => None,
    }
}
