//! How many ended tasks stay, and how much they may occupy.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use crate::support::{Server, eventually};

const MIB: u64 = 1 << 20;

fn is_there(server: &Server, id: &str) -> bool {
    server.get(&format!("/api/v1/tasks/{id}")).status == 200
}

/// Waits until exactly these of the ended tasks are there, and the files of no other.
fn until_left(server: &Server, all: &[String], left: &[String]) {
    eventually("the tasks that are too many are gone", || {
        all.iter().all(|id| is_there(server, id) == left.contains(id)).then_some(())
    });
    let directories = fs::read_dir(server.data_dir().join("tasks")).expect("listable");
    let mut names: Vec<_> = directories.map(|entry| entry.expect("an entry").file_name()).collect();
    names.sort();
    let mut expected: Vec<_> = left.iter().map(OsString::from).collect();
    expected.sort();
    assert_eq!(names, expected);
    let trash = server.data_dir().join("trash");
    eventually("the trash is empty", || fs::read_dir(&trash).expect("listable").next().is_none().then_some(()));
}

/// Runs tasks that leave 1 MiB each, one after the other.
fn leave_a_mebibyte_each(server: &Server, count: usize) -> Vec<String> {
    let leave = || {
        let status = server.run_sh("head -c 1048576 /dev/urandom > file; sync file");
        assert_eq!(status["status"], "success", "{status}");
        status["task_id"].as_str().expect("an id").to_owned()
    };
    (0..count).map(|_| leave()).collect()
}

fn run_small(server: &Server, count: usize) -> Vec<String> {
    let id = |_| server.run_sh("echo done")["task_id"].as_str().expect("an id").to_owned();
    (0..count).map(id).collect()
}

/// What is noted of the ended tasks: their sizes, oldest first.
fn sizes(data_dir: &Path) -> Vec<Option<u64>> {
    let database = rusqlite::Connection::open(data_dir.join("runtime.db")).expect("opens");
    let mut statement = database
        .prepare("SELECT bytes FROM tasks WHERE finished_at IS NOT NULL ORDER BY finished_at")
        .expect("a query");
    let rows = statement.query_map([], |row| row.get::<_, Option<i64>>(0)).expect("rows");
    rows.map(|row| row.expect("a row").map(i64::cast_unsigned)).collect()
}

#[test]
fn the_youngest_ended_tasks_stay_and_a_live_one_always() {
    let mut server = Server::with_flags(&["--retention-max-tasks", "5", "--gc-interval-ms", "50"]);
    assert_eq!(server.get("/api/v1/runtime/config").body["retention_max_tasks"], 5);
    let live = server.submit_sh("echo begun; until [ -e go ]; do sleep 0.02; done");
    server.until_output(&live, "begun");
    let mut ended = run_small(&server, 20);
    let with_live = |ended: &[String]| [ended, std::slice::from_ref(&live)].concat();
    until_left(&server, &ended, &with_live(&ended[15..]));
    // The next server counts what it finds, and goes on from there.
    server.crash();
    server.restart();
    ended.extend(run_small(&server, 2));
    until_left(&server, &ended, &with_live(&ended[17..]));
    // The live task is the oldest by far, and when it has ended it is the youngest.
    assert_eq!(server.status(&live)["status"], "running");
    fs::write(server.task_dir(&live).join("workspace/go"), "").expect("writable");
    assert_eq!(server.wait(&live)["status"], "success");
    until_left(&server, &ended, &with_live(&ended[18..]));
    assert_eq!(sizes(&server.data_dir()), [None; 5], "nobody asked for sizes");
}

#[test]
fn the_directories_of_ended_tasks_occupy_no_more_than_they_may() {
    // Three times what a task leaves, and some.
    let bound = (3 * MIB + MIB / 2).to_string();
    let mut server = Server::with_flags(&["--retention-max-bytes", &bound, "--gc-interval-ms", "50"]);
    let live = server.submit_sh("head -c 9000000 /dev/zero > file; sync file; echo begun; sleep 99");
    server.until_output(&live, "begun");
    let mut ended = leave_a_mebibyte_each(&server, 6);
    let with_live = |ended: &[String]| [ended, std::slice::from_ref(&live)].concat();
    until_left(&server, &ended, &with_live(&ended[3..]));
    server.crash();
    server.restart();
    ended.extend(leave_a_mebibyte_each(&server, 1));
    until_left(&server, &ended, &with_live(&ended[4..]));
    let sizes = sizes(&server.data_dir());
    assert!(sizes.iter().all(|size| size.is_some_and(|size| (MIB..MIB + MIB / 8).contains(&size))), "{sizes:?}");
    // One that is too large alone goes, and everything before it.
    server.kill(&live, None);
    server.wait(&live);
    until_left(&server, &with_live(&ended), &[]);
    let small = run_small(&server, 3);
    until_left(&server, &small, &small);
}

#[test]
fn a_bound_that_is_set_later_holds_for_what_was_there_and_for_what_ended_meanwhile() {
    let mut server = Server::with_flags(&["--gc-interval-ms", "50"]);
    let before = leave_a_mebibyte_each(&server, 3);
    let alone =
        server.submit_sh("echo begun; until [ -e go ]; do sleep 0.02; done; head -c 1048576 /dev/urandom > file");
    server.until_output(&alone, "begun");
    server.crash();
    fs::write(server.task_dir(&alone).join("workspace/go"), "").expect("writable");
    server.add_flag("--retention-max-bytes");
    server.add_flag(&(2 * MIB + MIB / 2).to_string());
    server.restart();
    server.wait(&alone);
    let all = [before.as_slice(), std::slice::from_ref(&alone)].concat();
    until_left(&server, &all, &all[2..]);
    eventually("both are measured", || {
        let sizes = sizes(&server.data_dir());
        (sizes.len() == 2 && sizes.iter().all(|size| size.is_some_and(|size| size >= MIB))).then_some(())
    });
}

#[test]
fn a_server_that_is_killed_in_the_midst_of_cleaning_leaves_no_file_without_its_task() {
    const TASKS: usize = 300;
    let mut server = Server::with_flags(&["--max-queued-tasks", "1000", "--gc-interval-ms", "10"]);
    let all: Vec<String> = (0..TASKS).map(|_| server.submit_sh("true")).collect();
    for id in &all {
        server.wait(id);
    }
    server.crash();
    server.add_flag("--retention-max-tasks");
    server.add_flag("5");
    let directories = |server: &Server| fs::read_dir(server.data_dir().join("tasks")).expect("listable").count();
    server.start_unheard();
    eventually("cleaning has begun", || (directories(&server) < TASKS).then_some(()));
    server.crash();
    server.restart();
    let left = || all.iter().filter(|id| is_there(&server, id)).cloned().collect::<Vec<_>>();
    eventually("five are left", || (left().len() == 5).then_some(()));
    until_left(&server, &all, &left());
}
