//! Output as it comes: followed as bytes, streamed as events, over restarts of the server, and on the command line.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::thread;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::{Server, eventually, sh, signal};

/// An answer whose body is read as it comes.
fn open(server: &Server, path: &str, headers: &[(&str, &str)]) -> ureq::http::Response<ureq::Body> {
    let request = ureq::get(format!("{}{path}", server.url)).config().http_status_as_error(false).build();
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.call().expect("answered")
}

/// Numbered lines, so that what is missing, repeated or out of order is seen.
fn numbers(count: usize) -> String {
    (1..=count).map(|number| format!("{number}\n")).collect()
}

#[test]
fn each_of_many_followers_gets_every_byte_once_and_in_order() {
    const LINES: usize = 200_000;
    let server = Server::start();
    let id = server.submit_sh(&format!("sleep 0.3; seq 1 {LINES}; seq 1 {LINES} >&2"));
    let expected = numbers(LINES);
    let read = |stream: &str| {
        let response = open(&server, &format!("/api/v1/tasks/{id}/{stream}?follow=true"), &[]);
        let mut text = String::new();
        response.into_body().into_reader().read_to_string(&mut text).expect("whole");
        text
    };
    let read = &read;
    thread::scope(|scope| {
        let clients: Vec<_> =
            (0..10).map(|n| scope.spawn(move || read(if n % 2 == 0 { "stdout" } else { "stderr" }))).collect();
        for client in clients {
            assert!(client.join().expect("no panic") == expected);
        }
    });
}

#[test]
fn output_is_given_as_bytes_also_by_range_and_after_a_restart() {
    let mut server = Server::start();
    let id = server.submit_sh(r"printf '0123\000\377'; printf err >&2");
    server.wait(&id);
    server.stop();
    server.restart();
    let read = |path: &str, headers: &[(&str, &str)]| {
        let response = open(&server, &format!("/api/v1/tasks/{id}/{path}"), headers);
        let status = response.status().as_u16();
        let mut bytes = Vec::new();
        response.into_body().into_reader().read_to_end(&mut bytes).expect("whole");
        (status, bytes)
    };
    assert_eq!(read("stdout", &[]), (200, b"0123\0\xff".to_vec()));
    assert_eq!(read("stderr", &[("range", "bytes=1-")]), (206, b"rr".to_vec()));
    std::fs::remove_file(server.task_dir(&id).join("stdout.log")).expect("removed");
    std::os::unix::fs::symlink("/etc/passwd", server.task_dir(&id).join("stdout.log")).expect("linked");
    assert_eq!(read("stdout", &[]), (200, Vec::new()), "no link is followed");
}

/// The next event of a stream, `None` at its end: name, id, data.
fn next(stream: &mut impl BufRead) -> Option<(String, String, Value)> {
    let (mut name, mut id) = (String::new(), String::new());
    loop {
        let mut line = String::new();
        // A server that was killed breaks off.
        if stream.read_line(&mut line).unwrap_or(0) == 0 {
            return None;
        }
        let line = line.trim_end();
        if let Some(value) = line.strip_prefix("event: ") {
            value.clone_into(&mut name);
        } else if let Some(value) = line.strip_prefix("id: ") {
            value.clone_into(&mut id);
        } else if let Some(data) = line.strip_prefix("data: ") {
            return Some((name, id, serde_json::from_str(data).expect("JSON")));
        }
    }
}

#[test]
fn a_stream_goes_on_where_it_was_after_the_server_was_killed() {
    let mut server = Server::start();
    let id = server.submit_sh("seq 1 20000; until [ -e go ]; do sleep 0.02; done; seq 20001 40000; exit 3");
    let path = format!("/api/v1/tasks/{id}/stream");
    let (mut output, mut events, mut last) = (String::new(), Vec::new(), String::new());
    let mut ends = Vec::new();
    let mut take = |(name, id, data): (String, String, Value)| {
        last = id;
        match name.as_str() {
            "output" => {
                assert_eq!(data["offset"], json!(output.len()), "nothing is lost or repeated");
                output += data["data"].as_str().expect("text");
            }
            "event" => events.push(data["event_type"].as_str().expect("a type").to_owned()),
            "end" => ends.push(data["status"].clone()),
            _ => assert_eq!(name, "status"),
        }
        (output.len(), last.clone())
    };
    // Somewhere in the first half, and once more in the second.
    let mut stream = BufReader::new(open(&server, &path, &[]).into_body().into_reader());
    let mut at = (0, String::new());
    while at.0 < 30_000 {
        at = take(next(&mut stream).expect("more is to come"));
    }
    server.crash();
    std::fs::write(server.task_dir(&id).join("workspace/go"), "").expect("written");
    server.restart();
    let mut stream = BufReader::new(open(&server, &path, &[("last-event-id", &at.1)]).into_body().into_reader());
    while at.0 < 150_000 {
        at = take(next(&mut stream).expect("more is to come"));
    }
    drop(stream);
    let mut stream = BufReader::new(open(&server, &path, &[("last-event-id", &at.1)]).into_body().into_reader());
    while let Some(told) = next(&mut stream) {
        at = take(told);
    }
    assert!(output == numbers(40_000), "{} bytes", output.len());
    assert_eq!(events, server.event_types(&id), "each event once, in order");
    assert_eq!(ends, ["failed"]);
    assert_eq!(open(&server, &path, &[("last-event-id", &at.1)]).status().as_u16(), 204);
}

