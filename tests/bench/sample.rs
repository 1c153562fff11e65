//! What was measured, as numbers.

use std::time::Duration;

/// One measurement.
#[derive(Debug)]
pub struct Sample {
    per_second: f64,
    /// Of each item.
    times: Vec<Duration>,
}

impl Sample {
    pub const fn new(per_second: f64, times: Vec<Duration>) -> Self {
        Self { per_second, times }
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
