//! Tasks that wait when the runtime is drained and are not to be kept.

use super::{Core, Stored, Turn, storage_fault};
use crate::task::{State, Timestamp};

impl Core {
    /// Decides the end of waiting tasks, of so many at a time: the files of each are written before its end is committed.
    /// `None`: no task waits any more.
    pub fn cancel_waiting(&mut self, most: usize, stored: &impl Stored, now: Timestamp) -> Option<Turn> {
        let mut turn = Turn::default();
        if self.live.values().any(|live| live.ending.is_some() && matches!(live.task.state(), State::Queued)) {
            return Some(turn);
        }
        let ids: Vec<_> = self.waiting().take(most).map(|(id, ..)| id.clone()).collect();
        if ids.is_empty() {
            return None;
        }
        for id in ids {
            let drained = match self.at_hand(&id, stored) {
                Ok(live) => live.and_then(|live| live.task.drain(now).ok()),
                Err(error) => {
                    // It stays where it is, and is tried again.
                    storage_fault(&error);
                    break;
                }
            };
            if let Some(transition) = drained {
                self.end(&mut turn, transition);
            }
        }
        Some(turn)
    }
}
