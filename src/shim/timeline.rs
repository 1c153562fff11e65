//! When a task is asked to end, and when it is made to. Pure: events and times in, what to do out.
//!
//! ```text
//! running ─deadline, kill request or limit─▶ grace ─its end─▶ killing, again and again until nothing is left
//!    └─────────command exits────────────────────────────▲
//! ```

use crate::task::{KillOrder, KillSignal};

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
    /// The signals by which the task was asked to end, by their numbers; none is sent twice.
    asked: u64,
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
        Self { deadline, grace_ms, phase: Phase::Running, timed_out: false, killed: false, asked: 0 }
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

    /// A kill request came, for the command or, where that has exited, for what has a grace behind it. A grace that
    /// runs may become shorter and never longer. Says which signal is due to the whole task.
    #[must_use]
    pub fn on_kill_request(&mut self, now: u64, order: KillOrder, command_lives: bool) -> Option<KillSignal> {
        let grace_ms = match order.signal {
            KillSignal::Kill => 0,
            _ => order.grace_ms.unwrap_or(self.grace_ms),
        };
        let until = now.saturating_add(grace_ms);
        match self.phase {
            Phase::Running if command_lives => self.phase = Phase::Grace { until },
            Phase::Grace { until: before } => self.phase = Phase::Grace { until: before.min(until) },
            Phase::Running | Phase::Killing { .. } => return None,
        }
        self.killed |= command_lives;
        (order.signal != KillSignal::Kill && self.ask(order.signal)).then_some(order.signal)
    }

    /// Says whether this signal was not sent yet.
    const fn ask(&mut self, signal: KillSignal) -> bool {
        let before = self.asked;
        self.asked |= 1 << signal.number();
        before != self.asked
    }

    /// A limit that the shim itself keeps is exceeded. Says whether SIGTERM is due to the whole task.
    #[must_use]
    pub fn on_limit(&mut self, now: u64) -> bool {
        let running = self.is_running();
        if running {
            self.ask(KillSignal::Term);
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
                self.ask(KillSignal::Term);
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

    const TERM: Option<KillSignal> = Some(KillSignal::Term);

    fn kill(line: &mut Timeline, now: u64) -> Option<KillSignal> {
        line.on_kill_request(now, KillOrder::default(), true)
    }

    const fn order(signal: KillSignal, grace_ms: u64) -> KillOrder {
        KillOrder { signal, grace_ms: Some(grace_ms) }
    }

    #[test]
    fn each_signal_is_sent_once_and_a_later_grace_counts_only_where_it_is_shorter() {
        let mut line = timeline();
        let int = order(KillSignal::Int, 90);
        assert_eq!(line.on_kill_request(1100, int, true), Some(KillSignal::Int));
        assert_eq!((line.on_kill_request(1110, int, true), line.next_due(true)), (None, 1190));
        assert_eq!((kill(&mut line, 1120), line.next_due(true)), (TERM, 1170));
        assert_eq!((kill(&mut line, 1130), line.next_due(true)), (None, 1170));
        let hup = order(KillSignal::Hup, 10);
        assert_eq!((line.on_kill_request(1140, hup, true), line.next_due(true)), (Some(KillSignal::Hup), 1150));
        assert_eq!((line.on_clock(1150, true), line.killed()), (Some(Due::Kill), true));
        assert_eq!(line.on_kill_request(1151, order(KillSignal::Quit, 0), true), None, "it is too late to ask");
    }

    #[test]
    fn sigkill_has_no_grace_and_shortens_one_that_runs() {
        for earlier in [None, Some(KillOrder::default())] {
            let mut line = timeline();
            if let Some(order) = earlier {
                let _ = line.on_kill_request(1100, order, true);
            }
            assert_eq!(line.on_kill_request(1110, order(KillSignal::Kill, 40), true), None);
            assert_eq!((line.on_clock(1110, true), line.killed()), (Some(Due::Kill), true));
        }
    }

    #[test]
    fn what_a_command_left_behind_may_lose_its_grace_but_the_command_was_not_killed() {
        let mut line = timeline();
        assert!(line.on_limit(1100));
        line.on_command_exit(1110);
        assert_eq!(line.on_kill_request(1111, KillOrder::default(), false), None, "it had its SIGTERM");
        assert_eq!((line.next_due(false), line.killed()), (1150, false));
        let quit = order(KillSignal::Quit, 5);
        assert_eq!((line.on_kill_request(1112, quit, false), line.next_due(false)), (Some(KillSignal::Quit), 1117));
        let mut line = timeline();
        assert_eq!((line.on_kill_request(1100, quit, false), line.is_running()), (None, true));
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
        assert_eq!(kill(&mut line, 1100), TERM);
        assert_eq!(kill(&mut line, 1140), None);
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
        assert_eq!(kill(&mut line, 1480), TERM);
        assert_eq!(line.next_due(true), 1500);
        assert_eq!(line.on_clock(1500, true), Some(Due::TimedOut { terminate: false }));
        assert_eq!((line.on_clock(1500, true), line.next_due(true)), (None, 1530));
        let mut line = timeline();
        assert_eq!(line.on_clock(1500, true), Some(Due::TimedOut { terminate: true }));
        assert_eq!(kill(&mut line, 1510), None);
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
        assert_eq!(kill(&mut line, 1100), TERM);
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
        assert_eq!(kill(&mut line, u64::MAX - 1), TERM);
        assert_eq!(line.next_due(true), u64::MAX);
    }
}
