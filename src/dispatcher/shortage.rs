//! Launches that the machine had no process or no memory for: when to try again, and when to give up. Pure; the time
//! is told, and it is the monotonic clock's.

use std::collections::HashMap;
use std::time::Duration;

use crate::task::TaskId;

/// The first pause; each that follows is twice as long.
const FIRST_PAUSE_MS: u64 = 100;
const LONGEST_PAUSE_MS: u64 = 2_000;
/// How long one task is tried.
const PATIENCE_MS: u64 = 30_000;

#[derive(Debug, Default)]
pub(super) struct Shortage {
    now_ms: u64,
    /// The latest pause; 0 when the machine has processes, as far as is known.
    pause_ms: u64,
    until_ms: u64,
    /// Tasks that were refused, and when for the first time.
    refused: HashMap<TaskId, u64>,
}

impl Shortage {
    /// Time goes on.
    pub const fn tick(&mut self, monotonic_ms: u64) {
        self.now_ms = monotonic_ms;
    }

    /// Nothing is to be started.
    pub const fn holds(&self) -> bool {
        self.now_ms < self.until_ms
    }

    /// When the next try is due, while nothing is to be started.
    pub fn due_in(&self) -> Option<Duration> {
        self.holds().then(|| Duration::from_millis(self.until_ms - self.now_ms))
    }

    /// The launch of this task was refused. Says whether it is to be tried again.
    pub fn on_refused(&mut self, id: &TaskId) -> bool {
        // Refusals of launches that were under way together count once.
        if !self.holds() {
            self.pause_ms = (self.pause_ms * 2).clamp(FIRST_PAUSE_MS, LONGEST_PAUSE_MS);
            self.until_ms = self.now_ms + self.pause_ms;
        }
        let first = *self.refused.entry(id.clone()).or_insert(self.now_ms);
        self.now_ms.saturating_sub(first) < PATIENCE_MS
    }

    /// A command started: the next shortage is another one.
    pub fn on_started(&mut self, id: &TaskId) {
        self.pause_ms = 0;
        self.on_ended(id);
    }

    pub fn on_ended(&mut self, id: &TaskId) {
        self.refused.remove(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> TaskId {
        TaskId::parse(name).expect("valid")
    }

    #[test]
    fn pauses_double_up_to_a_bound_and_refusals_of_one_round_count_once() {
        let mut shortage = Shortage::default();
        let mut pauses = Vec::new();
        for _ in 0..7 {
            assert!(!shortage.holds());
            assert!(shortage.on_refused(&id("a")) && shortage.on_refused(&id("b")));
            let due = shortage.due_in().expect("nothing starts");
            pauses.push(due.as_millis());
            shortage.tick(shortage.now_ms + 50);
            assert!(shortage.holds());
            shortage.tick(shortage.until_ms);
        }
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 2000, 2000]);
        shortage.on_started(&id("a"));
        assert!(shortage.on_refused(&id("b")));
        assert_eq!(shortage.due_in(), Some(Duration::from_millis(100)), "a new shortage");
    }

    #[test]
    fn each_task_is_tried_for_half_a_minute_of_its_own() {
        let mut shortage = Shortage::default();
        assert!(shortage.on_refused(&id("a")));
        shortage.tick(PATIENCE_MS - 1);
        assert!(shortage.on_refused(&id("a")) && shortage.on_refused(&id("b")));
        shortage.tick(PATIENCE_MS);
        assert!(!shortage.on_refused(&id("a")));
        assert!(shortage.on_refused(&id("b")));
        shortage.on_ended(&id("a"));
        shortage.on_started(&id("b"));
        assert!(shortage.refused.is_empty());
    }
}
