//! What tasks can be found by, each in an index of its own order: tenant, owner, labels, and that a task is a script.

use rusqlite::{Connection, OptionalExtension, params};

use super::{StoreError, failed};
use crate::task::TaskSpec;
use crate::task::spec::Action;
use crate::task::state::Head;

/// A name and its value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    pub(super) name: String,
    pub(super) value: String,
}

impl Mark {
    #[must_use]
    pub fn tenant(value: &str) -> Self {
        Self { name: "tenant".into(), value: value.into() }
    }

    #[must_use]
    pub fn owner(value: &str) -> Self {
        Self { name: "owner".into(), value: value.into() }
    }

    #[must_use]
    pub fn label(key: &str, value: &str) -> Self {
        Self { name: format!("label.{key}"), value: value.into() }
    }

    /// Most tasks are commands, and have none.
    pub(super) fn script() -> Self {
        Self { name: "kind".into(), value: "script".into() }
    }
}

/// Those of a task.
fn of(spec: &TaskSpec) -> impl Iterator<Item = Mark> {
    let control = &spec.control;
    let script = matches!(spec.execution.action, Action::Script { .. }).then(Mark::script);
    let (tenant, owner) = (control.tenant.as_deref().map(Mark::tenant), control.owner.as_deref().map(Mark::owner));
    script
        .into_iter()
        .chain(tenant)
        .chain(owner)
        .chain(control.labels.iter().map(|(key, value)| Mark::label(key, value)))
}

/// Of a new task.
pub(super) fn insert(connection: &Connection, head: &Head) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO marks (name, value, created_at, task_seq) VALUES (?1, ?2, ?3, ?4)";
    let failed = failed("write what a task is found by");
    for Mark { name, value } in of(&head.spec) {
        let values = params![name, value, head.created_at.as_millis(), head.seq.cast_signed()];
        connection.prepare_cached(SQL).and_then(|mut s| s.execute(values)).map_err(&failed)?;
    }
    Ok(())
}

/// Of a task that is still there.
pub(super) fn delete(connection: &Connection, seq: i64) -> Result<(), StoreError> {
    const TASK: &str = "SELECT created_at, spec FROM tasks WHERE seq = ?1";
    const SQL: &str = "DELETE FROM marks WHERE name = ?1 AND value = ?2 AND created_at = ?3 AND task_seq = ?4";
    let failed = failed("forget what a task was found by");
    let mut statement = connection.prepare_cached(TASK).map_err(&failed)?;
    let read = statement.query_row([seq], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)));
    let Some((created_at, spec)) = read.optional().map_err(&failed)? else { return Ok(()) };
    // A damaged task can be forgotten too. A mark without its task is found by nobody.
    let Ok(spec) = serde_json::from_str::<TaskSpec>(&spec) else { return Ok(()) };
    for Mark { name, value } in of(&spec) {
        let values = params![name, value, created_at, seq];
        connection.prepare_cached(SQL).and_then(|mut s| s.execute(values)).map_err(&failed)?;
    }
    Ok(())
}
