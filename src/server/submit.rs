//! Submit: validate, plan, hand to the dispatcher with the request as it is kept.

use super::access::Caller;
use super::fault::Fault;
use super::once::Repeatable;
use super::params::IdempotencyKey;
use super::{Shared, once};
use crate::api::{SubmitTaskRequest, SubmitTaskResponse};
use crate::capability;
use crate::config;
use crate::dispatcher::{Answer, BatchError, Submission, SubmitError, Submitted, Unavailable};
use crate::store::RequestKey;
use crate::task::{Callback, InvalidField, NewTask, Status, Task, TaskId, Timestamp};

/// Whoever leaves in between leaves nothing half done: from [`crate::dispatcher::Dispatcher::submit`] on it is all the
/// dispatcher's.
pub(super) async fn submit(
    shared: &Shared,
    by: &Caller,
    key: IdempotencyKey,
    request: SubmitTaskRequest,
) -> Result<Repeatable<SubmitTaskResponse>, Fault> {
    if let Some(key) = once::key(by, key, "submit", &request)? {
        return submit_once(shared, by, key, request).await;
    }
    let Submission { new, request } = prepare(shared, by, request)?;
    let submitted = shared.context.dispatcher.submit(new, request).await;
    Ok(Repeatable::First(accepted(&submitted.map_err(|error| told(by, error))?)))
}

async fn submit_once(
    shared: &Shared,
    by: &Caller,
    key: RequestKey,
    request: SubmitTaskRequest,
) -> Result<Repeatable<SubmitTaskResponse>, Fault> {
    if let Some(again) = Repeatable::given_before(shared, &key).await? {
        return Ok(again);
    }
    let submission = prepare(shared, by, request)?;
    let answer = Answer::new(|results| results.iter().flatten().map(|task| once::text(&accepted(task))).collect());
    match shared.context.dispatcher.submit_once(vec![submission], true, key, answer).await {
        Ok(Submitted::Before(earlier)) => Repeatable::again(earlier),
        Ok(Submitted::Now(results)) => {
            let task = results.into_iter().next().unwrap_or(Err(Unavailable::Dispatcher.into()));
            Ok(Repeatable::First(accepted(&task.map_err(|error| told(by, error))?)))
        }
        Err(BatchError::Refused { error, .. }) => Err(told(by, error)),
        Err(BatchError::Unavailable(unavailable)) => Err(unavailable.into()),
    }
}

pub(super) fn accepted(task: &Task) -> SubmitTaskResponse {
    let task_id = task.id().to_string();
    SubmitTaskResponse { handle_id: task_id.clone(), task_id, status: Status::Accepted.into() }
}

/// The task, and the request as it is kept: with the id that it got.
pub(super) fn prepare(shared: &Shared, by: &Caller, mut request: SubmitTaskRequest) -> Result<Submission, Fault> {
    if let Some(own) = by.tenant() {
        claim(&mut request, own)?;
    }
    let mut accepted = request.clone();
    let (id, draft) = request.into_draft()?;
    let spec = draft.validate(shared.context.config.defaults())?;
    check_callback(&shared.context.config.callback, spec.callback.as_ref())?;
    let plan = capability::plan(&spec, &shared.context.manifest)?;
    let id = id.unwrap_or_else(TaskId::random);
    accepted.task_id = Some(id.to_string());
    let kept = serde_json::to_vec_pretty(&accepted).map_err(|error| Fault::Other(error.to_string()))?;
    Ok(Submission { new: NewTask { id, spec, plan, created_at: Timestamp::now() }, request: kept })
}

/// Who may submit may not make the server talk to whomever it reaches.
fn check_callback(config: &config::Callback, callback: Option<&Callback>) -> Result<(), InvalidField> {
    match callback {
        Some(callback) if !config.allows(&callback.url) => {
            let message = "must be below a URL that the key callback.allowed_urls of the server's configuration names";
            Err(InvalidField::new("callback.url", message))
        }
        _ => Ok(()),
    }
}

/// How the other task of a conflict stands is for those who may see it.
pub(super) fn told(by: &Caller, error: SubmitError) -> Fault {
    match error {
        SubmitError::Conflict { task_id, tenant, .. } if !by.sees_tenant(tenant.as_deref()) => {
            Fault::TakenId(task_id.to_string())
        }
        error => error.into(),
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
