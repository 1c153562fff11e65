//! The result as text: a line for each case, the evidence under each that failed, the count at the end.

use std::collections::BTreeMap;

use crate::case::{Case, Level, NotPassed, Outcome};

/// Of a request or an answer that is shown.
const EVIDENCE_CHARS: usize = 2000;

#[derive(Debug, Default)]
pub struct Report {
    by_level: BTreeMap<Level, Count>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl Level {
    const fn name(self) -> &'static str {
        match self {
            Self::Must => "MUST",
            Self::Should => "SHOULD",
            Self::Beyond => "BEYOND",
        }
    }
}

pub fn list(case: &Case) {
    println!("{:6} {:32} {}", case.level.name(), case.id, case.section);
}

impl Report {
    pub fn add(&mut self, case: &Case, outcome: Outcome) {
        let count = self.by_level.entry(case.level).or_default();
        let line = |result| println!("{result:7} {:6} {:32} {}", case.level.name(), case.id, case.section);
        match outcome {
            Ok(()) => {
                count.passed += 1;
                line("passed");
            }
            Err(NotPassed::Failed { rule, request, response }) => {
                count.failed += 1;
                line("FAILED");
                show("rule", &rule);
                show("request", &request);
                show("response", &response);
            }
            Err(NotPassed::Skipped { reason }) => {
                count.skipped += 1;
                line("skipped");
                show("reason", &reason);
            }
        }
    }

    /// Whether the runtime conforms: nothing that it must or should do failed.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.by_level.iter().all(|(level, count)| *level == Level::Beyond || count.failed == 0)
    }

    pub fn close(&self) {
        let mut all = Count::default();
        for (level, Count { passed, failed, skipped }) in &self.by_level {
            println!("{:6} {passed} of {} hold", level.name(), passed + failed + skipped);
            all.passed += passed;
            all.failed += failed;
            all.skipped += skipped;
        }
        println!("{} passed, {} failed, {} skipped", all.passed, all.failed, all.skipped);
    }
}

fn show(what: &str, text: &str) {
    let shown: String = text.chars().take(EVIDENCE_CHARS).collect();
    let more = if shown.len() < text.len() { " …" } else { "" };
    println!("        {what}: {}{more}", shown.replace('\n', "\n            "));
}
