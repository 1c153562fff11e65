//! The numbers as a scraper sees them.

use super::*;
use crate::ledger::{Capacity, Totals};
use crate::task::testing;
use crate::task::{Exit, ExitStatus};

fn outcome(code: i32, duration_ms: u64) -> Outcome {
    let exit = Exit { status: ExitStatus::Exited { code }, duration_ms: Some(duration_ms), ..testing::exit(0) };
    Outcome::judge(&exit, &testing::new_task("t").spec.limits)
}

fn has(text: &str, line: &str) -> bool {
    text.lines().any(|l| l == line)
}

#[test]
fn known_labels_stand_at_zero_from_the_start() {
    let text = Metrics::new("1.2.3").render();
    for line in [
        "execgo_runtime_tasks_total{status=\"success\"} 0",
        "execgo_runtime_tasks_total{status=\"cancelled\"} 0",
        "execgo_runtime_task_errors_total{code=\"timeout\"} 0",
        "execgo_runtime_tasks_running 0",
        "execgo_runtime_task_duration_ms_count 0",
        "execgo_runtime_build_info{version=\"1.2.3\"} 1",
    ] {
        assert!(has(&text, line), "{line} is not in\n{text}");
    }
}

#[test]
fn an_ended_task_counts_once_by_status_code_and_duration() {
    let metrics = Metrics::new("0");
    metrics.on_ended(&outcome(0, 100));
    metrics.on_ended(&outcome(3, 400));
    let text = metrics.render();
    for line in [
        "execgo_runtime_tasks_total{status=\"success\"} 1",
        "execgo_runtime_tasks_total{status=\"failed\"} 1",
        "execgo_runtime_task_errors_total{code=\"exit_non_zero\"} 1",
        "execgo_runtime_task_duration_ms_bucket{le=\"100\"} 1",
        "execgo_runtime_task_duration_ms_bucket{le=\"500\"} 2",
        "execgo_runtime_task_duration_ms_bucket{le=\"300000\"} 2",
        "execgo_runtime_task_duration_ms_bucket{le=\"+Inf\"} 2",
        "execgo_runtime_task_duration_ms_sum 500",
    ] {
        assert!(has(&text, line), "{line} is not in\n{text}");
    }
}

#[test]
fn load_shows_what_is_limited_and_what_is_reserved() {
    let metrics = Metrics::new("0");
    let account = Account {
        capacity: Capacity { task_slots: 4, memory_bytes: None, pids: Some(50) },
        reserved: Totals { task_slots: 2, memory_bytes: 1024, pids: 7 },
    };
    metrics.set_load(5, 2, &account);
    metrics.set_ended(9, 4096);
    metrics.observe_commit(Duration::from_millis(1), 3);
    metrics.observe_launch(Duration::from_millis(2));
    metrics.observe_http("/healthz", "GET", 200, Duration::from_millis(1));
    let text = metrics.render();
    for line in [
        "execgo_runtime_tasks_queued 5",
        "execgo_runtime_ended_tasks_stored 9",
        "execgo_runtime_ended_tasks_bytes 4096",
        "execgo_runtime_tasks_running 2",
        "execgo_runtime_resource_reserved{resource=\"memory_bytes\"} 1024",
        "execgo_runtime_resource_capacity{resource=\"pids\"} 50",
        "execgo_runtime_commit_transitions_sum 3",
        "execgo_runtime_launch_duration_ms_count 1",
        "execgo_runtime_http_requests_total{method=\"GET\",route=\"/healthz\",status=\"200\"} 1",
    ] {
        assert!(has(&text, line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("resource_capacity{resource=\"memory_bytes\"}"));
}
