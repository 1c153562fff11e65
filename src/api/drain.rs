//! Draining: the request. The answer is what the runtime says about itself.

use poem_openapi::types::Example;
use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};

use super::strict::{self, Words};

/// How the runtime is drained.
#[derive(Clone, Debug, Default, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(example, deny_unknown_fields, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub struct DrainRequest {
    /// What becomes of the tasks that wait; absent: they are kept.
    #[serde(default, deserialize_with = "strict::optional_word", skip_serializing_if = "Option::is_none")]
    pub waiting: Option<WaitingTasks>,
}

/// What becomes of tasks that wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum, Serialize, Deserialize)]
#[oai(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum WaitingTasks {
    /// They stay stored, and the next server starts them.
    Keep,
    /// They end as cancelled.
    Cancel,
}

impl Words for WaitingTasks {
    const WORDS: &'static [(&'static str, Self)] = &[("keep", Self::Keep), ("cancel", Self::Cancel)];
}

impl Example for DrainRequest {
    fn example() -> Self {
        Self { waiting: Some(WaitingTasks::Cancel) }
    }
}
