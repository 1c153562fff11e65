//! Against a real SQLite file.

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
fn a_batch_commits_whole_or_not_at_all() {
    let mut store = fixture();
    submit(&mut store.writer, "a");
    let batch = [Task::submit(testing::new_task("b"), 2), Task::submit(testing::new_task("a"), 3)];
    assert!(store.writer.commit(&batch).is_err(), "the id `a` exists");
    assert_eq!(store.writer.live_tasks().expect("reads").len(), 1);
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
    let expired = store.writer.expired(Timestamp::from_millis(i64::MAX), 10).expect("reads");
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
    assert!(store.writer.expired(end, 10).expect("reads").is_empty());
    let expired = store.writer.expired(end.plus_millis(1), 1).expect("reads");
    assert_eq!(expired.len(), 1);
    store.writer.forget(&expired).expect("forgets");
    let rest = store.writer.expired(end.plus_millis(1), 10).expect("reads");
    assert_eq!(rest.iter().map(|e| e.id.as_str()).collect::<Vec<_>>(), [b.id().as_str()]);
    store.writer.forget(&rest).expect("forgets");
    assert_eq!(store.writer.live_tasks().expect("reads").len(), 1);
}

#[test]
fn places_go_on_after_a_restart() {
    let mut store = fixture();
    let a = submit(&mut store.writer, "a");
    drop(store.writer);
    let (writer, _) = open(&store.path).expect("opens again");
    assert_eq!(writer.live_tasks().expect("reads"), [a]);
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
