//! Pages of tasks. Every index that is gone by has the order of the list, so what several of them share is found by
//! looking into each for the next place that is left (a leapfrog join): the rarest one decides how many looks that takes.

use rusqlite::{CachedStatement, Connection, OptionalExtension};

use super::row::{TaskRow, task_columns};
use super::{Mark, StoreError, failed};
use crate::task::{Status, Task, Timestamp};

/// What a page may cost: a look into an index is one, a row that is read only to look into it is [`ROW`] and one more for each
/// KiB. Then the page ends, with what was found.
const MAX_WORK: usize = 4096;
const ROW: usize = 8;

/// Which tasks; empty: all. What is given must all hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// One of these; empty: any.
    pub statuses: Vec<Status>,
    pub kind: Option<Kind>,
    pub marks: Vec<Mark>,
    pub created_after: Option<Timestamp>,
    pub created_before: Option<Timestamp>,
    /// In lower case; stands in what the task is remembered by, in whatever case.
    pub text: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Command,
    Script,
}

/// By acceptance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    #[default]
    NewestFirst,
    OldestFirst,
}

/// Where in the order a task stands. It never moves, whatever becomes of the task and of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub created_at: i64,
    pub seq: i64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    pub tasks: Vec<Task>,
    /// Where the next one begins; `None`: there is none.
    pub next: Option<Place>,
}

/// In two halves, for SQLite compares no row value with a rowid: those of the same millisecond, then the others.
macro_rules! by_status {
    ($from:literal, $beyond:literal, $direction:literal) => {
        concat!(
            "SELECT * FROM (SELECT created_at, seq FROM tasks INDEXED BY tasks_by_status
                WHERE status = ?3 AND created_at = ?1 AND seq ",
            $from,
            " ?2 ORDER BY seq",
            $direction,
            " LIMIT 1)
            UNION ALL SELECT * FROM (SELECT created_at, seq FROM tasks INDEXED BY tasks_by_status
                WHERE status = ?3 AND created_at ",
            $beyond,
            " ?1
                ORDER BY created_at",
            $direction,
            ", seq",
            $direction,
            " LIMIT 1) LIMIT 1"
        )
    };
}

/// The looks into an index: by a mark and by a status, from the oldest on and from the newest.
pub(super) const LOOKS: [&str; 4] = [
    "SELECT created_at, task_seq FROM marks WHERE (created_at, task_seq) >= (?1, ?2) AND name = ?3 AND value = ?4
        ORDER BY created_at, task_seq LIMIT 1",
    "SELECT created_at, task_seq FROM marks WHERE (created_at, task_seq) <= (?1, ?2) AND name = ?3 AND value = ?4
        ORDER BY created_at DESC, task_seq DESC LIMIT 1",
    by_status!(">=", ">", ""),
    by_status!("<=", "<", " DESC"),
];

/// A place, counted in the direction of the walk: what comes later is greater.
type Key = (i64, i64);

pub(super) fn read(
    connection: &Connection,
    filter: &Filter,
    order: Order,
    from: Option<Place>,
    limit: usize,
) -> Result<Page, StoreError> {
    let mut walk = Walk::new(connection, filter, order)?;
    let mut key = walk.first(filter, from);
    let mut tasks = Vec::new();
    loop {
        let found = match walk.next(key)? {
            Next::End => return Ok(Page { tasks, next: None }),
            Next::Tired(key) => return Ok(Page { tasks, next: Some(walk.place(key)) }),
            Next::At(found) => found,
        };
        // One more is looked for, so that no page promises another that is empty.
        if tasks.len() == limit {
            return Ok(Page { tasks, next: Some(walk.place(found)) });
        }
        tasks.extend(walk.task(found, filter.text.as_deref())?);
        key = (found.0, found.1.saturating_add(1));
    }
}

/// What the search for the next place came to.
enum Next {
    At(Key),
    /// It has cost enough; nothing is left before this.
    Tired(Key),
    End,
}

struct Walk<'c> {
    connection: &'c Connection,
    /// A task must be in each of these.
    all: Vec<Vec<Range<'c>>>,
    /// And not in this.
    without: Option<Range<'c>>,
    /// −1 where the newest come first.
    sign: i64,
    last: i64,
    work: usize,
}

impl<'c> Walk<'c> {
    fn new(connection: &'c Connection, filter: &Filter, order: Order) -> Result<Self, StoreError> {
        let Filter { statuses, kind, marks, created_after, created_before, text: _ } = filter;
        let mut all = Vec::new();
        for mark in marks.iter().chain((*kind == Some(Kind::Script)).then_some(&Mark::script())) {
            all.push(vec![Range::of_mark(connection, mark, order)?]);
        }
        if !statuses.is_empty() || all.is_empty() {
            let statuses = if statuses.is_empty() { &Status::ALL[..] } else { statuses };
            all.push(statuses.iter().map(|s| Range::of_status(connection, *s, order)).collect::<Result<_, _>>()?);
        }
        let is_command = *kind == Some(Kind::Command);
        let without = is_command.then(|| Range::of_mark(connection, &Mark::script(), order)).transpose()?;
        let (sign, bound) = match order {
            Order::OldestFirst => (1, created_before.map(|t| t.as_millis().saturating_sub(1))),
            Order::NewestFirst => (-1, created_after.map(|t| -(t.as_millis().saturating_add(1)))),
        };
        Ok(Self { connection, all, without, sign, last: bound.unwrap_or(i64::MAX), work: 0 })
    }

