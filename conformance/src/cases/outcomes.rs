//! Outcomes: which end of a command is which result.

use serde_json::{Value, json};

use crate::case::{Case, Context, Outcome, command_line, sh, with};

pub const CASES: &[Case] = &[
    Case::must("outcome.exit.0", "Outcomes", exit_0),
    Case::must("outcome.exit.1", "Outcomes", |it| exits(it, 1)),
    Case::must("outcome.exit.2", "Outcomes", |it| exits(it, 2)),
    Case::must("outcome.exit.126", "Outcomes", |it| exits(it, 126)),
    Case::must("outcome.exit.127", "Outcomes", |it| exits(it, 127)),
    Case::must("outcome.exit.128", "Outcomes", |it| exits(it, 128)),
    Case::must("outcome.exit.255", "Outcomes", |it| exits(it, 255)),
    Case::must("outcome.exit.of-the-program", "Outcomes", |it| {
        it.fails(&command_line(&["false"]), "exit_non_zero")?.expect_field("/exit_code", &json!(1))
    }),
    Case::must("outcome.exit.signal-of-a-child", "Outcomes", signal_of_a_child),
    Case::must("outcome.signal.hup", "Outcomes", |it| dies(it, 1, "HUP")),
    Case::must("outcome.signal.int", "Outcomes", |it| dies(it, 2, "INT")),
    Case::must("outcome.signal.abrt", "Outcomes", |it| dies(it, 6, "ABRT")),
    Case::must("outcome.signal.kill", "Outcomes", |it| dies(it, 9, "KILL")),
    Case::must("outcome.signal.segv", "Outcomes", |it| dies(it, 11, "SEGV")),
    Case::must("outcome.signal.pipe", "Outcomes", |it| dies(it, 13, "PIPE")),
    Case::must("outcome.signal.alrm", "Outcomes", |it| dies(it, 14, "ALRM")),
    Case::must("outcome.signal.term", "Outcomes", |it| dies(it, 15, "TERM")),
    Case::should("outcome.signal.message", "Outcomes", |it| {
        let status = it.fails(&sh("kill -SEGV $$"), "exit_non_zero")?;
        status.expect_field("/error/message", &json!("killed by signal 11 (SIGSEGV)"))
    }),
    Case::should("outcome.signal.default-actions", "Outcomes", default_actions),
    Case::must("outcome.timeout", "Outcomes", timeout),
    Case::must("outcome.timeout.beats-exit-code", "Outcomes", |it| times_out(it, "exit 3")),
    Case::must("outcome.timeout.beats-success", "Outcomes", |it| times_out(it, "exit 0")),
    Case::must("outcome.timeout.terminates-first", "limits", timeout_terminates_first),
    Case::must("outcome.cancelled.beats-success", "Outcomes", |it| cancelled(it, "exit 0")),
    Case::must("outcome.cancelled.beats-exit-code", "Outcomes", |it| cancelled(it, "exit 3")),
    Case::must("outcome.launch-failed", "Outcomes", launch_failed),
    Case::must("outcome.error.form", "Outcomes", form),
    Case::must("outcome.success.no-error", "Status", |it| it.succeeds(&sh("echo >&2"))?.expect_absent("/error")),
    Case::must("outcome.usage", "Status", usage),
    Case::should("outcome.usage.cpu", "Status", cpu_time),
    Case::should("outcome.usage.descendants", "Status", cpu_time_of_descendants),
    Case::should("outcome.usage.memory", "Status", memory),
];

fn exit_0(context: &Context) -> Outcome {
    let status = context.succeeds(&sh("exit 0"))?;
    status.expect_field("/exit_code", &json!(0))?;
    status.expect_absent("/exit_signal")
}

fn exits(context: &Context, code: u8) -> Outcome {
    let status = context.fails(&sh(&format!("exit {code}")), "exit_non_zero")?;
    status.expect_field("/exit_code", &json!(code))?;
    status.expect_field("/error/details", &json!({"exit_code": code}))?;
    status.expect_absent("/exit_signal")
}

fn dies(context: &Context, number: u8, name: &str) -> Outcome {
    let status = context.fails(&sh(&format!("kill -{name} $$")), "exit_non_zero")?;
    status.expect_field("/exit_signal", &json!(number))?;
    status.expect_field("/error/details", &json!({"exit_signal": number, "signal": format!("SIG{name}")}))?;
    status.expect_absent("/exit_code")
}

/// The shell lives, and says so by its exit code.
fn signal_of_a_child(context: &Context) -> Outcome {
    let status = context.fails(&sh("sh -c 'kill -KILL $$'; exit $?"), "exit_non_zero")?;
    status.expect_field("/exit_code", &json!(137))?;
    status.expect_absent("/exit_signal")
}

