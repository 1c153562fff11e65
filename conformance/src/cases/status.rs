//! Status: what it says of a task that waits, runs or has ended, and that it tells the truth.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::resources::with_a_waiting_task;
use crate::case::{Case, Context, Level, NotPassed, Outcome, sh, skipped, with};
use crate::client::Exchange;

use Level::{Must, Should};

pub const CASES: &[Case] = &[
    Case { id: "status.unknown-task", section: "Status", level: Must, run: unknown_task },
    Case { id: "status.waiting", section: "Status", level: Must, run: waiting },
    Case { id: "status.running", section: "Status", level: Must, run: running },
    Case { id: "status.times", section: "Status", level: Must, run: times },
    Case { id: "status.times.never-started", section: "Status", level: Must, run: times_never_started },
    Case { id: "status.duration", section: "Status", level: Must, run: duration },
    Case { id: "status.duration.grows", section: "Status", level: Must, run: duration_grows },
    Case { id: "status.updated-at", section: "Status", level: Should, run: updated_at },
    Case { id: "status.order", section: "Status", level: Must, run: order },
    Case { id: "status.final", section: "Status", level: Must, run: is_final },
    Case { id: "status.exit-code", section: "Status", level: Must, run: exit_code },
    Case { id: "status.exit-signal", section: "Status", level: Must, run: exit_signal },
    Case { id: "status.no-null", section: "General", level: Must, run: no_null },
    Case { id: "status.error", section: "Status", level: Must, run: error },
    Case { id: "status.pids", section: "Status", level: Must, run: pids },
    Case { id: "status.own-output", section: "Status", level: Must, run: own_output },
    Case { id: "status.usage", section: "Status", level: Must, run: usage },
    Case { id: "status.reservation", section: "Status", level: Must, run: reservation },
    Case { id: "status.artifacts", section: "Status", level: Must, run: artifacts },
    Case::beyond("status.request", "Status", request),
];

/// Two clocks, rounded to milliseconds each.
const ROUNDING_MS: i64 = 5;
const ENDED_ONLY: [&str; 5] = ["finished_at", "exit_code", "exit_signal", "error", "usage"];
const STARTED_ONLY: [&str; 5] = ["started_at", "duration_ms", "pid", "pgid", "shim_pid"];

/// Asks for the end of the task.
pub fn kill(context: &Context, id: &str) -> Result<Exchange, NotPassed> {
    let killed = context.client.post_nothing(&format!("/api/v1/tasks/{id}/kill"))?;
    killed.expect_status(200, "a kill is answered with the status")?;
    Ok(killed)
}

/// Milliseconds since the epoch; `None` for what is no time as the contract writes it.
pub fn parse(time: &str) -> Option<i64> {
    let well_formed = time.len() == "2026-11-25T01:11:54.980Z".len();
    let since = humantime::parse_rfc3339(time).ok().filter(|_| well_formed)?.duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.ok()?.as_millis()).ok()
}

pub fn millis(status: &Exchange, field: &str) -> Result<i64, NotPassed> {
    let time = status.body[field].as_str().and_then(parse);
    status.expect(time.is_some(), &format!("{field} is a time in RFC 3339, in UTC with milliseconds"))?;
    Ok(time.unwrap_or_default())
}

fn expect_absent(status: &Exchange, fields: &[&str]) -> Outcome {
    let given = fields.iter().find(|field| status.body.get(**field).is_some());
    given.map_or(Ok(()), |field| status.expect(false, &format!("{field} is absent")))
}

fn expect_present(status: &Exchange, fields: &[&str]) -> Outcome {
    let lacking = fields.iter().find(|field| status.body.get(**field).is_none());
    lacking.map_or(Ok(()), |field| status.expect(false, &format!("{field} is there")))
}

fn unknown_task(context: &Context) -> Outcome {
    let path = format!("/api/v1/tasks/{}", context.fresh_id());
    let failures = [
        context.client.get(&path)?,
        context.client.get(&format!("{path}/events"))?,
        context.client.post_nothing(&format!("{path}/kill"))?,
    ];
    failures.iter().try_for_each(|failure| failure.expect_failure(404, "not_found", "an unknown task is not found"))
}

