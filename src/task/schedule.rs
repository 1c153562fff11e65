//! When a task may start, before and behind which others, and how long it may wait.

use std::collections::HashSet;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::id::TaskId;
use super::state::Status;
use super::timestamp::Timestamp;
use super::validate::InvalidField;

/// What a priority may be.
pub const PRIORITY: RangeInclusive<i64> = -100..=100;
/// Most tasks that one task may wait for.
pub const MAX_DEPENDENCIES: usize = 256;

/// What a client asked for about the start of a task; the default asks for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// From −100 to 100; more comes first.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub priority: i8,
    /// Not before this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_after: Option<Timestamp>,
    /// Waiting ends here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Not before all of these have ended; each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<Dependency>,
}

/// Another task that must have ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    pub task_id: TaskId,
    pub on: DependsOn,
}

/// How the other task must have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DependsOn {
    #[default]
    Success,
    /// In whichever way.
    End,
}

impl DependsOn {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::End => "end",
        }
    }

    /// Whether a task that ended so will do.
    #[must_use]
    pub fn is_met_by(self, ended: Status) -> bool {
        match self {
            Self::Success => ended == Status::Success,
            Self::End => ended.is_terminal(),
        }
    }
}

/// Where a waiting task stands among the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    pub priority: i8,
    /// Since when it waits for its turn and for nothing else, but for `start_after`.
    pub queued_at: Timestamp,
    pub start_after: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    /// The tasks that it waits for.
    pub waits_for: Vec<TaskId>,
}

impl Standing {
    /// It waits for its turn alone.
    #[must_use]
    pub fn may_start(&self, now: Timestamp) -> bool {
        self.waits_for.is_empty() && self.start_after.is_none_or(|time| time <= now)
    }
}

/// A dependency as it came in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DraftDependency {
    pub task_id: String,
    pub on: Option<DependsOn>,
}

/// A schedule as it came in.
#[derive(Clone, Debug, Default)]
pub struct DraftSchedule {
    pub priority: Option<i64>,
    pub start_after: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    pub depends_on: Option<Vec<DraftDependency>>,
}

impl DraftSchedule {
    /// # Errors
    /// The first field that is wrong.
    pub fn validate(self) -> Result<Schedule, InvalidField> {
        let Self { priority, start_after, expires_at, depends_on } = self;
        let asked = priority.unwrap_or(0);
        let priority = i8::try_from(asked).ok().filter(|_| PRIORITY.contains(&asked)).ok_or_else(|| {
            let (least, most) = (PRIORITY.start(), PRIORITY.end());
            InvalidField::new("schedule.priority", format!("must be an integer from {least} to {most}, not {asked}"))
        })?;
        if let (Some(start), Some(end)) = (start_after, expires_at)
            && end <= start
        {
            return Err(InvalidField::new("schedule.expires_at", "must be later than `schedule.start_after`"));
        }
        Ok(Schedule { priority, start_after, expires_at, depends_on: dependencies(depends_on.unwrap_or_default())? })
    }
}

fn dependencies(drafts: Vec<DraftDependency>) -> Result<Vec<Dependency>, InvalidField> {
    if drafts.len() > MAX_DEPENDENCIES {
        let message = format!("must hold at most {MAX_DEPENDENCIES} tasks, not {}", drafts.len());
        return Err(InvalidField::new("schedule.depends_on", message));
    }
    let mut known = HashSet::new();
    let checked = drafts.into_iter().enumerate().map(|(index, DraftDependency { task_id, on })| {
        let wrong = |message: String| InvalidField::new(path_of_dependency(index), message);
        let task_id = TaskId::parse(&task_id).map_err(|error| wrong(error.to_string()))?;
        if !known.insert(task_id.clone()) {
            return Err(wrong(format!("must not name {:?} a second time", task_id.as_str())));
        }
        Ok(Dependency { task_id, on: on.unwrap_or_default() })
    });
    checked.collect()
}

/// The JSON path of the task that the dependency at this place names.
#[must_use]
pub fn path_of_dependency(index: usize) -> String {
    format!("schedule.depends_on[{index}].task_id")
}

impl Schedule {
    /// It asks for nothing.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
const fn is_zero(priority: &i8) -> bool {
    *priority == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(draft: DraftSchedule) -> String {
        draft.validate().expect_err("refused").path
    }

    fn on(ids: &[&str]) -> DraftSchedule {
        let each = |id: &&str| DraftDependency { task_id: (*id).to_owned(), on: None };
        DraftSchedule { depends_on: Some(ids.iter().map(each).collect()), ..DraftSchedule::default() }
    }

    #[test]
    fn each_field_is_refused_by_its_path() {
        for priority in [-101, 101, 256, i64::MIN, i64::MAX] {
            let draft = DraftSchedule { priority: Some(priority), ..DraftSchedule::default() };
            assert_eq!(fault(draft), "schedule.priority");
        }
        let at = |ms| Some(Timestamp::from_millis(ms));
        let both = DraftSchedule { start_after: at(5), expires_at: at(5), ..DraftSchedule::default() };
        assert_eq!(fault(both), "schedule.expires_at");
        assert_eq!(fault(on(&["a", "a/b"])), "schedule.depends_on[1].task_id");
        assert_eq!(fault(on(&["a", "b", "a"])), "schedule.depends_on[2].task_id");
        assert_eq!(fault(on(&["x"; MAX_DEPENDENCIES + 1])), "schedule.depends_on");
    }

    #[test]
    fn a_schedule_that_asks_for_nothing_costs_nothing() {
        let none = DraftSchedule { priority: Some(0), depends_on: Some(vec![]), ..DraftSchedule::default() };
        let none = none.validate().expect("valid");
        assert!(none.is_default());
        assert_eq!(serde_json::to_string(&none).expect("serialises"), "{}");
    }
}
