//! Submit: validate, plan, hand to the dispatcher with the request as it is kept.

use std::future::Future;

use super::access::Caller;
use super::blobs;
use super::fault::Fault;
use super::once::Repeatable;
use super::params::IdempotencyKey;
use super::{Shared, once};
use crate::api::{SubmitTaskRequest, SubmitTaskResponse};
use crate::blobs::Hold;
use crate::capability;
use crate::config;
use crate::dispatcher::{Answer, BatchError, Submission, SubmitError, Submitted, Unavailable};
use crate::store::RequestKey;
use crate::task::schedule::path_of_dependency;
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
    let (Submission { new, request }, hold) = prepare(shared, by, request).await?;
    let dispatcher = shared.context.dispatcher.clone();
    let submitted = holding(hold.into_iter().collect(), async move { dispatcher.submit(new, request).await }).await?;
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
    let (submission, hold) = prepare(shared, by, request).await?;
    let answer = Answer::new(|results| results.iter().flatten().map(|task| once::text(&accepted(task))).collect());
    let dispatcher = shared.context.dispatcher.clone();
    let submitted = async move { dispatcher.submit_once(vec![submission], true, key, answer).await };
    match holding(hold.into_iter().collect(), submitted).await? {
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

/// Holds what tasks are given until they are stored, also when the client has left by then.
pub(super) async fn holding<T: Send + 'static>(
    holds: Vec<Hold>,
    submitted: impl Future<Output = T> + Send + 'static,
) -> Result<T, Fault> {
    if holds.is_empty() {
        return Ok(submitted.await);
    }
    let held = async move {
        let answer = submitted.await;
        drop(holds);
        answer
    };
    tokio::spawn(held).await.map_err(|error| Fault::Panicked(error.to_string()))
}

/// The task and the request as it is kept: with the id that it got; and a hold on what the task is to be given.
pub(super) async fn prepare(
    shared: &Shared,
    by: &Caller,
    mut request: SubmitTaskRequest,
) -> Result<(Submission, Option<Hold>), Fault> {
    if let Some(own) = by.tenant() {
        claim(&mut request, own)?;
    }
    let mut accepted = request.clone();
    let (id, mut draft, contents) = request.into_draft()?;
    draft.giver = by.tenant().map(str::to_owned);
    let spec = draft.validate(shared.context.config.defaults())?;
    check_callback(&shared.context.config.callback, spec.callback.as_ref())?;
    let plan = capability::plan(&spec, &shared.context.manifest)?;
    let id = id.unwrap_or_else(TaskId::random);
    accepted.task_id = Some(id.to_string());
    let kept = serde_json::to_vec_pretty(&accepted).map_err(|error| Fault::Other(error.to_string()))?;
    let new = NewTask { id, spec, plan, created_at: Timestamp::now(), sees: by.tenant().map(str::to_owned) };
    Ok((Submission { new, request: kept }, blobs::hold(shared, by, contents).await?))
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
        SubmitError::UnknownDependency { index, task_id } => {
            let message = format!("must name a task of this runtime; there is no {:?}", task_id.as_str());
            InvalidField::new(path_of_dependency(index), message).into()
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