fn waiting(context: &Context) -> Outcome {
    with_a_waiting_task(context, &sh("true"), |id| {
        let status = context.status(id)?;
        status.expect_field("/status", &json!("accepted"))?;
        expect_absent(&status, &[&STARTED_ONLY[..], &ENDED_ONLY, &["reservation"]].concat())?;
        expect_present(&status, &["created_at", "updated_at", "execution_plan", "artifacts"])?;
        let empty = status.body["stdout"] == "" && status.body["stderr"] == "";
        status.expect(empty, "a task that waits has no output")
    })
}

fn running(context: &Context) -> Outcome {
    let id = context.submit(&sh("echo begun; exec sleep 600"))?;
    let status = context.running(&id);
    kill(context, &id)?;
    let status = status?;
    context.ended(&id)?;
    expect_present(&status, &[&STARTED_ONLY[..], &["reservation"]].concat())?;
    expect_absent(&status, &ENDED_ONLY)
}

fn times(context: &Context) -> Outcome {
    for command in ["sleep 0.05", "exit 3", "kill -KILL $$"] {
        let id = context.submit(&sh(command))?;
        let status = context.ended(&id)?;
        let all = ["created_at", "started_at", "finished_at", "updated_at"].map(|field| millis(&status, field));
        let all = all.into_iter().collect::<Result<Vec<_>, _>>()?;
        status.expect(all.is_sorted(), "created_at ≤ started_at ≤ finished_at ≤ updated_at")?;
    }
    Ok(())
}

fn times_never_started(context: &Context) -> Outcome {
    let id = context.submit(&json!({"execution": {"kind": "command", "program": "/nonexistent/program"}}))?;
    let status = context.ended(&id)?;
    status.expect_field("/error/code", &json!("launch_failed"))?;
    expect_absent(&status, &[&STARTED_ONLY[..], &["exit_code", "exit_signal"]].concat())?;
    let all = ["created_at", "finished_at", "updated_at"].map(|field| millis(&status, field));
    let all = all.into_iter().collect::<Result<Vec<_>, _>>()?;
    status.expect(all.is_sorted(), "created_at ≤ finished_at ≤ updated_at")
}

fn duration(context: &Context) -> Outcome {
    let asked = Instant::now();
    let id = context.submit(&sh("sleep 0.3"))?;
    let status = context.ended(&id)?;
    let most = i64::try_from(asked.elapsed().as_millis()).unwrap_or(i64::MAX);
    let duration = status.body["duration_ms"].as_i64().unwrap_or_default();
    let took = millis(&status, "finished_at")? - millis(&status, "started_at")?;
    status.expect((duration - took).abs() <= ROUNDING_MS, "duration_ms is finished_at − started_at")?;
    status.expect((300..=most).contains(&duration), &format!("duration_ms is from 300 to {most}, as it was seen"))
}

fn duration_grows(context: &Context) -> Outcome {
    let id = context.submit(&sh("sleep 600"))?;
    context.running(&id)?;
    let grown = grown_by(context, &id, 100);
    kill(context, &id)?;
    let last = context.ended(&id)?;
    let so_far = grown?.body["duration_ms"].as_u64().unwrap_or_default();
    let whole = last.body["duration_ms"].as_u64().unwrap_or_default();
    last.expect(whole >= so_far, "the duration of the whole is not less than an earlier one so far")
}

