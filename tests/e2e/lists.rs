//! Lists while tasks come and go, deletion, kill by a filter, and the events of all tasks over restarts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Server, eventually, sh};

fn ids(page: &Value) -> Vec<String> {
    let rows = page["tasks"].as_array().expect("rows").iter();
    rows.map(|row| row["task_id"].as_str().expect("an id").to_owned()).collect()
}

/// All pages one after the other.
fn walk(server: &Server, query: &str) -> Vec<String> {
    let (mut told, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = server.get(&format!("/api/v1/tasks?{query}{cursor}"));
        assert_eq!(page.status, 200, "{page:?}");
        told.extend(ids(&page.body));
        let Some(next) = page.body["next_cursor"].as_str() else { return told };
        cursor = format!("&cursor={next}");
    }
}

fn delete(server: &Server, id: &str) -> u16 {
    let request =
        ureq::delete(format!("{}/api/v1/tasks/{id}", server.url)).config().http_status_as_error(false).build();
    request.call().expect("answered").status().as_u16()
}

fn labelled(line: &str, labels: &Value) -> Value {
    let mut task = sh(line);
    task["control_context"] = json!({"labels": labels});
    task
}

#[test]
fn a_walk_while_tasks_are_submitted_and_deleted_tells_each_surviving_task_once() {
    const BEFORE: usize = 90;
    let server = Server::with_flags(&["--max-running-tasks", "8", "--max-queued-tasks", "100000"]);
    let before: Vec<_> =
        (0..BEFORE).map(|n| server.submit(&labelled("true", &json!({"third": (n % 3).to_string()})))).collect();
    before.iter().for_each(|id| drop(server.wait(id)));
    let victims = walk(&server, "label.third=1&limit=7");
    assert_eq!(victims.len(), BEFORE / 3);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                server.submit_sh("true");
            }
        });
        let deleter = scope.spawn(|| victims.iter().for_each(|id| assert_eq!(delete(&server, id), 204)));
        let mut is_last = false;
        while !is_last {
            // Once more when all are deleted.
            is_last = deleter.is_finished();
            for sort in ["created_at", "-created_at"] {
                // Without the newcomers, whom a walk to the end would follow for as long as there are any.
                let now = server.status(&server.submit_sh("true"))["created_at"].clone();
                let until = now.as_str().expect("a time");
                let told = walk(&server, &format!("sort={sort}&limit=5&created_before={until}"));
                let distinct: BTreeSet<_> = told.iter().collect();
                assert_eq!(distinct.len(), told.len(), "a task was told twice");
                let is_missing = |id: &&String| !victims.contains(id) && !distinct.contains(id);
                assert_eq!(before.iter().find(is_missing), None, "a task was not told");
                let is_back = |id: &&String| is_last && distinct.contains(id);
                assert_eq!(victims.iter().find(is_back), None, "a deleted task was told");
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_deleted_task_leaves_nothing_and_frees_its_name() {
    let server = Server::start();
    let mut task = sh("echo gone; sleep 600");
    task["task_id"] = json!("t");
    server.submit(&task);
    server.until_output("t", "gone");
    assert_eq!(delete(&server, "t"), 409);
    server.kill("t", None);
    server.wait("t");
    assert_eq!(delete(&server, "t"), 204);
    assert!(!server.task_dir("t").exists());
    assert_eq!((server.get("/api/v1/tasks/t").status, delete(&server, "t")), (404, 404));
    let trash = server.data_dir().join("trash");
    eventually("the trash is emptied", || fs::read_dir(&trash).expect("listable").next().is_none().then_some(()));
    task["execution"]["args"] = json!(["-c", "echo back"]);
    assert_eq!(server.run(&task)["stdout"], "back\n");
}

#[test]
fn a_filter_kills_what_runs_and_what_waits() {
    let server = Server::with_flags(&["--max-running-tasks", "2", "--max-queued-tasks", "1000"]);
    let blue: Vec<_> = (0..300).map(|_| server.submit(&labelled("sleep 600", &json!({"team": "blue"})))).collect();
    let other = server.submit_sh("true");
    server.until_running(&blue[1]);
    let killed = server.post("/api/v1/tasks/kill", &json!({"labels": {"team": "blue"}}));
    assert_eq!(killed.status, 200, "{killed:?}");
    let named = killed.body["killed"].as_array().expect("ids").iter().map(|id| id.as_str().expect("text").to_owned());
    assert!(named.eq(blue.iter().rev().cloned()));
    assert_eq!(server.wait(&other)["status"], "success");
    for id in &blue {
        assert_eq!(server.wait(id)["status"], "cancelled");
    }
    assert_eq!(server.get("/api/v1/tasks?status=accepted,running").body, json!({"tasks": []}));
}

fn open(server: &Server, last: u64) -> BufReader<ureq::BodyReader<'static>> {
    let request = ureq::get(format!("{}/api/v1/events", server.url)).header("last-event-id", last.to_string());
    BufReader::new(request.call().expect("answered").into_body().into_reader())
}

/// The events behind `last` up to the end of this task.
fn told(server: &Server, last: u64, until: &str) -> Vec<Value> {
    let mut events = Vec::new();
    for line in open(server, last).lines() {
        let line = line.expect("readable");
        let Some(data) = line.strip_prefix("data: ") else { continue };
        let event: Value = serde_json::from_str(data).expect("JSON");
        let is_last = event["task_id"] == until && event["event_type"] == "finished";
        events.push(event);
        if is_last {
            break;
        }
    }
    events
}

#[test]
fn the_feed_tells_every_event_once_also_over_a_crash() {
    let mut server = Server::start();
    let mut ids: Vec<_> = (0..8).map(|_| server.submit_sh("true")).collect();
    ids.iter().for_each(|id| drop(server.wait(id)));
    let last_id = ids.last().expect("some").clone();
    let mut events = told(&server, 0, &last_id);
    let seen = events.last().expect("some")["seq"].as_u64().expect("a number");
    let survivor = server.submit_sh("sleep 1");
    server.until_running(&survivor);
    server.crash();
    server.restart();
    server.wait(&survivor);
    ids.push(survivor);
    ids.push(server.submit_sh("true"));
    let last_id = ids.last().expect("some").clone();
    server.wait(&last_id);
    events.extend(told(&server, seen, &last_id));
    let mut by_task: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for event in &events {
        by_task.entry(event["task_id"].as_str().expect("an id")).or_default().push(event.clone());
    }
    for id in &ids {
        let all = server.events(id);
        assert_eq!(by_task.get(id.as_str()), Some(&all), "{id}");
    }
}

#[test]
fn a_reader_of_the_feed_that_leaves_is_gone_within_a_second() {
    let server = Server::with_flags(&["--max-running-tasks", "8", "--max-queued-tasks", "100000"]);
    let sockets = || {
        let descriptors = fs::read_dir(format!("/proc/{}/fd", server.pid())).expect("a process").flatten();
        descriptors
            .filter(|fd| fs::read_link(fd.path()).is_ok_and(|to| to.to_string_lossy().starts_with("socket:")))
            .count()
    };
    server.get("/healthz");
    let before = sockets();
    // They read where it begins, and no more.
    let mut readers: Vec<_> = (0..20).map(|_| open(&server, 0)).collect();
    for reader in &mut readers {
        reader.read_line(&mut String::new()).expect("readable");
    }
    let ids: Vec<_> = (0..100).map(|_| server.submit_sh("true")).collect();
    server.wait(&ids[99]);
    assert!(sockets() >= before + 20);
    drop(readers);
    let left_at = Instant::now();
    eventually("the connections are closed", || (sockets() <= before + 2).then_some(()));
    assert!(left_at.elapsed() < Duration::from_secs(1) * crate::support::patience(), "{:?}", left_at.elapsed());
}
