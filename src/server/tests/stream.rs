//! The stream of a task: everything once and in order, also for a client that comes again.

use std::io::Write;
use std::time::Duration;

use http_body_util::BodyExt;
use http_body_util::combinators::BoxBody;
use hyper::body::Bytes;
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

impl Told {
    fn read(block: &str) -> Self {
        let lines: Vec<&str> = block.split('\n').collect();
        let [name, id, data] = lines[..] else { panic!("{block}") };
        let field = |line: &str, name: &str| line.strip_prefix(name).expect(name).to_owned();
        let data = serde_json::from_str(&field(data, "data: ")).expect("JSON");
        Self { name: field(name, "event: "), id: field(id, "id: "), data }
    }
}

fn read(answer: &Answer) -> Vec<Told> {
    assert_eq!(answer.headers["content-type"], "text/event-stream", "{}", answer.text);
    answer.text.split_terminator("\n\n").filter(|block| !block.starts_with(':')).map(Told::read).collect()
}

/// A stream, read event by event.
struct Live(BoxBody<Bytes, std::io::Error>);

impl Live {
    async fn open(server: &Server) -> Self {
        let request = poem::Request::builder().uri_str(STREAM).finish();
        Self(server.edge.answer(request).await.into_body().into())
    }

    /// Each comes in a piece of its own.
    async fn next(&mut self) -> Told {
        let frame = tokio::time::timeout(Duration::from_secs(20), self.0.frame()).await.expect("told in time");
        let bytes = frame.expect("not the end").expect("whole").into_data().expect("data");
        Told::read(std::str::from_utf8(&bytes).expect("text").trim_end())
    }

    async fn expect(&mut self, story_of: &[&str]) {
        for expected in story_of {
            assert_eq!(story(&[self.next().await]), [*expected]);
        }
    }
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
    let mut live = Live::open(&server).await;
    live.expect(&["submitted", "accepted", "planned", "status accepted"]).await;
    std::fs::create_dir_all(server.dir.path().join("tasks/t")).expect("a directory");
    write(&server, "stdout", b"");
    server.fake.start(&id);
    live.expect(&["resource_reserved", "started", "status running"]).await;
    write(&server, "stdout", b"one");
    live.expect(&["stdout@0 one"]).await;
    write(&server, "stdout", b"two");
    live.expect(&["stdout@3 two"]).await;
    server.fake.finish(&id, 0);
    live.expect(&["resource_released", "finished", "status success", "end success"]).await;
    assert!(live.0.frame().await.is_none(), "nothing follows");
    assert!(!server.fake.waits_for(&id), "the subscription ended with the stream");
}

#[tokio::test]
async fn no_character_is_divided_and_what_is_no_text_is_base64() {
    let server = Server::new();
    let id = running(&server).await;
    let character = "日".as_bytes();
    let mut live = Live::open(&server).await;
    while live.next().await.name != "status" {}
    let piece = |offset: u64, data: &str, encoding: &str| json!({"stream": "stdout", "offset": offset, "data": data, "encoding": encoding});
    write(&server, "stdout", &[b"a", &character[..2]].concat());
    assert_eq!(live.next().await.data, piece(0, "a", "utf-8"));
    write(&server, "stdout", &character[2..]);
    assert_eq!(live.next().await.data, piece(1, "日", "utf-8"));
    write(&server, "stdout", b"\xff\x00");
    assert_eq!(live.next().await.data, piece(4, "/wA=", "base64"));
    // Half a character is the last that comes.
    write(&server, "stdout", &character[..2]);
    server.fake.finish(&id, 0);
    assert_eq!(live.next().await.data, piece(6, "5pc=", "base64"));
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
