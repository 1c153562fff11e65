//! Durable formats: what every released version left on the disk is taken up, what a newer one left is refused.
//!
//! `format-1/` is the data directory of a server that was killed in the midst of its work: its database, of schema
//! version 1, as SQL; its journal, of protocol version 1; the lock of its launcher. The machine has restarted since: its
//! boot id is all zeros. `format-2/` is the same in schema version 2, and some of its directories were measured. How one for a later format is added: `docs/architecture.md`.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::support::Server;

/// For as long as this, whatever the date is by now.
const FOR_EVER: [&str; 2] = ["--result-retention-secs", "3153600000"];

/// What the tasks of each are in the end: status, code of the error, number of events.
const TASKS: &[(&str, &str, Option<&str>, usize)] = &[
    ("success", "success", None, 7),
    ("success-script", "success", None, 7),
    ("failed", "failed", Some("exit_non_zero"), 7),
    ("failed-by-signal", "failed", Some("exit_non_zero"), 7),
    ("failed-to-start", "failed", Some("launch_failed"), 6),
    ("timed-out", "failed", Some("timeout"), 8),
    ("degraded", "success", None, 8),
    ("sandboxed", "success", None, 7),
    ("cancelled", "cancelled", Some("cancelled"), 8),
    ("cancelled-waiting", "cancelled", Some("cancelled"), 5),
    // These three lived: one ended before its server was back, as the journal says; two left no word.
    ("ended-alone", "failed", Some("exit_non_zero"), 7),
    ("running", "failed", Some("internal"), 7),
    ("launching", "failed", Some("internal"), 6),
    // This one waited, and runs now.
    ("waiting", "success", None, 7),
];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e").join(name)
}

/// Stops the server and puts the fixture in the place of all that it knows.
fn replace_data(server: &mut Server, fixture: &Path) {
    assert_eq!(server.stop(), Some(0), "{}", server.log());
    let data_dir = server.data_dir();
    for file in ["runtime.db", "runtime.db-wal", "runtime.db-shm"] {
        // The last connection that was closed may have removed the latter two.
        let _ = fs::remove_file(data_dir.join(file));
    }
    let run_dir = data_dir.join("run");
    for entry in fs::read_dir(&run_dir).expect("listable").map(|entry| entry.expect("an entry").path()) {
        if entry.extension().is_some_and(|kind| kind == "lock" || kind == "journal") {
            fs::remove_file(entry).expect("removed");
        }
    }
    let sql = fs::read_to_string(fixture.join("runtime.sql")).expect("a fixture");
    Connection::open(data_dir.join("runtime.db")).expect("made").execute_batch(&sql).expect("the fixture is SQL");
    for entry in fs::read_dir(fixture.join("run")).expect("a fixture").map(|entry| entry.expect("an entry")) {
        fs::copy(entry.path(), run_dir.join(entry.file_name())).expect("copied");
    }
}

#[test]
fn a_data_directory_of_the_first_format_is_taken_up() {
    is_taken_up("format-1");
}

#[test]
fn a_data_directory_of_the_second_format_is_taken_up() {
    is_taken_up("format-2");
}

fn is_taken_up(format: &str) {
    let mut server = Server::with_flags(&FOR_EVER);
    replace_data(&mut server, &fixture(format));
    server.restart();
    for (id, expected, code, events) in TASKS {
        let status = server.wait(id);
        assert_eq!((&status["status"], status["error"]["code"].as_str()), (&(*expected).into(), *code), "{status}");
        let seqs: Vec<u64> = server.events(id).iter().map(|event| event["seq"].as_u64().expect("a number")).collect();
        assert_eq!((seqs.len(), seqs.is_sorted()), (*events, true), "{id}: {:?}", server.event_types(id));
    }
    assert_eq!(server.status("success")["metadata"]["k"], "v");
    assert_eq!(server.status("ended-alone")["exit_code"], 4);
    assert_eq!(server.status("waiting")["stdout"], "waited\n");
    assert_eq!(server.run_sh("echo new")["stdout"], "new\n");
    // And once more, from what it was made into.
    server.crash();
    server.restart();
    assert_eq!(server.status("success")["exit_code"], 0);
}

#[test]
fn a_database_of_a_newer_format_is_refused_and_left_alone() {
    let mut server = Server::start();
    assert_eq!(server.stop(), Some(0), "{}", server.log());
    let path = server.data_dir().join("runtime.db");
    let database = Connection::open(path).expect("opens");
    database.pragma_update(None, "user_version", 99).expect("writes");
    let refused = server.run_a_second();
    let message = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{message}");
    assert!(message.contains("was written by a newer version (schema 99;"), "{message}");
    let version: i64 = database.query_row("PRAGMA user_version", [], |row| row.get(0)).expect("reads");
    assert_eq!(version, 99);
}

#[test]
fn a_journal_of_a_newer_format_is_refused_and_left_alone() {
    let mut server = Server::start();
    assert_eq!(server.stop(), Some(0), "{}", server.log());
    let journal = server.data_dir().join("run/newer.1.journal");
    let header = r#"{"record":"header","version":99,"shape":[]}"#;
    let line = format!("{:08x} {header}\n", crc32fast::hash(header.as_bytes()));
    fs::write(&journal, &line).expect("written");
    let refused = server.run_a_second();
    let message = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{message}");
    assert!(message.contains("newer.1.journal") && message.contains("has format version 99"), "{message}");
    assert_eq!(fs::read_to_string(&journal).expect("there"), line);
}
