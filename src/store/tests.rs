//! Against a real SQLite file.

mod page;

use super::*;
use crate::task::testing;
use crate::task::{Event, Status, Task, Timestamp};

struct Fixture {
    _dir: tempfile::TempDir,
    path: PathBuf,
    writer: Writer,
    readers: Readers,
}

fn fixture() -> Fixture {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("runtime.db");
    let (writer, readers) = open(&path).expect("opens");
    Fixture { _dir: dir, path, writer, readers }
}

fn submit(writer: &mut Writer, id: &str) -> Task {
    let seq = writer.last_seq().expect("reads") + 1;
    let transition = Task::submit(testing::new_task(id), seq);
    writer.commit(std::slice::from_ref(&transition)).expect("commits");
    transition.task().clone()
}

fn finish(writer: &mut Writer, task: &Task) -> Task {
    let launch = task.launch(testing::at(1010)).expect("queued");
    let start = launch.task().start(&testing::running(1020)).expect("launching");
    let finish = start.task().finish(&testing::exit(0)).expect("running");
    let ended = finish.task().clone();
    writer.commit(&[launch, start, finish]).expect("commits");
    ended
}

#[test]
fn a_task_comes_back_as_it_was_committed() {
    let mut store = fixture();
    let queued = submit(&mut store.writer, "a");
    assert_eq!(store.readers.task(queued.id()).expect("reads"), Some(queued.clone()));
    let ended = finish(&mut store.writer, &queued);
    assert_eq!(store.readers.task(queued.id()).expect("reads"), Some(ended));
    assert_eq!(store.readers.task(&TaskId::parse("b").expect("valid")).expect("reads"), None);
}

#[test]
fn a_stale_revision_changes_nothing() {
    let mut store = fixture();
    let queued = submit(&mut store.writer, "a");
    finish(&mut store.writer, &queued);
    let stale = queued.cancel(testing::at(2000)).expect("legal for that old value");
    assert!(matches!(store.writer.commit(&[stale]), Err(StoreError::Stale { .. })));
    let now = store.readers.task(queued.id()).expect("reads").expect("there");
    assert_eq!(now.status(), Status::Success);
}

#[test]
fn all_steps_of_a_task_in_one_batch_are_one_and_must_follow_each_other() {
    let mut store = fixture();
    let submitted = Task::submit(testing::new_task("a"), 1);
    let launched = submitted.task().launch(testing::at(1010)).expect("queued");
    let again = submitted.task().launch(testing::at(1010)).expect("queued");
    let started = launched.task().start(&testing::running(1020)).expect("launching");
    let finished = started.task().finish(&testing::exit(0)).expect("running");
    let ended = finished.task().clone();
    let twice = [submitted.clone(), launched.clone(), again];
    assert!(matches!(store.writer.commit(&twice), Err(StoreError::Stale { .. })));
    assert_eq!(store.readers.task(ended.id()).expect("reads"), None);
    store.writer.commit(&[submitted, launched, started, finished]).expect("commits");
    assert_eq!(store.readers.task(ended.id()).expect("reads"), Some(ended.clone()));
    let events = store.readers.events(ended.id()).expect("reads").expect("there");
    let types: Vec<_> = events.iter().map(|event| event.event_type.as_str()).collect();
    let expected =
        ["submitted", "accepted", "planned", "resource_reserved", "started", "resource_released", "finished"];
    assert_eq!(types, expected);
}

#[test]
fn a_batch_commits_whole_or_not_at_all() {
    let mut store = fixture();
    submit(&mut store.writer, "a");
    let batch = [Task::submit(testing::new_task("b"), 2), Task::submit(testing::new_task("a"), 3)];
    assert!(store.writer.commit(&batch).is_err(), "the id `a` exists");
    assert_eq!(store.writer.live_tasks().expect("reads").queued.len(), 1);
}

