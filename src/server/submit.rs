//! Submit: validate, plan, hand to the dispatcher with the request as it is kept.

use super::Shared;
use super::fault::Fault;
use crate::api::{SubmitTaskRequest, SubmitTaskResponse};
use crate::capability;
use crate::task::{NewTask, TaskId, Timestamp};

/// Whoever leaves in between leaves nothing half done: from [`crate::dispatcher::Dispatcher::submit`] on it is all the
/// dispatcher's.
pub(super) async fn submit(shared: &Shared, request: SubmitTaskRequest) -> Result<SubmitTaskResponse, Fault> {
    let (new, accepted) = prepare(shared, request)?;
    let kept = serde_json::to_vec_pretty(&accepted).map_err(|error| Fault::Other(error.to_string()))?;
    let task = shared.context.dispatcher.submit(new, kept).await?;
    let task_id = task.id().to_string();
    Ok(SubmitTaskResponse { handle_id: task_id.clone(), task_id, status: crate::task::Status::Accepted.into() })
}

/// The task, and the request as it is kept: with the id that it got.
fn prepare(shared: &Shared, request: SubmitTaskRequest) -> Result<(NewTask, SubmitTaskRequest), Fault> {
    let mut accepted = request.clone();
    let (id, draft) = request.into_draft()?;
    let spec = draft.validate(shared.context.config.defaults())?;
    let plan = capability::plan(&spec, &shared.context.manifest)?;
    let id = id.unwrap_or_else(TaskId::random);
    accepted.task_id = Some(id.to_string());
    Ok((NewTask { id, spec, plan, created_at: Timestamp::now() }, accepted))
}
