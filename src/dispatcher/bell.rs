//! Tells those who look for something in the store that there is something new. Look at the number, look into the store, wait
//! for another number: what comes in between is never missed.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

#[derive(Clone, Debug, Default)]
pub struct Bell(Arc<(Mutex<u64>, Condvar)>);

impl Bell {
    pub fn ring(&self) {
        let (rung, wakes) = &*self.0;
        *rung.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        wakes.notify_all();
    }

    /// How often it has rung.
    #[must_use]
    pub fn rung(&self) -> u64 {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when it has rung more often than `seen`, or after so long.
    pub fn wait(&self, seen: u64, timeout: Duration) {
        let (rung, wakes) = &*self.0;
        let rung = rung.lock().unwrap_or_else(PoisonError::into_inner);
        drop(wakes.wait_timeout_while(rung, timeout, |rung| *rung == seen));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rings_before_the_wait_ends_it() {
        let bell = Bell::default();
        let seen = bell.rung();
        bell.ring();
        bell.wait(seen, Duration::from_secs(3600));
        bell.wait(bell.rung(), Duration::from_millis(1));
        let other = bell.clone();
        let seen = bell.rung();
        let rings = std::thread::spawn(move || other.ring());
        bell.wait(seen, Duration::from_secs(3600));
        rings.join().expect("rings");
    }
}
