//! Limits: what ends a task that takes too much.

use serde_json::{Value, json};

use crate::case::{Case, Context, Outcome, sh, skipped, with};

pub const CASES: &[Case] = &[
    Case::must("limits.wall-time", "limits", wall_time),
    Case::must("limits.wall-time.default", "limits", wall_time_default),
    Case::must("limits.wall-time.descendants", "limits", wall_time_descendants),
    Case::must("limits.within", "limits", within),
    Case::must("limits.largest", "General", largest),
    Case::must("limits.cpu-time", "limits", cpu_time),
    Case::must("limits.memory", "Outcomes", memory),
    Case::must("limits.memory.held", "limits", memory_held),
    Case::must("limits.memory.of-the-whole-task", "limits", memory_of_the_whole_task),
    Case::must("limits.pids", "limits", pids),
    Case::beyond("limits.cpu-millis", "limits", cpu_millis),
    Case::beyond("limits.file-size", "limits", file_size),
    Case::beyond("limits.file-size.at-the-bound", "limits", file_size_at_the_bound),
    Case::beyond("limits.file-size.of-a-child", "Outcomes", file_size_of_a_child),
    Case::beyond("limits.open-files", "limits", open_files),
    Case::beyond("limits.workspace", "limits", workspace),
    Case::beyond("limits.workspace.at-the-end", "limits", workspace_at_the_end),
    Case::beyond("limits.output", "limits", |it| output(it, "stdout", "yes")),
    Case::beyond("limits.output.stderr", "limits", |it| output(it, "stderr", "yes >&2")),
    Case::beyond("limits.output.at-the-end", "limits", |it| output(it, "stdout", "head -c 100001 /dev/zero")),
    Case::beyond("limits.output.at-the-bound", "limits", output_at_the_bound),
    Case::beyond("limits.output.default", "Configuration", output_default),
];

fn limited(command: &str, limits: Value) -> Value {
    with(sh(command), json!({"limits": limits}))
}

fn wall_time(context: &Context) -> Outcome {
    let id = context.submit(&limited("echo begun; sleep 600", json!({"wall_time_ms": 700})))?;
    let status = context.ended(&id)?;
    status.expect_field("/status", &json!("failed"))?;
    status.expect_field("/error/code", &json!("timeout"))?;
    let duration = status.number_at("/duration_ms").unwrap_or_default();
    status.expect(duration >= 700, "a task gets all of its time")?;
    let (events, types) = context.event_types(&id)?;
    events.expect(types.iter().any(|t| t == "timeout_triggered"), "the events say timeout_triggered")
}

fn wall_time_default(context: &Context) -> Outcome {
    let status = context.succeeds(&sh("true"))?;
    status.expect_field("/execution_plan/resource_enforcement/wall_time_ms", &json!(300_000))
}

/// A child that holds the output open would keep it growing.
fn wall_time_descendants(context: &Context) -> Outcome {
    let command = "while :; do echo x; sleep 0.02; done & sleep 600";
    let status = context.fails(&limited(command, json!({"wall_time_ms": 300})), "timeout")?;
    context.stays(&status)
}

fn within(context: &Context) -> Outcome {
    let limits = json!({
        "wall_time_ms": 60_000, "cpu_time_sec": 60, "memory_bytes": 256 << 20, "pids_max": 64,
        "file_size_bytes": 1 << 20, "open_files": 64, "workspace_bytes": 1 << 20,
    });
    let adaptive = json!({"policy": {"capability_mode": "adaptive"}});
    context.prints(&with(limited("echo kept >file; cat file", limits), adaptive), "kept\n").map(drop)
}

/// As large as a JSON client can say exactly: the time, which nothing is reserved for.
fn largest(context: &Context) -> Outcome {
    let largest = (1_u64 << 53) - 1;
    let limits = json!({"wall_time_ms": largest, "cpu_time_sec": largest});
    let status = context.prints(&limited("echo ran", limits), "ran\n")?;
    status.expect_field("/execution_plan/resource_enforcement/wall_time_ms", &json!(largest))
}

