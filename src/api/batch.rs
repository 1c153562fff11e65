//! Submission of many tasks at once: the request and the answer.

use poem_openapi::Object;
use poem_openapi::types::Example;
use serde::{Deserialize, Serialize};

use super::error::ErrorInfo;
use super::status::TaskStatus;
use super::strict;
use super::submit::{SubmitTaskRequest, SubmitTaskResponse};
use crate::task::InvalidField;

/// How many tasks there may be in a batch.
pub const MAX_BATCH: usize = 1000;

/// Tasks to be run.
#[derive(Clone, Debug, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(example, deny_unknown_fields, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub struct SubmitBatchRequest {
    /// The tasks, in the order in which they are queued.
    #[oai(validator(min_items = 1, max_items = 1000))]
    #[serde(deserialize_with = "strict::objects")]
    pub tasks: Vec<SubmitTaskRequest>,
    /// All of them or none: one that is refused refuses the batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub atomic: Option<bool>,
}

/// What became of each task, in the order of the request.
#[derive(Clone, Debug, PartialEq, Object, Serialize, Deserialize)]
#[oai(example)]
#[serde(deny_unknown_fields)]
pub struct SubmitBatchResponse {
    /// One for each task.
    pub results: Vec<BatchResult>,
}

/// An accepted task, as a submission by itself is answered, or why it was refused.
#[derive(Clone, Debug, Default, PartialEq, Object, Serialize, Deserialize)]
#[oai(example, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub struct BatchResult {
    /// The name of the accepted task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
    /// Equals `task_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handle_id: Option<String>,
    /// `accepted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<TaskStatus>,
    /// Why the task was refused; nothing of it was stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorInfo>,
}

impl SubmitBatchRequest {
    /// # Errors
    /// There are too many, or none.
    pub fn check(&self) -> Result<(), InvalidField> {
        let count = self.tasks.len();
        if (1..=MAX_BATCH).contains(&count) {
            return Ok(());
        }
        Err(InvalidField::new("tasks", format!("must hold 1 to {MAX_BATCH} tasks, not {count}")))
    }
}

impl From<SubmitTaskResponse> for BatchResult {
    fn from(SubmitTaskResponse { task_id, handle_id, status }: SubmitTaskResponse) -> Self {
        Self { task_id: Some(task_id), handle_id: Some(handle_id), status: Some(status), error: None }
    }
}

impl From<ErrorInfo> for BatchResult {
    fn from(error: ErrorInfo) -> Self {
        Self { error: Some(error), ..Self::default() }
    }
}

impl Example for SubmitBatchRequest {
    fn example() -> Self {
        Self { tasks: vec![SubmitTaskRequest::example()], atomic: Some(true) }
    }
}

impl Example for SubmitBatchResponse {
    fn example() -> Self {
        Self { results: vec![BatchResult::example()] }
    }
}

impl Example for BatchResult {
    fn example() -> Self {
        SubmitTaskResponse::example().into()
    }
}
