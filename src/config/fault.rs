//! What can be wrong with a configuration, and where it came from. A fault names the file, variable or flag, the key,
//! what is wrong and what is allowed; all faults of all layers are reported together.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Where a value was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Default,
    File(PathBuf),
    Variable(String),
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, thiserror::Error)]
#[error("{origin}: {}{problem}", .key.as_ref().map(|key| format!("{key}: ")).unwrap_or_default())]
pub struct Fault {
    pub origin: Origin,
    /// The key, unless the whole file or variable is at fault.
    pub key: Option<String>,
    pub problem: Problem,
}

#[derive(Debug, thiserror::Error)]
pub enum Problem {
    #[error("cannot be read: {0}")]
    Unreadable(io::Error),
    #[error("is not valid YAML: {0}")]
    Syntax(String),
    #[error("must be a map of sections ({known}), not {found}")]
    NoMap { known: String, found: String },
    #[error("is not a section{}; the sections are {known}", hint(.nearest))]
    UnknownSection { nearest: Option<String>, known: String },
    #[error("is an empty section; leave it out or give it a key ({known})")]
    EmptySection { known: String },
    #[error("must be a section with keys ({known}), not {found}")]
    NoSection { known: String, found: String },
    #[error("is not a key{}; {place} has {known}", hint(.nearest))]
    UnknownKey { nearest: Option<String>, place: String, known: String },
    #[error("must be {allowed}, not {found}")]
    Wrong { allowed: String, found: String },
    #[error("is not a tenant's quota: {0}; write NAME=slots:N[,memory:BYTES][,pids:N]")]
    Quota(String),

    #[error("is required")]
    Missing,
    #[error("is not UTF-8")]
    NotUtf8,
    #[error("{value:?} differs from {other_value:?} in {other}, which sets the same key; set only one of them")]
    Conflict { value: String, other: String, other_value: String },
    #[error("{0}")]
    Rejected(String),
}

fn hint(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|name| format!(" (did you mean {name}?)")).unwrap_or_default()
}

/// A configuration that cannot be used: every fault, one a line.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Invalid(pub Vec<Fault>);

/// The known name that a misspelt one most probably means: a key of that very name in another section, or one that
/// differs in few letters.
#[must_use]
pub fn nearest<'a>(wrong: &str, known: impl Iterator<Item = &'a str> + Clone) -> Option<String> {
    let leaf = |path: &'a str| path.rsplit_once('.').map_or(path, |(_, leaf)| leaf);
    let wrong_leaf = wrong.rsplit_once('.').map_or(wrong, |(_, leaf)| leaf);
    let moved = known.clone().find(|path| leaf(path) == wrong_leaf);
    let close = || known.map(|path| (distance(wrong, path), path)).filter(|(d, path)| *d <= 1 + path.len() / 6).min();
    moved.or_else(|| close().map(|(_, path)| path)).map(str::to_owned)
}

/// Levenshtein's edit distance.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.chars().enumerate() {
            let change = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.chars().count()]
}
