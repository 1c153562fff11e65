//! Tells clients of events of their tasks, from the outbox in the store: for each origin that the configuration allows there
//! is a thread, so that a target that is down or slow delays nobody else. An event may be told more than once: what came of an
//! attempt is noted behind it.

mod attempt;
mod backoff;
mod signature;
mod status;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use attempt::Teller;
pub use status::status;

use crate::config;
use crate::dispatcher::{Bell, Dispatcher, Unavailable, or_abort};
use crate::store::{Attempt, DueCallback, Readers};
use crate::task::Timestamp;

/// Most attempts at a time for one origin.
const AT_ONCE: u32 = 8;
/// The clock may be set while nothing is due.
const LONGEST_WAIT: Duration = Duration::from_secs(600);
/// Before the store is asked again after it has failed.
const PAUSE: Duration = Duration::from_secs(1);

/// What all attempts have in common.
#[derive(Debug)]
pub struct Settings {
    pub runtime_id: String,
    pub data_dir: PathBuf,
    pub config: config::Callback,
    pub secret: Vec<u8>,
}

/// The events for one origin.
struct Lane {
    origin: String,
    teller: Arc<Teller>,
    readers: Readers,
    dispatcher: Dispatcher,
    bell: Bell,
}

/// Starts to tell what is due and what will be, until the program ends.
///
/// # Errors
/// A thread cannot be started.
pub fn start(settings: Settings, readers: &Readers, dispatcher: &Dispatcher) -> io::Result<()> {
    let origins = settings.config.origins();
    let teller = Arc::new(Teller::new(settings));
    for origin in origins {
        let (teller, readers, dispatcher) = (Arc::clone(&teller), readers.clone(), dispatcher.clone());
        let lane = Lane { origin, teller, readers, bell: dispatcher.callbacks(), dispatcher };
        thread::Builder::new().name("callbacks".into()).spawn(move || or_abort("callbacks", || lane.run()))?;
    }
    Ok(())
}

impl Lane {
    /// Ends with the dispatcher.
    fn run(&self) {
        loop {
            let seen = self.bell.rung();
            match self.readers.due_callbacks(&self.origin, Timestamp::now(), AT_ONCE) {
                Ok(due) if due.is_empty() => self.bell.wait(seen, self.until_next()),
                Ok(due) => {
                    let attempts = self.tell(&due);
                    if attempts.is_empty() {
                        // There is no thread to be had.
                        thread::sleep(PAUSE);
                    } else if self.note(&attempts).is_err() {
                        return;
                    }
                }
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "callbacks cannot be read");
                    thread::sleep(PAUSE);
                }
            }
        }
    }

    fn until_next(&self) -> Duration {
        // What cannot be read now is looked for again soon.
        let Ok(next) = self.readers.next_callback(&self.origin) else { return PAUSE };
        let left = next.map(|next| next.as_millis().saturating_sub(Timestamp::now().as_millis()).max(0).unsigned_abs());
        left.map_or(LONGEST_WAIT, Duration::from_millis).min(LONGEST_WAIT)
    }

    fn tell(&self, due: &[DueCallback]) -> Vec<Attempt> {
        thread::scope(|scope| {
            let begin =
                |one| thread::Builder::new().name("callback".into()).spawn_scoped(scope, move || self.teller.tell(one));
            let attempts: Vec<_> = due.iter().filter_map(|one| begin(one).ok()).collect();
            // What could not be begun, or panicked, is still due.
            attempts.into_iter().filter_map(|attempt| attempt.join().ok()).collect()
        })
    }

    /// Until it is noted: else the same would be told again and again.
    fn note(&self, attempts: &[Attempt]) -> Result<(), Unavailable> {
        loop {
            match self.dispatcher.note_attempts(attempts.to_vec()) {
                Err(Unavailable::Storage) => thread::sleep(PAUSE),
                done => return done,
            }
        }
    }
}
