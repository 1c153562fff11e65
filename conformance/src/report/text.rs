//! For people: a line for each case, the evidence under each that failed, the count at the end.

use std::fmt::Write as _;

use super::{CaseResult, Count, Report, Verdict, evidence};
use crate::case::{Case, NotPassed};

pub fn list(case: &Case) {
    println!("{:6} {:38} {}", case.level.name(), case.id, case.section);
}

pub fn result(result: &CaseResult) -> String {
    let CaseResult { case, outcome, known: _, took } = result;
    let verdict = match result.verdict() {
        Verdict::Failed => "FAILED",
        Verdict::Outdated => "OUTDATED",
        Verdict::Passed | Verdict::Known | Verdict::Skipped => result.verdict().word(),
    };
    let ms = took.as_millis();
    let mut text = format!("{verdict:8} {:6} {:38} {:14} {ms:6} ms\n", case.level.name(), case.id, case.section);
    match outcome {
        Ok(()) if result.verdict() == Verdict::Outdated => {
            show(&mut text, "rule", "a case that holds is not on the list of those that are known to fail");
        }
        Ok(()) => {}
        // What is known has been seen.
        Err(NotPassed::Failed(faults)) if result.verdict() == Verdict::Known => {
            faults.iter().for_each(|fault| show(&mut text, "rule", &fault.rule));
        }
        Err(NotPassed::Failed(faults)) => {
            for fault in faults {
                show(&mut text, "rule", &fault.rule);
                show(&mut text, "request", &fault.request);
                show(&mut text, "response", &fault.response);
            }
        }
        Err(NotPassed::Skipped { reason }) => show(&mut text, "reason", reason),
    }
    text
}

pub fn summary(report: &Report) -> String {
    let mut text = String::new();
    for (level, count) in report.by_level() {
        let _ = writeln!(text, "{:6} {} of {} hold", level.name(), count.passed, count.all());
    }
    let Count { passed, failed, known, skipped } = report.total();
    let known = if known > 0 { format!("{known} known to fail, ") } else { String::new() };
    let _ = writeln!(text, "{passed} passed, {failed} failed, {known}{skipped} skipped");
    text
}

pub fn whole(report: &Report) -> String {
    let results: String = report.results().iter().map(result).collect();
    format!("{}, seed {}\n{results}{}", report.url, report.seed, summary(report))
}

fn show(text: &mut String, what: &str, value: &str) {
    let _ = writeln!(text, "        {what}: {}", evidence(value).replace('\n', "\n            "));
}
