//! Unix sockets that keep message boundaries (unix(7), `SOCK_SEQPACKET`).

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{self, AddressFamily, MsgFlags, SockFlag, SockType};
use rustix::io::retry_on_intr;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

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
    Ok(received(length, buffer.len()))
}

/// How many descriptors one message carries at most.
pub const DESCRIPTORS: usize = 8;

/// As [`send`], without waiting, and with a copy of each of these descriptors (unix(7), `SCM_RIGHTS`). Until they are
/// received the copies are open in the message, and go with it when the other side ends without having read it.
///
/// # Errors
/// As [`send`]; `EMSGSIZE` also for more than [`DESCRIPTORS`].
pub fn hand_over(socket: BorrowedFd<'_>, message: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    Ok(retry_on_intr(|| sendmsg(socket, &[IoSlice::new(message)], &mut control, flags)).map(|_| ())?)
}

/// From now on the other side can send nothing more (`EPIPE`); what it has sent can be received still (shutdown(2),
/// unix(7)).
///
/// # Errors
/// `ENOTCONN`.
pub fn refuse_more(socket: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::net::shutdown(socket, rustix::net::Shutdown::Read)?)
}

/// As [`receive`], waiting, with the descriptors that came along, close-on-exec.
///
/// # Errors
/// As [`receive`]; `EMFILE`.
pub fn take_over(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(Received, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::TRUNC;
    let message = retry_on_intr(|| recvmsg(socket, &mut [IoSliceMut::new(buffer)], &mut control, flags))?;
    if message.flags.contains(ReturnFlags::CTRUNC) {
        return Err(io::Error::from_raw_os_error(libc::EMFILE));
    }
    let rights = control.drain().filter_map(|each| match each {
        RecvAncillaryMessage::ScmRights(rights) => Some(rights),
        _ => None,
    });
    let descriptors = rights.flatten().collect();
    Ok((received(message.bytes, buffer.len()), descriptors))
}

const fn received(length: usize, room: usize) -> Received {
    match length {
        0 => Received::End,
        length if length > room => Received::Cut,
        length => Received::Message(length),
    }
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
    fn a_descriptor_travels_with_its_message() {
        use std::io::{Read, Write};
        let (here, there) = pair().expect("pair");
        let (mut reader, writer) = io::pipe().expect("pipe");
        hand_over(here.as_fd(), b"a pipe", &[writer.as_fd(), here.as_fd()]).expect("sent");
        drop((writer, here));
        let mut buffer = [0; 8];
        let (received, mut descriptors) = take_over(there.as_fd(), &mut buffer).expect("received");
        assert_eq!((received, &buffer[..6], descriptors.len()), (Received::Message(6), &b"a pipe"[..], 2));
        drop(descriptors.pop());
        let mut pipe = std::fs::File::from(descriptors.pop().expect("the pipe"));
        assert!(rustix::io::fcntl_getfd(&pipe).expect("open").contains(rustix::io::FdFlags::CLOEXEC));
        pipe.write_all(b"x").expect("written");
        drop(pipe);
        let mut read = String::new();
        reader.read_to_string(&mut read).expect("read to the end, which every other copy would keep away");
        assert_eq!(read, "x");
        let many = [there.as_fd(); DESCRIPTORS + 1];
        assert!(hand_over(there.as_fd(), b"too many", &many).is_err());
    }

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

    #[test]
    fn what_was_sent_before_more_was_refused_is_received_and_nothing_else() {
        let (ours, theirs) = pair().expect("a pair");
        hand_over(theirs.as_fd(), b"before", &[]).expect("sent");
        refuse_more(ours.as_fd()).expect("refused");
        assert!(hand_over(theirs.as_fd(), b"after", &[]).is_err());
        let mut buffer = [0; 16];
        let (received, _) = take_over(ours.as_fd(), &mut buffer).expect("received");
        assert_eq!((received, &buffer[..6]), (Received::Message(6), &b"before"[..]));
        assert_eq!(take_over(ours.as_fd(), &mut buffer).expect("received").0, Received::End);
    }
}
