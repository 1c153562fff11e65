//! Faults of a status.

use serde_json::{Value, json};

use crate::faults::mutation::{Mutation, answer, has_ended, plus, remove, replace, status};

const LONG_AGO: &str = "2001-01-01T00:00:00.000Z";

pub const FAULTS: &[Mutation] = &[
    answer("the request of a task is another", "status.request", |it, _| {
        if it.path.ends_with("/request") {
            it.json(|body| remove(body, "metadata"));
        }
    }),
    status("a task never ends", "status.exit-code", |it, _| {
        if has_ended(it) {
            it["status"] = json!("running");
        }
    }),
    status("updated_at goes back", "status.order", |it, memory| {
        if memory.count("readings") > 3 {
            replace(it, "updated_at", json!(LONG_AGO));
        }
    }),
    status("a task goes back to accepted", "status.order", |it, memory| {
        if it["status"] == "running" && memory.count("running") == 3 {
            it["status"] = json!("accepted");
        }
    }),
    status("a task ends before it starts", "status.times", |it, _| replace(it, "finished_at", json!(LONG_AGO))),
    status("a task starts before it is created", "status.times", |it, _| replace(it, "started_at", json!(LONG_AGO))),
    status("a time has no milliseconds", "status.times", |it, _| {
        if let Some(time) = it["started_at"].as_str() {
            it["started_at"] = json!(format!("{}Z", &time[..19]));
        }
    }),
    status("a time is a number", "status.times", |it, _| replace(it, "finished_at", json!(1_760_000_000_000_u64))),
    status("a task that never started has a start", "status.times.never-started", |it, _| {
        if it["error"]["code"] == "launch_failed" {
            it["started_at"] = it["created_at"].clone();
        }
    }),
    status("a duration is in seconds", "status.duration", |it, _| {
        if let Some(ms) = it["duration_ms"].as_u64() {
            it["duration_ms"] = json!(ms / 1000);
        }
    }),
    status("a duration holds the waiting too", "status.duration", |it, _| {
        let more = plus(&it["duration_ms"], 50);
        replace(it, "duration_ms", more);
    }),
    status("the duration of a running task stands still", "status.duration.grows", |it, memory| {
        if it["status"] == "running" {
            it["duration_ms"] = memory.first("duration", &it["duration_ms"]);
        }
    }),
    status("started_at changes at the end", "status.updated-at", |it, _| {
        if has_ended(it) {
            it["started_at"] = it["finished_at"].clone();
        }
    }),
    status("the end of a task is no update", "status.updated-at", |it, memory| {
        it["updated_at"] = memory.first("updated_at", &it["updated_at"]);
    }),
    status("an end changes", "status.final", |it, memory| {
        if has_ended(it) && memory.count("ended") > 2 {
            it["status"] = json!("failed");
        }
    }),
    status("the duration of an ended task goes on", "status.final", |it, memory| {
        let more = plus(&it["duration_ms"], memory.count("reading"));
        replace(it, "duration_ms", more);
    }),
    status("an exit code is off by one", "status.exit-code", |it, _| {
        let more = plus(&it["exit_code"], 1);
        replace(it, "exit_code", more);
    }),
    status("an exit code is signed", "status.exit-code", |it, _| {
        if it["exit_code"] == 255 {
            it["exit_code"] = json!(-1);
        }
    }),
    status("a failure is a success", "status.exit-code", |it, _| {
        if it["status"] == "failed" {
            it["status"] = json!("success");
        }
    }),
    status("a signal is told as an exit code", "status.exit-signal", |it, _| {
        if let Some(signal) = it["exit_signal"].as_u64() {
            remove(it, "exit_signal");
            it["exit_code"] = json!(128 + signal);
        }
    }),
    status("a signal comes with an exit code", "status.exit-signal", |it, _| {
        if it.get("exit_signal").is_some() {
            it["exit_code"] = json!(-1);
        }
    }),
    status("an absent field is null", "status.no-null", |it, _| {
        if it.get("exit_signal").is_none() {
            it["exit_signal"] = Value::Null;
        }
    }),
    status("an absent field is null, deep inside", "status.no-null", |it, _| {
        it["execution_plan"]["resource_enforcement"]["memory_bytes"] = Value::Null;
    }),
    status("a success has an error", "status.error", |it, _| {
        if it["status"] == "success" {
            it["error"] = json!({"code": "none", "message": "no error", "details": null});
        }
    }),
    status("a failure has no error", "status.error", |it, _| remove(it, "error")),
    status("an error lacks its details", "status.error", |it, _| {
        if it.get("error").is_some() {
            it["error"]["details"] = Value::Null;
        }
    }),
    status("pid is the shim's", "status.pids", |it, _| {
        let shim = it["shim_pid"].clone();
        replace(it, "pid", shim);
    }),
    status("the output of another task", "status.own-output", |it, memory| {
        if has_ended(it) {
            it["stdout"] = memory.first("stdout", &it["stdout"]);
        }
    }),
    status("a task uses no CPU time", "status.usage", |it, _| {
        if it.get("usage").is_some() {
            it["usage"]["user_cpu_ms"] = json!(0);
        }
    }),
    status("CPU time is in microseconds", "status.usage", |it, _| {
        if let Some(ms) = it["usage"]["user_cpu_ms"].as_u64() {
            it["usage"]["user_cpu_ms"] = json!(ms * 1000);
        }
    }),
    status("the usage of an ended task is missing", "status.usage", |it, _| remove(it, "usage")),
    status("a reservation is forgotten at the end", "status.reservation", |it, _| remove(it, "reservation")),
    status("a reservation has more than was asked for", "status.reservation", |it, _| {
        if let Some(reservation) = it.get_mut("reservation") {
            reservation["memory_bytes"] = json!(1_u64 << 30);
        }
    }),
    status("a path is relative", "status.artifacts", |it, _| {
        it["artifacts"]["stdout_path"] = json!("stdout.log");
    }),
    status("a path is outside of the task's directory", "status.artifacts", |it, _| {
        it["artifacts"]["result_path"] = json!("/tmp/result.json");
    }),
    status("a command has a script_path", "status.artifacts", |it, _| {
        let dir = it["artifacts"]["task_dir"].as_str().unwrap_or_default();
        it["artifacts"]["script_path"] = json!(format!("{dir}/script.sh"));
    }),
    status("a task that waits holds a reservation", "status.waiting", |it, _| {
        if it["status"] == "accepted" {
            it["reservation"] = json!({"task_slots": 1});
        }
    }),
    status("a task that waits is shown as running", "status.waiting", |it, _| {
        if it["status"] == "accepted" {
            it["status"] = json!("running");
        }
    }),
    status("a running task has an end", "status.running", |it, _| {
        if it["status"] == "running" {
            it["finished_at"] = it["updated_at"].clone();
        }
    }),
    status("a running task has no pid", "status.running", |it, _| remove(it, "pid")),
];
