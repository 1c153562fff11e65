//! The one writer. A batch of transitions is one SQL transaction and so one fsync.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::answers::{self, KeptAnswer};
use super::callbacks;
use super::row::{self, task_columns, to_json};
use super::{StoreError, failed, marks};
use crate::task::event::NewEvent;
use crate::task::schedule::Standing;
use crate::task::state::Head;
use crate::task::{Reservation, Task, TaskId, Timestamp, Transition};

/// The beginning of a statement that writes events.
macro_rules! append {
    () => {
        "INSERT INTO events (task_seq, event_type, at, message, data) VALUES "
    };
}

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
        self.commit_with(transitions, &[])
    }

    /// The same, with answers that are to be given again.
    ///
    /// # Errors
    /// As [`Self::commit`], or a key has an answer already.
    pub fn commit_with(&mut self, transitions: &[Transition], answers: &[KeptAnswer]) -> Result<(), StoreError> {
        let changes = fold(transitions)?;
        let transaction = begin(&mut self.connection)?;
        for change in &changes {
            change.write(&transaction)?;
        }
        answers.iter().try_for_each(|kept| answers::keep(&transaction, kept))?;
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
    pub fn live_tasks(&self) -> Result<LiveTasks, StoreError> {
        const SQL: &str =
            concat!("SELECT ", task_columns!(), " FROM tasks WHERE status IN ('accepted', 'running') ORDER BY seq");
        row::live_tasks(&self.connection, SQL, [])
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

/// The tasks that have not ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LiveTasks {
    pub launched: Vec<Task>,
    pub queued: Vec<QueuedTask>,
}

impl LiveTasks {
    pub fn ids(&self) -> impl Iterator<Item = TaskId> {
        let queued = self.queued.iter().map(|task| task.id.clone());
        self.launched.iter().map(|task| task.id().clone()).chain(queued)
    }
}

/// A task that waits, as far as it takes to choose one: there may be many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedTask {
    pub seq: u64,
    pub id: TaskId,
    pub demand: Reservation,
    pub tenant: Option<String>,
    pub standing: Standing,
}

pub(super) fn begin(connection: &mut Connection) -> Result<Transaction<'_>, StoreError> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed("begin a transaction"))
}

/// What one batch does to one task: its row is written once, however many transitions there are.
struct Change<'a> {
    /// The revision that the store must hold; `None` creates the task.
    from: Option<u64>,
    to: &'a Task,
    events: Vec<&'a NewEvent>,
}

/// The changes by their first transitions. Each transition must follow on the one before it of the same task.
fn fold(transitions: &[Transition]) -> Result<Vec<Change<'_>>, StoreError> {
    let mut changes: Vec<Change<'_>> = Vec::with_capacity(transitions.len());
    let mut places = HashMap::with_capacity(transitions.len());
    for transition in transitions {
        let (to, from) = (transition.task(), transition.expected_revision());
        match places.entry(to.head().seq) {
            Entry::Vacant(place) => {
                place.insert(changes.len());
                changes.push(Change { from, to, events: transition.events().iter().collect() });
            }
            Entry::Occupied(place) => {
                let change = &mut changes[*place.get()];
                if from != Some(change.to.revision()) {
                    return Err(StoreError::Stale { id: to.id().clone() });
                }
                change.to = to;
                change.events.extend(transition.events());
            }
        }
    }
    Ok(changes)
}

impl Change<'_> {
    fn write(&self, transaction: &Transaction<'_>) -> Result<(), StoreError> {
        let task = self.to;
        let head = task.head();
        let progress = to_json(&head.id, task.progress())?;
        let status = task.status().as_str();
        let finished_at = task.outcome().map(|outcome| outcome.finished_at.as_millis());
        let (seq, revision) = (head.seq.cast_signed(), task.revision().cast_signed());
        let failed = failed("write a task");
        let written = match self.from {
            None => {
                const SQL: &str = "INSERT INTO tasks
                    (seq, id, revision, status, created_at, finished_at, spec, plan, progress)
                    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
                let (spec, plan) = (to_json(&head.id, &head.spec)?, to_json(&head.id, &head.plan)?);
                let created_at = head.created_at.as_millis();
                let values =
                    params![seq, head.id.as_str(), revision, status, created_at, finished_at, spec, plan, progress];
                let written = transaction.prepare_cached(SQL).and_then(|mut s| s.execute(values)).map_err(&failed)?;
                marks::insert(transaction, head)?;
                written
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
        self.events.chunks(EVENTS_AT_ONCE).try_for_each(|events| append_events(transaction, head, events))?;
        if head.spec.callback.is_some() {
            let types: Vec<_> = self.events.iter().map(|event| event.event_type).collect();
            callbacks::enqueue(transaction, head, &types)?;
        }
        Ok(())
    }
}

/// As many events as a task makes from its submission to its launch.
const EVENTS_AT_ONCE: usize = 4;
/// For one event, for two, and so on: each statement costs as much as a row, for the sequence is written with it.
const APPEND: [&str; EVENTS_AT_ONCE] = [
    concat!(append!(), "(?1, ?2, ?3, ?4, ?5)"),
    concat!(append!(), "(?1, ?2, ?3, ?4, ?5), (?1, ?6, ?7, ?8, ?9)"),
    concat!(append!(), "(?1, ?2, ?3, ?4, ?5), (?1, ?6, ?7, ?8, ?9), (?1, ?10, ?11, ?12, ?13)"),
    concat!(
        append!(),
        "(?1, ?2, ?3, ?4, ?5), (?1, ?6, ?7, ?8, ?9), (?1, ?10, ?11, ?12, ?13), (?1, ?14, ?15, ?16, ?17)"
    ),
];

fn append_events(transaction: &Transaction<'_>, head: &Head, events: &[&NewEvent]) -> Result<(), StoreError> {
    let failed = failed("write events");
    let mut statement = transaction.prepare_cached(APPEND[events.len() - 1]).map_err(&failed)?;
    statement.raw_bind_parameter(1, head.seq.cast_signed()).map_err(&failed)?;
    for (first, event) in (2..).step_by(4).zip(events) {
        let data = event.data.as_ref().map(|data| to_json(&head.id, data)).transpose()?;
        statement.raw_bind_parameter(first, event.event_type.as_str()).map_err(&failed)?;
        statement.raw_bind_parameter(first + 1, event.timestamp.as_millis()).map_err(&failed)?;
        statement.raw_bind_parameter(first + 2, event.message.as_deref()).map_err(&failed)?;
        statement.raw_bind_parameter(first + 3, data).map_err(&failed)?;
    }
    statement.raw_execute().map_err(&failed)?;
    Ok(())
}
