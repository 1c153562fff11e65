//! Tasks that wait when the runtime is drained and are not to be kept.

use super::{Core, Turn};
use crate::task::{State, Timestamp};

impl Core {
    /// Decides the end of waiting tasks, of so many at a time: the files of each are written before its end is committed.
    /// `None`: no task waits any more.
    pub fn cancel_waiting(&mut self, most: usize, now: Timestamp) -> Option<Turn> {
        let queued = || self.live.values().filter(|live| matches!(live.task.state(), State::Queued));
        if queued().any(|live| live.ending.is_some()) {
            return Some(Turn::default());
        }
        let tasks: Vec<_> = queued().take(most).map(|live| live.task.clone()).collect();
        if tasks.is_empty() {
            return None;
        }
        let mut turn = Turn::default();
        for transition in tasks.iter().filter_map(|task| task.drain(now).ok()) {
            self.end(&mut turn, transition);
        }
        Some(turn)
    }
}
