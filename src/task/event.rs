//! The audit trail of a task: what happened, when, in order.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::id::TaskId;
use super::timestamp::Timestamp;

/// The kinds of event (see `docs/api.md`, Events).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventType {
    Submitted,
    Accepted,
    Planned,
    Degraded,
    ResourceReserved,
    ResourceReleased,
    Started,
    KillRequested,
    TimeoutTriggered,
    Finished,
    Failed,
    Cancelled,
    Recovered,
}

impl EventType {
    pub const ALL: [Self; 13] = [
        Self::Submitted,
        Self::Accepted,
        Self::Planned,
        Self::Degraded,
        Self::ResourceReserved,
        Self::ResourceReleased,
        Self::Started,
        Self::KillRequested,
        Self::TimeoutTriggered,
        Self::Finished,
        Self::Failed,
        Self::Cancelled,
        Self::Recovered,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::Accepted => "accepted",
            Self::Planned => "planned",
            Self::Degraded => "degraded",
            Self::ResourceReserved => "resource_reserved",
            Self::ResourceReleased => "resource_released",
            Self::Started => "started",
            Self::KillRequested => "kill_requested",
            Self::TimeoutTriggered => "timeout_triggered",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Recovered => "recovered",
        }
    }
}

/// An event that a transition makes; the store numbers it.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEvent {
    pub event_type: EventType,
    pub timestamp: Timestamp,
    pub message: Option<String>,
    pub data: Option<Value>,
}

/// A stored event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Unique and growing across the runtime, over restarts too.
    pub seq: u64,
    pub task_id: TaskId,
    pub event_type: EventType,
    pub timestamp: Timestamp,
    pub message: Option<String>,
    pub data: Option<Value>,
}
