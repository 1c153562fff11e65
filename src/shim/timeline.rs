//! When a task is asked to end, and when it is made to. Pure: events and times in, what to do out.
//!
//! ```text
//! running ─deadline, kill request or limit─▶ grace ─its end─▶ killing, again and again until nothing is left
//!    └─────────command exits────────────────────────────▲
//! ```

/// Pauses between two rounds of SIGKILL. A round is repeated at once when a child was reaped, which may have left
/// children of its own.
const FIRST_PAUSE_MS: u64 = 2;
const LONGEST_PAUSE_MS: u64 = 250;

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// The wall-clock limit passed: to be told, and with `terminate` SIGTERM to the whole task (else it had its SIGTERM).
    TimedOut { terminate: bool },
    /// SIGKILL to all that is left.
    Kill,
}

/// The course of one task. All times are monotonic milliseconds.
#[derive(Debug)]
pub struct Timeline {
    deadline: u64,
    grace_ms: u64,
    phase: Phase,
    timed_out: bool,
    killed: bool,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Running,
    Grace { until: u64 },
    Killing { next: u64, pause: u64 },
}

impl Timeline {
    #[must_use]
    pub const fn new(started: u64, wall_time_ms: u64, grace_ms: u64) -> Self {
        let deadline = started.saturating_add(wall_time_ms);
        Self { deadline, grace_ms, phase: Phase::Running, timed_out: false, killed: false }
    }

    #[must_use]
    pub const fn timed_out(&self) -> bool {
        self.timed_out
    }

    #[must_use]
    pub const fn killed(&self) -> bool {
        self.killed
    }

    /// Nobody has asked the task to end, and the command runs.
    #[must_use]
    pub const fn is_running(&self) -> bool {
        match self.phase {
            Phase::Running => true,
            Phase::Grace { .. } | Phase::Killing { .. } => false,
        }
    }

    /// A kill request reached the living command. Says whether SIGTERM is due to the whole task.
    #[must_use]
    pub fn on_kill_request(&mut self, now: u64) -> bool {
        match self.phase {
            Phase::Running => {
                self.killed = true;
                self.phase = Phase::Grace { until: now.saturating_add(self.grace_ms) };
                true
            }
            Phase::Grace { .. } => {
                self.killed = true;
                false
            }
            Phase::Killing { .. } => false,
        }
    }

    /// A limit that the shim itself keeps is exceeded. Says whether SIGTERM is due to the whole task.
    #[must_use]
    pub fn on_limit(&mut self, now: u64) -> bool {
        let running = self.is_running();
        if running {
            self.phase = Phase::Grace { until: now.saturating_add(self.grace_ms) };
        }
        running
    }

    /// The command exited. What it left behind ends now, or with the grace that was given to the whole task.
    pub fn on_command_exit(&mut self, now: u64) {
        match self.phase {
            Phase::Running => self.phase = killing(now),
            Phase::Grace { .. } | Phase::Killing { .. } => {}
        }
    }

    /// A round of SIGKILL is over. With very many processes it takes longer than the pause; then others have their turn,
    /// for what was killed is gone only when it has been reaped.
    pub const fn on_killed(&mut self, now: u64) {
        if let Phase::Killing { next, pause } = &mut self.phase {
            *next = now.saturating_add(*pause);
        }
    }

    /// A child was reaped.
    pub fn on_reaped(&mut self, now: u64) {
        match self.phase {
            Phase::Killing { .. } => self.phase = killing(now),
            Phase::Running | Phase::Grace { .. } => {}
        }
    }

    /// What is due at `now`; to be asked again until nothing is.
    #[must_use]
    pub fn on_clock(&mut self, now: u64, command_lives: bool) -> Option<Due> {
        let limit_passed = command_lives && !self.timed_out && now >= self.deadline;
        match self.phase {
            Phase::Running if limit_passed => {
                self.timed_out = true;
                self.phase = Phase::Grace { until: now.saturating_add(self.grace_ms) };
                Some(Due::TimedOut { terminate: true })
            }
            Phase::Grace { .. } if limit_passed => {
                self.timed_out = true;
                Some(Due::TimedOut { terminate: false })
            }
            Phase::Grace { until } if now >= until => {
                self.phase = after_kill(now, FIRST_PAUSE_MS);
                Some(Due::Kill)
            }
            Phase::Killing { next, pause } if now >= next => {
                self.phase = after_kill(now, pause);
                Some(Due::Kill)
            }
            Phase::Running | Phase::Grace { .. } | Phase::Killing { .. } => None,
        }
    }

    /// When [`Self::on_clock`] will have something next, if the command lives until then or not.
    #[must_use]
    pub fn next_due(&self, command_lives: bool) -> u64 {
        let limit = if command_lives && !self.timed_out { self.deadline } else { u64::MAX };
        match self.phase {
            Phase::Running => limit,
            Phase::Grace { until } => until.min(limit),
            Phase::Killing { next, .. } => next,
        }
    }
}

