//! One stream of one task, read from an offset on while it may still grow.

use std::path::PathBuf;

use super::Shared;
use super::fault::Fault;
use super::status::blocking;
use crate::output::{Growth, Log, Watch};
use crate::task::exit::OutputStream;
use crate::task::{TaskId, TaskPaths};

pub(super) struct Tap {
    path: PathBuf,
    growth: Growth,
    /// Absent: the task has not been started, or has put something else in the place of its log.
    open: Option<(Log, Watch)>,
    /// Of what comes next.
    pub(super) offset: u64,
}

impl Tap {
    pub(super) fn new(shared: &Shared, id: &TaskId, stream: OutputStream) -> Self {
        let path = TaskPaths::new(&shared.context.config.runtime.data_dir, id).log(stream);
        Self { path, growth: shared.growth.clone(), open: None, offset: 0 }
    }

    /// Opens the log when it is there by now.
    pub(super) async fn open(&mut self) -> Result<(), Fault> {
        if self.open.is_none() {
            let path = self.path.clone();
            let log = blocking(move || Log::open(&path)).await?.map_err(Fault::Output)?;
            // Watched before anything is read of it, so that no write falls between.
            self.open = log.map(|log| {
                let watch = self.growth.watch(&log);
                (log, watch)
            });
        }
        Ok(())
    }

    pub(super) fn log(&self) -> Option<&Log> {
        self.open.as_ref().map(|(log, _)| log)
    }

    pub(super) fn length(&self) -> Result<u64, Fault> {
        self.log().map_or(Ok(0), Log::length).map_err(Fault::Output)
    }

    /// At most so many bytes at the offset, which stays; none when there are none yet.
    pub(super) async fn peek(&self, most: usize) -> Result<Vec<u8>, Fault> {
        match self.log() {
            Some(log) => log.read_at(self.offset, most).await.map_err(Fault::Output),
            None => Ok(Vec::new()),
        }
    }

    /// Returns when there may be more.
    pub(super) async fn written(&mut self) {
        match &mut self.open {
            Some((_, watch)) => watch.written().await,
            None => std::future::pending().await,
        }
    }
}
