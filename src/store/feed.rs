//! The events of all tasks, in the order in which they were committed: none comes later with a smaller number.

use rusqlite::{Connection, OptionalExtension, params};

use super::row::{self, task_id};
use super::{Mark, StoreError, failed};
use crate::task::{Event, EventType};

/// How many events one look goes through, whether or not they are wanted.
const AT_ONCE: u32 = 256;

/// Which events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    pub tenant: Option<String>,
    /// One of these; empty: any.
    pub types: Vec<EventType>,
}

/// Events behind a number.
#[derive(Clone, Debug, PartialEq)]
pub struct Fed {
    pub events: Vec<Event>,
    /// Up to here everything was looked at.
    pub seen: u64,
    /// There may be more already.
    pub has_more: bool,
}

/// `seq` of the last event that there ever was; 0 when there was none.
pub(super) fn last(connection: &Connection) -> Result<u64, StoreError> {
    const SQL: &str = "SELECT seq FROM sqlite_sequence WHERE name = 'events'";
    let failed = failed("read the number of the last event");
    let mut statement = connection.prepare_cached(SQL).map_err(&failed)?;
    let last = statement.query_row([], |row| row.get::<_, i64>(0)).optional().map_err(&failed)?;
    Ok(last.unwrap_or(0).cast_unsigned())
}

pub(super) fn read(connection: &Connection, filter: &EventFilter, after: u64) -> Result<Fed, StoreError> {
    const SQL: &str = "SELECT e.seq, e.event_type, e.at, e.message, e.data, t.id,
            ?2 IS NULL OR EXISTS (SELECT 1 FROM marks m
                WHERE m.name = ?3 AND m.value = ?2 AND m.created_at = t.created_at AND m.task_seq = t.seq)
        FROM events e JOIN tasks t ON t.seq = e.task_seq WHERE e.seq > ?1 ORDER BY e.seq LIMIT ?4";
    let failed = failed("read events");
    let tenant = filter.tenant.as_deref().map(Mark::tenant);
    let values = params![after.cast_signed(), filter.tenant, tenant.map(|mark| mark.name), AT_ONCE];
    let mut statement = connection.prepare_cached(SQL).map_err(&failed)?;
    let mut rows = statement.query(values).map_err(&failed)?;
    let mut fed = Fed { events: Vec::new(), seen: after, has_more: false };
    let mut looked_at: u32 = 0;
    while let Some(found) = rows.next().map_err(&failed)? {
        looked_at += 1;
        fed.seen = found.get::<_, i64>(0).map_err(&failed)?.cast_unsigned();
        let event_type: String = found.get(1).map_err(&failed)?;
        let is_of_type = filter.types.is_empty() || filter.types.iter().any(|wanted| wanted.as_str() == event_type);
        if is_of_type && found.get::<_, bool>(6).map_err(&failed)? {
            let id = task_id(&found.get::<_, String>(5).map_err(&failed)?)?;
            fed.events.push(row::event(found, &id)?);
        }
    }
    fed.has_more = looked_at == AT_ONCE;
    Ok(fed)
}
