//! Kill: asks for the end of a task and answers its status.

use std::sync::Arc;

use super::Shared;
use super::access::Caller;
use super::fault::Fault;
use super::status::{check_seen, known_id, render};
use crate::api::TaskStatusResponse;
use crate::api::kill::KillRequest;
use crate::dispatcher::Kill;

pub(super) async fn kill(
    shared: &Arc<Shared>,
    by: &Caller,
    raw_id: &str,
    owner: Option<String>,
    request: KillRequest,
) -> Result<TaskStatusResponse, Fault> {
    let id = known_id(raw_id)?;
    let order = request.into_order()?;
    check_seen(shared, by, &id).await?;
    let task = shared.context.dispatcher.kill(Kill { id, owner, order }).await?;
    render(shared, task).await
}
