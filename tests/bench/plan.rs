//! Which scenarios are measured, and how much of each.

use std::ffi::OsString;
use std::time::Duration;

use clap::ValueEnum;

use crate::busy::{Reads, Submits};
use crate::lifecycles::Lifecycles;
use crate::load::Window;
use crate::parts::{self, Part};
use crate::report::Report;
use crate::sandboxes::Sandboxes;
use crate::server::Site;
use crate::{idle, stores, sustained};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// Durable lifecycles at 1, 4 and 32 clients
    Lifecycles,
    /// Durable submits while 4 tasks run
    Submits,
    /// Status reads while 4 tasks run
    Reads,
    /// linux_sandbox through the API, cold and warm
    Sandbox,
    /// Memory and CPU of a runtime that has nothing to do
    Idle,
    /// Everything again with many ended tasks in the store
    Growth,
    /// Everything again with many waiting tasks
    Queue,
    /// 32 clients for minutes
    Sustained,
    /// All of these
    All,
}

#[derive(Debug)]
pub struct Plan {
    pub rounds: u32,
    pub window: Window,
    /// How many ended tasks are stored; first the base of the comparison.
    pub stored: Vec<u32>,
    /// How many tasks wait; first the base of the comparison.
    pub queued: Vec<u32>,
    pub sustained: Duration,
    pub idle: Duration,
    /// Flags for every server.
    pub serve: Vec<OsString>,
}

impl Plan {
    pub fn run(&self, scenarios: &[Scenario]) -> Report {
        let wanted = |scenario| scenarios.contains(&scenario) || scenarios.contains(&Scenario::All);
        let site = Site::new(&self.serve);
        let mut report = Report::default();
        let (rounds, window) = (self.rounds, self.window);
        // First, while nothing else has run.
        if wanted(Scenario::Idle) {
            idle::measure(&site, self.idle, &mut report);
        }
        let mut in_turns: Vec<Box<dyn Part + '_>> = Vec::new();
        if wanted(Scenario::Lifecycles) {
            in_turns.push(Box::new(Lifecycles::new(&site)));
        }
        if wanted(Scenario::Submits) {
            in_turns.push(Box::new(Submits::new(&site)));
        }
        if wanted(Scenario::Reads) {
            in_turns.push(Box::new(Reads::new(&site)));
        }
        if wanted(Scenario::Sandbox) {
            in_turns.push(Box::new(Sandboxes::new(&site)));
        }
        if !in_turns.is_empty() {
            parts::take(in_turns, rounds, window, &mut report);
        }
        if wanted(Scenario::Sustained) {
            sustained::measure(&site, self.sustained, window, &mut report);
        }
        if wanted(Scenario::Queue) {
            stores::queue(&site, &self.queued, rounds, window, &mut report);
        }
        if wanted(Scenario::Growth) {
            stores::growth(&site, &self.stored, rounds, window, &mut report);
        }
        report
    }
}
