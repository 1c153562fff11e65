//! Pid 1 of a sandbox: reaps, says how the command ended, and ends; the kernel then kills whatever is left. It ends,
//! too, when its shim is gone. It runs nothing of the task's and hears nothing of the task's: all signals are blocked.
//! Where the runtime is root it has a user of its own, that of no task and not root.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use crate::sys::poll::{self, Interest};
use crate::sys::process::{self, End, Pid, Reaped};
use crate::sys::signal::{Signal, Signals};
use crate::sys::socket::{self, Blocking, Received};
use crate::sys::{identity, process::set_name};

/// Bytes of the message: one kind, one number.
const MESSAGE_BYTES: usize = 1 + 4;
const EXITED: u8 = 0;
const SIGNALED: u8 = 1;

/// Watches `command`, the child of this process, as the user `uid`; `shim` is the line on which its end is told. Returns
/// the exit code.
#[must_use]
pub fn supervise(shim: &OwnedFd, command: Pid, uid: Option<u32>) -> i32 {
    match confine_itself(uid).and_then(|()| until_the_end(shim, command)) {
        Ok(()) => 0,
        // Without a word to the shim, which calls the task lost.
        Err(_) => 1,
    }
}

fn confine_itself(uid: Option<u32>) -> io::Result<()> {
    set_name(c"execgo-init")?;
    if let Some(uid) = uid {
        identity::become_user(uid, uid, &[])?;
    }
    // Only now, for a change of the user makes it dumpable or not by a setting of the host.
    identity::not_dumpable()?;
    identity::drop_capabilities()?;
    identity::no_new_privileges()
}

fn until_the_end(shim: &OwnedFd, command: Pid) -> io::Result<()> {
    let children = Signals::of(&[Signal::SIGCHLD])?;
    loop {
        while children.take()?.is_some() {}
        while let Reaped::Child(pid, end, _) = process::reap_any()? {
            if pid == command {
                return socket::send(shim.as_fd(), &encode(end), Blocking::No);
            }
        }
        let interests = [Some(Interest::read(children.as_fd())), Some(Interest::hangup(shim.as_fd()))];
        let [_, gone] = poll::poll(interests, None)?;
        if gone.hangup {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
    }
}

fn encode(end: End) -> [u8; MESSAGE_BYTES] {
    let (kind, number) = match end {
        End::Exited(code) => (EXITED, code),
        End::Signaled(signal) => (SIGNALED, signal),
    };
    let [a, b, c, d] = number.to_le_bytes();
    [kind, a, b, c, d]
}

/// What an init that has ended has said of its command; nothing if it was killed before.
///
/// # Errors
/// As recv(2).
pub fn last_word(init: &OwnedFd) -> io::Result<Option<End>> {
    let mut message = [0; MESSAGE_BYTES];
    match socket::receive(init.as_fd(), &mut message, Blocking::No) {
        Ok(Received::Message(MESSAGE_BYTES)) => {
            let [kind, number @ ..] = message;
            let number = i32::from_le_bytes(number);
            Ok(Some(if kind == EXITED { End::Exited(number) } else { End::Signaled(number) }))
        }
        Ok(Received::Message(_) | Received::Cut | Received::End) => Ok(None),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::ConnectionReset) => Ok(None),
        Err(error) => Err(error),
    }
}
