//! The stream of a task: everything once and in order, also for a client that comes again.

use std::io::Write;
use std::time::Duration;

use poem::http::Method;
use serde_json::{Value, json};

use super::{Answer, Server};
use crate::api::TaskStatusResponse;
use crate::api::row::TaskRow;
use crate::task::TaskId;

const STREAM: &str = "/api/v1/tasks/t/stream";

#[derive(Clone, Debug, PartialEq)]
struct Told {
    name: String,
    id: String,
    data: Value,
}

fn read(answer: &Answer) -> Vec<Told> {
    assert_eq!(answer.headers["content-type"], "text/event-stream", "{}", answer.text);
    let blocks = answer.text.split_terminator("\n\n").filter(|block| !block.starts_with(':'));
    let told = blocks.map(|block| {
        let lines: Vec<&str> = block.split('\n').collect();
        let [name, id, data] = lines[..] else { panic!("{block}") };
        let field = |line: &str, name: &str| line.strip_prefix(name).expect(name).to_owned();
        let data = serde_json::from_str(&field(data, "data: ")).expect("JSON");
        Told { name: field(name, "event: "), id: field(id, "id: "), data }
    });
    told.collect()
}

async fn told(server: &Server, last: Option<&str>) -> Vec<Told> {
    let headers: Vec<(&str, &str)> = last.map(|id| ("last-event-id", id)).into_iter().collect();
    let answer = tokio::time::timeout(Duration::from_secs(20), server.send(Method::GET, STREAM, &headers, ()));
    read(&answer.await.expect("it ends with the task"))
}

/// What each was, shortly.
fn story(told: &[Told]) -> Vec<String> {
    let of = |told: &Told| match told.name.as_str() {
        "output" => format!("{}@{} {}", told.data["stream"], told.data["offset"], told.data["data"]).replace('"', ""),
        "event" => told.data["event_type"].as_str().expect("a type").to_owned(),
        name => format!("{name} {}", told.data["status"]).replace('"', ""),
    };
    told.iter().map(of).collect()
}

async fn running(server: &Server) -> TaskId {
    let id = server.accept("t").await;
    std::fs::create_dir_all(server.dir.path().join("tasks/t")).expect("a directory");
    write(server, "stdout", b"");
    write(server, "stderr", b"");
    server.fake.start(&id);
    id
}

/// Appends, as the shim does.
fn write(server: &Server, stream: &str, bytes: &[u8]) {
    let path = server.dir.path().join(format!("tasks/t/{stream}.log"));
    let file = std::fs::File::options().append(true).create(true).open(path);
    file.and_then(|mut file| file.write_all(bytes)).expect("written");
}

