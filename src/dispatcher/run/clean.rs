//! Ended tasks: forgotten in time or by request, and measured.

use super::Loop;
use crate::dispatcher::core::is_owner;
use crate::dispatcher::handle::{DeleteError, Unavailable};
use crate::dispatcher::trash;
use crate::store::{Ended, StoreError};
use crate::task::{TaskId, Timestamp};

/// Most tasks forgotten, or noted as measured, at one go, so that submits do not wait long behind it.
const CLEAN_AT_ONCE: u32 = 256;

impl Loop {
    /// In the same order as [`Self::forget`].
    pub(super) fn delete(&mut self, id: &TaskId, owner: Option<&str>) -> Result<(), DeleteError> {
        let broken = |error: StoreError| {
            not_cleaned::<()>(error);
            DeleteError::from(Unavailable::Storage)
        };
        let task = self.writer.task(id).map_err(broken)?.ok_or_else(|| DeleteError::NotFound(id.clone()))?;
        if !is_owner(&task, owner) {
            return Err(DeleteError::NotOwner);
        }
        let Some(ended) = self.writer.ended_task(id).map_err(broken)? else {
            return Err(DeleteError::NotEnded { task_id: id.clone(), status: task.status() });
        };
        if self.core.is_awaited(id) {
            return Err(DeleteError::Awaited(id.clone()));
        }
        if !trash::move_out(&self.settings.launch.data_dir, &ended) {
            return Err(Unavailable::Storage.into());
        }
        self.writer.forget(std::slice::from_ref(&ended)).map_err(broken)?;
        self.retention.on_forgotten(&ended);
        Ok(())
    }

    /// The directories first: a crash in between leaves a stored task without files, which the next round finds
    /// again, and never files that no task names.
    pub(super) fn forget(&mut self, before: Timestamp) -> Result<usize, StoreError> {
        let mut left = self.retention;
        let mut moved = Vec::new();
        let oldest = if left.is_exceeded() { Timestamp::from_millis(i64::MAX) } else { before };
        for task in self.writer.ended(oldest, CLEAN_AT_ONCE)? {
            if task.finished_at >= before && !left.is_exceeded() {
                break;
            }
            // Its end is on its way to those who wait for it.
            if TaskId::parse(&task.id).is_ok_and(|id| self.core.is_awaited(&id)) {
                continue;
            }
            if trash::move_out(&self.settings.launch.data_dir, &task) {
                left.on_forgotten(&task);
                moved.push(task);
            }
        }
        self.writer.forget(&moved)?;
        self.retention = left;
        Ok(moved.len())
    }

    pub(super) fn unmeasured(&mut self) -> Result<Vec<Ended>, StoreError> {
        let Some(from) = self.retention.unmeasured_from() else { return Ok(Vec::new()) };
        let tasks = self.writer.unmeasured(from, CLEAN_AT_ONCE)?;
        self.retention.on_unmeasured(&tasks);
        Ok(tasks)
    }

    pub(super) fn measured(&mut self, sizes: &[(Ended, u64)]) -> Result<(), Unavailable> {
        match self.writer.set_bytes(sizes) {
            Ok(bytes) => {
                self.retention.on_measured(bytes);
                Ok(())
            }
            Err(error) => {
                not_cleaned::<()>(error);
                Err(Unavailable::Storage)
            }
        }
    }
}

/// The next round tries again.
pub(super) fn not_cleaned<T: Default>(error: StoreError) -> T {
    tracing::error!(error = &error as &dyn std::error::Error, "ended tasks could not be cleaned up");
    T::default()
}
