//! Readers: each on a connection of its own, so that a read never waits for the writer or for another read.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use rusqlite::Connection;

use super::feed::{self, EventFilter, Fed};
use super::page::{self, Filter, Order, Page, Place};
use super::row::task_columns;
use super::{LiveTasks, StoreError, connect, failed, row};
use crate::task::{Event, Task, TaskId};

/// As many connections as ever read at the same time. Calls block: use them off the async workers.
#[derive(Clone, Debug)]
pub struct Readers {
    path: PathBuf,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Readers {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, idle: Arc::default() }
    }

    /// The task as it was last committed.
    ///
    /// # Errors
    /// The store failed.
    pub fn task(&self, id: &TaskId) -> Result<Option<Task>, StoreError> {
        self.with(|connection| row::task(connection, id))
    }

    /// The task's events by `seq`; `None` when there is no such task.
    ///
    /// # Errors
    /// The store failed.
    pub fn events(&self, id: &TaskId) -> Result<Option<Vec<Event>>, StoreError> {
        const SQL: &str = "SELECT e.seq, e.event_type, e.at, e.message, e.data
            FROM tasks t JOIN events e ON e.task_seq = t.seq WHERE t.id = ?1 ORDER BY e.seq";
        let events = self.with(|connection| row::events(connection, SQL, [id.as_str()], id))?;
        // Every task has events from its first commit on.
        Ok(Some(events).filter(|events| !events.is_empty()))
    }

    /// The task and its events behind `seen`, as of one moment; `None` when there is no such task.
    ///
    /// # Errors
    /// The store failed.
    pub fn history(&self, id: &TaskId, seen: u64) -> Result<Option<(Task, Vec<Event>)>, StoreError> {
        const SQL: &str = "SELECT seq, event_type, at, message, data
            FROM events WHERE task_seq = ?1 AND seq > ?2 ORDER BY seq";
        self.with(|connection| {
            // Its end gives up nothing: it has only read.
            let snapshot = connection.unchecked_transaction().map_err(failed("read a task"))?;
            let Some(task) = row::task(&snapshot, id)? else { return Ok(None) };
            let values = [task.head().seq.cast_signed(), seen.cast_signed()];
            let events = row::events(&snapshot, SQL, values, id)?;
            Ok(Some((task, events)))
        })
    }

    /// Up to `limit` tasks that the filter lets through, from `from` on, as of one moment.
    ///
    /// # Errors
    /// The store failed.
    pub fn page(&self, filter: &Filter, order: Order, from: Option<Place>, limit: usize) -> Result<Page, StoreError> {
        self.with(|connection| {
            // Its end gives up nothing: it has only read.
            let snapshot = connection.unchecked_transaction().map_err(failed("list tasks"))?;
            page::read(&snapshot, filter, order, from, limit)
        })
    }

    /// The tasks of a tenant that have not ended, as of one moment, by order of submission.
    ///
    /// # Errors
    /// The store failed.
    pub fn live_tasks_of(&self, tenant: &str) -> Result<LiveTasks, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            task_columns!(),
            " FROM tasks WHERE status IN ('accepted', 'running') AND json_extract(spec, '$.control.tenant') = ?1 ORDER BY seq"
        );
        self.with(|connection| row::live_tasks(connection, SQL, [tenant]))
    }

    /// The blobs that tasks name that have not ended.
    ///
    /// # Errors
    /// The store failed.
    pub fn blobs_in_use(&self) -> Result<HashSet<String>, StoreError> {
        // A variable or a label of one of these names may be among them: it is the name of no blob.
        const SQL: &str = "SELECT e.atom FROM tasks t, json_tree(t.spec) e
            WHERE t.status IN ('accepted', 'running') AND e.key IN ('stdin', 'blob') AND e.type = 'text'";
        let failed = failed("read which blobs are in use");
        self.with(|connection| {
            let mut statement = connection.prepare(SQL).map_err(&failed)?;
            let names = statement.query_map([], |row| row.get(0)).map_err(&failed)?;
            names.collect::<Result<_, _>>().map_err(&failed)
        })
    }

    /// The events of all tasks behind `after`, some at a time.
    ///
    /// # Errors
    /// The store failed.
    pub fn feed(&self, filter: &EventFilter, after: u64) -> Result<Fed, StoreError> {
        self.with(|connection| feed::read(connection, filter, after))
    }

    /// `seq` of the last event that there ever was; 0 when there was none.
    ///
    /// # Errors
    /// The store failed.
    pub fn last_event(&self) -> Result<u64, StoreError> {
        self.with(feed::last)
    }

    pub(super) fn with<T>(&self, read: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let idle = self.lock_idle().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => connect(&self.path)?,
        };
        let answer = read(&connection)?;
        self.lock_idle().push(connection);
        Ok(answer)
    }

    fn lock_idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().expect("no code panics while it holds this lock")
    }
}
