//! Scheduling: what a client asks for about the start of a task, and for what a waiting one waits.

use poem_openapi::types::Example;
use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};

use super::strict::{self, Words};
use crate::task::schedule::{self, DraftDependency, DraftSchedule};
use crate::task::{State, Task, Timestamp};

/// When the task may start, before which others, and how long it may wait.
#[derive(Clone, Debug, Default, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(example, deny_unknown_fields, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub struct TaskSchedule {
    /// Tasks of higher priority start first; a level is worth a minute of waiting.
    #[oai(validator(minimum(value = "-100"), maximum(value = "100")))]
    #[serde(default, deserialize_with = "strict::priority", skip_serializing_if = "Option::is_none")]
    pub priority: Option<i64>,
    /// The task does not start before this time (RFC 3339, any offset).
    #[serde(default, deserialize_with = "strict::optional_time", skip_serializing_if = "Option::is_none")]
    pub start_after: Option<Timestamp>,
    /// Where the task still waits at this time it is cancelled. Later than `start_after`.
    #[serde(default, deserialize_with = "strict::optional_time", skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// The task does not start before all of these have ended, and is cancelled when one of them ends otherwise than it must.
    /// Each names a task of this runtime, and once.
    #[oai(validator(max_items = 256))]
    #[serde(default, deserialize_with = "strict::optional_objects", skip_serializing_if = "Option::is_none")]
    pub depends_on: Option<Vec<TaskDependency>>,
}

/// Another task that must have ended.
#[derive(Clone, Debug, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(example, deny_unknown_fields, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub struct TaskDependency {
    /// The name of the task.
    #[oai(validator(min_length = 1, max_length = 128))]
    pub task_id: String,
    /// How it must have ended.
    #[serde(default, deserialize_with = "strict::optional_word", skip_serializing_if = "Option::is_none")]
    pub on: Option<DependsOn>,
}

/// How a task that another one depends on must have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum, Serialize, Deserialize)]
#[oai(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum DependsOn {
    /// As a success.
    Success,
    /// In whichever way.
    End,
}

/// What a waiting task waits for, besides its turn.
#[derive(Clone, Debug, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(example, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub struct WaitingFor {
    /// The task may start from this time on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Those of its dependencies that have not ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks: Option<Vec<String>>,
}

impl TaskSchedule {
    pub(super) fn into_draft(self) -> DraftSchedule {
        let Self { priority, start_after, expires_at, depends_on } = self;
        let dependency = |TaskDependency { task_id, on }| DraftDependency { task_id, on: on.map(Into::into) };
        let depends_on = depends_on.map(|all| all.into_iter().map(dependency).collect());
        DraftSchedule { priority, start_after, expires_at, depends_on }
    }

    /// `None` where nothing was asked for.
    pub(super) fn of(asked: &schedule::Schedule) -> Option<Self> {
        if asked.is_default() {
            return None;
        }
        let schedule::Schedule { priority, start_after, expires_at, depends_on } = asked;
        let dependency = |schedule::Dependency { task_id, on }: &schedule::Dependency| TaskDependency {
            task_id: task_id.to_string(),
            on: Some((*on).into()),
        };
        Some(Self {
            priority: Some(i64::from(*priority)),
            start_after: *start_after,
            expires_at: *expires_at,
            depends_on: (!depends_on.is_empty()).then(|| depends_on.iter().map(dependency).collect()),
        })
    }
}

impl WaitingFor {
    /// `None` where it waits for nothing but its turn, or does not wait.
    pub(super) fn of(task: &Task) -> Option<Self> {
        let State::Queued = task.state() else { return None };
        let until = task.spec().schedule.start_after;
        let tasks = task.waits_for();
        let tasks = (!tasks.is_empty()).then(|| tasks.iter().map(ToString::to_string).collect());
        (until.is_some() || tasks.is_some()).then_some(Self { until, tasks })
    }
}

impl Words for DependsOn {
    const WORDS: &'static [(&'static str, Self)] =
        &[(schedule::DependsOn::Success.as_str(), Self::Success), (schedule::DependsOn::End.as_str(), Self::End)];
}

impl From<DependsOn> for schedule::DependsOn {
    fn from(on: DependsOn) -> Self {
        match on {
            DependsOn::Success => Self::Success,
            DependsOn::End => Self::End,
        }
    }
}

impl From<schedule::DependsOn> for DependsOn {
    fn from(on: schedule::DependsOn) -> Self {
        match on {
            schedule::DependsOn::Success => Self::Success,
            schedule::DependsOn::End => Self::End,
        }
    }
}

const EXAMPLE_MS: i64 = 1_760_000_000_000;

impl Example for TaskSchedule {
    fn example() -> Self {
        Self {
            priority: Some(10),
            start_after: Some(Timestamp::from_millis(EXAMPLE_MS)),
            expires_at: Some(Timestamp::from_millis(EXAMPLE_MS + 3_600_000)),
            depends_on: Some(vec![TaskDependency::example()]),
        }
    }
}

impl Example for TaskDependency {
    fn example() -> Self {
        Self { task_id: "fetch-42".into(), on: Some(DependsOn::Success) }
    }
}

impl Example for WaitingFor {
    fn example() -> Self {
        Self { until: Some(Timestamp::from_millis(EXAMPLE_MS)), tasks: Some(vec!["fetch-42".into()]) }
    }
}
