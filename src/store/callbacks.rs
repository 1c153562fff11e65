//! The outbox: events that are to be told, each until that has come about or is given up.

use rusqlite::{Connection, Row, Transaction, params};

use super::{Readers, StoreError, Writer, failed, row};
use crate::store::writer::begin;
use crate::task::state::Head;
use crate::task::{Event, EventType, Task, Timestamp};

/// An event that is to be told now.
#[derive(Clone, Debug, PartialEq)]
pub struct DueCallback {
    pub task: Task,
    pub event: Event,
    /// How often it was tried.
    pub attempts: u32,
}

/// What came of telling an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// [`Event::seq`].
    pub event: u64,
    pub at: Timestamp,
    pub state: CallbackState,
    /// The HTTP status that it was answered with, where it was.
    pub status: Option<u16>,
    /// Why it did not come about.
    pub fault: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallbackState {
    /// To be tried at this time, or later.
    Pending(Timestamp),
    Delivered,
    /// It is not tried any more.
    Failed,
}

/// How an event was told, or what keeps it from being told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub event_type: EventType,
    pub attempts: u32,
    pub state: CallbackState,
    pub last_attempt_at: Option<Timestamp>,
    pub last_status: Option<u16>,
    pub last_error: Option<String>,
}

impl Readers {
    /// Up to `limit` events that are due for this origin at `now`, those that are due longest first.
    ///
    /// # Errors
    /// The store failed.
    pub fn due_callbacks(&self, origin: &str, now: Timestamp, limit: u32) -> Result<Vec<DueCallback>, StoreError> {
        const SQL: &str = "SELECT event_seq, attempts, t.id FROM callbacks c JOIN tasks t ON t.seq = c.task_seq
            WHERE c.origin = ?1 AND c.next_attempt_at <= ?2 ORDER BY c.next_attempt_at LIMIT ?3";
        const EVENT: &str = "SELECT seq, event_type, at, message, data FROM events WHERE seq = ?1";
        self.with(|connection| {
            let failed = failed("look for callbacks that are due");
            let mut statement = connection.prepare_cached(SQL).map_err(&failed)?;
            let read = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, u32>(1)?, row.get::<_, String>(2)?));
            let found = statement.query_map(params![origin, now.as_millis(), limit], read).map_err(&failed)?;
            let mut due = Vec::new();
            for (event, attempts, id) in found.collect::<Result<Vec<_>, _>>().map_err(&failed)? {
                // Forgotten in between.
                let Some(task) = row::task(connection, &row::task_id(&id)?)? else { continue };
                let Some(event) = row::events(connection, EVENT, [event], task.id())?.pop() else { continue };
                due.push(DueCallback { task, event, attempts });
            }
            Ok(due)
        })
    }

    /// When the next event for this origin is due; `None`: there is none.
    ///
    /// # Errors
    /// The store failed.
    pub fn next_callback(&self, origin: &str) -> Result<Option<Timestamp>, StoreError> {
        const SQL: &str =
            "SELECT MIN(next_attempt_at) FROM callbacks WHERE origin = ?1 AND next_attempt_at IS NOT NULL";
        let read = |row: &Row<'_>| row.get::<_, Option<i64>>(0);
        let next = self.with(|connection| {
            let mut statement = connection.prepare_cached(SQL).map_err(failed("look for the next callback"))?;
            statement.query_row([origin], read).map_err(failed("look for the next callback"))
        })?;
        Ok(next.map(Timestamp::from_millis))
    }

    /// The events of a task that were to be told so far, in order.
    ///
    /// # Errors
    /// The store failed.
    pub fn deliveries(&self, task: &Task) -> Result<Vec<Delivery>, StoreError> {
        self.with(|connection| deliveries(connection, task))
    }
}