#[test]
fn events_are_numbered_across_tasks_and_never_again() {
    let mut store = fixture();
    let (a, b) = (submit(&mut store.writer, "a"), submit(&mut store.writer, "b"));
    finish(&mut store.writer, &a);
    let seqs = |id| -> Vec<u64> {
        let events: Vec<Event> = store.readers.events(id).expect("reads").expect("there");
        events.iter().map(|e| e.seq).collect()
    };
    assert_eq!(seqs(a.id()), [1, 2, 3, 7, 8, 9, 10]);
    assert_eq!(seqs(b.id()), [4, 5, 6]);
    let expired = store.writer.ended(Timestamp::from_millis(i64::MAX), 10).expect("reads");
    store.writer.forget(&expired).expect("forgets");
    assert_eq!(store.readers.events(a.id()).expect("reads"), None);
    let c = submit(&mut store.writer, "c");
    let events = store.readers.events(c.id()).expect("reads").expect("there");
    assert_eq!(events[0].seq, 11);
}

#[test]
fn only_old_ended_tasks_are_forgotten_oldest_first() {
    let mut store = fixture();
    let (a, b) = (submit(&mut store.writer, "a"), submit(&mut store.writer, "b"));
    let (a, b) = (finish(&mut store.writer, &a), finish(&mut store.writer, &b));
    submit(&mut store.writer, "waiting");
    let end = a.outcome().expect("ended").finished_at;
    assert!(store.writer.ended(end, 10).expect("reads").is_empty());
    let expired = store.writer.ended(end.plus_millis(1), 1).expect("reads");
    assert_eq!(expired.len(), 1);
    store.writer.forget(&expired).expect("forgets");
    let rest = store.writer.ended(end.plus_millis(1), 10).expect("reads");
    assert_eq!(rest.iter().map(|e| e.id.as_str()).collect::<Vec<_>>(), [b.id().as_str()]);
    store.writer.forget(&rest).expect("forgets");
    assert_eq!(store.writer.live_tasks().expect("reads").queued.len(), 1);
}

#[test]
fn the_live_tasks_of_a_tenant_are_its_own_and_have_not_ended() {
    let mut store = fixture();
    let mut submit = |id: &str, tenant: Option<&str>| {
        let tenant = tenant.map(str::to_owned);
        let draft = crate::task::Draft { program: Some("x".into()), tenant, ..Default::default() };
        let spec = draft.validate(testing::DEFAULTS).expect("valid");
        let seq = store.writer.last_seq().expect("reads") + 1;
        let submitted = Task::submit(crate::task::NewTask { spec, ..testing::new_task(id) }, seq);
        store.writer.commit(std::slice::from_ref(&submitted)).expect("commits");
        submitted.task().clone()
    };
    let [ended, launched, _, _, _] = [
        submit("ended", Some("acme")),
        submit("launched", Some("acme")),
        submit("queued", Some("acme")),
        submit("other", Some("zenith")),
        submit("nobody", None),
    ];
    finish(&mut store.writer, &ended);
    store.writer.commit(&[launched.launch(testing::at(1010)).expect("queued")]).expect("commits");
    let live = store.readers.live_tasks_of("acme").expect("reads");
    assert_eq!(live.ids().map(|id| id.to_string()).collect::<Vec<_>>(), ["launched", "queued"]);
    assert_eq!(live.launched.len(), 1);
    assert_eq!(store.readers.live_tasks_of("nobody").expect("reads"), LiveTasks::default());
}

#[test]
fn places_go_on_after_a_restart() {
    let mut store = fixture();
    let a = submit(&mut store.writer, "a");
    drop(store.writer);
    let (writer, _) = open(&store.path).expect("opens again");
    let LiveTasks { launched, queued } = writer.live_tasks().expect("reads");
    let places: Vec<_> = queued.iter().map(|task| (task.seq, &task.id, task.demand)).collect();
    assert_eq!((launched, places), (vec![], vec![(1, a.id(), a.demand())]));
    assert_eq!(writer.last_seq().expect("reads"), 1);
}

#[test]
fn a_newer_database_is_refused_with_both_versions() {
    let store = fixture();
    drop(store.writer);
    let connection = rusqlite::Connection::open(&store.path).expect("opens");
    connection.pragma_update(None, "user_version", 99).expect("writes");
    let refusal = open(&store.path).expect_err("newer").to_string();
    assert!(refusal.contains("99") && refusal.contains("runtime.db"), "{refusal}");
}

#[test]
fn the_check_writes() {
    let store = fixture();
    store.writer.check(Timestamp::now()).expect("writable");
}

