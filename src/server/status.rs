//! Status, at once or when something has happened to the task.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Shared;
use super::access::Caller;
use super::fault::Fault;
use super::params::WaitFor;
use super::tap::Tap;
use crate::api::TaskStatusResponse;
use crate::callback;
use crate::config::Config;
use crate::store::Readers;
use crate::task::exit::OutputStream;
use crate::task::{Status, Task, TaskId};

/// The status now, or, when the task lives, when what is waited for has happened or after `wait`.
pub(super) async fn status(
    shared: &Shared,
    by: &Caller,
    raw_id: &str,
    wait: Duration,
    wait_for: WaitFor,
) -> Result<TaskStatusResponse, Fault> {
    let id = known_id(raw_id)?;
    if wait.is_zero() {
        return read_rendered(shared, by, id).await;
    }
    let task = match wait_for {
        WaitFor::Terminal => read_at_end(shared, by, id, wait).await?,
        WaitFor::Started | WaitFor::Output | WaitFor::Change => read_later(shared, by, id, wait, wait_for).await?,
    };
    render(shared, task).await
}

/// An id that cannot be one names no task.
pub(super) fn known_id(raw: &str) -> Result<TaskId, Fault> {
    TaskId::parse(raw).map_err(|_| Fault::NoTask(raw.chars().take(TaskId::MAX_LEN).collect()))
}

async fn read_at_end(shared: &Shared, by: &Caller, id: TaskId, wait: Duration) -> Result<Task, Fault> {
    let deadline = Instant::now() + wait;
    // Before the first look, so that no change falls between the look and the wait.
    let mut subscription = shared.context.dispatcher.subscribe(&id);
    // Of one that lives, and that the caller may see, nothing is to be read before its end.
    let may_wait = subscription.is_live() && by.tenant().is_none();
    let mut last = if may_wait { None } else { Some(read(shared, by, id.clone()).await?) };
    loop {
        if let Some(task) = last.take_if(|task| task.status().is_terminal()) {
            return Ok(task);
        }
        tokio::select! {
            // With what was committed: it need not be read.
            () = subscription.changed() => last = subscription.latest(),
            () = tokio::time::sleep_until(deadline) => return read(shared, by, id).await,
            () = shared.shutdown.cancelled() => return read(shared, by, id).await,
        }
    }
}

async fn read_later(
    shared: &Shared,
    by: &Caller,
    id: TaskId,
    wait: Duration,
    wait_for: WaitFor,
) -> Result<Task, Fault> {
    let deadline = Instant::now() + wait;
    // Before the first look, so that no change falls between the look and the wait.
    let mut subscription = shared.context.dispatcher.subscribe(&id);
    let mut task = read(shared, by, id.clone()).await?;
    let mut output = Output::of(shared, &id, wait_for).await?;
    while !has_come(&task, wait_for) {
        tokio::select! {
            () = subscription.changed() => {
                task = read(shared, by, id.clone()).await?;
                output.open().await?;
                if wait_for == WaitFor::Change {
                    return Ok(task);
                }
            }
            () = output.written() => {}
            () = tokio::time::sleep_until(deadline) => return Ok(task),
            () = shared.shutdown.cancelled() => return Ok(task),
        }
        if output.has_grown()? {
            // What it wrote may have been its last.
            return read(shared, by, id).await;
        }
    }
    Ok(task)
}

/// Nothing comes any more for a task that has ended.
fn has_come(task: &Task, wait_for: WaitFor) -> bool {
    task.status().is_terminal() || wait_for == WaitFor::Started && task.status() != Status::Accepted
}

/// The output of a task, for one who waits for more than there is; nothing for anybody else.
struct Output(Option<[Tap; 2]>);

impl Output {
    async fn of(shared: &Shared, id: &TaskId, wait_for: WaitFor) -> Result<Self, Fault> {
        if wait_for != WaitFor::Output {
            return Ok(Self(None));
        }
        let mut taps = [OutputStream::Stdout, OutputStream::Stderr].map(|stream| Tap::new(shared, id, stream));
        for tap in &mut taps {
            tap.open().await?;
            tap.offset = tap.length()?;
        }
        Ok(Self(Some(taps)))
    }

    /// A task that had not been started has its logs now.
    async fn open(&mut self) -> Result<(), Fault> {
        for tap in self.0.iter_mut().flatten() {
            tap.open().await?;
        }
        Ok(())
    }

    async fn written(&mut self) {
        match &mut self.0 {
            Some([stdout, stderr]) => tokio::select! {
                () = stdout.written() => {}
                () = stderr.written() => {}
            },
            None => std::future::pending().await,
        }
    }

    fn has_grown(&self) -> Result<bool, Fault> {
        for tap in self.0.iter().flatten() {
            if tap.length()? > tap.offset {
                return Ok(true);
            }
        }
        Ok(false)
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

/// Refuses a task that the caller may not see, before something is done with it: whose it is never changes.
pub(super) async fn check_seen(shared: &Shared, by: &Caller, id: &TaskId) -> Result<(), Fault> {
    if by.tenant().is_some() {
        read(shared, by, id.clone()).await?;
    }
    Ok(())
}

/// A read and its answer at one go: each change of thread costs as much as the read.
async fn read_rendered(shared: &Shared, by: &Caller, id: TaskId) -> Result<TaskStatusResponse, Fault> {
    let (readers, config) = (shared.context.readers.clone(), Arc::clone(&shared.context.config));
    let by = by.clone();
    blocking(move || {
        let task = readers.task(&id)?.filter(|task| by.sees(task)).ok_or_else(|| Fault::NoTask(id.to_string()))?;
        rendered(&task, &config, &readers)
    })
    .await?
}

/// The answer for a task, with its output as it is now.
pub(super) async fn render(shared: &Shared, task: Task) -> Result<TaskStatusResponse, Fault> {
    let (readers, config) = (shared.context.readers.clone(), Arc::clone(&shared.context.config));
    blocking(move || rendered(&task, &config, &readers)).await?
}

fn rendered(task: &Task, config: &Config, readers: &Readers) -> Result<TaskStatusResponse, Fault> {
    let mut status = TaskStatusResponse::render(task, &config.runtime.data_dir).map_err(Fault::Output)?;
    if task.spec().callback.is_some() {
        status.callback = Some(callback::status(&readers.deliveries(task)?));
    }
    Ok(status)
}

/// Runs what blocks on a thread that may block.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Fault> {
    tokio::task::spawn_blocking(work).await.map_err(|e| Fault::Panicked(e.to_string()))
}
