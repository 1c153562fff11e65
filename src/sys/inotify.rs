//! inotify(7): being told that somebody writes to a file.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;

/// Room for about two hundred events without a name.
const BUFFER_BYTES: usize = 4096;

/// One queue of events, to be polled for reading.
#[derive(Debug)]
pub struct Inotify(OwnedFd);

/// A watched file; the same for the same inode, and not given again for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Descriptor(i32);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Somebody wrote, or the file is gone.
    Of(Descriptor),
    /// More happened than the kernel keeps: every watched file may have been written.
    Overflow,
}

impl Inotify {
    /// # Errors
    /// As inotify_init1(2): a user may have 128 of them, unless configured otherwise.
    pub fn new() -> io::Result<Self> {
        Ok(Self(inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?))
    }

    /// Watches an open file, whatever its name leads to by now.
    ///
    /// # Errors
    /// As inotify_add_watch(2); `ENOENT` where there is no `/proc`.
    pub fn watch(&self, file: BorrowedFd<'_>) -> io::Result<Descriptor> {
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        Ok(Descriptor(inotify::add_watch(&self.0, path, WatchFlags::MODIFY)?))
    }

    /// Ends a watch. One that ended with its file is forgotten already.
    pub fn forget(&self, descriptor: Descriptor) {
        let _ = inotify::remove_watch(&self.0, descriptor.0);
    }

    /// Some of what has happened.
    ///
    /// # Errors
    /// `WouldBlock` when nothing has.
    pub fn read(&self) -> io::Result<Vec<Told>> {
        let mut buffer = [MaybeUninit::uninit(); BUFFER_BYTES];
        let mut events = Reader::new(&self.0, &mut buffer);
        let mut told = Vec::new();
        loop {
            match events.next() {
                Ok(event) if event.events().contains(ReadFlags::QUEUE_OVERFLOW) => told.push(Told::Overflow),
                Ok(event) => told.push(Told::Of(Descriptor(event.wd()))),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            if events.is_buffer_empty() {
                return Ok(told);
            }
        }
    }
}

impl AsRawFd for Inotify {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl AsFd for Inotify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The events of a queue, for who waits without a thread.
#[derive(Debug)]
pub struct Events(AsyncFd<Arc<Inotify>>);

impl Events {
    /// Must be called inside the runtime.
    ///
    /// # Errors
    /// As epoll_ctl(2).
    pub fn of(inotify: Arc<Inotify>) -> io::Result<Self> {
        // SAFETY: the descriptor is the same for as long as the `Inotify` lives, which owns it and never gives it away, and
        // the `AsyncFd` holds that.
        Ok(Self(unsafe { AsyncFd::register(inotify) }?))
    }

    /// Returns when something has happened, with some of it.
    ///
    /// # Errors
    /// As read(2).
    pub async fn next(&self) -> io::Result<Vec<Told>> {
        loop {
            let mut ready = self.0.readable().await?;
            if let Ok(told) = ready.try_io(|inotify| inotify.get_ref().read()) {
                return told;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{ErrorKind, Write};

    use super::*;

    #[test]
    fn a_write_is_told_to_whoever_watches_the_file_under_any_name() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("log");
        let mut writer = File::create(&path).expect("made");
        let reader = File::open(&path).expect("opened");
        std::fs::rename(&path, dir.path().join("moved")).expect("moved");
        let inotify = Inotify::new().expect("inotify");
        let watched = inotify.watch(reader.as_fd()).expect("watched");
        assert_eq!(inotify.watch(writer.as_fd()).expect("watched"), watched, "one inode, one descriptor");
        assert_eq!(inotify.read().expect_err("nothing yet").kind(), ErrorKind::WouldBlock);
        writer.write_all(b"x").expect("written");
        assert_eq!(inotify.read().expect("told"), [Told::Of(watched)]);
        inotify.forget(watched);
        inotify.forget(watched);
        writer.write_all(b"y").expect("written");
        // The end of the watch is told; the write is not.
        assert_eq!(inotify.read().expect("told"), [Told::Of(watched)]);
        assert_eq!(inotify.read().expect_err("nothing more").kind(), ErrorKind::WouldBlock);
    }
}