fn cpu_time(context: &Context) -> Outcome {
    context.needs("/resources/rlimit_cpu")?;
    let status = context.fails(&limited("while :; do :; done", json!({"cpu_time_sec": 1})), "cpu_limit_exceeded")?;
    status.expect_field("/error/details", &json!({"cpu_time_sec": 1}))?;
    let used = status.number_at("/usage/user_cpu_ms").unwrap_or_default()
        + status.number_at("/usage/system_cpu_ms").unwrap_or_default();
    // The kernel counts for the limit by ticks, and for the usage exactly.
    status.expect((500..5000).contains(&used), "the task had its CPU time, and not much more")
}

/// `tail` keeps a line without an end in memory.
const HUNGRY: &str = "head -c 200000000 /dev/zero | tail -n 1 | wc -c";
const MEMORY: u64 = 64 << 20;

fn memory(context: &Context) -> Outcome {
    context.needs("/resources/oom_detection")?;
    let status = context.fails(&limited(HUNGRY, json!({"memory_bytes": MEMORY})), "memory_limit_exceeded")?;
    status.expect_field("/error/details", &json!({"memory_bytes": MEMORY}))
}

/// Whatever it is that holds the task.
fn memory_held(context: &Context) -> Outcome {
    let status = context.run(&limited(HUNGRY, json!({"memory_bytes": MEMORY})))?;
    if status.body.pointer("/execution_plan/resource_enforcement/memory_enforced") == Some(&json!(false)) {
        return Err(skipped("the plan says that memory_bytes is not enforced"));
    }
    status.expect(status.text_at("/stdout").trim() != "200000000", "a task does not get more memory than its limit")
}

/// Each process is below the limit, all together are not.
fn memory_of_the_whole_task(context: &Context) -> Outcome {
    context.needs("/resources/memory_limit")?;
    context.needs("/resources/oom_detection")?;
    let one = "head -c 40000000 /dev/zero | tail -n 1 | (sleep 1; cat >/dev/null)";
    let command = format!("{one} & {one} & {one} & wait");
    context.fails(&limited(&command, json!({"memory_bytes": MEMORY})), "memory_limit_exceeded").map(drop)
}

/// Never more than these 40, whatever the limit does.
fn pids(context: &Context) -> Outcome {
    let manifest = context.client.get("/api/v1/runtime/capabilities")?;
    manifest.expect_status(200, "the manifest can be read")?;
    let has = |pointer: &str| manifest.body.pointer(pointer) == Some(&json!(true));
    let sandbox = match (has("/resources/pids_limit"), has("/sandbox/rlimit_processes")) {
        (true, _) => json!({}),
        (false, true) => json!({"profile": "linux_sandbox"}),
        (false, false) => return context.needs("/resources/pids_limit"),
    };
    let command = "n=0; while [ $n -lt 40 ]; do sleep 30 & n=$((n+1)); done; echo all";
    let limits = json!({"pids_max": 16, "wall_time_ms": 20_000});
    let status = context.run(&with(limited(command, limits), json!({"sandbox": sandbox})))?;
    status.expect_field("/execution_plan/resource_enforcement/pids_enforced", &json!(true))?;
    status.expect_field("/stdout", &json!(""))?;
    status.expect_field("/status", &json!("failed"))?;
    let limits = json!({"pids_max": 16});
    let few = "for n in 1 2 3 4; do sleep 0.01 & done; wait; echo all";
    context.prints(&with(limited(few, limits), json!({"sandbox": sandbox})), "all\n").map(drop)
}

/// A tenth of a core for a second and a half, of which a busy loop would have all.
fn cpu_millis(context: &Context) -> Outcome {
    context.needs("/resources/cpu_quota")?;
    let limits = json!({"cpu_millis": 100, "wall_time_ms": 1500});
    let status = context.fails(&limited("while :; do :; done", limits), "timeout")?;
    let used = status.number_at("/usage/user_cpu_ms").unwrap_or_default()
        + status.number_at("/usage/system_cpu_ms").unwrap_or_default();
    status.expect(used < 600, "the task had its share of the CPU, and not much more")
}

