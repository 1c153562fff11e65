//! Standard output and standard error of a verb. A reader that went away (`| head -1`) is no failure.

use std::fmt;
use std::io::{self, ErrorKind, Write};

use anyhow::Context;

/// Where a verb writes.
pub struct Console<'a> {
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
}

impl<'a> Console<'a> {
    pub fn new(out: &'a mut dyn Write, err: &'a mut dyn Write) -> Self {
        Self { out, err }
    }

    /// Writes to standard output as it is.
    ///
    /// # Errors
    /// When the output cannot be written for another reason than that nobody reads it any more.
    pub fn print(&mut self, text: &str) -> anyhow::Result<()> {
        readers_may_leave(self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()))
            .context("cannot write to standard output")
    }

    /// Writes to standard output and ends the line if the text does not.
    ///
    /// # Errors
    /// As [`Self::print`].
    pub fn print_line(&mut self, text: &str) -> anyhow::Result<()> {
        self.print(text)?;
        if text.ends_with('\n') { Ok(()) } else { self.print("\n") }
    }

    /// Writes to standard error as it is. There is nobody left to tell when that fails.
    pub fn note(&mut self, text: &str) {
        drop(self.err.write_all(text.as_bytes()).and_then(|()| self.err.flush()));
    }

    /// One `error: ` for each line of the message.
    pub fn error(&mut self, message: fmt::Arguments) {
        for line in message.to_string().lines() {
            self.note(&format!("error: {line}\n"));
        }
    }
}

fn readers_may_leave(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}
