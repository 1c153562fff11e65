//! Between rows and values. A row that cannot be read back is damage, and says of which task.

use rusqlite::{Connection, OptionalExtension, Params, Row};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{LiveTasks, QueuedTask, StoreError, failed};
use crate::task::state::{Head, Progress};
use crate::task::{Event, EventType, Reservation, Task, TaskId, TaskSpec, Timestamp};

/// The columns of a whole task, in the order that [`TaskRow::read`] expects.
macro_rules! task_columns {
    () => {
        "seq, id, created_at, spec, plan, progress"
    };
}
pub(super) use task_columns;

pub(super) struct TaskRow {
    seq: i64,
    id: String,
    created_at: i64,
    spec: String,
    plan: String,
    progress: String,
}

impl TaskRow {
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            seq: row.get(0)?,
            id: row.get(1)?,
            created_at: row.get(2)?,
            spec: row.get(3)?,
            plan: row.get(4)?,
            progress: row.get(5)?,
        })
    }

    pub(super) fn into_task(self) -> Result<Task, StoreError> {
        let Self { seq, id, created_at, spec, plan, progress } = self;
        let head = Head {
            id: task_id(&id)?,
            seq: seq.cast_unsigned(),
            spec: parse(&id, &spec)?,
            plan: parse(&id, &plan)?,
            created_at: Timestamp::from_millis(created_at),
        };
        Ok(Task::restore(head, parse(&id, &progress)?))
    }

    /// What was read of the disk for it.
    pub(super) const fn bytes(&self) -> usize {
        self.spec.len() + self.plan.len() + self.progress.len()
    }

    /// Whether a text, given in lower case, stands in its id or its specification; in none that is damaged.
    pub(super) fn mentions(&self, text: &str) -> bool {
        let spec = || serde_json::from_str::<TaskSpec>(&self.spec);
        self.id.to_lowercase().contains(text) || spec().is_ok_and(|spec| spec.mentions(text))
    }

    /// Of a waiting task most is left unread.
    fn into_live(self) -> Result<Live, StoreError> {
        let progress: Progress = parse(&self.id, &self.progress)?;
        if !progress.is_queued() {
            return self.into_task().map(|task| Live::Launched(Box::new(task)));
        }
        let Self { seq, id, created_at, spec, .. } = self;
        let spec: TaskSpec = parse(&id, &spec)?;
        Ok(Live::Queued(QueuedTask {
            seq: seq.cast_unsigned(),
            id: task_id(&id)?,
            demand: Reservation::of(&spec),
            tenant: spec.control.tenant.clone(),
            standing: progress.standing(&spec.schedule, Timestamp::from_millis(created_at)),
        }))
    }
}

/// Through the one reader of JSON, which tells what is damaged.
pub(super) fn task_id(id: &str) -> Result<TaskId, StoreError> {
    parse(id, &format!("{id:?}"))
}

/// A task that has not ended.
enum Live {
    Queued(QueuedTask),
    Launched(Box<Task>),
}

/// Reads one task with its seq.
pub(super) fn task(connection: &Connection, id: &TaskId) -> Result<Option<Task>, StoreError> {
    const SQL: &str = concat!("SELECT ", task_columns!(), " FROM tasks WHERE id = ?1");
    let failed = failed("read a task");
    let mut statement = connection.prepare_cached(SQL).map_err(&failed)?;
    let row = statement.query_row([id.as_str()], TaskRow::read).optional().map_err(&failed)?;
    row.map(TaskRow::into_task).transpose()
}

/// Reads the live tasks that `sql` selects, as whole rows.
pub(super) fn live_tasks(connection: &Connection, sql: &str, params: impl Params) -> Result<LiveTasks, StoreError> {
    let failed = failed("read the live tasks");
    let mut statement = connection.prepare_cached(sql).map_err(&failed)?;
    let mut rows = statement.query(params).map_err(&failed)?;
    let mut live = LiveTasks::default();
    while let Some(row) = rows.next().map_err(&failed)? {
        match TaskRow::read(row).map_err(&failed)?.into_live()? {
            Live::Queued(task) => live.queued.push(task),
            Live::Launched(task) => live.launched.push(*task),
        }
    }
    Ok(live)
}

/// Reads the events that `sql` selects as `seq, event_type, at, message, data`, all of the task `id`.
pub(super) fn events(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    id: &TaskId,
) -> Result<Vec<Event>, StoreError> {
    let failed = failed("read events");
    let mut statement = connection.prepare_cached(sql).map_err(&failed)?;
    let mut rows = statement.query(params).map_err(&failed)?;
    let mut events = Vec::new();
    while let Some(row) = rows.next().map_err(&failed)? {
        events.push(event(row, id)?);
    }
    Ok(events)
}

/// One event of the task `id`, whose row begins with those columns.
pub(super) fn event(row: &Row<'_>, id: &TaskId) -> Result<Event, StoreError> {
    let failed = failed("read an event");
    let event_type: String = row.get(1).map_err(&failed)?;
    let data: Option<String> = row.get(4).map_err(&failed)?;
    Ok(Event {
        seq: row.get::<_, i64>(0).map_err(&failed)?.cast_unsigned(),
        task_id: id.clone(),
        event_type: parse::<EventType>(id.as_str(), &format!("{event_type:?}"))?,
        timestamp: Timestamp::from_millis(row.get(2).map_err(&failed)?),
        message: row.get(3).map_err(&failed)?,
        data: data.map(|json| parse(id.as_str(), &json)).transpose()?,
    })
}

pub(super) fn parse<T: DeserializeOwned>(id: &str, json: &str) -> Result<T, StoreError> {
    let damaged = |source| StoreError::Damaged { operation: "read", id: id.to_owned(), source };
    serde_json::from_str(json).map_err(damaged)
}

pub(super) fn to_json<T: Serialize>(id: &TaskId, value: &T) -> Result<String, StoreError> {
    let damaged = |source| StoreError::Damaged { operation: "write", id: id.to_string(), source };
    serde_json::to_string(value).map_err(damaged)
}
