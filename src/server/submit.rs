//! Submit: validate, plan, hand to the dispatcher, keep the request.

use std::io;
use std::sync::Arc;

use super::Shared;
use super::fault::Fault;
use crate::api::{SubmitTaskRequest, SubmitTaskResponse};
use crate::capability;
use crate::store::write_whole;
use crate::task::{NewTask, TaskId, TaskPaths, Timestamp};

pub(super) async fn submit(shared: &Arc<Shared>, request: SubmitTaskRequest) -> Result<SubmitTaskResponse, Fault> {
    let (new, accepted) = prepare(shared, request)?;
    let worker = Arc::clone(shared);
    // A task of its own: the commit and the request file belong together although the client may leave in between.
    let work = shared.unfinished.spawn(async move { commit(&worker, new, accepted).await });
    work.await.map_err(|e| Fault::Panicked(e.to_string()))?
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
