//! Work done by some threads until the time or the items are used up.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::sample::Sample;

/// What one measurement may take, whichever is used up first.
#[derive(Debug)]
pub struct Budget {
    pub time: Duration,
    pub items: usize,
}

impl Budget {
    /// Each thread makes its own worker and then does one item after the other.
    pub fn spend<W: FnMut()>(&self, threads: usize, worker: impl Fn() -> W + Sync) -> Sample {
        let taken = AtomicUsize::new(0);
        let begun = Instant::now();
        let work = || {
            let mut item = worker();
            let mut times = Vec::new();
            while begun.elapsed() < self.time && taken.fetch_add(1, Ordering::Relaxed) < self.items {
                let item_begun = Instant::now();
                item();
                times.push(item_begun.elapsed());
            }
            times
        };
        let times: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("a worker fails the whole run")).collect()
        });
        Sample::new(times.len() as f64 / begun.elapsed().as_secs_f64(), times)
    }
}
