//! For programs: everything that is known of each case.

use serde_json::{Value, json};

use super::{CaseResult, Count, Report, evidence};
use crate::case::{Fault, NotPassed};

pub fn whole(report: &Report) -> String {
    let levels = report.by_level().into_iter().map(|(level, count)| (level.name().to_owned(), counted(count)));
    let whole = json!({
        "url": report.url,
        "seed": report.seed,
        "holds": report.worst().is_none_or(|level| level == crate::case::Level::Beyond),
        "count": counted(report.total()),
        "levels": Value::Object(levels.collect()),
        "cases": report.results().iter().map(result).collect::<Value>(),
    });
    format!("{whole:#}\n")
}

fn counted(count: Count) -> Value {
    let Count { passed, failed, known, skipped } = count;
    json!({"passed": passed, "failed": failed, "known": known, "skipped": skipped})
}

fn result(result: &CaseResult) -> Value {
    let mut shown = json!({
        "id": result.case.id,
        "section": result.case.section,
        "level": result.case.level.name(),
        "result": result.verdict().word(),
        "duration_ms": u64::try_from(result.took.as_millis()).unwrap_or(u64::MAX),
    });
    match &result.outcome {
        Ok(()) => {}
        Err(NotPassed::Failed(faults)) => shown["faults"] = faults.iter().map(fault).collect(),
        Err(NotPassed::Skipped { reason }) => shown["reason"] = json!(reason),
    }
    shown
}

fn fault(fault: &Fault) -> Value {
    let Fault { rule, request, response } = fault;
    json!({"rule": rule, "request": evidence(request), "response": evidence(response)})
}