fn deliveries(connection: &Connection, task: &Task) -> Result<Vec<Delivery>, StoreError> {
    const SQL: &str =
        "SELECT e.event_type, c.attempts, c.delivered, c.next_attempt_at, c.attempted_at, c.status, c.fault
        FROM callbacks c JOIN events e ON e.seq = c.event_seq WHERE c.task_seq = ?1 ORDER BY c.event_seq";
    let failed = failed("read the callbacks of a task");
    let mut statement = connection.prepare_cached(SQL).map_err(&failed)?;
    let mut rows = statement.query([task.head().seq.cast_signed()]).map_err(&failed)?;
    let mut deliveries = Vec::new();
    while let Some(found) = rows.next().map_err(&failed)? {
        let event_type: String = found.get(0).map_err(&failed)?;
        let delivered: bool = found.get(2).map_err(&failed)?;
        let next: Option<i64> = found.get(3).map_err(&failed)?;
        let state = match (delivered, next) {
            (true, _) => CallbackState::Delivered,
            (false, Some(at)) => CallbackState::Pending(Timestamp::from_millis(at)),
            (false, None) => CallbackState::Failed,
        };
        deliveries.push(Delivery {
            event_type: row::parse(task.id().as_str(), &format!("{event_type:?}"))?,
            attempts: found.get(1).map_err(&failed)?,
            state,
            last_attempt_at: found.get::<_, Option<i64>>(4).map_err(&failed)?.map(Timestamp::from_millis),
            last_status: found.get(5).map_err(&failed)?,
            last_error: found.get(6).map_err(&failed)?,
        });
    }
    Ok(deliveries)
}

impl Writer {
    /// Notes what came of telling events.
    ///
    /// # Errors
    /// The store failed; nothing was noted.
    pub fn note_attempts(&mut self, attempts: &[Attempt]) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE callbacks SET attempts = attempts + 1, delivered = ?1, next_attempt_at = ?2,
            attempted_at = ?3, status = ?4, fault = ?5 WHERE event_seq = ?6";
        let failed = failed("note what came of callbacks");
        let transaction = begin(&mut self.connection)?;
        for Attempt { event, at, state, status, fault } in attempts {
            let next = match state {
                CallbackState::Pending(next) => Some(next.as_millis()),
                CallbackState::Delivered | CallbackState::Failed => None,
            };
            let delivered = *state == CallbackState::Delivered;
            let values = params![delivered, next, at.as_millis(), status, fault, event.cast_signed()];
            transaction.prepare_cached(SQL).and_then(|mut s| s.execute(values)).map_err(&failed)?;
        }
        transaction.commit().map_err(&failed)
    }

    /// Gives up what is still to be told to any other origin: nobody may be told there any more.
    ///
    /// # Errors
    /// The store failed; nothing was given up.
    pub fn give_up_callbacks(&mut self, but: &[String]) -> Result<usize, StoreError> {
        const SQL: &str = "SELECT DISTINCT origin FROM callbacks WHERE next_attempt_at IS NOT NULL";
        const END: &str = "UPDATE callbacks SET next_attempt_at = NULL,
            fault = 'the server may not tell anybody at this URL any more' WHERE origin = ?1 AND next_attempt_at IS NOT NULL";
        let failed = failed("give up callbacks");
        let transaction = begin(&mut self.connection)?;
        let origins: Vec<String> = {
            let mut statement = transaction.prepare(SQL).map_err(&failed)?;
            let rows = statement.query_map([], |row| row.get(0)).map_err(&failed)?;
            rows.collect::<Result<_, _>>().map_err(&failed)?
        };
        let mut given_up = 0;
        for origin in origins.iter().filter(|origin| !but.contains(origin)) {
            given_up += transaction.execute(END, [origin]).map_err(&failed)?;
        }
        transaction.commit().map_err(&failed)?;
        Ok(given_up)
    }
}