/// A task must not inherit what a server ignores.
fn default_actions(context: &Context) -> Outcome {
    let (status, lines) = context.lines(&command_line(&["grep", "-E", "^Sig(Ign|Blk)", "/proc/self/status"]))?;
    status.expect(lines.len() == 2, "the kernel tells which signals are ignored and blocked")?;
    let none = lines.iter().all(|line| line.split_whitespace().nth(1).is_some_and(|set| set.chars().all(|c| c == '0')));
    status.expect(none, "a command begins with no signal ignored and none blocked")
}

/// A shell that does this when it gets SIGTERM.
fn on_term(action: &str) -> Value {
    sh(&format!("trap '{action}' TERM; sleep 600 & echo ready; wait"))
}

fn timeout(context: &Context) -> Outcome {
    let status = context.fails(&with(sh("exec sleep 600"), json!({"limits": {"wall_time_ms": 300}})), "timeout")?;
    status.expect_field("/error/details", &json!({"wall_time_ms": 300}))?;
    let duration = status.number_at("/duration_ms").unwrap_or_default();
    status.expect((300..30_000).contains(&duration), "the task has ended soon after its time, and not before")
}

fn times_out(context: &Context, action: &str) -> Outcome {
    let request = with(on_term(action), json!({"limits": {"wall_time_ms": 1000}}));
    let status = context.fails(&request, "timeout")?;
    status.expect_field("/stdout", &json!("ready\n"))
}

fn timeout_terminates_first(context: &Context) -> Outcome {
    let request = with(on_term("echo terminated; exit 0"), json!({"limits": {"wall_time_ms": 1000}}));
    let status = context.fails(&request, "timeout")?;
    status.expect_field("/stdout", &json!("ready\nterminated\n"))
}

fn cancelled(context: &Context, action: &str) -> Outcome {
    let id = context.submit(&on_term(action))?;
    context.says(&id, "ready\n")?;
    context.kill(&id)?;
    let status = context.ended(&id)?;
    status.expect_field("/status", &json!("cancelled"))?;
    status.expect_field("/error/code", &json!("cancelled"))
}

fn launch_failed(context: &Context) -> Outcome {
    let status = context.fails(&command_line(&["/no/such/program"]), "launch_failed")?;
    status.expect_field("/error/details/errno", &json!(2))?;
    for name in ["step", "error"] {
        let told = !status.text_at(&format!("/error/details/{name}")).is_empty();
        status.expect(told, &format!("details.{name} says what failed"))?;
    }
    status.expect(status.text_at("/error/message").contains("ENOENT"), "the message names the errno")
}

fn form(context: &Context) -> Outcome {
    let timeout = json!({"limits": {"wall_time_ms": 200}});
    for request in [sh("exit 1"), sh("kill -TERM $$"), command_line(&["/no"]), with(sh("sleep 600"), timeout)] {
        let status = context.run(&request)?;
        status.expect_field("/status", &json!("failed"))?;
        status.expect(!status.text_at("/error/code").is_empty(), "error.code names the kind of failure")?;
        status.expect(!status.text_at("/error/message").is_empty(), "error.message says what happened")?;
        status.expect(status.body.pointer("/error/details").is_some(), "error.details is there, if only as null")?;
    }
    Ok(())
}

fn usage(context: &Context) -> Outcome {
    let status = context.succeeds(&sh("sleep 0.1"))?;
    let duration = status.number_at("/usage/duration_ms");
    status.expect(duration.is_some_and(|ms| ms >= 100), "usage.duration_ms is the time from start to end")?;
    status.expect(duration == status.number_at("/duration_ms"), "and the same as duration_ms")?;
    let never_ran = context.run(&command_line(&["/no/such/program"]))?;
    never_ran.expect_field("/status", &json!("failed"))?;
    never_ran.expect_absent("/usage")
}

/// Turns of a loop that take some hundredths of a second at least.
const BUSY: &str = "n=0; while [ $n -lt 200000 ]; do n=$((n+1)); done";

fn cpu_time(context: &Context) -> Outcome {
    let status = context.succeeds(&sh(BUSY))?;
    let user = status.number_at("/usage/user_cpu_ms").unwrap_or_default();
    status.expect(user >= 20, "usage.user_cpu_ms counts what a busy command took")
}

fn cpu_time_of_descendants(context: &Context) -> Outcome {
    let status = context.succeeds(&sh(&format!("sh -c '{BUSY}'")))?;
    let user = status.number_at("/usage/user_cpu_ms").unwrap_or_default();
    status.expect(user >= 20, "usage.user_cpu_ms counts what a child of the command took")
}

/// `tail` keeps a line without an end in memory.
fn memory(context: &Context) -> Outcome {
    let status = context.succeeds(&sh("head -c 40000000 /dev/zero | tail -n 1 | wc -c"))?;
    let peak = status.number_at("/usage/max_rss_bytes").unwrap_or_default();
    status.expect(peak >= 40_000_000, "usage.max_rss_bytes is what the largest process of the task took")
}
