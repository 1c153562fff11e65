//! Reports on their way to a server that may be slow, stopped or gone. Sending never waits, since who sends has a
//! command to watch or a launch to do; what does not fit into the socket waits here, in order.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::protocol::Report;
use crate::sys::socket::{self, Blocking};

/// The sending end.
#[derive(Debug)]
pub struct Outbox {
    /// `None`: the server is gone.
    socket: Option<OwnedFd>,
    waiting: VecDeque<Vec<u8>>,
}

impl Outbox {
    #[must_use]
    pub const fn new(socket: OwnedFd) -> Self {
        Self { socket: Some(socket), waiting: VecDeque::new() }
    }

    /// A second handle on the socket, for a process to be forked.
    ///
    /// # Errors
    /// `EMFILE`; `ENOTCONN` when the server is gone.
    pub fn try_clone_socket(&self) -> io::Result<OwnedFd> {
        let gone = || io::Error::from_raw_os_error(libc::ENOTCONN);
        self.socket.as_ref().ok_or_else(gone)?.try_clone()
    }

    /// Sends a report, now or when there is room.
    pub fn push(&mut self, report: &Report) {
        // The types of a report hold nothing that JSON cannot say.
        if let Ok(message) = serde_json::to_vec(report) {
            self.waiting.push_back(message);
            self.send(Blocking::No);
        }
    }

    /// Sends what waits, as far as there is room.
    pub fn send_waiting(&mut self) {
        self.send(Blocking::No);
    }

    /// Where to wait for room, if there is anything to send.
    #[must_use]
    pub fn blocked_on(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().filter(|_| !self.waiting.is_empty()).map(AsFd::as_fd)
    }

    /// Sends everything, however long the server takes. Says whether the server was there to the last.
    #[must_use]
    pub fn flush(&mut self) -> bool {
        self.send(Blocking::Yes);
        self.socket.is_some()
    }

    fn send(&mut self, blocking: Blocking) {
        while let (Some(message), Some(socket)) = (self.waiting.front(), &self.socket) {
            match socket::send(socket.as_fd(), message, blocking) {
                Ok(()) => {
                    self.waiting.pop_front();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    // Nobody will ever read it, but the next server reads the journal.
                    self.socket = None;
                    self.waiting.clear();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::sys::poll::{self, Interest};
    use crate::sys::socket::Received;
    use crate::task::{TaskId, Timestamp};

    fn report(n: usize) -> Report {
        Report::TimedOut {
            task_id: TaskId::parse(&format!("t{n}")).expect("valid"),
            launch_id: crate::task::state::LaunchId::of_test(1, 2),
            at: Timestamp::from_millis(0),
        }
    }

    #[test]
    fn a_server_that_does_not_read_blocks_nobody_and_gets_all_in_order() {
        const REPORTS: usize = 2000;
        let (ours, theirs) = socket::pair().expect("pair");
        let mut outbox = Outbox::new(ours);
        (0..REPORTS).for_each(|n| outbox.push(&report(n)));
        assert!(outbox.blocked_on().is_some(), "all of it went into the socket");
        let mut buffer = [0; 4096];
        for n in 0..REPORTS {
            let [_, room] = poll::poll(
                [Some(Interest::read(theirs.as_fd())), outbox.blocked_on().map(Interest::write)],
                Some(10_000),
            )
            .expect("poll");
            if room.write {
                outbox.send_waiting();
            }
            match socket::receive(theirs.as_fd(), &mut buffer, Blocking::No).expect("something to read") {
                Received::Message(length) => {
                    assert_eq!(serde_json::from_slice::<Report>(&buffer[..length]).expect("a report"), report(n));
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(outbox.blocked_on().is_none() && outbox.flush());
    }

    #[test]
    fn without_a_server_everything_is_dropped() {
        let (ours, theirs) = socket::pair().expect("pair");
        let mut outbox = Outbox::new(ours);
        drop(theirs);
        // A child that another test forks at this moment holds a copy until its exec, and the first reports may go to it.
        let until = Instant::now() + Duration::from_secs(20);
        outbox.push(&report(1));
        while outbox.flush() {
            assert!(Instant::now() < until, "somebody still holds the other end");
            outbox.push(&report(1));
        }
        assert!(outbox.blocked_on().is_none());
    }
}
