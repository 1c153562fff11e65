//! What a task takes from the ledger while it holds a place on the machine.

use serde::{Deserialize, Serialize};

use super::spec::TaskSpec;

/// Amounts of one task: slots (always 1), bytes of memory and processes, the last two where the task limits them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    pub task_slots: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pids: Option<u64>,
}

impl Reservation {
    /// A task reserves what it may use at most: its own limits.
    #[must_use]
    pub fn of(spec: &TaskSpec) -> Self {
        Self { task_slots: 1, memory_bytes: spec.limits.memory_bytes, pids: spec.limits.pids_max }
    }
}
