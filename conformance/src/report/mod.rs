//! The result: a line for each case as it ends, and files for whoever reads on. Each form has a file of its own.

mod json;
mod junit;
mod markdown;
mod text;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::case::{Case, Level, NotPassed, Outcome};

pub use text::list;

/// Of a request or an answer that is shown.
const EVIDENCE_CHARS: usize = 2000;

/// All that a run found.
#[derive(Debug)]
pub struct Report {
    pub url: String,
    /// Of the generated inputs.
    pub seed: u64,
    /// Ids of cases whose failure is known, and does not count.
    known: Vec<String>,
    results: Vec<CaseResult>,
}

#[derive(Debug)]
pub struct CaseResult {
    pub case: &'static Case,
    pub outcome: Outcome,
    pub known: bool,
    pub took: Duration,
}

/// How a case ended, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Passed,
    Failed,
    /// Failed, as is known.
    Known,
    /// Passed, although it is known to fail: whoever says so must stop.
    Outdated,
    Skipped,
}

/// What all cases of a level, or all cases, came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub passed: usize,
    pub failed: usize,
    pub known: usize,
    pub skipped: usize,
}

/// `FORMAT=FILE`.
#[derive(Clone, Debug)]
pub struct Target {
    format: Format,
    file: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Text,
    Json,
    Junit,
    Markdown,
}

impl Report {
    #[must_use]
    pub const fn new(url: String, seed: u64, known: Vec<String>) -> Self {
        Self { url, seed, known, results: Vec::new() }
    }

    /// Notes the end of a case and says so.
    pub fn add(&mut self, case: &'static Case, outcome: Outcome, took: Duration) {
        let known = self.known.iter().any(|id| id == case.id);
        let result = CaseResult { case, outcome, known, took };
        print!("{}", text::result(&result));
        self.results.push(result);
    }

    /// Says what it came to.
    pub fn close(&self) {
        print!("{}", text::summary(self));
    }

    #[must_use]
    pub fn results(&self) -> &[CaseResult] {
        &self.results
    }

    /// The most binding level of which something failed that was not known to.
    #[must_use]
    pub fn worst(&self) -> Option<Level> {
        let counts = |result: &&CaseResult| matches!(result.verdict(), Verdict::Failed | Verdict::Outdated);
        self.results.iter().filter(counts).map(|result| result.case.level).min()
    }

    fn by_level(&self) -> BTreeMap<Level, Count> {
        let mut levels = BTreeMap::new();
        for result in &self.results {
            levels.entry(result.case.level).or_insert_with(Count::default).add(result.verdict());
        }
        levels
    }

    fn total(&self) -> Count {
        let mut total = Count::default();
        self.results.iter().for_each(|result| total.add(result.verdict()));
        total
    }

    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, target: &Target) -> Result<(), String> {
        let content = match target.format {
            Format::Text => text::whole(self),
            Format::Json => json::whole(self),
            Format::Junit => junit::whole(self),
            Format::Markdown => markdown::whole(self),
        };
        fs::write(&target.file, content).map_err(|error| format!("--report {}: {error}", target.file.display()))
    }
}

impl CaseResult {
    #[must_use]
    pub const fn verdict(&self) -> Verdict {
        match (&self.outcome, self.known) {
            (Ok(()), false) => Verdict::Passed,
            (Ok(()), true) => Verdict::Outdated,
            (Err(NotPassed::Failed(_)), false) => Verdict::Failed,
            (Err(NotPassed::Failed(_)), true) => Verdict::Known,
            (Err(NotPassed::Skipped { .. }), _) => Verdict::Skipped,
        }
    }
}

impl Verdict {
    const fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Known => "known",
            Self::Outdated => "outdated",
            Self::Skipped => "skipped",
        }
    }
}

impl Count {
    const fn add(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Passed => self.passed += 1,
            Verdict::Failed | Verdict::Outdated => self.failed += 1,
            Verdict::Known => self.known += 1,
            Verdict::Skipped => self.skipped += 1,
        }
    }

    const fn all(self) -> usize {
        self.passed + self.failed + self.known + self.skipped
    }
}

impl Level {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Must => "MUST",
            Self::Should => "SHOULD",
            Self::Beyond => "BEYOND",
        }
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (format, file) =
            text.split_once('=').filter(|(_, file)| !file.is_empty()).ok_or("it must be FORMAT=FILE")?;
        let format = match format {
            "text" => Format::Text,
            "json" => Format::Json,
            "junit" => Format::Junit,
            "markdown" => Format::Markdown,
            other => return Err(format!("the format must be text, json, junit or markdown, not {other:?}")),
        };
        Ok(Self { format, file: file.into() })
    }
}

/// Cut to what a reader takes in.
fn evidence(text: &str) -> String {
    let shown: String = text.chars().take(EVIDENCE_CHARS).collect();
    let more = if shown.len() < text.len() { " …" } else { "" };
    shown + more
}
