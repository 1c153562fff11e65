//! The benchmark for every change: each scenario once, as small as can be, so that the program is known to work. What
//! it finds here says nothing. The real one is `runtime.rs`.

mod busy;
mod client;
mod fill;
mod http;
mod idle;
mod lifecycles;
mod limit;
mod load;
mod machine;
mod parts;
mod plan;
mod report;
mod sample;
mod sandboxes;
mod server;
mod stores;
mod sustained;
mod usage;

use std::time::Duration;

use load::Window;
use plan::{Plan, Scenario};
use report::Bound::{AtLeast, AtMost};
use report::Report;
use serde_json::{Value, json};

/// The results of a small run.
fn measured(scenario: Scenario) -> Value {
    let window = Window { lead: Duration::ZERO, time: Duration::from_millis(50), items: 100 };
    let (sustained, idle) = (Duration::from_millis(400), Duration::from_millis(100));
    let plan =
        Plan { rounds: 1, window, stored: vec![0, 1_000], queued: vec![0, 100], sustained, idle, serve: Vec::new() };
    let report = plan.run(&[scenario]);
    report.print_musts();
    report.json(json!(null))
}

fn all<'a>(results: &'a Value, pointer: &'a str) -> impl Iterator<Item = &'a Value> {
    results["sections"].as_array().into_iter().flatten().flat_map(move |section| section[pointer].as_array()).flatten()
}

/// Everything has a number, and this many of them.
fn is_whole(results: &Value, rows: usize, musts: usize) {
    assert_eq!(all(results, "rows").count(), rows, "{results:#}");
    for row in all(results, "rows") {
        assert!(row["per_second"].as_f64().is_some_and(|rate| rate > 0.0), "{row:#}");
        assert!(row["p99_ms"].as_f64() >= row["median_ms"].as_f64(), "{row:#}");
    }
    for fact in all(results, "facts") {
        assert!(fact["value"].is_f64(), "{fact:#}");
    }
    let found: Vec<_> = results["musts"].as_array().into_iter().flatten().collect();
    assert_eq!(found.len(), musts, "{results:#}");
    for must in found {
        assert_eq!(must["found"].is_null(), must["verdict"] == "not measured", "{must:#}");
    }
}

#[test]
fn what_does_not_hold_and_what_was_not_measured_is_told() {
    let mut report = Report::default();
    report.must("enough", AtLeast(2.0), 2.0);
    report.must("too little", AtLeast(2.0), 1.9);
    report.must("too much", AtMost(2.0), 2.1);
    report.must("unknown", AtMost(2.0), None);
    let results = report.json(json!(null));
    let verdicts: Vec<_> = (0..4).map(|number| results["musts"][number]["verdict"].as_str()).collect();
    assert_eq!(verdicts, [Some("holds"), Some("DOES NOT HOLD"), Some("DOES NOT HOLD"), Some("not measured")]);
}

#[test]
fn lifecycles_are_measured() {
    is_whole(&measured(Scenario::Lifecycles), 2 + 4, 3);
}

#[test]
fn submits_and_reads_are_measured() {
    is_whole(&measured(Scenario::Submits), 2 + 1, 1);
    is_whole(&measured(Scenario::Reads), 2 + 1, 1);
}

#[test]
fn sandboxes_are_measured_or_said_to_be_impossible() {
    let results = measured(Scenario::Sandbox);
    let notes: Vec<_> = all(&results, "notes").filter_map(Value::as_str).collect();
    if notes.iter().any(|note| note.starts_with("not measured")) {
        is_whole(&results, 2, 0);
    } else {
        is_whole(&results, 2 + 3, 3);
    }
}

#[test]
fn an_idle_runtime_is_measured() {
    let results = measured(Scenario::Idle);
    is_whole(&results, 0, 2);
    let memory = |fact: &Value| fact["unit"] == "MiB (PSS)" && fact["value"].as_f64().is_some_and(|mib| mib > 1.0);
    assert_eq!(all(&results, "facts").filter(|fact| memory(fact)).count(), 2, "{results:#}");
}

#[test]
fn a_sustained_load_is_measured() {
    is_whole(&measured(Scenario::Sustained), 4, 2);
}

#[test]
fn full_stores_and_queues_are_measured_beside_empty_ones() {
    is_whole(&measured(Scenario::Queue), 2 * 6, 2);
    is_whole(&measured(Scenario::Growth), 2 * 6, 8 + 3);
}
