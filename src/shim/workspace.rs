//! The limit on a task's workspace, which no file system keeps for us: it is measured again and again while the task
//! runs, and once more when nothing of it is left. The pace is pure: times in, times out.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use super::step::StepError;
use super::walk::{Progress, Walk};
use crate::sys::clock::monotonic_ms;
use crate::sys::directory;
use crate::task::exit::WorkspaceExcess;

/// At the start and as long as a measurement takes no time worth mentioning.
const INTERVAL_MS: u64 = 250;
/// The shim hears nothing for this long.
const SLICE_MS: u64 = 5;
/// Rests for each part of work: a measurement takes a twentieth of a core at most, however much there is to be measured.
const RESTS: u64 = 19;
/// Between two looks at the clock.
const ENTRIES: usize = 64;

/// A workspace under measurement.
#[derive(Debug)]
pub struct Workspace {
    /// Held from before the command's start: a task may put something else in its place.
    top: OwnedFd,
    limit: u64,
    pace: Pace,
    walk: Option<Walk>,
    /// The last walk found too much. A file that is renamed meanwhile can be counted twice, so one walk proves nothing.
    suspected: bool,
}

impl Workspace {
    /// The workspace at `path`, which may hold `limit` bytes.
    ///
    /// # Errors
    /// As open(2).
    pub fn open(path: &Path, limit: u64) -> Result<Self, StepError> {
        let top =
            directory::open(path).map_err(|error| StepError::new(format_args!("open {}", path.display()), error))?;
        Ok(Self { top, limit, pace: Pace::new(monotonic_ms()), walk: None, suspected: false })
    }

    /// When [`Self::on_clock`] has something to do.
    #[must_use]
    pub const fn next_due(&self) -> u64 {
        self.pace.next
    }

    /// Goes on with the measurement, if that is due. Returns what two measurements in a row have found.
    pub fn on_clock(&mut self, now: u64) -> Option<WorkspaceExcess> {
        if now < self.pace.next {
            return None;
        }
        let walk = self.walk.get_or_insert_with(|| Walk::start(self.top.as_fd(), self.limit, false));
        let progress = loop {
            match walk.advance(ENTRIES) {
                Progress::Under if monotonic_ms() < now.saturating_add(SLICE_MS) => {}
                progress => break progress,
            }
        };
        let end = monotonic_ms();
        let excess = match progress {
            Progress::Under => {
                self.pace.on_slice(now, end);
                return None;
            }
            Progress::Within => {
                self.pace.on_measured(now, end);
                None
            }
            Progress::Over(excess) => {
                self.pace.on_slice(now, end);
                Some(excess)
            }
        };
        self.walk = None;
        let confirmed = excess.filter(|_| self.suspected);
        self.suspected = excess.is_some();
        confirmed
    }

    /// The last measurement, when nothing changes any more.
    #[must_use]
    pub fn at_the_end(&self) -> Option<WorkspaceExcess> {
        Walk::start(self.top.as_fd(), self.limit, true).finish()
    }
}

/// When to measure next. All times are monotonic milliseconds.
#[derive(Clone, Copy, Debug)]
struct Pace {
    next: u64,
}

impl Pace {
    const fn new(now: u64) -> Self {
        Self { next: now.saturating_add(INTERVAL_MS) }
    }

    /// A slice is done and more is to be done.
    const fn on_slice(&mut self, from: u64, to: u64) {
        self.next = to.saturating_add(rest(from, to));
    }

    /// A measurement is complete.
    fn on_measured(&mut self, from: u64, to: u64) {
        self.next = to.saturating_add(rest(from, to).max(INTERVAL_MS));
    }
}

const fn rest(from: u64, to: u64) -> u64 {
    // The clock's millisecond counts as one even when it was less.
    to.saturating_sub(from).saturating_add(1).saturating_mul(RESTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measurement_never_takes_more_than_a_twentieth_of_the_time() {
        let mut pace = Pace::new(1000);
        assert_eq!(pace.next, 1250);
        pace.on_measured(1250, 1250);
        assert_eq!(pace.next, 1500);
        for took in [1, 5, 80, 4000] {
            pace.on_slice(2000, 2000 + took);
            assert!(took * 20 <= pace.next - 2000, "{took}");
            pace.on_measured(2000, 2000 + took);
            assert!(took * 20 <= pace.next - 2000, "{took}");
        }
        pace.on_slice(0, u64::MAX);
        assert_eq!(pace.next, u64::MAX);
    }

    #[test]
    fn many_files_are_measured_in_slices() {
        let dir = tempfile::tempdir().expect("temp dir");
        for n in 0..20_000 {
            std::fs::write(dir.path().join(n.to_string()), "").expect("written");
        }
        let mut workspace = Workspace::open(dir.path(), 1 << 50).expect("there");
        let mut slices = 0;
        loop {
            let now = monotonic_ms();
            workspace.pace.next = now;
            assert_eq!(workspace.on_clock(now), None);
            slices += 1;
            if workspace.walk.is_none() {
                break;
            }
        }
        assert!((2..20_000).contains(&slices), "{slices}");
    }

    #[test]
    fn too_much_is_told_when_it_was_found_twice_in_a_row() {
        let dir = tempfile::tempdir().expect("temp dir");
        let mut workspace = Workspace::open(dir.path(), 50_000).expect("there");
        let mut measure = || {
            let due = workspace.next_due().max(monotonic_ms());
            workspace.on_clock(due)
        };
        let file = dir.path().join("file");
        assert_eq!((measure(), measure()), (None, None));
        std::fs::write(&file, vec![1; 100_000]).expect("written");
        assert_eq!(measure(), None);
        std::fs::remove_file(&file).expect("removed");
        assert_eq!(measure(), None);
        std::fs::write(&file, vec![1; 100_000]).expect("written");
        assert_eq!(measure(), None);
        assert!(matches!(measure(), Some(WorkspaceExcess::TooLarge { bytes }) if bytes >= 100_000));
        assert!(workspace.at_the_end().is_some());
    }
}
