//! Many rows in a store whose server is stopped: copies of tasks that were really submitted, made by SQL, since
//! submitting and running them would take hours and show no more.

use std::path::Path;

use rusqlite::{Connection, params};

/// Which tasks are copied.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Ended,
    Waiting,
}

/// One transaction for so many copies of each task.
const AT_ONCE: usize = 500;

/// Makes so many copies of each task of this kind, named `<id>-<1…>`, with their events and what they are found by.
pub fn copy(database: &Path, kind: Kind, copies: u32) -> rusqlite::Result<()> {
    let mut connection = Connection::open(database)?;
    // The next server opens it with its own settings.
    connection.execute_batch("PRAGMA journal_mode = DELETE; PRAGMA synchronous = OFF; PRAGMA cache_size = -200000;")?;
    let which = match kind {
        Kind::Ended => "status = 'success'",
        Kind::Waiting => "status = 'accepted'",
    };
    connection.execute_batch(&format!(
        "CREATE TEMP TABLE original AS
            SELECT row_number() OVER (ORDER BY seq) AS rank, seq, id FROM main.tasks WHERE {which}"
    ))?;
    let count = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    connection.execute_batch(
        "CREATE TEMP TABLE original_marks AS SELECT o.rank, m.name, m.value, m.created_at
            FROM original o JOIN main.marks m ON m.task_seq = o.seq",
    )?;
    let (originals, last) = (count("SELECT count(*) FROM original")?, count("SELECT max(seq) FROM tasks")?);
    assert!(originals > 0, "no task is {which}");
    let tasks = columns(&connection, "tasks", &["seq", "id"])?.join(", ");
    let events = columns(&connection, "events", &["seq", "task_seq"])?.join(", ");
    // By order of seq, so that the tables grow at their ends.
    let numbers = "WITH RECURSIVE n(i) AS (SELECT ?1 UNION ALL SELECT i + 1 FROM n WHERE i < ?2)";
    let tasks = format!(
        "{numbers} INSERT INTO tasks (seq, id, {tasks})
            SELECT ?3 + (i - 1) * ?4 + rank, o.id || '-' || i, {tasks}
            FROM n CROSS JOIN original o CROSS JOIN tasks t ON t.seq = o.seq"
    );
    let events = format!(
        "{numbers} INSERT INTO events (task_seq, {events})
            SELECT ?3 + (i - 1) * ?4 + rank, {events}
            FROM n CROSS JOIN original o CROSS JOIN events e ON e.task_seq = o.seq"
    );
    let marks = format!(
        "{numbers} INSERT INTO marks (task_seq, name, value, created_at)
            SELECT ?3 + (i - 1) * ?4 + rank, name, value, created_at FROM n CROSS JOIN original_marks"
    );
    let copies = i64::from(copies);
    for from in (1..=copies).step_by(AT_ONCE) {
        let transaction = connection.transaction()?;
        for sql in [&tasks, &marks, &events] {
            let to = copies.min(from + AT_ONCE as i64 - 1);
            transaction.prepare_cached(sql)?.execute(params![from, to, last, originals])?;
        }
        transaction.commit()?;
    }
    Ok(())
}

/// All columns of the table but these, whatever the version of the schema.
fn columns(connection: &Connection, table: &str, but: &[&str]) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare("SELECT name FROM pragma_table_info(?1)")?;
    let names = statement.query_map([table], |row| row.get::<_, String>(0))?;
    names.filter(|name| name.as_ref().map_or(true, |name| !but.contains(&name.as_str()))).collect()
}