/// Lets the client read what there is.
async fn turn() {
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn an_ended_task_tells_its_story_in_order() {
    let server = Server::new();
    let id = running(&server).await;
    write(&server, "stdout", b"out");
    write(&server, "stderr", b"err");
    server.fake.finish(&id, 0);
    let told = told(&server, None).await;
    let expected = [
        "submitted",
        "accepted",
        "planned",
        "resource_reserved",
        "started",
        "stdout@0 out",
        "stderr@0 err",
        "resource_released",
        "finished",
        "status success",
        "end success",
    ];
    assert_eq!(story(&told), expected);
    let events = server.get("/api/v1/tasks/t/events").await.json();
    let of_events: Vec<Value> = told.iter().filter(|t| t.name == "event").map(|t| t.data.clone()).collect();
    assert_eq!(Value::from(of_events), events);
    let status: TaskStatusResponse = serde_json::from_str(&server.get("/api/v1/tasks/t").await.text).expect("a status");
    let row = told.iter().find(|t| t.name == "status").expect("a row");
    assert_eq!(serde_json::from_value::<TaskRow>(row.data.clone()).expect("a row"), TaskRow::from(status));
}

#[tokio::test]
async fn whoever_comes_again_gets_the_rest_and_nothing_twice() {
    let server = Server::new();
    let id = running(&server).await;
    write(&server, "stdout", "0123456789".repeat(5000).as_bytes());
    write(&server, "stderr", &[0xff; 20_000]);
    server.fake.finish(&id, 3);
    let whole = told(&server, None).await;
    assert!(whole.len() > 12, "in several pieces: {}", whole.len());
    for (index, seen) in whole.iter().enumerate().take(whole.len() - 1) {
        // Which stream comes next is not part of the promise.
        let sorted = |told: &[Told]| {
            let mut texts: Vec<String> = told.iter().map(|t| format!("{} {}", t.name, t.data)).collect();
            texts.sort();
            texts
        };
        let rest = told(&server, Some(&seen.id)).await;
        assert_eq!(sorted(&rest), sorted(&whole[index + 1..]), "behind {}", seen.id);
    }
    let end = whole.last().expect("an end");
    assert_eq!((end.name.as_str(), &end.data), ("end", &json!({"task_id": "t", "status": "failed"})));
    let none = server.send(Method::GET, STREAM, &[("last-event-id", &end.id)], ()).await;
    assert_eq!((none.status.as_u16(), none.text.as_str()), (204, ""));
}

#[tokio::test]
async fn what_happens_is_told_as_it_happens() {
    let server = Server::new();
    let id = server.accept("t").await;
    let steps = async {
        turn().await;
        std::fs::create_dir_all(server.dir.path().join("tasks/t")).expect("a directory");
        write(&server, "stdout", b"");
        server.fake.start(&id);
        turn().await;
        write(&server, "stdout", b"one");
        turn().await;
        write(&server, "stdout", b"two");
        turn().await;
        server.fake.finish(&id, 0);
    };
    let (told, ()) = tokio::join!(told(&server, None), steps);
    let expected = [
        "submitted",
        "accepted",
        "planned",
        "status accepted",
        "resource_reserved",
        "started",
        "status running",
        "stdout@0 one",
        "stdout@3 two",
        "resource_released",
        "finished",
        "status success",
        "end success",
    ];
    assert_eq!(story(&told), expected);
    assert!(!server.fake.waits_for(&id), "the subscription ended with the stream");
}

#[tokio::test]
async fn no_character_is_divided_and_what_is_no_text_is_base64() {
    let server = Server::new();
    let id = running(&server).await;
    let character = "日".as_bytes();
    let steps = async {
        write(&server, "stdout", b"a");
        write(&server, "stdout", &character[..2]);
        turn().await;
        write(&server, "stdout", &character[2..]);
        turn().await;
        write(&server, "stdout", b"\xff\x00");
        turn().await;
        // Half a character is the last that comes.
        write(&server, "stdout", &character[..2]);
        turn().await;
        server.fake.finish(&id, 0);
    };
    let (told, ()) = tokio::join!(told(&server, None), steps);
    let output: Vec<(u64, &str, &str)> = told
        .iter()
        .filter(|t| t.name == "output")
        .map(|t| {
            let text = |name: &str| t.data[name].as_str().expect("text");
            (t.data["offset"].as_u64().expect("a number"), text("data"), text("encoding"))
        })
        .collect();
    assert_eq!(output, [(0, "a", "utf-8"), (1, "日", "utf-8"), (4, "/wA=", "base64"), (6, "5pc=", "base64")]);
}

#[tokio::test]
async fn an_id_that_the_stream_never_gave_is_refused() {
    let server = Server::new();
    let id = running(&server).await;
    server.fake.finish(&id, 0);
    server.accept("other").await;
    let foreign = told(&server, None).await[0].id.clone();
    for (path, last) in [(STREAM, "7"), (STREAM, ""), ("/api/v1/tasks/other/stream", foreign.as_str())] {
        let (status, code, message) = server.send(Method::GET, path, &[("last-event-id", last)], ()).await.fault();
        assert_eq!((status, code.as_str()), (400, "invalid_input"), "{last}");
        assert_eq!(message, "Last-Event-ID is not the id of anything that the stream of this task has told");
    }
    assert_eq!(server.get("/api/v1/tasks/none/stream").await.fault().0, 404);
    assert_eq!(server.get("/api/v1/tasks/t/stream?follow=true").await.fault().0, 400);
}
