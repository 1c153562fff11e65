//! A server that is away for a moment, as when it restarts: told once, tried again, and given up after a minute.

use std::fmt::Display;
use std::thread;
use std::time::{Duration, Instant};

use super::Console;

/// A server that is away longer than this is not coming back.
const GIVE_UP_AFTER: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub struct Away {
    pause: Duration,
    since: Option<Instant>,
}

impl Away {
    /// Pauses so long before each try.
    pub const fn with_pause(pause: Duration) -> Self {
        Self { pause, since: None }
    }

    /// It has answered.
    pub const fn is_back(&mut self) {
        self.since = None;
    }

    /// Pauses; whether to try again.
    pub fn bear(&mut self, why: &dyn Display, console: &mut Console) -> bool {
        if self.since.is_none() {
            console.note(&format!("waiting: {why}\n"));
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        thread::sleep(self.pause);
        since.elapsed() < GIVE_UP_AFTER
    }
}
