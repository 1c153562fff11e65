//! Ended tasks: how many there are and what they occupy, the oldest of them, and their deletion.

use rusqlite::{OptionalExtension, Row, params};

use super::writer::begin;
use super::{StoreError, Writer, answers, failed, marks};
use crate::task::{TaskId, Timestamp};

/// An ended task, as far as it takes to clean up after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    pub seq: i64,
    pub id: String,
    pub finished_at: Timestamp,
    /// What its directory occupies, once that was measured.
    pub bytes: Option<u64>,
}

impl Ended {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            seq: row.get(0)?,
            id: row.get(1)?,
            finished_at: Timestamp::from_millis(row.get(2)?),
            bytes: row.get::<_, Option<i64>>(3)?.map(i64::cast_unsigned),
        })
    }
}

/// The ended tasks together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stock {
    pub tasks: u64,
    /// What those of their directories occupy that were measured.
    pub bytes: u64,
    /// No task that ended before was not measured; `None`: no task at all.
    pub unmeasured_from: Option<Timestamp>,
}

pub(super) const STOCK: &str = "SELECT COUNT(*), COALESCE(SUM(bytes), 0),
    MIN(CASE WHEN bytes IS NULL THEN finished_at END) FROM tasks WHERE finished_at IS NOT NULL";

impl Writer {
    /// Up to `limit` tasks that ended before `before`, oldest first.
    ///
    /// # Errors
    /// The store failed.
    pub fn ended(&self, before: Timestamp, limit: u32) -> Result<Vec<Ended>, StoreError> {
        const SQL: &str = "SELECT seq, id, finished_at, bytes FROM tasks
            WHERE finished_at < ?1 ORDER BY finished_at LIMIT ?2";
        self.select_ended(SQL, before, limit)
    }

    /// Up to `limit` tasks that ended at `from` or later and whose directories were not measured yet, oldest first.
    ///
    /// # Errors
    /// The store failed.
    pub fn unmeasured(&self, from: Timestamp, limit: u32) -> Result<Vec<Ended>, StoreError> {
        const SQL: &str = "SELECT seq, id, finished_at, bytes FROM tasks
            WHERE finished_at >= ?1 AND bytes IS NULL ORDER BY finished_at LIMIT ?2";
        self.select_ended(SQL, from, limit)
    }

    fn select_ended(&self, sql: &str, at: Timestamp, limit: u32) -> Result<Vec<Ended>, StoreError> {
        let failed = failed("look for ended tasks");
        let mut statement = self.connection.prepare_cached(sql).map_err(&failed)?;
        let rows = statement.query_map(params![at.as_millis(), limit], Ended::read).map_err(&failed)?;
        rows.collect::<Result<_, _>>().map_err(&failed)
    }

    /// This task, if it has ended.
    ///
    /// # Errors
    /// The store failed.
    pub fn ended_task(&self, id: &TaskId) -> Result<Option<Ended>, StoreError> {
        const SQL: &str = "SELECT seq, id, finished_at, bytes FROM tasks WHERE id = ?1 AND finished_at IS NOT NULL";
        let failed = failed("look for an ended task");
        let mut statement = self.connection.prepare_cached(SQL).map_err(&failed)?;
        statement.query_row([id.as_str()], Ended::read).optional().map_err(&failed)
    }

    /// How much of ended tasks is stored. Reads the whole index of them: for the start.
    ///
    /// # Errors
    /// The store failed.
    pub fn stock(&self) -> Result<Stock, StoreError> {
        let read = |row: &Row<'_>| {
            Ok(Stock {
                tasks: row.get::<_, i64>(0)?.cast_unsigned(),
                bytes: row.get::<_, i64>(1)?.cast_unsigned(),
                unmeasured_from: row.get::<_, Option<i64>>(2)?.map(Timestamp::from_millis),
            })
        };
        self.connection.query_row(STOCK, [], read).map_err(failed("count the ended tasks"))
    }

    /// Notes what the directories of ended tasks occupy, each once. Returns what was noted in all.
    ///
    /// # Errors
    /// The store failed; nothing was noted.
    pub fn set_bytes(&mut self, measured: &[(Ended, u64)]) -> Result<u64, StoreError> {
        const SQL: &str = "UPDATE tasks SET bytes = ?1 WHERE seq = ?2 AND bytes IS NULL";
        let failed = failed("note what tasks occupy");
        let transaction = begin(&mut self.connection)?;
        let mut noted = 0;
        for (task, bytes) in measured {
            let values = [bytes.cast_signed(), task.seq];
            let rows = transaction.prepare_cached(SQL).and_then(|mut s| s.execute(values)).map_err(&failed)?;
            noted += if rows == 1 { *bytes } else { 0 };
        }
        transaction.commit().map_err(&failed)?;
        Ok(noted)
    }

    /// Deletes the tasks, their events and the answers that were about them alone.
    ///
    /// # Errors
    /// The store failed; nothing was deleted.
    pub fn forget(&mut self, expired: &[Ended]) -> Result<(), StoreError> {
        let failed = failed("forget expired tasks");
        let transaction = begin(&mut self.connection)?;
        for task in expired {
            let delete = |sql| transaction.prepare_cached(sql)?.execute([task.seq]);
            marks::delete(&transaction, task.seq)?;
            delete("DELETE FROM events WHERE task_seq = ?1").map_err(&failed)?;
            delete("DELETE FROM callbacks WHERE task_seq = ?1").map_err(&failed)?;
            delete("DELETE FROM tasks WHERE seq = ?1").map_err(&failed)?;
            answers::forget(&transaction, task.seq)?;
        }
        transaction.commit().map_err(&failed)
    }
}