/// Behind the events of one change: those that the task's client wants to hear of are to be told at once.
pub(super) fn enqueue(transaction: &Transaction<'_>, head: &Head, events: &[EventType]) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO callbacks (event_seq, task_seq, origin, next_attempt_at)
        SELECT seq, task_seq, ?1, at FROM events WHERE task_seq = ?2 AND event_type = ?3 ORDER BY seq DESC LIMIT 1";
    let Some(callback) = &head.spec.callback else { return Ok(()) };
    let failed = failed("write a callback");
    for event in events.iter().filter(|event| callback.wants(**event)) {
        let values = params![callback.origin, head.seq.cast_signed(), event.as_str()];
        transaction.prepare_cached(SQL).and_then(|mut s| s.execute(values)).map_err(&failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::open;
    use crate::task::{Draft, DraftCallback, NewTask, testing};

    fn new_task(id: &str, url: &str) -> NewTask {
        let callback = Some(DraftCallback { url: url.into(), events: None });
        let draft = Draft { program: Some("x".into()), callback, ..Draft::default() };
        NewTask { spec: draft.validate(testing::DEFAULTS).expect("valid"), ..testing::new_task(id) }
    }

    #[test]
    fn an_event_is_due_from_its_commit_until_it_is_told_or_given_up() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (mut writer, readers) = open(&dir.path().join("runtime.db")).expect("opens");
        let (a, b) = ("http://a.example", "http://b.example");
        let late = Timestamp::from_millis(i64::MAX);
        let steps: Vec<_> = [("one", a), ("two", a), ("three", b)]
            .iter()
            .zip(1..)
            .map(|((id, url), seq)| Task::submit(new_task(id, url), seq))
            .collect();
        writer.commit(&steps).expect("commits");
        assert_eq!(readers.next_callback(a).expect("reads"), None, "nothing has happened yet");
        let ends: Vec<_> = steps.iter().map(|s| s.task().cancel(testing::at(2000)).expect("queued")).collect();
        writer.commit(&ends).expect("commits");

        assert_eq!(readers.next_callback(a).expect("reads"), Some(testing::at(2000)));
        assert_eq!(readers.due_callbacks(a, testing::at(1999), 9).expect("reads"), []);
        let due = readers.due_callbacks(a, testing::at(2000), 9).expect("reads");
        assert_eq!(due.iter().map(|due| due.task.id().as_str()).collect::<Vec<_>>(), ["one", "two"]);
        assert!(due.iter().all(|due| due.event.event_type == EventType::Cancelled && due.attempts == 0));
        let attempt = |event: &Event, state, status| Attempt {
            event: event.seq,
            at: testing::at(3000),
            state,
            status,
            fault: status.is_none().then(|| "refused".to_owned()),
        };
        writer
            .note_attempts(&[
                attempt(&due[0].event, CallbackState::Delivered, Some(204)),
                attempt(&due[1].event, CallbackState::Pending(testing::at(9000)), None),
            ])
            .expect("writes");
        assert_eq!(readers.next_callback(a).expect("reads"), Some(testing::at(9000)));
        let told = &readers.deliveries(&due[0].task).expect("reads")[0];
        assert_eq!((told.state, told.attempts, told.last_status), (CallbackState::Delivered, 1, Some(204)));
        let waits = &readers.deliveries(&due[1].task).expect("reads")[0];
        assert_eq!(
            (waits.state, waits.last_error.as_deref()),
            (CallbackState::Pending(testing::at(9000)), Some("refused"))
        );

        assert_eq!(writer.give_up_callbacks(&[a.to_owned()]).expect("writes"), 1);
        assert_eq!(readers.due_callbacks(b, late, 9).expect("reads"), []);
        let third = &readers.deliveries(ends[2].task()).expect("reads")[0];
        assert_eq!((third.state, third.attempts), (CallbackState::Failed, 0));

        let ended = writer.ended(late, 9).expect("reads");
        writer.forget(&ended).expect("forgets");
        assert_eq!(readers.next_callback(a).expect("reads"), None, "they go with their task");
    }
}
