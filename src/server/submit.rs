//! Submit: validate, plan, hand to the dispatcher with the request as it is kept.

use super::Shared;
use super::access::Caller;
use super::fault::Fault;
use super::status::read;
use crate::api::{SubmitTaskRequest, SubmitTaskResponse};
use crate::capability;
use crate::dispatcher::SubmitError;
use crate::task::{NewTask, TaskId, Timestamp};

/// Whoever leaves in between leaves nothing half done: from [`crate::dispatcher::Dispatcher::submit`] on it is all the
/// dispatcher's.
pub(super) async fn submit(
    shared: &Shared,
    by: &Caller,
    request: SubmitTaskRequest,
) -> Result<SubmitTaskResponse, Fault> {
    let (new, accepted) = prepare(shared, by, request)?;
    let kept = serde_json::to_vec_pretty(&accepted).map_err(|error| Fault::Other(error.to_string()))?;
    let task = match shared.context.dispatcher.submit(new, kept).await {
        Err(SubmitError::Conflict { task_id, .. }) if by.tenant().is_some() => {
            return Err(conflict(shared, by, task_id).await);
        }
        submitted => submitted?,
    };
    let task_id = task.id().to_string();
    Ok(SubmitTaskResponse { handle_id: task_id.clone(), task_id, status: crate::task::Status::Accepted.into() })
}

/// The task, and the request as it is kept: with the id that it got.
fn prepare(
    shared: &Shared,
    by: &Caller,
    mut request: SubmitTaskRequest,
) -> Result<(NewTask, SubmitTaskRequest), Fault> {
    if let Some(own) = by.tenant() {
        claim(&mut request, own)?;
    }
    let mut accepted = request.clone();
    let (id, draft) = request.into_draft()?;
    let spec = draft.validate(shared.context.config.defaults())?;
    let plan = capability::plan(&spec, &shared.context.manifest)?;
    let id = id.unwrap_or_else(TaskId::random);
    accepted.task_id = Some(id.to_string());
    Ok((NewTask { id, spec, plan, created_at: Timestamp::now() }, accepted))
}

/// How the other task stands is for those who may see it.
async fn conflict(shared: &Shared, by: &Caller, task_id: TaskId) -> Fault {
    match read(shared, by, task_id.clone()).await {
        Ok(task) => SubmitError::Conflict { task_id, status: task.status() }.into(),
        Err(_) => Fault::TakenId(task_id.to_string()),
    }
}

/// What comes with a tenant's token is that tenant's.
fn claim(request: &mut SubmitTaskRequest, own: &str) -> Result<(), Fault> {
    let context = request.control_context.get_or_insert_default();
    if context.tenant.get_or_insert_with(|| own.to_owned()) == own {
        return Ok(());
    }
    Err(Fault::OtherTenant { own: own.to_owned() })
}
