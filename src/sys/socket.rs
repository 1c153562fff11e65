//! Unix sockets that keep message boundaries (unix(7), `SOCK_SEQPACKET`).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{self, AddressFamily, MsgFlags, SockFlag, SockType};

/// Whether a call may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocking {
    Yes,
    /// `EAGAIN` ([`io::ErrorKind::WouldBlock`]) instead.
    No,
}

/// What a receive found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// A message of this many bytes, whole.
    Message(usize),
    /// A message that was longer than the buffer; the rest is lost.
    Cut,
    /// The other side has closed its last copy. (We send no empty messages.)
    End,
}

/// A connected pair, both ends close-on-exec.
///
/// # Errors
/// `EMFILE`.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socket::socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?)
}

/// Sends one message, without SIGPIPE. Allocates nothing.
///
/// # Errors
/// `EAGAIN` as asked for; `EPIPE` or `ECONNRESET` when the other side is gone; `EMSGSIZE`.
pub fn send(socket: BorrowedFd<'_>, message: &[u8], blocking: Blocking) -> io::Result<()> {
    let flags = MsgFlags::MSG_NOSIGNAL | wait_flag(blocking);
    // A message goes as a whole or not at all.
    uninterrupted(|| socket::send(socket.as_raw_fd(), message, flags)).map(|_| ())
}

/// Receives one message. Allocates nothing.
///
/// # Errors
/// `EAGAIN` as asked for; `ECONNRESET` when the other side went away without reading all that we sent.
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8], blocking: Blocking) -> io::Result<Received> {
    // With MSG_TRUNC the call returns the real length of a message, also of one that does not fit.
    let flags = MsgFlags::MSG_TRUNC | wait_flag(blocking);
    let length = uninterrupted(|| socket::recv(socket.as_raw_fd(), buffer, flags))?;
    Ok(match length {
        0 => Received::End,
        length if length > buffer.len() => Received::Cut,
        length => Received::Message(length),
    })
}

const fn wait_flag(blocking: Blocking) -> MsgFlags {
    match blocking {
        Blocking::Yes => MsgFlags::empty(),
        Blocking::No => MsgFlags::MSG_DONTWAIT,
    }
}

fn uninterrupted(mut call: impl FnMut() -> nix::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            result => return Ok(result?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn messages_keep_their_bounds_and_the_end_is_seen() {
        let (here, there) = pair().expect("pair");
        for message in [&b"one"[..], b"three", b"longer than the buffer"] {
            send(here.as_fd(), message, Blocking::No).expect("sent");
        }
        drop(here);
        let mut buffer = [0; 8];
        // The end comes when a child that another test forks at this moment has exec'ed, for it holds a copy.
        let mut next = || receive(there.as_fd(), &mut buffer, Blocking::Yes).expect("received");
        assert_eq!(
            [next(), next(), next(), next()],
            [Received::Message(3), Received::Message(5), Received::Cut, Received::End]
        );
        let gone = send(there.as_fd(), b"x", Blocking::Yes).expect_err("nobody there");
        assert_eq!(gone.kind(), io::ErrorKind::BrokenPipe);
    }
}