fn file_size(context: &Context) -> Outcome {
    context.needs("/resources/rlimit_file_size")?;
    let request = limited("exec head -c 200000 /dev/zero >file", json!({"file_size_bytes": 100_000}));
    let status = context.fails(&request, "resource_limit_exceeded")?;
    status.expect_field("/error/details", &json!({"file_size_bytes": 100_000}))?;
    status.expect_field("/exit_signal", &json!(25))
}

fn file_size_at_the_bound(context: &Context) -> Outcome {
    context.needs("/resources/rlimit_file_size")?;
    let command = "head -c 100000 /dev/zero >file; wc -c <file";
    let status = context.succeeds(&limited(command, json!({"file_size_bytes": 100_000})))?;
    status.expect(status.text_at("/stdout").trim() == "100000", "a file may be just as long as the limit")
}

/// Writes more than it may.
fn output(context: &Context, stream: &str, command: &str) -> Outcome {
    let limit = format!("{stream}_log_max_bytes");
    let status = context.fails(&limited(command, json!({&limit: 100_000})), "resource_limit_exceeded")?;
    status.expect_field("/error/details", &json!({"stream": stream, &limit: 100_000}))?;
    let kept = status.text_at(&format!("/{stream}")).len();
    status.expect(kept == 100_000, "just as much as the limit is kept of the output")
}

fn output_at_the_bound(context: &Context) -> Outcome {
    let limits = json!({"stdout_log_max_bytes": 100_000, "stderr_log_max_bytes": 1});
    let status = context.succeeds(&limited("head -c 100000 /dev/zero; printf x >&2", limits))?;
    status.expect(status.text_at("/stdout").len() == 100_000, "output may be just as long as the limit")
}

fn output_default(context: &Context) -> Outcome {
    let default = context.configured("log_max_bytes")?;
    let status = context.succeeds(&sh("true"))?;
    for limit in ["stdout_log_max_bytes", "stderr_log_max_bytes"] {
        let pointer = format!("/execution_plan/resource_enforcement/{limit}");
        status.expect_field(&pointer, &json!(default))?;
    }
    Ok(())
}

fn file_size_of_a_child(context: &Context) -> Outcome {
    context.needs("/resources/rlimit_file_size")?;
    let request = limited("head -c 200000 /dev/zero >file; exit $?", json!({"file_size_bytes": 100_000}));
    context.fails(&request, "exit_non_zero")?.expect_field("/exit_code", &json!(153))
}

fn open_files(context: &Context) -> Outcome {
    context.needs("/resources/rlimit_open_files")?;
    context.prints(&limited("ulimit -n; ulimit -Hn", json!({"open_files": 32})), "32\n32\n").map(drop)
}

/// No file is longer than the limit, all together are.
const FILES: &str = "for n in 1 2 3 4; do head -c 400000 /dev/zero >$n; done";

fn workspace(context: &Context) -> Outcome {
    context.needs("/resources/rlimit_file_size")?;
    let request = limited(&format!("{FILES}; exec sleep 600"), json!({"workspace_bytes": 1_000_000}));
    let status = context.fails(&request, "resource_limit_exceeded")?;
    status.expect_field("/error/details/workspace_bytes", &json!(1_000_000))
}

/// However quick it was.
fn workspace_at_the_end(context: &Context) -> Outcome {
    context.needs("/resources/rlimit_file_size")?;
    let status = context.fails(&limited(FILES, json!({"workspace_bytes": 1_000_000})), "resource_limit_exceeded")?;
    let found = status.number_at("/error/details/found_bytes").unwrap_or_default();
    status.expect(found > 1_000_000, "details.found_bytes says how much was found")
}
