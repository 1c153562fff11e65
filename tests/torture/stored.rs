//! How long a restart takes with many ended tasks in the store. A hundred have run; the rest are copies of their rows,
//! written into the database while no server has it, since running them all would take minutes and show no more.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use serde_json::json;

use crate::api::Api;
use crate::plan::Profile;
use crate::runtime::{Runtime, until};

const RUN: u32 = 100;
const RESTARTS: usize = 5;
const ENDS_WITHIN: Duration = Duration::from_secs(60);

/// The times from start to ready, each after a `kill -9`.
///
/// # Errors
/// What went wrong.
pub fn restarts(stored: u32) -> Result<Vec<Duration>, String> {
    let mut runtime = Runtime::new(Profile::Process, false);
    runtime.start()?;
    let api = runtime.api();
    for number in 0..RUN {
        run_one(&api, number)?;
    }
    runtime.stop();
    copy(&runtime.data_dir().join("runtime.db"), stored / RUN).map_err(|error| error.to_string())?;
    let restart = |_| {
        let took = runtime.start()?;
        let last = api.get(&format!("/api/v1/tasks/s{}-{}/events", RUN - 1, stored / RUN)).ok_or("no answer")?;
        if last.body.as_array().is_none_or(Vec::is_empty) {
            return Err(format!("the copies are not there: {}", last.body));
        }
        runtime.kill();
        Ok(took)
    };
    (0..RESTARTS).map(restart).collect()
}

fn run_one(api: &Api, number: u32) -> Result<(), String> {
    let id = format!("s{number}");
    let request = json!({"task_id": id, "execution": {"kind": "command", "program": "/bin/true"}});
    let accepted = api.post("/api/v1/tasks", &request).ok_or("no answer")?;
    if accepted.status != 200 {
        return Err(format!("submit {id}: {}", accepted.body));
    }
    let ended = || {
        let answer = api.get(&format!("/api/v1/tasks/{id}?wait_ms=1000"))?;
        (answer.body["status"] == "success").then_some(())
    };
    until(ENDS_WITHIN, ended).ok_or_else(|| format!("{id} did not succeed"))
}

/// So many copies of each task and its events.
fn copy(database: &Path, copies: u32) -> rusqlite::Result<()> {
    const NUMBERS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)";
    let mut connection = Connection::open(database)?;
    let transaction = connection.transaction()?;
    let tasks = "INSERT INTO tasks (id, revision, status, created_at, finished_at, spec, plan, progress)
        SELECT id || '-' || i, revision, status, created_at, finished_at, spec, plan, progress FROM tasks, n";
    transaction.execute(&format!("{NUMBERS} {tasks}"), [copies])?;
    let events = "INSERT INTO events (task_seq, event_type, at, message, data)
        SELECT copy.seq, event_type, at, message, data FROM n, tasks original
        JOIN events ON events.task_seq = original.seq JOIN tasks copy ON copy.id = original.id || '-' || i";
    transaction.execute(&format!("{NUMBERS} {events}"), [copies])?;
    transaction.commit()
}
