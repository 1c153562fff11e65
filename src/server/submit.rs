//! Submit: validate, plan, hand to the dispatcher, keep the request.

use std::io;
use std::sync::Arc;

use super::Shared;
use super::access::Caller;
use super::fault::Fault;
use super::status::read;
use crate::api::{SubmitTaskRequest, SubmitTaskResponse};
use crate::capability;
use crate::dispatcher::SubmitError;
use crate::store::write_whole;
use crate::task::{NewTask, TaskId, TaskPaths, Timestamp};

pub(super) async fn submit(
    shared: &Arc<Shared>,
    by: &Caller,
    request: SubmitTaskRequest,
) -> Result<SubmitTaskResponse, Fault> {
    let (new, accepted) = prepare(shared, by, request)?;
    let worker = Arc::clone(shared);
    // A task of its own: the commit and the request file belong together although the client may leave in between.
    let work = shared.unfinished.spawn(async move { commit(&worker, new, accepted).await });
    match work.await.map_err(|e| Fault::Panicked(e.to_string()))? {
        Err(Fault::Submit(SubmitError::Conflict { task_id, .. })) if by.tenant().is_some() => {
            // How the other task stands is for those who may see it.
            let seen = read(shared, by, task_id.clone()).await;
            Err(match seen {
                Ok(task) => SubmitError::Conflict { task_id, status: task.status() }.into(),
                Err(_) => Fault::TakenId(task_id.to_string()),
            })
        }
        done => done,
    }
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

/// What comes with a tenant's token is that tenant's.
fn claim(request: &mut SubmitTaskRequest, own: &str) -> Result<(), Fault> {
    let context = request.control_context.get_or_insert_default();
    if context.tenant.get_or_insert_with(|| own.to_owned()) == own {
        return Ok(());
    }
    Err(Fault::OtherTenant { own: own.to_owned() })
}

async fn commit(shared: &Shared, new: NewTask, accepted: SubmitTaskRequest) -> Result<SubmitTaskResponse, Fault> {
    let task = shared.context.dispatcher.submit(new).await?;
    let paths = TaskPaths::new(&shared.context.config.runtime.data_dir, task.id());
    let kept = tokio::task::spawn_blocking(move || keep(&paths, &accepted)).await.map_err(io::Error::other);
    if let Err(error) = kept.and_then(|kept| kept) {
        // The store has the task; the file beside it is for people.
        tracing::error!(task_id = %task.id(), %error, "cannot write request.json");
    }
    let task_id = task.id().to_string();
    Ok(SubmitTaskResponse { handle_id: task_id.clone(), task_id, status: crate::task::Status::Accepted.into() })
}

fn keep(paths: &TaskPaths, accepted: &SubmitTaskRequest) -> io::Result<()> {
    write_whole(&paths.request(), &serde_json::to_vec_pretty(accepted)?)
}
