//! A matrix for a page or a pull request: the cases by section of the contract, and what failed in words.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{CaseResult, Count, Report, Verdict};
use crate::case::{Level, NotPassed};

pub fn whole(report: &Report) -> String {
    let Count { passed, failed, known, skipped } = report.total();
    let mut page = format!("# Conformance of {}\n\n", cell(&report.url));
    let _ = writeln!(
        page,
        "{passed} passed, {failed} failed, {known} known to fail, {skipped} skipped; seed {}.",
        report.seed
    );
    page += "\n| section | case | level | result |\n|---|---|---|---|\n";
    let mut sections: BTreeMap<&str, Vec<&CaseResult>> = BTreeMap::new();
    for result in report.results() {
        sections.entry(result.case.section).or_default().push(result);
    }
    for (section, results) in &sections {
        for result in results {
            let (id, level) = (result.case.id, result.case.level.name());
            let _ = writeln!(page, "| {section} | `{id}` | {level} | {} |", sign(result));
        }
    }
    page += &levels(report);
    let told = report.results().iter().filter_map(words);
    let told: Vec<_> = told.collect();
    if !told.is_empty() {
        let _ = write!(page, "\n## What does not hold, or was not checked\n\n{}\n", told.join("\n"));
    }
    page
}

fn levels(report: &Report) -> String {
    let mut table = "\n| level | passed | failed | known to fail | skipped |\n|---|---|---|---|---|\n".to_owned();
    for (level, Count { passed, failed, known, skipped }) in report.by_level() {
        let _ = writeln!(table, "| {} | {passed} | {failed} | {known} | {skipped} |", level.name());
    }
    table
}

const fn sign(result: &CaseResult) -> &'static str {
    match (result.verdict(), result.case.level) {
        (Verdict::Passed, _) => "✅ passed",
        (Verdict::Failed, Level::Beyond) => "➖ not offered",
        (Verdict::Failed | Verdict::Outdated, _) => "❌ failed",
        (Verdict::Known, _) => "⚠️ known to fail",
        (Verdict::Skipped, _) => "⏭️ skipped",
    }
}

fn words(result: &CaseResult) -> Option<String> {
    let id = result.case.id;
    match (&result.outcome, result.verdict()) {
        (Ok(()), Verdict::Outdated) => Some(format!("- `{id}`: holds, although it is known to fail")),
        (Ok(()), _) => None,
        (Err(NotPassed::Failed(faults)), _) => {
            let rules: Vec<_> = faults.iter().map(|fault| format!("  - {}", cell(&fault.rule))).collect();
            Some(format!("- `{id}`: what ought to hold:\n{}", rules.join("\n")))
        }
        (Err(NotPassed::Skipped { reason }), _) => Some(format!("- `{id}`: skipped: {}", cell(reason))),
    }
}

/// One line without markup of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ").replace('<', "&lt;")
}
