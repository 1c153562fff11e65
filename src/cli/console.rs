//! Standard output and standard error of a verb. A reader that went away (`| head -1`) is no failure.

use std::fmt;
use std::io::{ErrorKind, Write};

use anyhow::Context;

/// Where a verb writes.
pub struct Console<'a> {
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
    for_people: bool,
}

impl<'a> Console<'a> {
    pub fn new(out: &'a mut dyn Write, err: &'a mut dyn Write) -> Self {
        Self { out, err, for_people: false }
    }

    /// Somebody looks at standard output.
    #[must_use]
    pub const fn for_people(mut self, for_people: bool) -> Self {
        self.for_people = for_people;
        self
    }

    #[must_use]
    pub const fn is_for_people(&self) -> bool {
        self.for_people
    }

    /// Writes bytes to standard output; whether anybody reads them.
    ///
    /// # Errors
    /// As [`Self::print`].
    pub fn write(&mut self, bytes: &[u8]) -> anyhow::Result<bool> {
        match self.out.write_all(bytes).and_then(|()| self.out.flush()) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(error).context("cannot write to standard output"),
        }
    }

    /// Writes to standard output as it is.
    ///
    /// # Errors
    /// When the output cannot be written for another reason than that nobody reads it any more.
    pub fn print(&mut self, text: &str) -> anyhow::Result<()> {
        self.write(text.as_bytes()).map(drop)
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
        self.note_bytes(text.as_bytes());
    }

    /// The same with bytes.
    pub fn note_bytes(&mut self, bytes: &[u8]) {
        drop(self.err.write_all(bytes).and_then(|()| self.err.flush()));
    }

    /// One `error: ` for each line of the message.
    pub fn error(&mut self, message: fmt::Arguments) {
        for line in message.to_string().lines() {
            self.note(&format!("error: {line}\n"));
        }
    }
}
