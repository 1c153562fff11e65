//! The suite itself: it passes on the runtime of this tree, and fails on a server that is none or that has a fault.

mod foreign;
mod runtime;
mod shapes;

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use ureq::http::HeaderValue;
use ureq::http::header::CONTENT_TYPE;

use crate::case::{Case, Context, NotPassed};
use crate::faults::proxy::{Passing, Server};
use crate::report::{Report, Verdict};
use crate::restart::Restart;
use crate::{Target, cases, faults};
use runtime::Runtime;

/// The contract that the runtime of this tree is to keep.
pub fn committed_document() -> Value {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../openapi/execgo-runtime.json");
    crate::document_of(Path::new(file)).expect("it is committed")
}

/// Always the same inputs, and few of them: a test must not fail by chance.
fn reach(url: &str, spec: Option<Value>) -> Context {
    crate::reach(&target(url, spec)).expect("somebody answers")
}

const fn target(url: &str, spec: Option<Value>) -> Target<'_> {
    Target { url, token: None, spec, seed: 0, patience: Duration::from_secs(60) }
}

#[test]
fn the_runtime_of_this_tree_conforms() {
    let bounded = ["--capacity-memory-bytes", "8589934592", "--capacity-pids", "4096"];
    let tenant = ["--tenant-quota", "conformance=slots:2,memory:1073741824,pids:256"];
    let Some(runtime) = Runtime::start(&[&bounded[..], &tenant].concat()).map(Arc::new) else { return };
    let mut context = reach(&runtime.url(), Some(committed_document()));
    let restarted = Arc::clone(&runtime);
    context.restart = Some(Restart::new(move || {
        restarted.restart();
        Ok(())
    }));
    let report = crate::check(&cases::all(), &context, Report::new(runtime.url(), 0, Vec::new()));
    assert_eq!(report.worst(), None, "see the report above");
    for result in report.results().iter().filter(|result| result.verdict() == Verdict::Skipped) {
        let Err(NotPassed::Skipped { reason }) = &result.outcome else { continue };
        let lacks = |name: &str| reason == &format!("the manifest says that the runtime lacks {name}");
        let excused = MAY_BE_MISSING.into_iter().any(lacks)
            || reason.starts_with("the runtime's machine has no ")
            || result.case.id.starts_with("access.");
        assert!(excused, "{} is skipped for want of something that this runtime has: {reason}", result.case.id);
        // Not `eprintln!`: the harness would keep it for itself.
        writeln!(io::stderr(), "SKIPPED: {}: {reason}", result.case.id).expect("standard error is open");
    }
}

#[test]
fn a_runtime_that_asks_for_tokens_conforms() {
    // SHA-256 of `abc` (FIPS 180-4).
    let entry = "{name: suite, sha256: ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad, role: admin}";
    let mut tokens = tempfile::NamedTempFile::new().expect("a temporary file");
    writeln!(tokens, "tokens:\n  - {entry}").expect("written");
    let Some(runtime) = Runtime::start(&["--tokens-file", tokens.path().to_str().expect("text")]) else { return };
    let url = runtime.url();
    let context = crate::reach(&Target { token: Some("abc"), ..target(&url, Some(committed_document())) });
    let areas = ["access", "health", "protocol", "submit", "events", "kill", "wait", "document"];
    let cases = crate::selected(cases::all(), &areas.map(str::to_owned)).expect("areas");
    let report = crate::check(&cases, &context.expect("somebody answers"), Report::new(url, 0, Vec::new()));
    assert_eq!(report.worst(), None, "see the report above");
    let is_idle =
        |id: &str| report.results().iter().any(|result| result.case.id == id && result.verdict() == Verdict::Skipped);
    assert!(!is_idle("document.answers") && !is_idle("access.token.none"), "see the report above");
}

/// What a machine may lack, and a runtime that is started without cgroups.
const MAY_BE_MISSING: [&str; 12] = [
    "resources.oom_detection",
    "resources.memory_limit",
    "resources.pids_limit",
    "resources.cpu_quota",
    "sandbox.linux_sandbox",
    "sandbox.chroot",
    "sandbox.namespaces.mount",
    "sandbox.namespaces.pid",
    "sandbox.namespaces.uts",
    "sandbox.namespaces.ipc",
    "sandbox.namespaces.net",
    "sandbox.api_closed_to_tasks",
];

/// Answers everything with 200 and `{}`.
pub fn yes_man() -> Server {
    let headers = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    let yes = move |request| Passing {
        status: 200,
        headers: headers.clone().into_iter().collect(),
        body: b"{}".to_vec(),
        ..request
    };
    Server::start(yes).expect("a free port")
}

#[test]
fn no_case_passes_on_a_server_that_says_yes_to_everything() {
    let server = yes_man();
    let url = server.url();
    // Some need a token, others none.
    let contexts = [None, Some("yes")].map(|token| {
        let mut context = crate::reach(&Target { token, ..target(&url, None) }).expect("somebody answers");
        context.restart = Some(Restart::new(|| Ok(())));
        context
    });
    let cases = cases::all();
    let fails = |case: &&&Case| contexts.iter().any(|it| matches!(case.check(it), Err(NotPassed::Failed { .. })));
    let fooled = cases.iter().filter(|case| !fails(case));
    assert_eq!(fooled.map(|case| case.id).collect::<Vec<_>>(), Vec::<&str>::new());
}

#[test]
fn a_name_selects_its_case_or_its_area_and_a_stranger_is_refused() {
    let ids = |only: &str| {
        let cases = crate::selected(cases::all(), &[only.to_owned()])?;
        Ok::<_, String>(cases.iter().map(|case| case.id).collect::<Vec<_>>())
    };
    assert_eq!(ids("health").expect("an area"), ["health.alive", "health.ready", "health.query"]);
    assert_eq!(ids("kill.ended").expect("a case"), ["kill.ended"]);
    assert!(ids("kil").expect_err("no area").contains("--list"));
}

/// A section that a reader can look up.
#[test]
fn every_case_names_a_section_of_the_reference() {
    let page = include_str!("../../../docs/api.md");
    for case in cases::all() {
        assert!(
            page.lines().any(|line| line.trim_start_matches('#') == format!(" {}", case.section)),
            "{}: {}",
            case.id,
            case.section
        );
    }
}

#[test]
fn every_built_in_fault_is_caught() {
    let Some(runtime) = Runtime::start(&[]) else { return };
    let url = runtime.url();
    let tally = faults::prove(&target(&url, Some(committed_document()))).expect("somebody answers");
    assert_eq!(tally.missed, 0, "see the table above");
    // A machine may have nothing that limits processes.
    assert!(tally.caught > 100 && tally.idle <= 1, "{tally:?}");
}
