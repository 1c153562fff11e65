//! Faults of kill, wait, queue, output, metrics and of what requests and answers have in common.

use serde_json::json;

use crate::faults::mutation::{Mutation, accept_if, answer, failure, remove, replace, request, status};
use crate::faults::proxy::Passing;

pub const FAULTS: &[Mutation] = &[
    answer("a full queue does not say when to ask again", "queue.full", |it, _| {
        it.headers.remove("retry-after");
    }),
    answer("a full queue is a fault of the runtime", "queue.full", |it, _| {
        if it.status == 429 {
            it.status = 503;
        }
    }),
    answer("a conflict does not say with what", "submit.conflict.details", |it, _| {
        failure(it, "conflict", |body| replace(&mut body["error"], "details", json!(null)));
    }),
    answer("another owner may kill", "kill.owner.wrong", |it, _| {
        if it.status == 403 {
            it.status = 200;
        }
    }),
    request("a kill is always by SIGTERM", "kill.signal", |it| kill_without(it, "signal")),
    request("SIGKILL has a grace", "kill.signal.kill", |it| {
        if it.path.ends_with("/kill") {
            it.json(|body| replace(body, "signal", json!("SIGINT")));
        }
    }),
    answer("any signal will do", "kill.signal.unknown", |it, _| accept_kill(it)),
    answer("any grace will do", "kill.grace.range", |it, _| accept_kill(it)),
    request("the grace is always the server's", "kill.how.in-events", |it| kill_without(it, "grace_ms")),
    request("a short grace is a long one", "kill.grace.own", |it| kill_with_grace(it, 600_000)),
    request("a grace that runs stays as it is", "kill.grace.shorter", |it| kill_with_grace(it, 600_000)),
    request("a longer grace counts from the start", "kill.grace.longer", |it| kill_with_grace(it, 3_600_000)),
    request("nothing is collected", "files.list", |it| {
        it.json(|body| remove(body, "collect"));
    }),
    answer("files of a task that runs are none", "files.before-the-end", |it, _| {
        if it.path.ends_with("/files") && it.status == 409 {
            it.status = 200;
            it.body = json!({"files": []}).to_string().into_bytes();
        }
    }),
    answer("what a link leads to is given", "files.links", |it, _| {
        if it.path.contains("/files/") && it.status == 404 {
            it.status = 200;
            it.body = b"root:x:0:0".to_vec();
        }
    }),
    answer("an archive is not compressed", "files.archive", |it, _| {
        if it.path.ends_with("/files.tar.zst") {
            it.body = vec![0; 1024];
        }
    }),
    request("standard input is lost", "input.stdin.text", |it| {
        it.json(|body| remove(&mut body["execution"], "stdin"));
    }),
    request("all files get the same mode", "input.files.mode", |it| {
        it.json(|body| {
            for input in body["inputs"].as_array_mut().into_iter().flatten() {
                replace(input, "mode", json!("0755"));
            }
        });
    }),
    answer("a file that cannot be is accepted", "input.files.refused", |it, _| {
        accept_if(it, |sent| !sent["inputs"].is_null());
    }),
    answer("a blob with another digest is taken", "input.blob.wrong-digest", |it, _| {
        if it.path.starts_with("/api/v1/blobs/") && it.status == 400 {
            it.status = 201;
        }
    }),
    request("a kill is lost", "kill.running", |it| {
        if it.path.ends_with("/kill") {
            it.method = "GET".parse().expect("a method");
            it.path.truncate(it.path.len() - "/kill".len());
        }
    }),
    request("a waiting reader is answered at once", "wait.until-end", |it| {
        it.path.truncate(it.path.find('?').unwrap_or(it.path.len()));
    }),
    request("a reader that waits for the start waits for the end", "wait.for-the-start", |it| {
        it.path = it.path.replace("&wait_for=started", "");
    }),
    request("a reader that waits for output is answered at once", "wait.for-output", |it| {
        if it.path.contains("wait_for=output") {
            it.path.truncate(it.path.find('?').unwrap_or(it.path.len()));
        }
    }),
    request("a range of output is ignored", "raw.range", |it| {
        it.headers.remove("range");
    }),
    answer("raw output is made text", "raw.verbatim", |it, _| {
        if it.path.ends_with("/stdout") {
            it.body = String::from_utf8_lossy(&it.body).into_owned().into_bytes();
        }
    }),
    answer("a range that is behind the end is a part of nothing", "raw.range.behind-the-end", |it, _| {
        if it.status == 416 {
            it.status = 206;
            it.body.clear();
        }
    }),
    request("a follower gets what is there and no more", "raw.follow", |it| {
        it.path = it.path.replace("?follow=true", "");
    }),
    request("who comes again to a stream gets everything again", "stream.resumed", |it| {
        it.headers.remove("last-event-id");
    }),
    answer("a stream has no end", "stream.story", |it, _| {
        each_event(it, |event| (!event.contains("event: end")).then(|| event.to_owned()));
    }),
    answer("a stream loses a piece of output", "stream.output", |it, _| {
        each_event(it, |event| (!event.contains("event: output")).then(|| event.to_owned()));
    }),
    answer("bytes are told as text that they are not", "stream.bytes", |it, _| {
        each_event(it, |event| Some(event.replace("\"encoding\":\"base64\"", "\"encoding\":\"utf-8\"")));
    }),
    request("who asks for the last lines gets all of them", "raw.tail", |it| {
        if it.path.contains("tail_lines") {
            it.path.truncate(it.path.find('?').unwrap_or(it.path.len()));
        }
    }),
    status("output that was cut is shown as whole", "output.cut", |it, _| {
        replace(it, "stdout_truncated", json!(false));
    }),
    status("whole output is shown as cut", "output.cut.at-the-bound", |it, _| {
        replace(it, "stderr_truncated", json!(true));
    }),
    status("the two streams are one", "output.separated", |it, _| {
        let both = [&it["stdout"], &it["stderr"]].map(|text| text.as_str().unwrap_or_default()).concat();
        replace(it, "stdout", json!(both));
    }),
    request("a limit of the output is not kept", "limits.output", |it| {
        it.json(|body| remove(&mut body["limits"], "stdout_log_max_bytes"));
    }),
    request("arguments go through a shell", "command.args.no-shell", |it| {
        it.json(|body| {
            let words = body["execution"]["args"].as_array().cloned().unwrap_or_default();
            let words = words.iter().filter_map(|word| word.as_str()).collect::<Vec<_>>().join(" ");
            let line = format!("{} {words}", body["execution"]["program"].as_str().unwrap_or_default());
            replace(&mut body["execution"], "program", json!("/bin/sh"));
            replace(&mut body["execution"], "args", json!(["-c", line]));
        });
    }),
    answer("a counter stands still", "metrics.counts.success", |it, _| {
        each_line(it, |line| {
            let is_it = line.starts_with(r#"execgo_runtime_tasks_total{status="success"}"#);
            if is_it {
                Some(r#"execgo_runtime_tasks_total{status="success"} 0"#.to_owned())
            } else {
                Some(line.to_owned())
            }
        });
    }),
    answer("a histogram has no last bucket", "metrics.histogram.buckets", |it, _| {
        each_line(it, |line| (!line.contains(r#"le="+Inf""#)).then(|| line.to_owned()));
    }),
    answer("all answers have the same request id", "protocol.request-id.unique", |it, _| {
        let same = "5f0c7e7e-3f6a-4b53-9d0e-3c1f1b2a7d11".parse().expect("a value");
        it.headers.insert("x-request-id", same);
    }),
    answer("a failure tells what is inside", "protocol.errors.no-internals", |it, _| {
        it.json(|body| {
            if let Some(message) = body["error"]["message"].as_str() {
                let told = format!("{message} (SELECT seq FROM tasks WHERE id = ?1; src/server/fault.rs:12)");
                replace(&mut body["error"], "message", json!(told));
            }
        });
    }),
];

/// Of a stream: keeps what it gets back of each event.
fn each_event(it: &mut Passing, alter: fn(&str) -> Option<String>) {
    if it.path.ends_with("/stream") && it.status == 200 {
        let text = String::from_utf8_lossy(&it.body);
        let events: String = text.split_inclusive("\n\n").filter_map(alter).collect();
        it.body = events.into_bytes();
    }
}

/// Of a text: keeps what it gets back of each line.
fn each_line(it: &mut Passing, alter: fn(&str) -> Option<String>) {
    if it.path == "/metrics" {
        let text = String::from_utf8_lossy(&it.body);
        let lines: String = text.lines().filter_map(alter).map(|line| line + "\n").collect();
        it.body = lines.into_bytes();
    }
}

fn kill_without(request: &mut Passing, field: &str) {
    if request.path.ends_with("/kill") {
        request.json(|body| remove(body, field));
    }
}

fn kill_with_grace(request: &mut Passing, grace_ms: u64) {
    if request.path.ends_with("/kill") {
        request.json(|body| replace(body, "grace_ms", json!(grace_ms)));
    }
}

/// The refused kill is answered as one that was taken.
fn accept_kill(answer: &mut Passing) {
    if answer.path.ends_with("/kill") && answer.status == 400 {
        answer.status = 200;
    }
}
