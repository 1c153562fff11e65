//! Callbacks: what a client asks for, what it is told, and how that goes.

use poem_openapi::types::Example;
use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};

use super::event::EventRecord;
use super::row::TaskRow;
use super::strict::{self, Words};
use crate::task::{self, DraftCallback, Timestamp};

/// Where the runtime tells of events of the task.
#[derive(Clone, Debug, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(example, deny_unknown_fields, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub struct CallbackRequest {
    /// An `http://` or `https://` URL below one that the server's configuration allows (`callback.allowed_urls`). It gets a
    /// `CallbackBody` by POST.
    pub url: String,
    /// Which events are told. Absent: the last one, `finished`, `failed` or `cancelled`.
    #[serde(default, deserialize_with = "strict::optional_words", skip_serializing_if = "Option::is_none")]
    pub events: Option<Vec<CallbackEvent>>,
}

/// An event that can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum, Serialize, Deserialize)]
#[oai(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum CallbackEvent {
    /// The command was started.
    Started,
    /// The task ended with success.
    Finished,
    /// The task failed.
    Failed,
    /// The task was cancelled.
    Cancelled,
}

/// What the callback's URL gets.
#[derive(Clone, Debug, PartialEq, Object, Serialize, Deserialize)]
#[oai(example)]
#[serde(deny_unknown_fields)]
pub struct CallbackBody {
    /// Which runtime tells.
    pub runtime_id: String,
    /// What happened. It may be told more than once; `seq` is the same then.
    pub event: EventRecord,
    /// The task as it is when it is told.
    pub task: TaskRow,
}

/// How the events of a task were told.
#[derive(Clone, Debug, PartialEq, Object, Serialize, Deserialize)]
#[oai(example, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub struct CallbackStatus {
    /// The state of them all.
    pub state: CallbackState,
    /// How often it was tried to tell one.
    pub attempts: u32,
    /// The time of the last try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_attempt_at: Option<Timestamp>,
    /// The HTTP status of the last answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_status: Option<u16>,
    /// Why the last try was in vain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// When it is tried again, at the earliest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<Timestamp>,
}

/// How far telling the events of a task has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum, Serialize, Deserialize)]
#[oai(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum CallbackState {
    /// None has happened yet.
    Waiting,
    /// One is still to be told.
    Pending,
    /// All that have happened were told.
    Delivered,
    /// One was given up, and none is still to be told.
    Failed,
}

impl Words for CallbackEvent {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("started", Self::Started),
        ("finished", Self::Finished),
        ("failed", Self::Failed),
        ("cancelled", Self::Cancelled),
    ];
}

impl From<CallbackEvent> for task::CallbackEvent {
    fn from(event: CallbackEvent) -> Self {
        match event {
            CallbackEvent::Started => Self::Started,
            CallbackEvent::Finished => Self::Finished,
            CallbackEvent::Failed => Self::Failed,
            CallbackEvent::Cancelled => Self::Cancelled,
        }
    }
}

impl From<CallbackRequest> for DraftCallback {
    fn from(CallbackRequest { url, events }: CallbackRequest) -> Self {
        Self { url, events: events.map(|events| events.into_iter().map(Into::into).collect()) }
    }
}

impl Example for CallbackRequest {
    fn example() -> Self {
        Self {
            url: "https://ci.example.com/hooks/execgo".into(),
            events: Some(vec![CallbackEvent::Finished, CallbackEvent::Failed]),
        }
    }
}

impl Example for CallbackBody {
    fn example() -> Self {
        Self { runtime_id: "node-1".into(), event: EventRecord::example(), task: TaskRow::example() }
    }
}

impl Example for CallbackStatus {
    fn example() -> Self {
        let at = Timestamp::from_millis(1_764_033_114_980);
        Self {
            state: CallbackState::Pending,
            attempts: 1,
            last_attempt_at: Some(at),
            last_status: Some(503),
            last_error: Some("the answer was 503".into()),
            next_attempt_at: Some(at.plus_millis(1000)),
        }
    }
}
