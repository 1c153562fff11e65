//! Kill of many tasks: the request says which, the answer which they were.

use std::collections::BTreeMap;

use poem_openapi::types::Example;
use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};

use super::strict::{self, Words};
use super::submit::ExecutionKind;
use crate::task::Timestamp;

/// Which tasks are killed: those that have not ended, as far as all that is given holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(example, deny_unknown_fields, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub struct KillTasksRequest {
    /// Where the task stands.
    #[serde(default, deserialize_with = "strict::optional_word", skip_serializing_if = "Option::is_none")]
    pub status: Option<LiveStatus>,
    /// The task's `control_context.tenant`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The task's `control_context.owner`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Labels that are among those of the task's `control_context.labels`.
    #[serde(default, deserialize_with = "strict::optional_map", skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// The task's `execution.kind`.
    #[serde(default, deserialize_with = "strict::optional_word", skip_serializing_if = "Option::is_none")]
    pub kind: Option<ExecutionKind>,
    /// Accepted later than this.
    #[serde(default, deserialize_with = "strict::optional_time", skip_serializing_if = "Option::is_none")]
    pub created_after: Option<Timestamp>,
    /// Accepted earlier than this.
    #[serde(default, deserialize_with = "strict::optional_time", skip_serializing_if = "Option::is_none")]
    pub created_before: Option<Timestamp>,
    /// Stands, in whatever case, in the task's id, its program and arguments or its script, its labels or its metadata.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub q: Option<String>,
    /// All tasks that have not ended; needed where nothing else is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all: Option<bool>,
}

/// Where a task that has not ended stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum, Serialize, Deserialize)]
#[oai(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum LiveStatus {
    /// It waits for its start.
    Accepted,
    /// The command runs.
    Running,
}

impl Words for LiveStatus {
    const WORDS: &'static [(&'static str, Self)] = &[("accepted", Self::Accepted), ("running", Self::Running)];
}

/// The tasks whose end was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(example)]
#[serde(deny_unknown_fields)]
pub struct KilledTasks {
    /// Their names, the newest first.
    pub killed: Vec<String>,
}

impl Example for KillTasksRequest {
    fn example() -> Self {
        Self {
            status: Some(LiveStatus::Accepted),
            tenant: Some("acme".into()),
            owner: Some("ci".into()),
            labels: Some([("team".to_owned(), "blue".to_owned())].into()),
            kind: Some(ExecutionKind::Script),
            created_after: Some(Timestamp::from_millis(1_760_000_000_000)),
            created_before: Some(Timestamp::from_millis(1_760_000_060_000)),
            q: Some("make".into()),
            all: Some(false),
        }
    }
}

impl Example for KilledTasks {
    fn example() -> Self {
        Self { killed: vec!["build-43".into(), "build-42".into()] }
    }
}
