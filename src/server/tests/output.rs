//! Raw output: parts of it, its last lines, and following it.

use std::io::Write;

use poem::http::Method;
use serde_json::json;

use super::{Answer, Server};
use crate::task::TaskId;

const STDOUT: &str = "/api/v1/tasks/t/stdout";

/// A running task.
async fn running(server: &Server) -> TaskId {
    let id = server.accept("t").await;
    std::fs::create_dir_all(server.dir.path().join("tasks/t")).expect("a directory");
    write(server, "stdout.log", "");
    write(server, "stderr.log", "");
    server.fake.start(&id);
    id
}

/// Appends, as the shim does.
fn write(server: &Server, name: &str, text: &str) {
    let path = server.dir.path().join("tasks/t").join(name);
    let file = std::fs::File::options().append(true).create(true).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).expect("written");
}

async fn get(server: &Server, path: &str, headers: &[(&str, &str)]) -> Answer {
    server.send(Method::GET, path, headers, ()).await
}

fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.headers.get(name).map_or("", |value| value.to_str().expect("text"))
}

#[tokio::test]
async fn a_stream_is_given_as_it_is() {
    let server = Server::new();
    running(&server).await;
    write(&server, "stdout.log", "out\r\n\0");
    write(&server, "stderr.log", "err");
    let answer = server.get(STDOUT).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, "out\r\n\0"));
    let shown = ["content-type", "content-length", "accept-ranges", "x-execgo-offset", "etag"];
    assert_eq!(shown.map(|name| header(&answer, name)), ["application/octet-stream", "6", "bytes", "0", ""]);
    assert_eq!(server.get("/api/v1/tasks/t/stderr").await.text, "err");
    let head = server.send(Method::HEAD, STDOUT, &[("range", "bytes=1-2")], ()).await;
    assert_eq!((head.status.as_u16(), header(&head, "content-length"), head.text.as_str()), (200, "6", ""));
    let large = "0123456789".repeat(20_000);
    write(&server, "stderr.log", &large);
    assert!(server.get("/api/v1/tasks/t/stderr").await.text == format!("err{large}"), "in many pieces");
}

#[tokio::test]
async fn a_task_without_a_log_has_no_output_and_a_stranger_is_not_found() {
    let server = Server::new();
    server.accept("t").await;
    for path in [STDOUT, "/api/v1/tasks/t/stderr", "/api/v1/tasks/t/stdout?tail_lines=3"] {
        let answer = server.get(path).await;
        assert_eq!((answer.status.as_u16(), header(&answer, "content-length"), answer.text.as_str()), (200, "0", ""));
    }
    assert_eq!(server.get("/api/v1/tasks/none/stdout").await.fault().1, "not_found");
    std::fs::create_dir_all(server.dir.path().join("tasks/t")).expect("a directory");
    std::os::unix::fs::symlink("/etc/passwd", server.dir.path().join("tasks/t/stdout.log")).expect("linked");
    assert_eq!(server.get(STDOUT).await.text, "", "no link is followed");
}

#[tokio::test]
async fn one_range_is_given_and_what_is_no_range_is_ignored() {
    let server = Server::new();
    running(&server).await;
    write(&server, "stdout.log", "0123456789");
    for (range, part, told) in [
        ("bytes=0-3", "0123", "bytes 0-3/10"),
        ("bytes=4-", "456789", "bytes 4-9/10"),
        ("bytes=-3", "789", "bytes 7-9/10"),
        ("bytes=8-99", "89", "bytes 8-9/10"),
        ("bytes=-99", "0123456789", "bytes 0-9/10"),
    ] {
        let answer = get(&server, STDOUT, &[("range", range)]).await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (206, part), "{range}");
        assert_eq!(header(&answer, "content-range"), told);
        assert_eq!(header(&answer, "content-length"), part.len().to_string());
        assert!(told.starts_with(&format!("bytes {}-", header(&answer, "x-execgo-offset"))), "{range}");
    }
    for range in ["bytes=0-1,4-5", "lines=1-2", "bytes=4-2", "bytes=x", "0-3"] {
        let answer = get(&server, STDOUT, &[("range", range)]).await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, "0123456789"), "{range}");
    }
    for range in ["bytes=10-", "bytes=99999999999999999999-", "bytes=-0"] {
        let answer = get(&server, STDOUT, &[("range", range)]).await;
        assert_eq!((answer.fault().0, answer.fault().1.as_str()), (416, "range_not_satisfiable"), "{range}");
        assert_eq!(header(&answer, "content-range"), "bytes */10");
        assert_eq!(answer.json()["error"]["details"], json!({"length": 10}));
    }
}

#[tokio::test]
async fn the_tag_of_an_ended_tasks_output_guards_a_range() {
    let server = Server::new();
    let id = running(&server).await;
    write(&server, "stdout.log", "0123456789");
    // While it may grow nothing can be said of it.
    let range = ("range", "bytes=4-5");
    assert_eq!(get(&server, STDOUT, &[range, ("if-range", "\"a-b\"")]).await.status, 200);
    server.fake.finish(&id, 0);
    let whole = server.get(STDOUT).await;
    let etag = header(&whole, "etag");
    assert!(etag.starts_with('"') && etag.len() > 4, "{etag}");
    let part = get(&server, STDOUT, &[range, ("if-range", etag)]).await;
    assert_eq!((part.status.as_u16(), part.text.as_str(), header(&part, "etag")), (206, "45", etag));
    for other in ["\"a-b\"", "W/\"a-b\"", "Wed, 21 Oct 2026 07:28:00 GMT"] {
        let answer = get(&server, STDOUT, &[range, ("if-range", other)]).await;
        assert_eq!((answer.status.as_u16(), answer.text.len()), (200, 10), "{other}");
    }
}

