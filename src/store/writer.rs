//! The one writer. A batch of transitions is one SQL transaction and so one fsync.

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::row::{self, TaskRow, task_columns, to_json};
use super::{StoreError, failed};
use crate::task::{Task, TaskId, Timestamp, Transition};

#[derive(Debug)]
pub struct Writer {
    pub(super) connection: Connection,
}

impl Writer {
    pub(super) const fn new(connection: Connection) -> Self {
        Self { connection }
    }

    /// The last place that was ever given to a task; 0 when there was none.
    ///
    /// # Errors
    /// The store failed.
    pub fn last_seq(&self) -> Result<u64, StoreError> {
        const SQL: &str = "SELECT seq FROM sqlite_sequence WHERE name = 'tasks'";
        let last = self.connection.query_row(SQL, [], |row| row.get::<_, i64>(0)).optional();
        Ok(last.map_err(failed("read the last place in the queue"))?.unwrap_or(0).cast_unsigned())
    }

    /// Makes all the transitions durable, or none.
    ///
    /// # Errors
    /// The store failed, an id exists already, or a task has another revision than its transition expects.
    pub fn commit(&mut self, transitions: &[Transition]) -> Result<(), StoreError> {
        let transaction = begin(&mut self.connection)?;
        for transition in transitions {
            apply(&transaction, transition)?;
        }
        transaction.commit().map_err(failed("commit"))
    }

    /// The task, whatever its state.
    ///
    /// # Errors
    /// The store failed.
    pub fn task(&self, id: &TaskId) -> Result<Option<Task>, StoreError> {
        row::task(&self.connection, id)
    }

    /// All tasks that have not ended, by order of submission.
    ///
    /// # Errors
    /// The store failed.
    pub fn live_tasks(&self) -> Result<Vec<Task>, StoreError> {
        const SQL: &str = concat!("SELECT ", task_columns!(), " FROM tasks WHERE finished_at IS NULL ORDER BY seq");
        let failed = failed("read the live tasks");
        let mut statement = self.connection.prepare_cached(SQL).map_err(&failed)?;
        let rows = statement.query_map([], TaskRow::read).map_err(&failed)?;
        rows.map(|row| row.map_err(&failed)?.into_task()).collect()
    }

    /// Proves that a commit reaches the disk.
    ///
    /// # Errors
    /// It does not.
    pub fn check(&self, now: Timestamp) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO health VALUES (1, ?1) ON CONFLICT DO UPDATE SET checked_at = ?1";
        self.connection.execute(SQL, [now.as_millis()]).map_err(failed("write to the database"))?;
        Ok(())
    }
}

pub(super) fn begin(connection: &mut Connection) -> Result<Transaction<'_>, StoreError> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed("begin a transaction"))
}

fn apply(transaction: &Transaction<'_>, transition: &Transition) -> Result<(), StoreError> {
    let task = transition.task();
    let head = task.head();
    let progress = to_json(&head.id, task.progress())?;
    let status = task.status().as_str();
    let finished_at = task.outcome().map(|outcome| outcome.finished_at.as_millis());
    let (seq, revision) = (head.seq.cast_signed(), task.revision().cast_signed());
    let failed = failed("write a task");
    let written = match transition.expected_revision() {
        None => {
            const SQL: &str = "INSERT INTO tasks
                (seq, id, revision, status, created_at, finished_at, spec, plan, progress)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
            let (spec, plan) = (to_json(&head.id, &head.spec)?, to_json(&head.id, &head.plan)?);
            let created_at = head.created_at.as_millis();
            let values =
                params![seq, head.id.as_str(), revision, status, created_at, finished_at, spec, plan, progress];
            transaction.prepare_cached(SQL).and_then(|mut s| s.execute(values)).map_err(&failed)?
        }
        Some(from) => {
            const SQL: &str = "UPDATE tasks SET revision = ?1, status = ?2, finished_at = ?3, progress = ?4
                WHERE seq = ?5 AND revision = ?6";
            let values = params![revision, status, finished_at, progress, seq, from.cast_signed()];
            transaction.prepare_cached(SQL).and_then(|mut s| s.execute(values)).map_err(&failed)?
        }
    };
    if written != 1 {
        return Err(StoreError::Stale { id: head.id.clone() });
    }
    append_events(transaction, transition)
}

fn append_events(transaction: &Transaction<'_>, transition: &Transition) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO events (task_seq, event_type, at, message, data) VALUES (?1, ?2, ?3, ?4, ?5)";
    let failed = failed("write events");
    let head = transition.task().head();
    let mut statement = transaction.prepare_cached(SQL).map_err(&failed)?;
    for event in transition.events() {
        let data = event.data.as_ref().map(|data| to_json(&head.id, data)).transpose()?;
        let values = params![
            head.seq.cast_signed(),
            event.event_type.as_str(),
            event.timestamp.as_millis(),
            event.message,
            data
        ];
        statement.execute(values).map_err(&failed)?;
    }
    Ok(())
}
