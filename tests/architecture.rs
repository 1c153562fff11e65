//! The house rules, enforced: imports point downwards, `unsafe` stands in `sys` alone and SQL in `store` alone,
//! files say what they are for and stay small.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// For each room the rooms that it may import. `docs/architecture.md` shows the same as a picture.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("sys", &[]),
    ("task", &[]),
    ("sandbox", &["task", "sys"]),
    ("launcher", &["task", "sys", "shim", "sandbox"]),
    ("shim", &["task", "sys", "launcher", "sandbox"]),
    ("ledger", &["task"]),
    ("scheduler", &["ledger", "task"]),
    ("config", &["ledger", "task"]),
    ("capability", &["ledger", "task", "sys", "sandbox"]),
    ("store", &["task", "sys"]),
    ("blobs", &["task"]),
    ("metrics", &["ledger", "task"]),
    ("output", &["sys"]),
    ("api", &["capability", "config", "ledger", "output", "task"]),
    ("dispatcher", &["metrics", "store", "scheduler", "ledger", "launcher", "shim", "sandbox", "task", "sys"]),
    ("callback", &["api", "dispatcher", "store", "output", "config", "task"]),
    (
        "server",
        &[
            "api",
            "blobs",
            "callback",
            "dispatcher",
            "output",
            "store",
            "capability",
            "config",
            "metrics",
            "ledger",
            "task",
        ],
    ),
    ("cli", &["server", "callback", "api", "blobs", "dispatcher", "store", "capability", "config", "metrics", "task"]),
    ("fuzz", &["api", "config", "launcher", "shim", "task"]),
    ("init", &["sys"]),
    ("lib", &["cli", "launcher", "capability", "init"]),
    ("main", &[]),
];

struct Source {
    path: PathBuf,
    room: String,
    text: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("src is readable") {
            let path = entry.expect("src is readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let inner = path.strip_prefix(&root).expect("below src").to_owned();
                let first = inner.components().next().expect("a name").as_os_str().to_string_lossy().into_owned();
                let text = fs::read_to_string(&path).expect("UTF-8");
                found.push(Source { path: inner, room: first.trim_end_matches(".rs").to_owned(), text });
            }
        }
    }
    assert!(found.len() > 30, "the sources were not found");
    found
}

/// Code without comments, so that prose may name anything.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().map(|line| line.split("//").next().unwrap_or("")).zip(1..).map(|(line, n)| (n, line))
}

fn is_test(path: &Path) -> bool {
    path.components().any(|part| matches!(part.as_os_str().to_str(), Some("tests.rs" | "testing.rs" | "tests")))
}

fn names_after_crate(line: &str) -> Vec<String> {
    let after = line.match_indices("crate::").map(|(at, found)| &line[at + found.len()..]);
    let name = |rest: &str| rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>();
    after.map(name).filter(|name| !name.is_empty()).collect()
}

#[test]
fn imports_point_downwards_only() {
    let allowed: BTreeMap<&str, &[&str]> = MAY_IMPORT.iter().copied().collect();
    let mut faults = Vec::new();
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for source in sources() {
        let Some(rooms) = allowed.get(source.room.as_str()) else {
            faults.push(format!("{}: the room `{}` has no rule", source.path.display(), source.room));
            continue;
        };
        for (n, line) in code(&source.text) {
            for name in names_after_crate(line).into_iter().filter(|name| *name != source.room) {
                seen.insert(format!("{} -> {name}", source.room));
                if !rooms.contains(&name.as_str()) && !is_test(&source.path) {
                    faults.push(format!("{}:{n}: `{}` must not import `{name}`", source.path.display(), source.room));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(seen.contains("dispatcher -> store"), "the check sees no imports: {seen:?}");
}

#[test]
fn unsafe_stands_in_sys_alone() {
    let has_unsafe = |text: &str| {
        code(text).any(|(_, line)| line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe"))
    };
    let (inside, outside): (Vec<_>, Vec<_>) =
        sources().into_iter().filter(|s| has_unsafe(&s.text)).partition(|s| s.room == "sys");
    let outside: Vec<_> = outside.iter().map(|s| s.path.display().to_string()).collect();
    assert!(outside.is_empty(), "unsafe outside sys: {outside:?}");
    assert!(!inside.is_empty(), "the check sees no unsafe");
}

#[test]
fn sql_stands_in_store_alone() {
    let has_sql = |text: &str| code(text).any(|(_, line)| line.contains("rusqlite"));
    let outside: Vec<_> =
        sources().into_iter().filter(|s| s.room != "store" && !is_test(&s.path) && has_sql(&s.text)).collect();
    let outside: Vec<_> = outside.iter().map(|s| s.path.display().to_string()).collect();
    assert!(outside.is_empty(), "SQL outside store: {outside:?}");
}

#[test]
fn every_file_says_what_it_is_for_and_stays_small() {
    const MAX_LINES: usize = 500;
    let mut faults = Vec::new();
    for source in sources() {
        if !source.text.starts_with("//!") {
            faults.push(format!("{}: no `//!` header", source.path.display()));
        }
        let lines = source.text.lines().count();
        if lines > MAX_LINES {
            faults.push(format!("{}: {lines} lines", source.path.display()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
