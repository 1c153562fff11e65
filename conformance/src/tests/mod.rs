//! The suite itself: it passes on the runtime of this tree, and fails on a server that is none or that has a fault.

mod proxy;
mod runtime;
mod shapes;

use std::io::{self, Write};
use std::path::Path;

use serde_json::{Value, json};

use crate::case::{Context, NotPassed};
use crate::cases;
use crate::report::{Report, Verdict};
use proxy::{Alteration, Passing};
use runtime::Runtime;

/// The contract that the runtime of this tree is to keep.
pub fn committed_document() -> Value {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../openapi/execgo-runtime.json");
    crate::document_of(Path::new(file)).expect("it is committed")
}

/// Always the same inputs, and few of them: a test must not fail by chance.
fn reach(url: &str, spec: Option<Value>) -> Context {
    crate::reach(url, None, spec, 0).expect("somebody answers")
}

#[test]
fn the_runtime_of_this_tree_conforms() {
    let bounded = ["--capacity-memory-bytes", "8589934592", "--capacity-pids", "4096"];
    let tenant = ["--tenant-quota", "conformance=slots:2,memory:1073741824,pids:256"];
    let Some(runtime) = Runtime::start_with(&[&bounded[..], &tenant].concat()) else { return };
    let context = reach(&runtime.url(), Some(committed_document()));
    let report = crate::check(&cases::all(), &context, Report::new(runtime.url(), 0, Vec::new()));
    assert_eq!(report.worst(), None, "see the report above");
    for result in report.results().iter().filter(|result| result.verdict() == Verdict::Skipped) {
        let Err(NotPassed::Skipped { reason }) = &result.outcome else { continue };
        let lacks = |name: &str| reason == &format!("the manifest says that the runtime lacks {name}");
        let excused = MAY_BE_MISSING.into_iter().any(lacks) || reason.starts_with("the runtime's machine has no ");
        assert!(excused, "{} is skipped for want of something that this runtime has: {reason}", result.case.id);
        // Not `eprintln!`: the harness would keep it for itself.
        writeln!(io::stderr(), "SKIPPED: {}: {reason}", result.case.id).expect("standard error is open");
    }
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

#[test]
fn no_case_passes_on_a_server_that_says_yes_to_everything() {
    let context = reach(&proxy::yes_man(), None);
    let cases = cases::all();
    let fooled = cases.iter().filter(|case| !matches!(case.check(&context), Err(NotPassed::Failed { .. })));
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

/// A fault, what makes it, and a case that must see it.
const FAULTS: [(&str, &str, Alteration); 13] = [
    (
        "an answer of a success lacks a field",
        "document.answers",
        answer(|it| it.json(|body| drop_field(body, "updated_at"))),
    ),
    (
        "a field has another type",
        "document.every-answer",
        answer(|it| it.json(|body| replace(body, "version", &json!(1)))),
    ),
    (
        "an absent field is null",
        "document.answers",
        answer(|it| {
            if it.path.starts_with("/api/v1/tasks/") && it.method == "GET" {
                it.json(|body| add(body, "exit_signal", Value::Null));
            }
        }),
    ),
    (
        "a time is no time",
        "document.answers",
        answer(|it| it.json(|body| replace(body, "finished_at", &json!("soon")))),
    ),
    ("a header is gone", "document.answers", answer(|it| drop(it.headers.remove("x-request-id")))),
    (
        "a failure lacks details",
        "status.unknown-task",
        answer(|it| it.json(|body| drop_field(&mut body["error"], "details"))),
    ),
    (
        "a content type is another",
        "document.answers",
        answer(|it| {
            it.headers.insert("content-type", "text/html".parse().expect("a value"));
        }),
    ),
    (
        "a reading breaks",
        "submit.success",
        answer(|it| {
            if it.path.ends_with("/events") {
                it.status = 500;
            }
        }),
    ),
    (
        "an unknown field is let through",
        "document.unknown-fields",
        request(|it| {
            it.json(|body| {
                drop_field(body, "no_such_field");
                drop_field(&mut body["limits"], "no_such_field");
            })
        }),
    ),
    (
        "a bound is not kept",
        "document.minimum",
        request(|it| {
            it.json(|body| {
                if body["limits"]["wall_time_ms"] == json!(0) {
                    body["limits"]["wall_time_ms"] = json!(1);
                }
            })
        }),
    ),
    (
        "a fault is told of another field",
        "document.pattern",
        answer(|it| {
            it.json(|body| {
                if it_is(body, "invalid_input") {
                    body["error"]["message"] = json!("something is wrong");
                }
            })
        }),
    ),
    (
        "the ledger does not add up",
        "resources.law",
        answer(|it| {
            it.json(|body| {
                if let Some(slots) = body["available"]["task_slots"].as_u64() {
                    body["available"]["task_slots"] = json!(slots + 1);
                }
            })
        }),
    ),
    (
        "the document promises less",
        "document.kept",
        answer(|it| {
            if it.path == "/openapi.json" {
                it.json(|body| drop_field(&mut body["paths"], "/readyz"));
            }
        }),
    ),
];

const fn answer(answer: fn(&mut Passing)) -> Alteration {
    Alteration { request: |_| (), answer }
}

const fn request(request: fn(&mut Passing)) -> Alteration {
    Alteration { request, answer: |_| () }
}

fn drop_field(body: &mut Value, name: &str) {
    body.as_object_mut().map(|object| object.remove(name));
}

fn replace(body: &mut Value, name: &str, value: &Value) {
    if let Some(old) = body.get_mut(name) {
        *old = value.clone();
    }
}

fn add(body: &mut Value, name: &str, value: Value) {
    body.as_object_mut().map(|object| object.insert(name.to_owned(), value));
}

fn it_is(body: &Value, code: &str) -> bool {
    body["error"]["code"] == code
}

#[test]
fn a_runtime_with_a_fault_is_found() {
    let Some(runtime) = Runtime::start() else { return };
    let all = cases::all();
    let case = |id: &str| *all.iter().find(|case| case.id == id).expect("a case of the suite");
    for (fault, id, alteration) in FAULTS {
        let context = reach(&proxy::before(runtime.url(), alteration), Some(committed_document()));
        let outcome = case(id).check(&context);
        assert!(matches!(outcome, Err(NotPassed::Failed(_))), "{fault} is not seen by {id}: {outcome:?}");
    }
    // The proxy by itself is none of the faults.
    let context = reach(&proxy::before(runtime.url(), answer(|_| ())), Some(committed_document()));
    for (_, id, _) in FAULTS {
        case(id).check(&context).unwrap_or_else(|outcome| panic!("{id} fails with nothing altered: {outcome:?}"));
    }
}
