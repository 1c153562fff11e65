//! Output: what a status answer shows of it, and how it is cut.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::case::{Case, Context, Outcome, sh, with};
use crate::client::Exchange;

pub const CASES: &[Case] = &[
    Case::must("output.separated", "Status", separated),
    Case::must("output.none", "Status", none),
    Case::must("output.verbatim", "Status", |it| shows(it, r"printf ' a\r\n\n\t b'", " a\r\n\n\t b")),
    Case::must("output.unicode", "Status", |it| shows(it, "printf 'é日本😀'", "é日本😀")),
    Case::must("output.nul", "Status", |it| shows(it, r"printf 'a\000b'", "a\0b")),
    Case::must("output.control", "Status", |it| shows(it, r"printf '\033[1m\001\177'", "\u{1b}[1m\u{1}\u{7f}")),
    Case::must("output.quotes", "Status", |it| shows(it, r#"printf '"\\/'"#, "\"\\/")),
    Case::must("output.not-utf8", "Status", |it| shows(it, r"printf 'a\377b'", "a\u{fffd}b")),
    Case::should("output.half-a-character", "Status", |it| shows(it, r"printf 'a\303'", "a\u{fffd}")),
    Case::should("output.byte-order-mark", "Status", |it| shows(it, r"printf '\357\273\277a'", "\u{feff}a")),
    Case::must("output.cut", "limits", |it| cut(it, "abcdef", 4, "abcd", true)),
    Case::must("output.cut.at-the-bound", "limits", |it| cut(it, "abcd", 4, "abcd", false)),
    Case::must("output.cut.one-less", "limits", |it| cut(it, "abc", 4, "abc", false)),
    Case::must("output.cut.smallest", "limits", |it| cut(it, "ab", 1, "a", true)),
    Case::must("output.cut.two-bytes", "Status", |it| cut(it, "ééé", 5, "éé", true)),
    Case::must("output.cut.three-bytes", "Status", |it| cut(it, "日本", 5, "日", true)),
    Case::must("output.cut.four-bytes", "Status", |it| cut(it, "a😀", 4, "a", true)),
    Case::should("output.cut.nothing-fits", "Status", |it| cut(it, "😀", 3, "", true)),
    Case::must("output.cut.between-characters", "Status", |it| cut(it, "éé", 4, "éé", false)),
    Case::must("output.cut.each-stream", "limits", each_stream),
    Case::must("output.default-bound", "limits", default_bound),
    Case::must("output.large", "Status", large),
    Case::must("output.both-large", "Status", both_large),
    Case::must("output.of-a-running-task", "Status", of_a_running_task),
    Case::must("output.after-a-timeout", "Status", after_a_timeout),
    Case::must("output.after-a-kill", "Status", after_a_kill),
    Case::must("output.after-a-signal", "Status", after_a_signal),
    Case::must("output.interleaved", "Status", interleaved),
    Case::must("output.background", "Outcomes", background),
    Case::must("output.read-again", "Status", read_again),
];

fn shows(context: &Context, command: &str, text: &str) -> Outcome {
    let status = context.prints(&sh(command), text)?;
    status.expect_field("/stdout_truncated", &json!(false))?;
    let status = context.succeeds(&sh(&format!("{command} >&2")))?;
    status.expect_field("/stderr", &json!(text))
}

fn separated(context: &Context) -> Outcome {
    let status = context.prints(&sh("echo 1; echo 2 >&2; echo 3; echo 4 >&2"), "1\n3\n")?;
    status.expect_field("/stderr", &json!("2\n4\n"))
}

fn none(context: &Context) -> Outcome {
    let status = context.prints(&sh("true"), "")?;
    for (pointer, value) in
        [("/stderr", json!("")), ("/stdout_truncated", json!(false)), ("/stderr_truncated", json!(false))]
    {
        status.expect_field(pointer, &value)?;
    }
    Ok(())
}

fn cut(context: &Context, text: &str, bound: u64, shown: &str, truncated: bool) -> Outcome {
    for stream in ["stdout", "stderr"] {
        let command = format!("printf %s '{text}' >&{}", if stream == "stdout" { 1 } else { 2 });
        let limit = json!({"limits": {format!("{stream}_max_bytes"): bound}});
        let status = context.succeeds(&with(sh(&command), limit))?;
        status.expect_field(&format!("/{stream}"), &json!(shown))?;
        status.expect_field(&format!("/{stream}_truncated"), &json!(truncated))?;
    }
    Ok(())
}

fn each_stream(context: &Context) -> Outcome {
    let limits = json!({"limits": {"stdout_max_bytes": 2, "stderr_max_bytes": 4}});
    let status = context.prints(&with(sh("printf abc; printf abc >&2"), limits), "ab")?;
    status.expect_field("/stdout_truncated", &json!(true))?;
    status.expect_field("/stderr", &json!("abc"))?;
    status.expect_field("/stderr_truncated", &json!(false))
}

/// The length of a stream, and whether there is more.
fn length(status: &Exchange, stream: &str) -> (usize, bool) {
    let truncated = status.body[format!("{stream}_truncated")].as_bool().unwrap_or_default();
    (status.body[stream].as_str().unwrap_or_default().len(), truncated)
}

fn default_bound(context: &Context) -> Outcome {
    let status = context.succeeds(&sh("head -c 4194305 /dev/zero | tr '\\0' x"))?;
    let whole = length(&status, "stdout") == (4_194_304, true);
    // Not the whole answer as evidence: it is 4 MiB.
    context.status(status.text_at("/task_id"))?.expect(whole, "4194304 bytes are shown unless the task says otherwise")
}

fn large(context: &Context) -> Outcome {
    let status = context.succeeds(&sh("head -c 1000000 /dev/zero | tr '\\0' x"))?;
    status.expect(length(&status, "stdout") == (1_000_000, false), "all of a megabyte is shown")
}

/// Nobody reads one stream while the task waits for room in the other.
fn both_large(context: &Context) -> Outcome {
    let write = "head -c 300000 /dev/zero | tr '\\0'";
    let status = context.succeeds(&sh(&format!("{write} a; {write} b >&2; {write} a; {write} b >&2")))?;
    let lengths = (length(&status, "stdout"), length(&status, "stderr"));
    status.expect(lengths == ((600_000, false), (600_000, false)), "all of both streams is shown")
}

/// Runs until it is ended, and has said so.
fn speaking() -> Value {
    sh("echo early; echo early >&2; exec sleep 600")
}

fn of_a_running_task(context: &Context) -> Outcome {
    let id = context.submit(&speaking())?;
    context.running(&id)?;
    let status = context.says(&id, "early\n")?;
    status.expect_field("/status", &json!("running"))
}

fn after_a_timeout(context: &Context) -> Outcome {
    let status = context.fails(&with(speaking(), json!({"limits": {"wall_time_ms": 1000}})), "timeout")?;
    status.expect_field("/stdout", &json!("early\n"))?;
    status.expect_field("/stderr", &json!("early\n"))
}

fn after_a_kill(context: &Context) -> Outcome {
    let id = context.submit(&speaking())?;
    context.says(&id, "early\n")?;
    context.kill(&id)?;
    let status = context.ended(&id)?;
    status.expect_field("/status", &json!("cancelled"))?;
    status.expect_field("/stdout", &json!("early\n"))
}

fn after_a_signal(context: &Context) -> Outcome {
    let status = context.fails(&sh("echo early; kill -KILL $$"), "exit_non_zero")?;
    status.expect_field("/stdout", &json!("early\n"))
}

/// Processes that write to one stream append; none overwrites another.
fn interleaved(context: &Context) -> Outcome {
    let command = "for n in 1 2 3 4; do (for m in 1 2 3 4 5; do echo line; done) & done; wait";
    context.prints(&sh(command), &"line\n".repeat(20)).map(drop)
}

/// The command has ended; who holds its output open does not keep the task.
fn background(context: &Context) -> Outcome {
    let begun = Instant::now();
    let status = context.prints(&sh("sleep 600 & echo done"), "done\n")?;
    status.expect(begun.elapsed() < Duration::from_secs(30), "the task ends with its command")
}

fn read_again(context: &Context) -> Outcome {
    let status = context.succeeds(&sh("echo out; echo err >&2"))?;
    let again = context.status(status.text_at("/task_id"))?;
    again.expect(again.body == status.body, "the status of an ended task is the same whenever it is read")
}
