//! So many requests a second, and no more (token bucket).

use std::time::Instant;

/// Holds as much as comes in one second.
#[derive(Debug)]
pub(super) struct Bucket {
    rate: u32,
    left: f64,
    filled_at: Instant,
}

impl Bucket {
    pub(super) fn full(rate: u32, now: Instant) -> Self {
        Self { rate, left: f64::from(rate), filled_at: now }
    }

    pub(super) const fn rate(&self) -> u32 {
        self.rate
    }

    /// Takes also what is not there yet.
    pub(super) fn charge(&mut self, more: u32) {
        self.left -= f64::from(more);
    }

    /// Whether there is one left.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.filled_at).as_secs_f64();
        self.left = f64::from(self.rate).min(since.mul_add(f64::from(self.rate), self.left));
        self.filled_at = now;
        let has_one = self.left >= 1.0;
        if has_one {
            self.left -= 1.0;
        }
        has_one
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_taken_ahead_is_waited_for() {
        let start = Instant::now();
        let mut bucket = Bucket::full(10, start);
        assert!(bucket.take(start));
        bucket.charge(24);
        assert!(!bucket.take(start + Duration::from_millis(1400)));
        assert!(bucket.take(start + Duration::from_millis(1700)));
    }

    #[test]
    fn a_second_gives_as_many_as_the_rate_and_saves_no_more() {
        let start = Instant::now();
        let mut bucket = Bucket::full(3, start);
        let taken = |bucket: &mut Bucket, at: Duration| (0..10).filter(|_| bucket.take(start + at)).count();
        assert_eq!(taken(&mut bucket, Duration::ZERO), 3);
        assert_eq!(taken(&mut bucket, Duration::from_millis(300)), 0);
        assert_eq!(taken(&mut bucket, Duration::from_millis(700)), 2);
        assert_eq!(taken(&mut bucket, Duration::from_secs(3600)), 3, "an idle hour saves one second's worth");
    }
}
