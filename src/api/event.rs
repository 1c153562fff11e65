//! The audit trail of a task on the wire.

use poem_openapi::types::Example;
use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::task::{self, Timestamp};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum, Serialize, Deserialize)]
#[oai(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum EventType {
    /// The request was validated.
    Submitted,
    /// The task was stored and queued.
    Accepted,
    /// It was decided what will be enforced.
    Planned,
    /// Something that was asked for is not enforced.
    Degraded,
    /// The task took its place on the machine.
    ResourceReserved,
    /// The task gave its place back.
    ResourceReleased,
    /// The command runs.
    Started,
    /// Somebody asked for the end of the task.
    KillRequested,
    /// The wall-clock limit passed.
    TimeoutTriggered,
    /// The task succeeded.
    Finished,
    /// The task failed.
    Failed,
    /// The task was cancelled.
    Cancelled,
    /// The task was taken up again after a restart of the server.
    Recovered,
}

/// One thing that happened to a task.
#[derive(Clone, Debug, PartialEq, Object, Serialize, Deserialize)]
#[oai(example, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub struct EventRecord {
    /// Unique and growing across the runtime.
    #[oai(validator(minimum(value = "1")))]
    pub seq: u64,
    /// The task.
    pub task_id: String,
    /// What happened.
    pub event_type: EventType,
    /// When it happened.
    pub timestamp: Timestamp,
    /// A sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// More for programs, depending on the type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}

impl From<task::Event> for EventRecord {
    fn from(event: task::Event) -> Self {
        let task::Event { seq, task_id, event_type, timestamp, message, data } = event;
        Self { seq, task_id: task_id.to_string(), event_type: event_type.into(), timestamp, message, data }
    }
}

impl From<task::EventType> for EventType {
    fn from(event_type: task::EventType) -> Self {
        match event_type {
            task::EventType::Submitted => Self::Submitted,
            task::EventType::Accepted => Self::Accepted,
            task::EventType::Planned => Self::Planned,
            task::EventType::Degraded => Self::Degraded,
            task::EventType::ResourceReserved => Self::ResourceReserved,
            task::EventType::ResourceReleased => Self::ResourceReleased,
            task::EventType::Started => Self::Started,
            task::EventType::KillRequested => Self::KillRequested,
            task::EventType::TimeoutTriggered => Self::TimeoutTriggered,
            task::EventType::Finished => Self::Finished,
            task::EventType::Failed => Self::Failed,
            task::EventType::Cancelled => Self::Cancelled,
            task::EventType::Recovered => Self::Recovered,
        }
    }
}

impl Example for EventRecord {
    fn example() -> Self {
        Self {
            seq: 7,
            task_id: "build-42".into(),
            event_type: EventType::Failed,
            timestamp: Timestamp::from_millis(1_760_000_000_250),
            message: Some("exited with code 1".into()),
            data: Some(json!({"exit_code": 1, "duration_ms": 150, "code": "exit_non_zero"})),
        }
    }
}
