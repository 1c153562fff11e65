//! The machine's own limit: processes that do nothing, with nothing around them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::load::{Window, by_threads};
use crate::machine::spawn_and_wait;
use crate::report::{Item, Limit, Report, ms};
use crate::sample::Series;
use crate::usage::of_self_and_children;

#[derive(Debug, Default)]
pub struct Machine {
    one: Series,
    all: Series,
    /// CPU time of the spawns of `all`, in seconds, and how many these were.
    spent: f64,
    spawned: usize,
}

impl Machine {
    pub fn round(&mut self, window: Window) {
        let window = Window { lead: Duration::ZERO, ..window };
        self.one.add(by_threads(1, window, spawn_and_wait));
        let spawned = AtomicUsize::new(0);
        let before = of_self_and_children();
        self.all.add(by_threads(cores(), window, || {
            spawn_and_wait();
            spawned.fetch_add(1, Ordering::Relaxed);
        }));
        self.spent += of_self_and_children() - before;
        self.spawned += spawned.into_inner();
    }

    /// Of the machine at its best, whichever way it does better.
    pub fn limit(&self) -> Limit {
        Limit {
            per_second: self.all.rate().max(self.one.rate()),
            spawn_ms: ms(self.one.median()),
            spawn_cpu_ms: self.spent / self.spawned as f64 * 1000.0,
        }
    }

    pub fn report(&self, report: &mut Report) {
        report.section("The machine: posix_spawn and wait");
        report.row("one at a time", &self.one, Item::Process, self.limit());
        report.row(&format!("from {} threads", cores()), &self.all, Item::Process, self.limit());
        report.fact("CPU of a spawn", self.limit().spawn_cpu_ms, "ms");
    }
}

pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}
