//! The overload for every change: small numbers, and bounds that hold where all tests run at once. The great one is
//! `program.rs`.

mod http;
mod queue;
mod server;
mod slow;
mod vanish;
mod watch;

use std::time::Duration;

use watch::{Bounds, Report};

const BOUNDS: Bounds = Bounds { p99: Duration::from_secs(2), memory: 200 };
const TIMEOUT: Duration = Duration::from_secs(2);

fn holds(report: &Report) {
    assert!(report.broken.is_empty(), "{}\n{report}", Report::HEAD);
}

#[test]
fn bounds_that_do_not_hold_are_told() {
    let nothing = Bounds { p99: Duration::ZERO, memory: 0 };
    let report = slow::idle(1, 0, Duration::from_millis(100), nothing);
    assert_eq!(report.broken.len(), 2, "{report}");
}

#[test]
fn idle_connections_and_half_sent_heads_are_closed_and_keep_nobody_out() {
    holds(&slow::idle(800, 50, TIMEOUT, BOUNDS));
}

#[test]
fn heads_and_bodies_that_come_too_slowly_are_ended_by_their_timeouts() {
    holds(&slow::slow(100, TIMEOUT, BOUNDS));
}

#[test]
fn long_polls_whose_clients_vanish_are_forgotten() {
    holds(&vanish::polls(500, BOUNDS));
}

#[test]
fn a_long_queue_starves_neither_kill_nor_status() {
    holds(&queue::queued(1_000, BOUNDS));
}

#[test]
fn a_full_queue_refuses_with_retry_after_and_starves_neither_kill_nor_status() {
    holds(&queue::refused(TIMEOUT, BOUNDS));
}
