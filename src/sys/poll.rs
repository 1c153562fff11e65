//! poll(2) over a few descriptors, some of which may be absent, with a timeout that cannot overflow.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

/// One descriptor and what is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Interest<'fd> {
    fd: BorrowedFd<'fd>,
    flags: PollFlags,
}

impl<'fd> Interest<'fd> {
    #[must_use]
    pub const fn read(fd: BorrowedFd<'fd>) -> Self {
        Self { fd, flags: PollFlags::IN }
    }

    #[must_use]
    pub const fn write(fd: BorrowedFd<'fd>) -> Self {
        Self { fd, flags: PollFlags::OUT }
    }

    /// Nothing but the other side's end, which poll(2) reports unasked.
    #[must_use]
    pub const fn hangup(fd: BorrowedFd<'fd>) -> Self {
        Self { fd, flags: PollFlags::empty() }
    }
}

/// What one descriptor is ready for; all false for an absent one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ready {
    /// A read (or, for a pidfd, a wait) will not block; an end of file counts.
    pub read: bool,
    pub write: bool,
    /// The other side is gone; something to read may be left.
    pub hangup: bool,
}

/// Waits until one of the descriptors is ready or `timeout_ms` has passed; `None` waits without end. A signal handler
/// that ran ends the wait too, with nothing ready.
///
/// # Errors
/// As poll(2), but for `EINTR`.
pub fn poll<const N: usize>(interests: [Option<Interest<'_>>; N], timeout_ms: Option<u64>) -> io::Result<[Ready; N]> {
    let mut fds: Vec<PollFd<'_>> =
        interests.iter().flatten().map(|i| PollFd::from_borrowed_fd(i.fd, i.flags)).collect();
    match rustix::event::poll(&mut fds, timeout_ms.map(timespec).as_ref()) {
        Ok(_) => {}
        Err(Errno::INTR) => return Ok([Ready::default(); N]),
        Err(error) => return Err(error.into()),
    }
    let mut polled = fds.iter().map(|fd| ready(fd.revents()));
    Ok(interests.map(|i| i.and_then(|_| polled.next()).unwrap_or_default()))
}

/// Whether `fd` can be read, or a pidfd's process has exited, at this moment.
///
/// # Errors
/// As poll(2).
pub fn is_readable(fd: BorrowedFd<'_>) -> io::Result<bool> {
    let [ready] = poll([Some(Interest::read(fd))], Some(0))?;
    Ok(ready.read)
}

fn ready(events: PollFlags) -> Ready {
    let over = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
    Ready {
        read: events.intersects(PollFlags::IN | over),
        write: events.intersects(PollFlags::OUT | over),
        hangup: events.intersects(over),
    }
}

fn timespec(millis: u64) -> Timespec {
    // A day is as good as for ever: every caller looks at its clock again when it wakes.
    const DAY_MS: u64 = 24 * 3600 * 1000;
    let millis = i64::try_from(millis.min(DAY_MS)).unwrap_or(0);
    Timespec { tv_sec: millis / 1000, tv_nsec: (millis % 1000) * 1_000_000 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::time::{Duration, Instant};

    #[test]
    fn absent_descriptors_are_never_ready_and_keep_their_place() {
        let (reader, mut writer) = std::io::pipe().expect("pipe");
        let ask = |reader: &std::io::PipeReader| {
            poll([None, Some(Interest::read(reader.as_fd())), None], Some(0)).expect("poll")
        };
        assert_eq!(ask(&reader), [Ready::default(); 3]);
        writer.write_all(b"x").expect("written");
        assert_eq!(ask(&reader)[1], Ready { read: true, write: false, hangup: false });
        drop(writer);
        // A child that another test forks at this moment holds a copy until its exec.
        let until = Instant::now() + Duration::from_secs(20);
        while !ask(&reader)[1].hangup {
            assert!(Instant::now() < until, "somebody still holds the other end");
            std::thread::yield_now();
        }
        assert!(ask(&reader)[1].read, "what was written is there still");
    }

    #[test]
    fn no_timeout_overflows() {
        assert_eq!(timespec(u64::MAX).tv_sec, 86_400);
        assert_eq!(timespec(1_001).tv_nsec, 1_000_000);
    }
}
