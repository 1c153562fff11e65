//! Work done by some threads until the time or the items are used up, and what comes of it as numbers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// What one measurement may take, whichever is used up first.
#[derive(Debug)]
pub struct Budget {
    pub time: Duration,
    pub items: usize,
}

/// One measurement.
#[derive(Debug)]
pub struct Sample {
    per_second: f64,
    /// Of each item.
    times: Vec<Duration>,
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
        Sample { per_second: times.len() as f64 / begun.elapsed().as_secs_f64(), times }
    }
}

/// The same measurement, again and again.
#[derive(Debug, Default)]
pub struct Series {
    rates: Vec<f64>,
    times: Vec<Duration>,
}

impl Series {
    pub fn add(&mut self, sample: Sample) {
        self.rates.push(sample.per_second);
        self.rates.sort_by(f64::total_cmp);
        self.times.extend(sample.times);
        self.times.sort_unstable();
    }

    /// Items a second, median of the rounds.
    pub fn rate(&self) -> f64 {
        self.rates[self.rates.len() / 2]
    }

    /// The slowest and the fastest round.
    pub fn rates(&self) -> (f64, f64) {
        (self.rates[0], self.rates[self.rates.len() - 1])
    }

    pub fn median(&self) -> Duration {
        self.quantile(0.5)
    }

    pub fn p99(&self) -> Duration {
        self.quantile(0.99)
    }

    fn quantile(&self, part: f64) -> Duration {
        let last = self.times.len() - 1;
        self.times[(last as f64 * part).round() as usize]
    }
}
