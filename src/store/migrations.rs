//! The schema and its history. A released migration is never edited; a new one is appended.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::{StoreError, failed};

/// Migration n brings a database of version n (its `user_version`) to version n + 1.
const MIGRATIONS: &[&str] = &[TASKS_AND_EVENTS, BYTES, LISTS_ANSWERS_AND_CALLBACKS];

const TASKS_AND_EVENTS: &str = "
    CREATE TABLE tasks (
        seq         INTEGER PRIMARY KEY AUTOINCREMENT,   -- order of submission, never used twice
        id          TEXT NOT NULL UNIQUE,
        revision    INTEGER NOT NULL,      -- compare-and-set
        status      TEXT NOT NULL,         -- as on the wire
        created_at  INTEGER NOT NULL,      -- times are Unix milliseconds
        finished_at INTEGER,               -- NULL while the task lives
        spec        TEXT NOT NULL,         -- JSON, never changes
        plan        TEXT NOT NULL,         -- JSON, never changes
        progress    TEXT NOT NULL          -- JSON, replaced by each transition
    ) STRICT;
    CREATE INDEX tasks_live ON tasks (seq) WHERE finished_at IS NULL;
    CREATE INDEX tasks_finished ON tasks (finished_at) WHERE finished_at IS NOT NULL;

    CREATE TABLE events (
        seq        INTEGER PRIMARY KEY AUTOINCREMENT,   -- never used twice, over deletions too
        task_seq   INTEGER NOT NULL,
        event_type TEXT NOT NULL,
        at         INTEGER NOT NULL,
        message    TEXT,
        data       TEXT                                 -- JSON
    ) STRICT;
    CREATE INDEX events_of_task ON events (task_seq, seq);

    CREATE TABLE health (one INTEGER PRIMARY KEY CHECK (one = 1), checked_at INTEGER NOT NULL) STRICT;
";

/// The index holds the new column too, so that no sum reads the rows with their specifications.
const BYTES: &str = "
    ALTER TABLE tasks ADD COLUMN bytes INTEGER;   -- what the directory of an ended task occupies; NULL: not measured
    DROP INDEX tasks_finished;
    CREATE INDEX tasks_finished ON tasks (finished_at, bytes) WHERE finished_at IS NOT NULL;
";

/// What lists go by: one index for each status, and what each task can be found by besides. The live tasks are those of two
/// of the statuses. And answers to be given again to whoever asks again under the same key, and events
/// that are to be told.
const LISTS_ANSWERS_AND_CALLBACKS: &str = "
    DROP INDEX tasks_live;
    CREATE INDEX tasks_by_status ON tasks (status, created_at);
    CREATE TABLE marks (
        name       TEXT NOT NULL,      -- tenant, owner, label.KEY, or kind, which is kept of scripts alone
        value      TEXT NOT NULL,
        created_at INTEGER NOT NULL,   -- of the task
        task_seq   INTEGER NOT NULL,
        PRIMARY KEY (name, value, created_at, task_seq)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO marks SELECT j.key, j.value, t.created_at, t.seq
        FROM tasks t, json_each(t.spec, '$.control') j WHERE j.key IN ('tenant', 'owner') AND j.type = 'text';
    INSERT INTO marks SELECT 'label.' || j.key, j.value, t.created_at, t.seq
        FROM tasks t, json_each(t.spec, '$.control.labels') j;
    INSERT INTO marks SELECT 'kind', 'script', created_at, seq
        FROM tasks WHERE json_extract(spec, '$.execution.action.script') IS NOT NULL;

    CREATE TABLE answers (
        tenant     TEXT NOT NULL,      -- whose key it is; '' for who has no tenant
        key        TEXT NOT NULL,
        digest     BLOB NOT NULL,      -- SHA-256 of the request
        first_task INTEGER NOT NULL,   -- tasks.seq of the first task that the answer is about
        last_task  INTEGER NOT NULL,   -- and of the last
        answer     TEXT NOT NULL,      -- JSON, as it went to the client
        PRIMARY KEY (tenant, key)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX answers_of_tasks ON answers (last_task);

    CREATE TABLE callbacks (
        event_seq       INTEGER PRIMARY KEY,         -- events.seq
        task_seq        INTEGER NOT NULL,
        origin          TEXT NOT NULL,               -- scheme, host and port of the URL
        attempts        INTEGER NOT NULL DEFAULT 0,
        delivered       INTEGER NOT NULL DEFAULT 0,  -- 1: it was told
        next_attempt_at INTEGER,                     -- NULL: it was told, or is given up
        attempted_at    INTEGER,
        status          INTEGER,                     -- of the last answer
        fault           TEXT                         -- of the last attempt
    ) STRICT;
    CREATE INDEX callbacks_due ON callbacks (origin, next_attempt_at) WHERE next_attempt_at IS NOT NULL;
    CREATE INDEX callbacks_of_task ON callbacks (task_seq);
";

pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let known = i64::try_from(MIGRATIONS.len()).expect("few migrations");
    let found: i64 = connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(failed("read the version of the database"))?;
    if found > known {
        return Err(StoreError::Newer { path: path.to_owned(), found, known });
    }
    let migrate = failed("migrate the database");
    for (version, sql) in (1..).zip(MIGRATIONS).filter(|(version, _)| *version > found) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&migrate)?;
        transaction.execute_batch(sql).map_err(&migrate)?;
        transaction.pragma_update(None, "user_version", version).map_err(&migrate)?;
        transaction.commit().map_err(&migrate)?;
    }
    Ok(())
}
