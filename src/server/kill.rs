//! Kill: asks for the end of a task and answers its status.

use std::sync::Arc;

use super::Shared;
use super::fault::Fault;
use super::status::{known_id, render};
use crate::api::TaskStatusResponse;

pub(super) async fn kill(
    shared: &Arc<Shared>,
    raw_id: &str,
    owner: Option<String>,
) -> Result<TaskStatusResponse, Fault> {
    let id = known_id(raw_id)?;
    let task = shared.context.dispatcher.kill(id, owner).await?;
    render(shared, task).await
}
