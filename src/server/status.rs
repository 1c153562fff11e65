//! Status, at once or at the end of the task.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Shared;
use super::access::Caller;
use super::fault::Fault;
use crate::api::TaskStatusResponse;
use crate::task::{Task, TaskId};

/// The status now, or, when the task lives, at its end or after `wait`.
pub(super) async fn status(
    shared: &Arc<Shared>,
    by: &Caller,
    raw_id: &str,
    wait: Duration,
) -> Result<TaskStatusResponse, Fault> {
    let id = known_id(raw_id)?;
    let task = if wait.is_zero() { read(shared, by, id).await? } else { read_at_end(shared, by, id, wait).await? };
    render(shared, task).await
}

/// An id that cannot be one names no task.
pub(super) fn known_id(raw: &str) -> Result<TaskId, Fault> {
    TaskId::parse(raw).map_err(|_| Fault::NoTask(raw.chars().take(TaskId::MAX_LEN).collect()))
}

async fn read_at_end(shared: &Arc<Shared>, by: &Caller, id: TaskId, wait: Duration) -> Result<Task, Fault> {
    let deadline = Instant::now() + wait;
    // Before the first look, so that no change falls between the look and the wait.
    let mut subscription = shared.context.dispatcher.subscribe(&id);
    loop {
        let task = read(shared, by, id.clone()).await?;
        if task.status().is_terminal() {
            return Ok(task);
        }
        tokio::select! {
            () = subscription.changed() => {}
            () = tokio::time::sleep_until(deadline) => return Ok(task),
            () = shared.shutdown.cancelled() => return Ok(task),
        }
    }
}

/// The task, for those who may see it.
pub(super) async fn read(shared: &Shared, by: &Caller, id: TaskId) -> Result<Task, Fault> {
    let readers = shared.context.readers.clone();
    let (id, found) = blocking(move || {
        let found = readers.task(&id);
        (id, found)
    })
    .await?;
    found?.filter(|task| by.sees(task)).ok_or_else(|| Fault::NoTask(id.to_string()))
}

/// The answer for a task, with its output as it is now.
pub(super) async fn render(shared: &Shared, task: Task) -> Result<TaskStatusResponse, Fault> {
    let config = Arc::clone(&shared.context.config);
    blocking(move || TaskStatusResponse::render(&task, &config.runtime.data_dir)).await?.map_err(Fault::Output)
}

/// Runs what blocks on a thread that may block.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Fault> {
    tokio::task::spawn_blocking(work).await.map_err(|e| Fault::Panicked(e.to_string()))
}