/// A reading of the running task that says at least `ms` more than the first one, or a fault when there is none in time.
fn grown_by(context: &Context, id: &str, ms: u64) -> Result<Exchange, NotPassed> {
    let first = context.status(id)?.body["duration_ms"].as_u64().unwrap_or_default();
    let deadline = Instant::now() + context.patience.get();
    let mut before = first;
    loop {
        let reading = context.status(id)?;
        let now = reading.body["duration_ms"].as_u64().unwrap_or_default();
        reading.expect(now >= before, "the duration_ms of a running task does not shrink")?;
        if now >= first + ms {
            return Ok(reading);
        }
        reading.expect(Instant::now() < deadline, "the duration_ms of a running task is the time so far")?;
        before = now;
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn updated_at(context: &Context) -> Outcome {
    let id = context.submit(&sh("sleep 0.2"))?;
    let running = context.running(&id)?;
    let created = millis(&running, "created_at")?;
    let at_start = millis(&running, "updated_at")?;
    let ended = context.ended(&id)?;
    running.expect(created <= at_start, "updated_at is not before created_at")?;
    ended.expect(millis(&ended, "updated_at")? > at_start, "the end of a task changes its updated_at")?;
    ended.expect(millis(&ended, "created_at")? == created, "created_at does not change")?;
    ended.expect(ended.body["started_at"] == running.body["started_at"], "started_at does not change")
}

/// From one reading to the next a task only goes forward.
fn order(context: &Context) -> Outcome {
    let id = context.submit(&sh("sleep 0.2"))?;
    let deadline = Instant::now() + context.patience.get();
    let (mut reached, mut updated) = (0, 0);
    while reached < 2 {
        let status = context.status(&id)?;
        let word = status.body["status"].as_str().unwrap_or_default();
        let place = ["accepted", "running", "success"].iter().position(|known| *known == word);
        status
            .expect(place.is_some_and(|place| place >= reached), "a task goes from accepted by running to its end")?;
        let at = millis(&status, "updated_at")?;
        status.expect(at >= updated, "updated_at does not go back")?;
        status.expect(Instant::now() < deadline, "a task that sleeps 0.2 s ends in time")?;
        (reached, updated) = (place.unwrap_or_default(), at);
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn is_final(context: &Context) -> Outcome {
    for command in ["echo out", "echo out; exit 3"] {
        let id = context.submit(&sh(command))?;
        let first = context.ended(&id)?;
        for _ in 0..3 {
            let again = context.status(&id)?;
            again.expect(again.body == first.body, "nothing about a task changes after its end")?;
        }
    }
    Ok(())
}

fn exit_code(context: &Context) -> Outcome {
    for (command, status_word, code) in [("exit 0", "success", 0), ("exit 1", "failed", 1), ("exit 255", "failed", 255)]
    {
        let id = context.submit(&sh(command))?;
        let status = context.ended(&id)?;
        status.expect_field("/status", &json!(status_word))?;
        status.expect_field("/exit_code", &json!(code))?;
        expect_absent(&status, &["exit_signal"])?;
    }
    Ok(())
}

fn exit_signal(context: &Context) -> Outcome {
    for (signal, number) in [("KILL", 9), ("TERM", 15), ("USR1", 10)] {
        let id = context.submit(&sh(&format!("kill -{signal} $$; sleep 600")))?;
        let status = context.ended(&id)?;
        status.expect_field("/status", &json!("failed"))?;
        status.expect_field("/exit_signal", &json!(number))?;
        expect_absent(&status, &["exit_code"])?;
        status.expect_field("/error/code", &json!("exit_non_zero"))?;
    }
    Ok(())
}

fn no_null(context: &Context) -> Outcome {
    let failing = json!({"execution": {"kind": "command", "program": "/nonexistent/program"}});
    for request in [sh("true"), sh("exit 3"), sh("kill -KILL $$"), failing] {
        let id = context.submit(&request)?;
        let mut status = context.ended(&id)?;
        // The one field that may be.
        if status.body.pointer("/error/details") == Some(&Value::Null)
            && let Some(error) = status.body["error"].as_object_mut()
        {
            error.remove("details");
        }
        status.expect(!has_null(&status.body), "what is absent is left out, and never null")?;
        let (events, _) = context.event_types(&id)?;
        events.expect(!has_null(&events.body), "what is absent is left out, and never null")?;
    }
    Ok(())
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().any(has_null),
        Value::Object(fields) => fields.values().any(has_null),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn error(context: &Context) -> Outcome {
    let id = context.submit(&sh("true"))?;
    expect_absent(&context.ended(&id)?, &["error"])?;
    let id = context.submit(&sh("exit 3"))?;
    let status = context.ended(&id)?;
    status.expect_field("/error/code", &json!("exit_non_zero"))?;
    status.expect_field("/error/details", &json!({"exit_code": 3}))?;
    let said = status.body["error"]["message"].as_str().is_some_and(|message| !message.is_empty());
    status.expect(said, "error.message says what happened")
}

/// Seen from inside, as a plain process.
fn pids(context: &Context) -> Outcome {
    let id = context.submit(&sh("echo $$ $PPID $(cut -d ' ' -f 5,6 /proc/$$/stat)"))?;
    let status = context.ended(&id)?;
    let number = |field: &str| status.body[field].as_u64().unwrap_or_default();
    let (pid, pgid, shim) = (number("pid"), number("pgid"), number("shim_pid"));
    // The command leads its own process group and its own session.
    status.expect_field("/stdout", &json!(format!("{pid} {shim} {pgid} {pid}\n")))?;
    status.expect(pid == pgid && pid > 1, "the command leads a process group of its own")
}

/// Of tasks that run side by side.
fn own_output(context: &Context) -> Outcome {
    let words = ["one", "two", "three", "four"];
    let submitted = words.map(|word| context.submit(&sh(&format!("echo {word}; echo not {word} >&2"))));
    for (word, id) in words.iter().zip(submitted) {
        let status = context.ended(&id?)?;
        status.expect_field("/stdout", &json!(format!("{word}\n")))?;
        status.expect_field("/stderr", &json!(format!("not {word}\n")))?;
    }
    Ok(())
}

/// About a third of a second of arithmetic.
fn usage(context: &Context) -> Outcome {
    let id = context.submit(&sh("i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"))?;
    let status = context.ended(&id)?;
    let usage = |field: &str| status.body["usage"][field].as_u64();
    status.expect(usage("duration_ms") == status.body["duration_ms"].as_u64(), "usage.duration_ms is duration_ms")?;
    if let (Some(user), Some(system)) = (usage("user_cpu_ms"), usage("system_cpu_ms")) {
        let duration = usage("duration_ms").unwrap_or_default();
        status.expect(user > 0, "a task that calculates uses CPU time")?;
        // The kernel counts in ticks of its own.
        status.expect(user + system <= duration + 100, "one thread uses no more CPU time than time passes")?;
    }
    if let Some(peak) = usage("max_rss_bytes") {
        status.expect((100 << 10..1 << 30).contains(&peak), "a shell needs more than 100 KiB and less than 1 GiB")?;
    }
    Ok(())
}

fn reservation(context: &Context) -> Outcome {
    for limits in [json!({}), json!({"memory_bytes": 1 << 30}), json!({"memory_bytes": 1 << 30, "pids_max": 64})] {
        let mut request = sh("true");
        request["limits"] = limits.clone();
        let id = context.submit(&request)?;
        let mut expected = json!({"task_slots": 1});
        for (asked, reserved) in [("memory_bytes", "memory_bytes"), ("pids_max", "pids")] {
            if let Some(amount) = limits.get(asked) {
                expected[reserved] = amount.clone();
            }
        }
        let status = context.ended(&id)?;
        status.expect_field("/reservation", &expected)?;
    }
    Ok(())
}

fn artifacts(context: &Context) -> Outcome {
    let command = context.submit(&sh("true"))?;
    let script = context.submit(&json!({"execution": {"kind": "script", "script": "true"}}))?;
    for (id, has_script) in [(command, false), (script, true)] {
        let status = context.ended(&id)?;
        let paths = &status.body["artifacts"];
        let task_dir = Path::new(paths["task_dir"].as_str().unwrap_or_default());
        status
            .expect(task_dir.is_absolute() && task_dir.ends_with(&id), "task_dir is absolute and named by the task")?;
        for field in ["request_path", "result_path", "stdout_path", "stderr_path", "script_path"] {
            let Some(path) = paths[field].as_str() else {
                status.expect(field == "script_path" && !has_script, &format!("artifacts.{field} is there"))?;
                continue;
            };
            let inside = Path::new(path).parent() == Some(task_dir);
            status.expect(inside, &format!("artifacts.{field} is absolute and in task_dir"))?;
        }
        status.expect(has_script || paths.get("script_path").is_none(), "only a script has a script_path")?;
    }
    Ok(())
}

fn request(context: &Context) -> Outcome {
    let id = context.fresh_id();
    let sent =
        with(sh("exit 3"), json!({"task_id": id, "metadata": {"key": "value"}, "limits": {"wall_time_ms": 7000}}));
    context.submit(&sent)?;
    let told = context.client.get(&format!("/api/v1/tasks/{id}/request"))?;
    if told.status == 404 {
        return Err(skipped("the runtime does not tell requests"));
    }
    told.expect(told.body == sent, "the request is told as it was accepted")
}
