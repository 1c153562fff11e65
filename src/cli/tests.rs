//! The verbs from the command line to the exit code, against a fake server.

use clap::CommandFactory;
use serde_json::{Value, json};

use super::testing::Canned::{Answer, Broken, HangUp, Held, Stream};
use super::testing::{Canned, FakeServer};
use super::*;

const ACCEPTED: Canned = Answer(200, r#"{"task_id":"t1","handle_id":"t1","status":"accepted","later":1.50}"#);
const RUNNING: Canned = Answer(200, r#"{"task_id":"t1","status":"running"}"#);
const SUCCESS: Canned = Answer(200, r#"{"zeta":1,"task_id":"t1","status":"success","exit_code":0,"alpha":1e2}"#);
const FAILED: Canned = Answer(
    200,
    r#"{"task_id":"t1","status":"failed","exit_code":3,"duration_ms":12,"stdout":"out\n","stderr":"err\n",
"stdout_truncated":true,"stderr_truncated":false,"error":{"code":"exit_non_zero","message":"exited with 3"},
"artifacts":{"task_dir":"/d","stdout_path":"/d/stdout.log"},"execution_plan":{"fallback_reasons":["no cgroup"]}}"#,
);
const MISSING: Canned = Answer(404, r#"{"error":{"code":"not_found","message":"no task t1","details":null}}"#);
const AWAY: Canned = Answer(503, r#"{"error":{"code":"unavailable","message":"draining","details":null}}"#);

/// What a verb did.
struct Ran {
    exit: Exit,
    out: String,
    err: String,
}

fn parse(args: &[&str]) -> Result<Cli, clap::Error> {
    Cli::try_parse_from([&["execgo-runtime"], args].concat())
}

fn run(args: &[&str]) -> Ran {
    let Verb::Client(verb) = parse(args).expect("good usage").verb else { panic!("serve does not end") };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit = verb.run(&mut Console::new(&mut out, &mut err));
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Ran { exit, out: text(out), err: text(err) }
}

fn run_at(server: &FakeServer, args: &[&str]) -> Ran {
    let at = ["--server", server.url.as_str()];
    run(&[&args[..1], &at, &args[1..]].concat())
}

/// What `submit` with these arguments posts.
fn posted(args: &[&str]) -> Value {
    let server = FakeServer::new(&[ACCEPTED]);
    assert_eq!(run_at(&server, &[&["submit"], args].concat()).exit, Exit::Success);
    let request = server.requests().remove(0);
    let body = request.strip_prefix("POST /api/v1/tasks [content-type: application/json] ").expect(&request);
    serde_json::from_str(body).expect("JSON")
}

#[test]
fn the_command_line_is_well_formed() {
    Cli::command().debug_assert();
}

#[test]
fn the_answer_is_printed_as_the_server_wrote_it() {
    for (args, answer) in [
        (&["submit", "--json", "{}"][..], ACCEPTED),
        (&["status", "t1"], FAILED),
        (&["status", "--request", "t1"], Answer(200, r#"{"task_id":"t1","execution":{}}"#)),
        (&["kill", "t1"], SUCCESS),
        (&["events", "t1"], Answer(200, "[{\"seq\":1,\"new\":null}]\n")),
        (&["wait", "t1"], SUCCESS),
    ] {
        let ran = run_at(&FakeServer::new(&[answer]), args);
        let Answer(_, text) = answer else { panic!("an answer") };
        assert_eq!(ran.out.trim_end_matches('\n'), text.trim_end_matches('\n'));
        assert!(ran.out.ends_with('\n') && !ran.out.ends_with("\n\n"));
        assert_eq!((ran.exit, ran.err.as_str()), (Exit::Success, ""), "{args:?}");
    }
}

#[test]
fn requests_are_what_the_api_expects() {
    let server = FakeServer::new(&[SUCCESS]);
    run_at(&server, &["status", "a b/.."]);
    run_at(&server, &["kill", "t1", "--owner", "zoé"]);
    run_at(&server, &["events", "t1"]);
    run_at(&server, &["delete", "t1", "--owner", "zoé"]);
    run_at(&server, &["kill", "--label", "a=b", "--owner", "o"]);
    run_at(&server, &["kill", "--all"]);
    run_at(&server, &["status", "t1", "--request"]);
    run_at(&server, &["wait", "t1", "--timeout-ms", "0"]);
    run_at(&server, &["wait", "t1"]);
    assert_eq!(
        server.requests(),
        [
            "GET /api/v1/tasks/a%20b%2F..",
            "POST /api/v1/tasks/t1/kill [x-execgo-owner: zoé]",
            "GET /api/v1/tasks/t1/events",
            "DELETE /api/v1/tasks/t1 [x-execgo-owner: zoé]",
            "POST /api/v1/tasks/kill [x-execgo-owner: o] [content-type: application/json] \
             {\"labels\":{\"a\":\"b\"}}",
            "POST /api/v1/tasks/kill [content-type: application/json] {\"all\":true}",
            "GET /api/v1/tasks/t1/request",
            "GET /api/v1/tasks/t1?wait_ms=0",
            "GET /api/v1/tasks/t1?wait_ms=60000",
        ]
    );
}

#[test]
fn a_list_asks_for_page_after_page_until_it_has_enough_or_there_is_no_more() {
    const EMPTY: Canned = Answer(200, r#"{"tasks":[],"next_cursor":"1.2.3"}"#);
    const FIRST: Canned =
        Answer(200, r#"{"tasks":[{"task_id":"b","status":"failed","error":{"code":"timeout"}}],"next_cursor":"4"}"#);
    const LAST: Canned = Answer(200, r#"{"tasks":[{"task_id":"a","status":"success","exit_code":0,"duration_ms":7}]}"#);
    let server = FakeServer::new(&[EMPTY, FIRST, LAST]);
    let args = "list --status running,failed --label a=b=c --tenant t --owner o --kind script --created-after 2026-01-01T00:00:00Z \
                -q x&y --oldest-first --all";
    let ran = run_at(&server, &args.split_whitespace().collect::<Vec<_>>());
    let rows: Vec<Value> = ran.out.lines().map(|line| serde_json::from_str(line).expect("a row a line")).collect();
    assert_eq!((ran.exit, rows.len(), &rows[1]["task_id"]), (Exit::Success, 2, &json!("a")), "{}", ran.err);
    let query = "tenant=t&kind=script&created_after=2026-01-01T00%3A00%3A00Z&q=x%26y&label.a=b%3Dc&status=running%2Cfailed\
                 &owner=o&sort=created_at&limit=1000";
    let path = |cursor: &str| format!("GET /api/v1/tasks?{query}{cursor}");
    assert_eq!(server.requests(), [path(""), path("&cursor=1.2.3"), path("&cursor=4")]);

    let server = FakeServer::new(&[FIRST, LAST]);
    let ran = run_at(&server, &["list", "--limit", "1", "--output", "text"]);
    assert!(ran.out.starts_with("TASK ") && ran.out.contains("b ") && ran.out.ends_with("timeout\n"), "{}", ran.out);
    assert_eq!(server.requests(), ["GET /api/v1/tasks?limit=1"]);
}

#[test]
fn a_request_with_a_key_is_sent_again_and_one_without_is_not() {
    let server = FakeServer::new(&[HangUp, AWAY, ACCEPTED]);
    let ran = run_at(&server, &["submit", "--idempotency-key", "k-1", "--json", "{}"]);
    assert_eq!(ran.exit, Exit::Success, "{}", ran.err);
    let requests = server.requests();
    assert_eq!(requests.len(), 3);
    for request in &requests {
        let (head, body) = request.rsplit_once(' ').expect("a body");
        assert!(head.starts_with("POST /api/v1/tasks ") && head.contains("[idempotency-key: k-1]"), "{request}");
        assert_eq!(body, "{}");
    }
    let server = FakeServer::new(&[HangUp, ACCEPTED]);
    assert_eq!(run_at(&server, &["submit", "--json", "{}"]).exit, Exit::Refused);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_filter_kills_in_the_place_of_an_id_and_its_victims_are_told() {
    const KILLED: Canned = Answer(200, r#"{"killed":["b","a"]}"#);
    let ran = run_at(&FakeServer::new(&[KILLED]), &["kill", "--all", "--output", "text"]);
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Success, "b\na\n"));
    assert!(parse(&["kill"]).is_err(), "neither");
    for flag in [&["--all"][..], &["--label", "a=b"], &["-q", "x"], &["--status", "running"]] {
        assert!(parse(&[&["kill", "t1"], flag].concat()).is_err(), "{flag:?}");
    }
}

#[test]
fn the_events_of_all_tasks_go_on_where_the_server_broke_off() {
    const GONE: Canned =
        Answer(400, r#"{"error":{"code":"invalid_input","message":"Last-Event-ID is none","details":null}}"#);
    let first = Broken(": from here on\nid: 6\n\nevent: event\nid: 7\ndata: {\"seq\":7,\"task_id\":\"a\"}\n\n");
    let second =
        Stream(": from here on\nid: 7\n\n: keep-alive\nid: 11\n\nevent: event\nid: 12\ndata: {\"seq\":12}\n\n");
    let server = FakeServer::new(&[first, second, GONE]);
    let ran = run_at(&server, &["events", "--tenant", "t", "--type", "failed,cancelled"]);
    assert_eq!(ran.exit, Exit::Refused);
    let events: Vec<Value> = ran.out.lines().map(|line| serde_json::from_str(line).expect("an event a line")).collect();
    assert_eq!(events, [json!({"seq": 7, "task_id": "a"}), json!({"seq": 12})]);
    let path = "GET /api/v1/events?tenant=t&event_type=failed%2Ccancelled";
    assert_eq!(
        server.requests(),
        [path.to_owned(), format!("{path} [last-event-id: 7]"), format!("{path} [last-event-id: 12]")]
    );
    let server = FakeServer::new(&[second, GONE]);
    let ran = run_at(&server, &["events", "--since", "0", "--output", "text"]);
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Refused, " 12\n"));
    assert_eq!(server.requests()[0], "GET /api/v1/events [last-event-id: 0]");
}

#[test]
fn a_watched_status_is_told_at_each_change_until_the_end() {
    let told = Stream(
        "event: event\nid: 1\ndata: {\"seq\":1}\n\nevent: status\nid: 2\ndata: {\"task_id\":\"t1\",\"status\":\"running\"}\n\n\
         event: output\nid: 3\ndata: {\"stream\":\"stdout\",\"data\":\"x\",\"encoding\":\"utf-8\"}\n\n\
         event: status\nid: 4\ndata: {\"status\":\"failed\"}\n\nevent: end\nid: 5\ndata: {}\n\n",
    );
    let ran = run_at(&FakeServer::new(&[told]), &["status", "--watch", "t1"]);
    assert_eq!(ran.exit, Exit::Success, "{}", ran.err);
    let rows: Vec<Value> = ran.out.lines().map(|line| serde_json::from_str(line).expect("a row a line")).collect();
    assert_eq!(rows, [json!({"task_id": "t1", "status": "running"}), json!({"status": "failed"})]);
    let ran = run_at(&FakeServer::new(&[MISSING]), &["status", "--watch", "t1"]);
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Refused, ""));
}

#[test]
fn json_is_sent_as_it_is_from_the_argument_or_a_file() {
    let request = json!({"execution": {"kind": "command", "program": "true"}, "unknown": 1.5});
    assert_eq!(posted(&["--json", &request.to_string()]), request);
    let file = tempfile::NamedTempFile::new().expect("temporary file");
    std::fs::write(file.path(), request.to_string()).expect("writable");
    assert_eq!(posted(&["--file", file.path().to_str().expect("UTF-8")]), request);
}

#[test]
fn a_batch_is_made_of_an_array_or_of_one_request_behind_the_other_as_they_are() {
    const MIXED: Canned = Answer(
        200,
        r#"{"results":[{"task_id":"t1","handle_id":"t1","status":"accepted"},{"error":{"code":"conflict","message":"no","details":null}}]}"#,
    );
    let file = tempfile::NamedTempFile::new().expect("temporary file");
    let path = file.path().to_str().expect("UTF-8");
    for text in [r#"[{"a":1}, {"a": 1.50}]"#, "{\"a\":1}\n{\"a\": 1.50}\n", r#"{"a":1}{"a": 1.50}"#] {
        std::fs::write(path, text).expect("writable");
        let server = FakeServer::new(&[MIXED]);
        let ran = run_at(&server, &["batch", "--file", path, "--output", "text"]);
        let request = server.requests().remove(0).replace(", ", ",");
        let expected = r#"POST /api/v1/tasks/batch [content-type: application/json] {"tasks":[{"a":1},{"a": 1.50}],"atomic":false}"#;
        assert_eq!(request, expected);
        assert_eq!((ran.exit, ran.out.as_str()), (Exit::Refused, "t1\n"));
        assert!(ran.err.contains("conflict: no"), "{}", ran.err);
    }
    std::fs::write(path, "{} no").expect("writable");
    let ran = run(&["batch", "--file", path]);
    assert!(ran.exit == Exit::Refused && ran.err.contains("is not valid JSON"), "{}", ran.err);
}

#[test]
fn the_short_form_says_only_what_was_given() {
    assert_eq!(posted(&["--", "true"]), json!({"execution": {"kind": "command", "program": "true", "args": []}}));
    let all = posted(
        &"--task-id t --env A=1 --env B=x=y --wall-time-ms 5 --memory-bytes 6 --cpu-time-sec 7 --pids-max 8 --cpu-millis 9 \
          --profile linux_sandbox --cwd-subdir sub --tenant acme --owner me --label k=v -- ls -l --env"
            .split_whitespace()
            .collect::<Vec<_>>(),
    );
    let wanted = json!({
        "task_id": "t",
        "execution": {"kind": "command", "program": "ls", "args": ["-l", "--env"], "env": {"A": "1", "B": "x=y"}},
        "limits": {"wall_time_ms": 5, "memory_bytes": 6, "cpu_time_sec": 7, "pids_max": 8, "cpu_millis": 9},
        "sandbox": {"profile": "linux_sandbox", "workspace_subdir": "sub"},
        "control_context": {"tenant": "acme", "owner": "me", "labels": {"k": "v"}},
    });
    assert_eq!(all, wanted);
}

#[test]
fn a_schedule_is_given_by_times_and_by_how_long_from_now() {
    let args = "--priority -5 --start-after 2026-11-25T02:00:00+01:00 --depends-on a --depends-on b:end -- true";
    let wanted = json!({
        "priority": -5,
        "start_after": "2026-11-25T01:00:00.000Z",
        "depends_on": [{"task_id": "a"}, {"task_id": "b", "on": "end"}],
    });
    assert_eq!(posted(&args.split_whitespace().collect::<Vec<_>>())["schedule"], wanted);
    let soon = posted(&["--start-after", "10m", "--expires-at", "1h", "--", "true"])["schedule"].clone();
    let from_now = |name: &str| {
        let time = crate::task::Timestamp::parse(soon[name].as_str().expect("a time")).expect("of RFC 3339");
        (time.as_millis() - crate::task::Timestamp::now().as_millis()).unsigned_abs()
    };
    assert!(from_now("start_after").abs_diff(600_000) < 60_000 && from_now("expires_at").abs_diff(3_600_000) < 60_000);
}

#[test]
fn bad_usage_is_told_and_ends_with_2() {
    for args in [
        &["submit"][..],
        &["submit", "--json", "{}", "--file", "x"],
        &["submit", "--json", "{}", "--", "true"],
        &["run", "--json", "{}", "--env", "A=1"],
        &["submit", "--env", "A", "--", "true"],
        &["submit", "--start-after", "soon", "--", "true"],
        &["submit", "--depends-on", "a:failure", "--", "true"],
        &["kill", "t1", "--signal", "STOP"],
        &["submit", "true"],
        &["status", ""],
        &["status"],
        &["wait", "t1", "--poll-interval-ms", "0"],
        &["wait", "t1", "--timeout-ms", "-1"],
        &["frobnicate"],
    ] {
        assert_eq!(parse(args).expect_err("bad usage").exit_code(), 2, "{args:?}");
    }
    for (args, told) in [
        (&["submit", "--json", "{"][..], "error: --json is not valid JSON: EOF"),
        (&["submit", "--file", "/nonexistent"], "error: --file /nonexistent cannot be read: No such file"),
        (&["status", "t1", "--server", "unix:"], "error: --server \"unix:\" is not an address"),
        (&["kill", "t1", "--owner", "a\nb"], "error: --owner holds a character"),
    ] {
        let ran = run(args);
        assert_eq!((ran.exit, ran.out.as_str()), (Exit::Refused, ""));
        assert!(ran.err.starts_with(told), "{}", ran.err);
    }
}

#[test]
fn refusals_are_told_by_code_and_message() {
    let refused = run_at(&FakeServer::new(&[MISSING]), &["status", "t1"]);
    assert_eq!((refused.exit, refused.out.as_str()), (Exit::Refused, ""));
    assert_eq!(refused.err, "error: not_found: no task t1\n");
    for odd in [Answer(200, "<html>"), Answer(502, "bad gateway"), Answer(404, r#"{"detail":"x"}"#)] {
        let stranger = run_at(&FakeServer::new(&[odd]), &["status", "t1"]);
        assert_eq!(stranger.exit, Exit::Refused);
        assert!(stranger.err.contains("is no execgo-runtime"), "{}", stranger.err);
    }
    let away = run_at(&FakeServer::new(&[HangUp]), &["submit", "--json", "{}"]);
    assert_eq!(away.exit, Exit::Refused);
    assert!(away.err.starts_with("error: cannot reach http://127.0.0.1:"), "{}", away.err);
}

#[test]
fn the_exit_code_follows_the_end_of_the_task() {
    let verdict = |status: &str| summary::verdict(&json!({ "status": status }));
    assert_eq!(verdict("success"), Some(Exit::Success));
    assert_eq!(verdict("failed"), Some(Exit::Failed));
    assert_eq!(verdict("cancelled"), Some(Exit::Failed));
    assert_eq!([verdict("accepted"), verdict("running"), verdict("paused")], [None; 3]);
    assert_eq!(summary::verdict(&json!([])), None);
    assert_eq!([Exit::Success, Exit::Failed, Exit::Refused, Exit::TimedOut].map(Exit::code), [0, 1, 2, 3]);
}

#[test]
fn run_submits_waits_and_prints_the_end() {
    let server = FakeServer::new(&[ACCEPTED, RUNNING, FAILED]);
    let ran = run_at(&server, &["run", "--poll-interval-ms", "1", "--", "false"]);
    assert_eq!(ran.exit, Exit::Failed);
    assert!(ran.out.starts_with(r#"{"task_id":"t1","status":"failed""#), "{}", ran.out);
    assert_eq!(server.requests().len(), 3);
    let refused = run_at(&FakeServer::new(&[MISSING]), &["run", "--", "false"]);
    assert_eq!(refused.exit, Exit::Refused);
}

#[test]
fn run_as_text_shows_the_tasks_output_as_it_comes_over_a_restart() {
    const FIRST: &str = "event: output\nid: 1\ndata: {\"stream\":\"stdout\",\"offset\":0,\"data\":\"out\",\"encoding\":\"utf-8\"}\n\n\
        event: output\nid: 2\ndata: {\"stream\":\"stderr\",\"offset\":0,\"data\":\"err\\n\",\"encoding\":\"utf-8\"}\n\nevent: outp";
    const REST: &str = "event: output\nid: 3\ndata: {\"stream\":\"stdout\",\"offset\":3,\"data\":\"/wo=\",\"encoding\":\"base64\"}\n\n\
        event: status\nid: 4\ndata: {\"task_id\":\"t1\",\"status\":\"failed\",\"error\":{\"code\":\"exit_non_zero\",\"message\":\"exited with 3\"}}\n\n\
        event: end\nid: 5\ndata: {\"task_id\":\"t1\",\"status\":\"failed\"}\n\n";
    let server = FakeServer::new(&[ACCEPTED, Broken(FIRST), AWAY, Stream(""), Stream(REST)]);
    let args = ["run", "--server", &server.url, "--output", "text", "--poll-interval-ms", "1", "--", "false"];
    let Verb::Client(verb) = parse(&args).expect("good usage").verb else { panic!("serve does not end") };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    assert_eq!(verb.run(&mut Console::new(&mut out, &mut err)), Exit::Failed);
    assert_eq!(out, b"out\xff\n");
    let err = String::from_utf8(err).expect("text");
    let lines: Vec<&str> = err.lines().collect();
    assert!(lines.len() == 3 && lines[1].starts_with("waiting: "), "told once: {err}");
    assert_eq!([lines[0], lines[2]], ["err", "task t1 failed: exit_non_zero: exited with 3"]);
    let stream = "GET /api/v1/tasks/t1/stream";
    let again = format!("{stream} [last-event-id: 2]");
    assert_eq!(server.requests()[1..], [stream, &again, &again, &again]);
}

#[test]
fn run_as_text_may_run_out_of_time() {
    let server = FakeServer::new(&[ACCEPTED, Stream("event: status\nid: 1\ndata: {\"status\":\"running\"}\n\n")]);
    let ran =
        run_at(&server, &["run", "--output", "text", "--timeout-ms", "30", "--poll-interval-ms", "5", "--", "true"]);
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::TimedOut, ""));
    assert!(ran.err.ends_with("error: timed out: task t1 is still running\n"), "{}", ran.err);
}

#[test]
fn logs_are_copied_and_go_on_where_they_were_broken_off() {
    let server = FakeServer::new(&[Stream("one\n")]);
    let ran = run_at(&server, &["logs", "--tail", "1", "--stderr", "t1"]);
    assert_eq!((ran.exit, ran.out.as_str(), ran.err.as_str()), (Exit::Success, "one\n", ""));
    assert_eq!(server.requests(), ["GET /api/v1/tasks/t1/stderr?tail_lines=1"]);
    let server = FakeServer::new(&[Broken("one\n"), HangUp, Stream("two\n")]);
    let ran = run_at(&server, &["logs", "-f", "t1"]);
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Success, "one\ntwo\n"));
    assert_eq!(ran.err.lines().count(), 1, "told once: {}", ran.err);
    let again = "GET /api/v1/tasks/t1/stdout?follow=true [range: bytes=4-]";
    assert_eq!(server.requests(), ["GET /api/v1/tasks/t1/stdout?follow=true", again, again]);
    let nothing_more =
        Answer(416, r#"{"error":{"code":"range_not_satisfiable","message":"4 bytes","details":{"length":4}}}"#);
    let ended = run_at(&FakeServer::new(&[Broken("one\n"), nothing_more]), &["logs", "-f", "t1"]);
    assert_eq!((ended.exit, ended.out.as_str()), (Exit::Success, "one\n"));
    let broken = run_at(&FakeServer::new(&[Broken("one\n")]), &["logs", "t1"]);
    assert_eq!((broken.exit, broken.out.as_str()), (Exit::Refused, "one\n"), "{}", broken.err);
    assert_eq!(run_at(&FakeServer::new(&[MISSING]), &["logs", "-f", "t1"]).err, "error: not_found: no task t1\n");
}

#[test]
fn run_as_text_waits_where_the_server_knows_no_streams() {
    let ran = run_at(&FakeServer::new(&[ACCEPTED, MISSING, FAILED]), &["run", "--output", "text", "--", "false"]);
    assert_eq!(ran.out, "out\n");
    insta::assert_snapshot!(ran.err, @"
    task       t1
    status     failed (exit code 3)
    error      exit_non_zero: exited with 3
    took       12 ms
    degraded   no cgroup
    directory  /d
    err

    stdout is cut off here; all of it is in /d/stdout.log
    ");
}

#[test]
fn a_restarting_server_does_not_end_the_wait() {
    let server = FakeServer::new(&[RUNNING, HangUp, AWAY, Answer(502, "bad gateway"), SUCCESS]);
    let ran = run_at(&server, &["wait", "t1", "--timeout-ms", "60000", "--poll-interval-ms", "1"]);
    assert_eq!(ran.exit, Exit::Success);
    assert_eq!(ran.err.lines().count(), 1, "told once: {}", ran.err);
    assert!(ran.err.starts_with("waiting: cannot reach"), "{}", ran.err);
    let gone = run_at(&FakeServer::new(&[RUNNING, MISSING]), &["wait", "t1", "--poll-interval-ms", "1"]);
    assert_eq!(gone.exit, Exit::Refused);
}

#[test]
fn a_server_that_holds_the_question_is_asked_once() {
    let server = FakeServer::new(&[Held(40, r#"{"task_id":"t1","status":"running"}"#)]);
    let ran = run_at(&server, &["wait", "t1", "--timeout-ms", "30", "--poll-interval-ms", "1"]);
    assert_eq!(ran.exit, Exit::TimedOut);
    assert_eq!(server.requests().len(), 1, "{:?}", server.requests());
}

#[test]
fn a_wait_that_times_out_shows_the_status_and_ends_with_3() {
    let ran = run_at(&FakeServer::new(&[RUNNING]), &["wait", "t1", "--timeout-ms", "20", "--poll-interval-ms", "5"]);
    assert_eq!(ran.exit, Exit::TimedOut);
    assert_eq!(ran.out, "{\"task_id\":\"t1\",\"status\":\"running\"}\n");
    assert_eq!(ran.err, "error: timed out: task t1 is still running\n");
    let never = run_at(&FakeServer::new(&[HangUp]), &["wait", "t1", "--timeout-ms", "20", "--poll-interval-ms", "5"]);
    assert_eq!(never.exit, Exit::Refused, "a server that never answered is unreachable");
}

#[test]
fn text_is_for_people() {
    let submitted = run_at(&FakeServer::new(&[ACCEPTED]), &["submit", "--output", "text", "--", "true"]);
    assert_eq!(submitted.out, "t1\n");
    let status = run_at(&FakeServer::new(&[FAILED]), &["status", "--output", "text", "t1"]);
    insta::assert_snapshot!(status.out, @"
    task       t1
    status     failed (exit code 3)
    error      exit_non_zero: exited with 3
    took       12 ms
    degraded   no cgroup
    directory  /d
    ");
    let event = r#"[{"seq":4,"timestamp":"2025-01-01T00:00:00.000Z","event_type":"started"},{"seq":9,"timestamp":"2025-01-01T00:00:01.500Z","event_type":"finished","message":"done"}]"#;
    let events = run_at(&FakeServer::new(&[Answer(200, event)]), &["events", "--output", "text", "t1"]);
    insta::assert_snapshot!(events.out, @"
    4 2025-01-01T00:00:00.000Z started
    9 2025-01-01T00:00:01.500Z finished done
    ");
}

#[test]
fn nobody_reading_is_no_failure() {
    struct Closed;
    impl std::io::Write for Closed {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
    }
    let (mut out, mut err) = (Closed, Closed);
    let mut console = Console::new(&mut out, &mut err);
    console.error(format_args!("unheard"));
    assert!(console.print_line("unread").is_ok());
}

#[test]
fn config_check_tells_what_serve_would_and_ends_with_1() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("writable");
        path.to_str().expect("UTF-8").to_owned()
    };
    let (good, bad) = (write("good.yaml", "log: {format: json}"), write("bad.yaml", "log: {format: xml}"));
    let ran = run(&["config", "check", &good, &bad]);
    assert_eq!((ran.exit, ran.out), (Exit::Failed, format!("{good}: valid\n")));
    assert_eq!(ran.err, format!("error: file {bad}: log.format: must be text or json, not the text \"xml\"\n"));
    assert_eq!(run(&["config", "check", &good]).exit, Exit::Success);
}