    /// The first key that may be looked for.
    fn first(&self, filter: &Filter, from: Option<Place>) -> Key {
        let bound = if self.sign > 0 {
            filter.created_after.map(|t| t.as_millis().saturating_add(1))
        } else {
            filter.created_before.map(|t| -(t.as_millis().saturating_sub(1)))
        };
        let least = -i64::MAX;
        let from = from.map_or((least, least), |place| (self.sign * place.created_at, self.sign * place.seq));
        from.max((bound.unwrap_or(least), least))
    }

    fn place(&self, (created_at, seq): Key) -> Place {
        Place { created_at: self.sign * created_at, seq: self.sign * seq }
    }

    /// The first place from `key` on that is in every range.
    fn next(&mut self, mut key: Key) -> Result<Next, StoreError> {
        'looking: loop {
            if self.work >= MAX_WORK {
                return Ok(Next::Tired(key));
            }
            for ranges in &mut self.all {
                let mut nearest: Option<Key> = None;
                for range in ranges {
                    let found = range.seek(key, self.sign, &mut self.work)?;
                    nearest = nearest.into_iter().chain(found).min();
                }
                match nearest {
                    None => return Ok(Next::End),
                    Some(found) if found.0 > self.last => return Ok(Next::End),
                    Some(found) if found > key => {
                        key = found;
                        continue 'looking;
                    }
                    Some(_) => {}
                }
            }
            if let Some(range) = &mut self.without
                && range.seek(key, self.sign, &mut self.work)? == Some(key)
            {
                key.1 = key.1.saturating_add(1);
                continue;
            }
            return Ok(Next::At(key));
        }
    }

    /// The task there, if the text stands in it.
    fn task(&mut self, key: Key, text: Option<&str>) -> Result<Option<Task>, StoreError> {
        const SQL: &str = concat!("SELECT ", task_columns!(), " FROM tasks WHERE seq = ?1");
        let failed = failed("read a listed task");
        let mut statement = self.connection.prepare_cached(SQL).map_err(&failed)?;
        let row = statement.query_row([self.place(key).seq], TaskRow::read).optional().map_err(&failed)?;
        let Some(row) = row else { return Ok(None) };
        if let Some(text) = text {
            self.work += ROW + row.bytes() / 1024;
            if !row.mentions(text) {
                return Ok(None);
            }
        }
        match row.into_task() {
            Ok(task) => Ok(Some(task)),
            // The others are listed all the same.
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a task is left out of a list");
                Ok(None)
            }
        }
    }
}

/// The part of an index in which all have the same value, in the order of the list.
struct Range<'c> {
    statement: CachedStatement<'c>,
    /// The first place from where it was looked for last.
    head: Head,
}

enum Head {
    Unknown,
    At(Key),
    End,
}

impl<'c> Range<'c> {
    fn of_mark(connection: &'c Connection, mark: &Mark, order: Order) -> Result<Self, StoreError> {
        let [oldest_first, newest_first, ..] = LOOKS;
        let sql = if order == Order::OldestFirst { oldest_first } else { newest_first };
        Self::new(connection, sql, &[&mark.name, &mark.value])
    }

    fn of_status(connection: &'c Connection, status: Status, order: Order) -> Result<Self, StoreError> {
        let [.., oldest_first, newest_first] = LOOKS;
        let sql = if order == Order::OldestFirst { oldest_first } else { newest_first };
        Self::new(connection, sql, &[status.as_str()])
    }

    fn new(connection: &'c Connection, sql: &str, values: &[&str]) -> Result<Self, StoreError> {
        let failed = failed("list tasks");
        let mut statement = connection.prepare_cached(sql).map_err(&failed)?;
        for (index, value) in (3..).zip(values) {
            statement.raw_bind_parameter(index, value).map_err(&failed)?;
        }
        Ok(Self { statement, head: Head::Unknown })
    }

    /// The first place from `key` on, which never goes back.
    fn seek(&mut self, key: Key, sign: i64, work: &mut usize) -> Result<Option<Key>, StoreError> {
        match self.head {
            Head::End => return Ok(None),
            Head::At(head) if head >= key => return Ok(Some(head)),
            Head::At(_) | Head::Unknown => {}
        }
        *work += 1;
        let failed = failed("list tasks");
        let mut bind = |index, value: i64| self.statement.raw_bind_parameter(index, sign * value);
        bind(1, key.0).and_then(|()| bind(2, key.1)).map_err(&failed)?;
        let mut rows = self.statement.raw_query();
        let found = match rows.next().map_err(&failed)? {
            Some(row) => {
                Some((sign * row.get::<_, i64>(0).map_err(&failed)?, sign * row.get::<_, i64>(1).map_err(&failed)?))
            }
            None => None,
        };
        self.head = found.map_or(Head::End, Head::At);
        Ok(found)
    }
}
