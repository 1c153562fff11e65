//! What the shim leaves behind and what it tells: first the journal, then the server.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::journal::{Journal, Record};
use super::step::StepError;
use super::supervise::Told;
use crate::launcher::outbox::Outbox;
use crate::launcher::protocol::{LaunchRequest, Report};
use crate::sys::clock::monotonic_ms;
use crate::task::state::{LaunchId, Running};
use crate::task::{Exit, TaskId};

/// How often and how long an exit record is tried again when the disk is full.
const RETRY_EVERY: Duration = Duration::from_millis(200);
const RETRY_FOR_MS: u64 = 30_000;

/// Journal and server of one task.
#[derive(Debug)]
pub struct Recorder {
    task_id: TaskId,
    launch_id: LaunchId,
    path: PathBuf,
    journal: Option<Journal>,
    /// What the server is told.
    pub outbox: Outbox,
}

impl Recorder {
    #[must_use]
    pub fn new(request: &LaunchRequest, outbox: Outbox) -> Self {
        Self {
            task_id: request.task_id.clone(),
            launch_id: request.launch_id,
            path: request.journal.clone(),
            journal: None,
            outbox,
        }
    }

    /// Opens the journal.
    ///
    /// # Errors
    /// As open(2).
    pub fn open(&mut self) -> Result<&Journal, StepError> {
        let journal = match self.journal.take() {
            Some(journal) => journal,
            None => Journal::open(&self.path).map_err(|error| failed("open", &self.path, error))?,
        };
        Ok(self.journal.insert(journal))
    }

    /// Writes the start record. Without it the command must not run: a server that finds none would run it again.
    ///
    /// # Errors
    /// As write(2); `EBADF` for a journal that was not opened.
    pub fn started(&self, running: &Running) -> Result<(), StepError> {
        let record = Record::Started { task_id: self.task_id.clone(), running: running.clone() };
        let journal = self.journal.as_ref().ok_or_else(|| io::Error::from_raw_os_error(libc::EBADF));
        journal.and_then(|journal| journal.append(&record)).map_err(|error| failed("append to", &self.path, error))
    }

    /// Writes the exit record and then reports it; a record that cannot be written for now is reported meanwhile.
    /// Says who knows of the end, and gives the outbox back.
    #[must_use]
    pub fn exited(mut self, exit: Exit) -> (Told, Outbox) {
        let report = Report::Exited { task_id: self.task_id.clone(), launch_id: self.launch_id, exit: exit.clone() };
        let record = Record::Exited { task_id: self.task_id.clone(), launch_id: self.launch_id, exit };
        let mut written = self.append(&record).is_ok();
        self.outbox.push(&report);
        let until = monotonic_ms().saturating_add(RETRY_FOR_MS);
        while !written && monotonic_ms() < until {
            std::thread::sleep(RETRY_EVERY);
            written = self.append(&record).is_ok();
            self.outbox.send_waiting();
        }
        let told = match (written, self.outbox.flush()) {
            (true, true) => Told::Everything,
            (true, false) | (false, true) => Told::Reported,
            (false, false) => Told::Nothing,
        };
        (told, self.outbox)
    }

    /// Reports that there is no process for the command, and leaves no record: a server that does not hear of it finds
    /// none, and launches the task again.
    #[must_use]
    pub fn not_forked(mut self, failure: Exit) -> Outbox {
        self.outbox.push(&Report::NotForked { task_id: self.task_id.clone(), launch_id: self.launch_id, failure });
        let _ = self.outbox.flush();
        self.outbox
    }

    fn append(&mut self, record: &Record) -> Result<(), StepError> {
        let appended = self.open()?.append(record);
        appended.map_err(|error| failed("append to", &self.path, error))
    }
}

fn failed(verb: &str, path: &Path, error: io::Error) -> StepError {
    StepError::new(format_args!("{verb} the journal {}", path.display()), error)
}
