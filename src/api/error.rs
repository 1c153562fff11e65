//! The one form of every failure.

use poem_openapi::types::Example;
use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What kind of failure it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum, Serialize, Deserialize)]
#[oai(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The request is wrong: syntax, schema, an unknown field, a value out of range.
    InvalidInput,
    /// The task is strict and this runtime cannot enforce what it asks for.
    UnsupportedCapability,
    /// The task asks for more than the runtime's capacity or its tenant's quota can ever give.
    InsufficientResources,
    /// No bearer token, or none that is known.
    Unauthenticated,
    /// Whoever asks may not do this.
    PermissionDenied,
    /// There is no such task or path.
    NotFound,
    /// The path exists and the method does not.
    MethodNotAllowed,
    /// A task with that `task_id` exists already.
    Conflict,
    /// The request body is larger than the server accepts.
    PayloadTooLarge,
    /// The request body is not declared as JSON.
    UnsupportedMediaType,
    /// The range of bytes begins behind the end.
    RangeNotSatisfiable,
    /// The queue is full; try again later.
    ResourceLimitExceeded,
    /// A fault of the runtime.
    Internal,
    /// The runtime is not ready, is being drained, or its store is gone.
    Unavailable,
}

/// Every failure, from whatever layer.
#[derive(Clone, Debug, PartialEq, Object, Serialize, Deserialize)]
#[oai(example)]
#[serde(deny_unknown_fields)]
pub struct ErrorEnvelope {
    /// The failure.
    pub error: ErrorInfo,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Object, Serialize, Deserialize)]
#[oai(example)]
#[serde(deny_unknown_fields)]
pub struct ErrorInfo {
    /// The kind of failure, for programs.
    pub code: ErrorCode,
    /// One sentence for people; it names the field, what is wrong with it and what is allowed.
    pub message: String,
    /// More for programs, depending on the code; `null` when there is no more.
    pub details: Option<Value>,
}

impl Example for ErrorInfo {
    fn example() -> Self {
        Self {
            code: ErrorCode::InvalidInput,
            message: "execution.program is required and must not be blank when `execution.kind` is `command`".into(),
            details: None,
        }
    }
}

impl Example for ErrorEnvelope {
    fn example() -> Self {
        Self { error: ErrorInfo::example() }
    }
}
