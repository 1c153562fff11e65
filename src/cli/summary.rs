//! A task's status in a few lines for people, from the server's JSON.

use std::fmt::Write;

use serde_json::Value;

use super::Exit;

/// How a task that has ended lets `run` and `wait` end; `None` while it has not.
#[must_use]
pub fn verdict(status: &Value) -> Option<Exit> {
    match status["status"].as_str() {
        Some("success") => Some(Exit::Success),
        Some("failed" | "cancelled") => Some(Exit::Failed),
        _ => None,
    }
}

/// One fact a line; what the server does not say is left out.
#[must_use]
pub fn of(status: &Value) -> String {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let ended = match (&status["exit_code"], &status["exit_signal"]) {
        (Value::Number(code), _) => format!(" (exit code {code})"),
        (_, Value::Number(signal)) => format!(" (signal {signal})"),
        _ => String::new(),
    };
    let error = &status["error"];
    let reasons = status["execution_plan"]["fallback_reasons"].as_array();
    let degraded = reasons.map(|reasons| reasons.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("; "));
    let facts = [
        ("task", text(&status["task_id"])),
        ("status", text(&status["status"]).map(|status| status + &ended)),
        ("error", text(&error["code"]).map(|code| format!("{code}: {}", error["message"].as_str().unwrap_or("")))),
        ("created", text(&status["created_at"])),
        ("started", text(&status["started_at"])),
        ("finished", text(&status["finished_at"])),
        ("took", status["duration_ms"].as_u64().map(|ms| format!("{ms} ms"))),
        ("degraded", degraded.filter(|reasons| !reasons.is_empty())),
        ("directory", text(&status["artifacts"]["task_dir"])),
    ];
    facts.into_iter().filter_map(|(name, fact)| Some((name, fact?))).fold(String::new(), |mut all, (name, fact)| {
        writeln!(all, "{name:<10} {fact}").expect("a string takes everything");
        all
    })
}