#[test]
fn the_stock_is_counted_from_its_index_alone() {
    let store = fixture();
    let connection = rusqlite::Connection::open(&store.path).expect("opens");
    let sql = format!("EXPLAIN QUERY PLAN {}", super::ended::STOCK);
    let plan: String = connection.query_row(&sql, [], |row| row.get(3)).expect("a plan");
    assert!(plan.contains("USING COVERING INDEX tasks_finished"), "{plan}");
}

#[test]
fn ended_tasks_are_measured_once_oldest_first_and_live_ones_never() {
    let mut store = fixture();
    let writer = &mut store.writer;
    assert_eq!(writer.stock().expect("reads"), Stock::default());
    let (a, b) = (submit(writer, "a"), submit(writer, "b"));
    let (a, b) = (finish(writer, &a), finish(writer, &b));
    let end = a.outcome().expect("ended").finished_at;
    submit(writer, "waiting");
    let unmeasured = |writer: &Writer| writer.unmeasured(end, 10).expect("reads");
    let found = unmeasured(writer);
    assert_eq!(found.iter().map(|task| task.id.as_str()).collect::<Vec<_>>(), [a.id().as_str(), b.id().as_str()]);
    assert_eq!(writer.unmeasured(end, 1).expect("reads"), found[..1]);
    assert_eq!(writer.unmeasured(end.plus_millis(1), 10).expect("reads"), []);
    assert_eq!(writer.stock().expect("reads"), Stock { tasks: 2, bytes: 0, unmeasured_from: Some(end) });

    let sizes = [(found[0].clone(), 4096), (found[1].clone(), 0)];
    assert_eq!(writer.set_bytes(&sizes).expect("writes"), 4096);
    assert_eq!(writer.set_bytes(&sizes).expect("writes"), 0, "each once");
    assert_eq!(unmeasured(writer), []);
    assert_eq!(writer.stock().expect("reads"), Stock { tasks: 2, bytes: 4096, unmeasured_from: None });
    let forgotten = writer.ended(end.plus_millis(1), 10).expect("reads");
    assert_eq!(forgotten.iter().map(|task| task.bytes).collect::<Vec<_>>(), [Some(0), Some(4096)]);
    writer.forget(&forgotten).expect("forgets");
    assert_eq!(writer.stock().expect("reads"), Stock::default());
    assert_eq!(writer.set_bytes(&sizes).expect("writes"), 0, "there is nothing to be noted");
}

/// What SQLite itself makes of a schema: tables with their columns, and indexes.
fn shape(path: &Path) -> Vec<String> {
    let connection = rusqlite::Connection::open(path).expect("opens");
    let mut shape = Vec::new();
    for sql in [
        "SELECT m.name || '.' || c.name || ' ' || c.type || ' ' || c.\"notnull\" || ' ' || c.pk
            FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table' ORDER BY 1",
        "SELECT m.name || '.' || c.name || ' ' || coalesce(m.sql, '')
            FROM sqlite_master m, pragma_index_info(m.name) c WHERE m.type = 'index' ORDER BY 1",
    ] {
        let mut statement = connection.prepare(sql).expect("a query");
        let rows = statement.query_map([], |row| row.get::<_, String>(0)).expect("rows");
        shape.extend(rows.map(|row| row.expect("a row")));
    }
    shape
}

#[test]
fn a_migrated_database_has_the_shape_of_a_new_one() {
    let fresh = fixture();
    for (released, bytes, unmeasured) in [
        (include_str!("../../tests/e2e/format-1/runtime.sql"), 0, 10),
        (include_str!("../../tests/e2e/format-2/runtime.sql"), 61_440, 5),
    ] {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("runtime.db");
        rusqlite::Connection::open(&path).expect("made").execute_batch(released).expect("the fixture is SQL");
        assert_ne!(shape(&path), shape(&fresh.path));
        let (writer, _) = open(&path).expect("migrates");
        assert_eq!(shape(&path), shape(&fresh.path));
        let stock = writer.stock().expect("reads");
        assert_eq!((stock.tasks, stock.bytes), (10, bytes));
        let from = stock.unmeasured_from.expect("ended tasks");
        assert_eq!(writer.unmeasured(from, 100).expect("reads").len(), unmeasured);
    }
}