const fn killing(now: u64) -> Phase {
    Phase::Killing { next: now, pause: FIRST_PAUSE_MS }
}

fn after_kill(now: u64, pause: u64) -> Phase {
    Phase::Killing { next: now.saturating_add(pause), pause: (pause * 2).min(LONGEST_PAUSE_MS) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeline() -> Timeline {
        Timeline::new(1000, 500, 50)
    }

    #[test]
    fn the_deadline_terminates_once_and_the_grace_kills_with_growing_pauses() {
        let mut line = timeline();
        assert_eq!((line.on_clock(1499, true), line.next_due(true)), (None, 1500));
        assert_eq!(line.on_clock(1500, true), Some(Due::TimedOut { terminate: true }));
        assert_eq!((line.on_clock(1500, true), line.next_due(true)), (None, 1550));
        assert_eq!(line.on_clock(1550, true), Some(Due::Kill));
        assert_eq!((line.on_clock(1550, true), line.next_due(true)), (None, 1552));
        assert_eq!(line.on_clock(1552, true), Some(Due::Kill));
        assert_eq!(line.next_due(true), 1556);
        assert_eq!((line.timed_out(), line.killed()), (true, false));
    }

    #[test]
    fn a_kill_request_terminates_and_a_second_one_does_not_extend_the_grace() {
        let mut line = timeline();
        assert!(line.on_kill_request(1100));
        assert!(!line.on_kill_request(1140));
        assert_eq!(line.next_due(true), 1150);
        assert_eq!(line.on_clock(1150, true), Some(Due::Kill));
        assert_eq!((line.timed_out(), line.killed()), (false, true));
    }

    #[test]
    fn a_limit_terminates_once_and_is_neither_a_timeout_nor_a_kill() {
        let mut line = timeline();
        assert!(line.on_limit(1100));
        assert!(!line.on_limit(1120) && !line.is_running());
        assert_eq!((line.next_due(true), line.on_clock(1150, true)), (1150, Some(Due::Kill)));
        assert_eq!((line.timed_out(), line.killed()), (false, false));
        line.on_command_exit(1160);
        assert!(!line.on_limit(1161));
    }

    #[test]
    fn the_deadline_within_the_grace_is_noted_and_terminates_nobody_twice() {
        let mut line = timeline();
        assert!(line.on_kill_request(1480));
        assert_eq!(line.next_due(true), 1500);
        assert_eq!(line.on_clock(1500, true), Some(Due::TimedOut { terminate: false }));
        assert_eq!((line.on_clock(1500, true), line.next_due(true)), (None, 1530));
        let mut line = timeline();
        assert_eq!(line.on_clock(1500, true), Some(Due::TimedOut { terminate: true }));
        assert!(!line.on_kill_request(1510));
        assert_eq!((line.timed_out(), line.killed()), (true, true));
    }

    #[test]
    fn a_round_that_takes_longer_than_its_pause_is_not_followed_by_the_next_at_once() {
        let mut line = timeline();
        line.on_command_exit(1200);
        for end in [2000, 9000, 30_000] {
            assert_eq!(line.on_clock(end - 700, false), Some(Due::Kill));
            line.on_killed(end);
            assert_eq!(line.on_clock(end, false), None, "nobody would reap");
            assert!((end + 1..=end + LONGEST_PAUSE_MS).contains(&line.next_due(false)));
        }
    }

    #[test]
    fn what_the_command_leaves_is_killed_at_once_but_keeps_a_grace_that_was_given() {
        let mut line = timeline();
        line.on_command_exit(1200);
        assert_eq!(line.on_clock(1200, false), Some(Due::Kill));
        line.on_reaped(1201);
        assert_eq!(line.on_clock(1201, false), Some(Due::Kill));
        let mut line = timeline();
        assert!(line.on_kill_request(1100));
        line.on_command_exit(1110);
        line.on_reaped(1110);
        assert_eq!((line.on_clock(1149, false), line.next_due(false)), (None, 1150));
        assert_eq!(line.on_clock(1150, false), Some(Due::Kill));
    }

    #[test]
    fn a_command_that_has_exited_cannot_time_out() {
        let mut line = timeline();
        line.on_command_exit(1490);
        assert_eq!(line.on_clock(5000, false), Some(Due::Kill));
        assert!(!line.timed_out());
    }

    #[test]
    fn the_longest_limits_do_not_overflow() {
        let mut line = Timeline::new(u64::MAX - 5, 1 << 53, 1 << 53);
        assert_eq!(line.next_due(true), u64::MAX);
        assert!(line.on_kill_request(u64::MAX - 1));
        assert_eq!(line.next_due(true), u64::MAX);
    }
}
