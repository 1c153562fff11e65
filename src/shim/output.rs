//! What a task writes to its standard output and error: it comes through a pipe each and is kept in the stream's log, up
//! to what the task may write. So no log grows past its limit, however fast the task is, and however it writes.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use crate::sys::fd;
use crate::task::exit::{OutputFault, OutputStream};

/// An eighth of what a pipe holds (pipe(7)). In a fresh fork the first touch of each page costs, and most tasks write little.
const BUFFER_BYTES: usize = 8 << 10;
/// Before somebody else has a turn.
const READS_AT_A_TIME: usize = 16;

/// One stream of a task.
#[derive(Debug)]
pub struct Output {
    stream: OutputStream,
    /// Absent: everybody who could write has closed it.
    pipe: Option<io::PipeReader>,
    log: File,
    /// How many bytes the log may still get.
    room: u64,
    fault: Option<OutputFault>,
}

impl Output {
    /// A stream that appends to `log` and may write `limit` bytes; and the end to write to.
    ///
    /// # Errors
    /// As pipe(2).
    pub fn open(stream: OutputStream, log: File, limit: u64) -> io::Result<(Self, io::PipeWriter)> {
        let (reader, writer) = fd::pipe_to_poll()?;
        Ok((Self { stream, pipe: Some(reader), log, room: limit, fault: None }, writer))
    }

    /// To be polled.
    #[must_use]
    pub fn pipe(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// Why not everything that was written is in the log.
    #[must_use]
    pub const fn fault(&self) -> Option<OutputFault> {
        self.fault
    }

    /// Keeps some of what is there. After a fault it is discarded, so that the task does not hang while it ends.
    ///
    /// # Errors
    /// As read(2).
    pub fn take(&mut self) -> io::Result<()> {
        for _ in 0..READS_AT_A_TIME {
            if !self.read()? {
                break;
            }
        }
        Ok(())
    }

    /// Keeps all that is there, when the task's processes are gone. Somebody else who was given the pipe can write no more
    /// than the limit.
    ///
    /// # Errors
    /// As read(2).
    pub fn take_the_rest(&mut self) -> io::Result<()> {
        while self.fault.is_none() && self.read()? {}
        Ok(())
    }

    /// Says whether there was something.
    fn read(&mut self) -> io::Result<bool> {
        let mut buffer = [0; BUFFER_BYTES];
        let Some(pipe) = &mut self.pipe else { return Ok(false) };
        match pipe.read(&mut buffer) {
            Ok(0) => {
                self.pipe = None;
                Ok(false)
            }
            Ok(length) => {
                self.keep(&buffer[..length]);
                Ok(true)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.fault.is_some() {
            return;
        }
        let stream = self.stream;
        let fitting = bytes.len().min(usize::try_from(self.room).unwrap_or(usize::MAX));
        self.room -= fitting as u64;
        if let Err(error) = self.log.write_all(&bytes[..fitting]) {
            self.fault = Some(OutputFault::NotKept { stream, errno: error.raw_os_error().unwrap_or(libc::EIO) });
        } else if fitting < bytes.len() {
            self.fault = Some(OutputFault::TooLong { stream });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: OutputStream = OutputStream::Stdout;

    fn output(limit: u64) -> (tempfile::TempDir, Output, io::PipeWriter) {
        let dir = tempfile::tempdir().expect("temp dir");
        let log = File::create(dir.path().join("log")).expect("made");
        let (output, writer) = Output::open(STREAM, log, limit).expect("a pipe");
        (dir, output, writer)
    }

    fn log(dir: &tempfile::TempDir) -> Vec<u8> {
        std::fs::read(dir.path().join("log")).expect("readable")
    }

    #[test]
    fn a_stream_may_write_its_limit_and_not_a_byte_more() {
        let (dir, mut output, mut writer) = output(70_000);
        for _ in 0..2 {
            writer.write_all(&[b'a'; 35_000]).expect("written");
            output.take().expect("readable");
        }
        assert_eq!((output.fault(), log(&dir).len()), (None, 70_000));
        writer.write_all(b"b").expect("written");
        output.take().expect("readable");
        assert_eq!(output.fault(), Some(OutputFault::TooLong { stream: STREAM }));
        assert_eq!(log(&dir), [b'a'; 70_000]);
    }

    #[test]
    fn after_its_fault_a_stream_is_emptied_and_nothing_of_it_is_kept() {
        let (dir, mut output, mut writer) = output(3);
        writer.write_all(b"abcd").expect("written");
        output.take_the_rest().expect("readable");
        for _ in 0..8 {
            writer.write_all(&[b'x'; 60_000]).expect("written");
            output.take().expect("readable");
        }
        assert_eq!(log(&dir), b"abc");
    }

    #[test]
    fn a_log_that_takes_nothing_more_is_a_fault() {
        let full = File::options().write(true).open("/dev/full").expect("every Linux has it");
        let (mut output, mut writer) = Output::open(OutputStream::Stderr, full, 100).expect("a pipe");
        writer.write_all(b"a").expect("written");
        output.take().expect("readable");
        let fault = OutputFault::NotKept { stream: OutputStream::Stderr, errno: libc::ENOSPC };
        assert_eq!(output.fault(), Some(fault));
    }

    #[test]
    fn the_rest_is_what_is_there_although_the_pipe_is_held_open() {
        let (dir, mut output, mut writer) = output(1 << 20);
        writer.write_all(b"rest").expect("written");
        output.take_the_rest().expect("readable");
        assert!(output.pipe().is_some());
        assert_eq!(log(&dir), b"rest");
    }
}