fn cli(server: &Server, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_execgo-runtime"));
    command.args(args).env("EXECGO_RUNTIME_URL", &server.url).env_remove("EXECGO_RUNTIME_OWNER");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn run_as_text_shows_output_while_the_task_runs_and_ctrl_c_kills_the_task() {
    let server = Server::start();
    let script = "echo err >&2; echo out; while :; do sleep 0.05; done";
    let mut child =
        cli(&server, &["run", "--output", "text", "--task-id", "t", "--owner", "ann", "--", "sh", "-c", script])
            .spawn()
            .expect("the program runs");
    let mut out = BufReader::new(child.stdout.take().expect("piped"));
    let mut line = String::new();
    out.read_line(&mut line).expect("read");
    assert_eq!(line, "out\n");
    // That it runs may be known a moment later than what it wrote.
    server.until_running("t");
    signal(child.id(), Signal::SIGINT);
    let mut rest = String::new();
    out.read_to_string(&mut rest).expect("read");
    let output = child.wait_with_output().expect("waited");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(err.contains("err\n") && err.contains("task t cancelled: cancelled"), "{err}");
    assert_eq!(server.status("t")["status"], "cancelled");
}

#[test]
fn logs_print_a_stream_byte_by_byte_and_follow_it_over_a_restart() {
    let mut server = Server::start();
    let id = server.submit_sh("echo 1; echo 2; echo e >&2; until [ -e go ]; do sleep 0.02; done; printf '3\\377'");
    server.until_output(&id, "2\n");
    let text = |args: &[&str]| cli(&server, args).output().expect("the program runs").stdout;
    assert_eq!(text(&["logs", &id]), b"1\n2\n");
    assert_eq!(text(&["logs", "--tail", "1", &id]), b"2\n");
    eventually("the other stream is written", || (text(&["logs", "--stderr", &id]) == b"e\n").then_some(()));
    let mut child = cli(&server, &["logs", "-f", "--tail", "1", &id]).spawn().expect("the program runs");
    let mut out = BufReader::new(child.stdout.take().expect("piped"));
    let mut line = String::new();
    out.read_line(&mut line).expect("read");
    assert_eq!(line, "2\n");
    let address = server.url.replace("http://", "");
    server.add_flag("--listen-addr");
    server.add_flag(&address);
    server.crash();
    server.restart();
    std::fs::write(server.task_dir(&id).join("workspace/go"), "").expect("written");
    let mut rest = Vec::new();
    out.read_to_end(&mut rest).expect("read");
    assert_eq!((rest.as_slice(), child.wait().expect("waited").code()), (&b"3\xff"[..], Some(0)));
    let gone = cli(&server, &["logs", "nobody"]).output().expect("the program runs");
    assert_eq!(gone.status.code(), Some(2), "{gone:?}");
}

#[test]
fn a_wait_for_output_ends_with_the_first_byte() {
    let server = Server::start();
    let id = server.submit(&sh("until [ -e go ]; do sleep 0.02; done; echo out; exec sleep 600"));
    server.until_running(&id);
    let status = thread::scope(|scope| {
        let wait = scope.spawn(|| server.get(&format!("/api/v1/tasks/{id}?wait_ms=60000&wait_for=output")));
        // The request may come before or behind that; either way the output comes behind the request or is waited out.
        thread::sleep(std::time::Duration::from_millis(300));
        std::fs::write(server.task_dir(&id).join("workspace/go"), "").expect("written");
        wait.join().expect("no panic").body
    });
    assert_eq!((&status["status"], &status["stdout"]), (&json!("running"), &json!("out\n")));
}