#[tokio::test]
async fn the_last_lines_are_found() {
    let server = Server::new();
    running(&server).await;
    write(&server, "stdout.log", "one\ntwo\nthree\n");
    for (lines, text, offset) in [("2", "two\nthree\n", "4"), ("0", "", "14"), ("99", "one\ntwo\nthree\n", "0")] {
        let answer = server.get(&format!("{STDOUT}?tail_lines={lines}")).await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, text));
        assert_eq!(header(&answer, "x-execgo-offset"), offset);
    }
    for (query, message) in [
        ("tail_lines=-1", "tail_lines must be an integer from 0 to 9007199254740991, not \"-1\""),
        ("tail_lines=all", "tail_lines must be an integer from 0 to 9007199254740991, not \"all\""),
        ("follow=1", "follow must be `true` or `false`, not \"1\""),
        ("tail=1", "tail is not a known query parameter; allowed here are tail_lines, follow"),
    ] {
        assert_eq!(server.get(&format!("{STDOUT}?{query}")).await.fault().2, message);
    }
    let both = get(&server, &format!("{STDOUT}?tail_lines=1"), &[("range", "bytes=0-")]).await;
    assert_eq!(both.fault().2, "tail_lines cannot be combined with the header Range");
}

/// An answer whose beginning is decided, and whose body is still to come.
async fn begun(server: &Server, query: &str, headers: &[(&str, &str)]) -> poem::Response {
    let request = poem::Request::builder().uri_str(format!("{STDOUT}?follow=true{query}"));
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    server.edge.answer(request.finish()).await
}

/// All of it; it ends with the task.
async fn whole(response: poem::Response) -> Answer {
    let whole = tokio::time::timeout(std::time::Duration::from_secs(20), Answer::of(response));
    whole.await.expect("it ends with the task")
}

async fn followed(server: &Server, query: &str, headers: &[(&str, &str)]) -> Answer {
    whole(begun(server, query, headers).await).await
}

#[tokio::test]
async fn a_follow_gives_what_is_there_and_what_comes_and_ends_with_the_task() {
    let server = Server::new();
    let id = running(&server).await;
    write(&server, "stdout.log", "0\n1\n");
    let response = begun(&server, "", &[]).await;
    let steps = async {
        write(&server, "stdout.log", "2\n");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        write(&server, "stdout.log", "3\n");
        server.fake.finish(&id, 0);
    };
    let (answer, ()) = tokio::join!(whole(response), steps);
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, "0\n1\n2\n3\n"));
    assert_eq!(header(&answer, "content-length"), "", "nobody knows how much will come");
    assert_eq!(followed(&server, "&tail_lines=2", &[]).await.text, "2\n3\n", "also of an ended task");
}

#[tokio::test]
async fn a_follow_begins_where_it_is_told_also_behind_the_end() {
    let server = Server::new();
    let id = running(&server).await;
    write(&server, "stdout.log", "0123");
    let middle = begun(&server, "", &[("range", "bytes=2-")]).await;
    let end = begun(&server, "", &[("range", "bytes=4-")]).await;
    let beyond = begun(&server, "", &[("range", "bytes=6-7")]).await;
    let tail = begun(&server, "&tail_lines=0", &[]).await;
    write(&server, "stdout.log", "456789");
    server.fake.finish(&id, 0);
    let (middle, end, beyond, tail) = tokio::join!(whole(middle), whole(end), whole(beyond), whole(tail));
    assert_eq!((middle.status.as_u16(), middle.text.as_str()), (206, "23456789"));
    assert_eq!(header(&middle, "content-range"), "bytes 2-9007199254740991/*");
    assert_eq!((end.status.as_u16(), end.text.as_str()), (206, "456789"));
    assert_eq!((beyond.text.as_str(), header(&beyond, "content-range")), ("67", "bytes 6-7/*"));
    assert_eq!((tail.status.as_u16(), tail.text.as_str(), header(&tail, "x-execgo-offset")), (200, "456789", "4"));
    let late = followed(&server, "", &[("range", "bytes=10-")]).await;
    assert_eq!((late.fault().0, header(&late, "content-range")), (416, "bytes */10"), "nothing comes any more");
}

#[tokio::test]
async fn a_follow_waits_for_the_start_and_ends_when_there_is_none() {
    let server = Server::new();
    let id = server.accept("t").await;
    let response = begun(&server, "", &[]).await;
    let steps = async {
        std::fs::create_dir_all(server.dir.path().join("tasks/t")).expect("a directory");
        write(&server, "stdout.log", "");
        server.fake.start(&id);
        write(&server, "stdout.log", "first");
        server.fake.finish(&id, 0);
    };
    let (answer, ()) = tokio::join!(whole(response), steps);
    assert_eq!(answer.text, "first");
    let server = Server::new();
    server.accept("t").await;
    let response = begun(&server, "", &[]).await;
    server.post("/api/v1/tasks/t/kill", "{}").await;
    assert_eq!(whole(response).await.text, "");
}
