//! Drain: the runtime accepts and starts nothing any more, and goes on to answer until it is stopped.

use std::sync::Arc;

use super::Shared;
use super::fault::Fault;
use super::runtime::info;
use crate::api::drain::{DrainRequest, WaitingTasks};
use crate::api::runtime::RuntimeInfo;
use crate::dispatcher::Waiting;

pub(super) async fn drain(shared: &Arc<Shared>, request: DrainRequest) -> Result<RuntimeInfo, Fault> {
    let waiting = match request.waiting {
        None | Some(WaitingTasks::Keep) => Waiting::Keep,
        Some(WaitingTasks::Cancel) => Waiting::Cancel,
    };
    tracing::info!(?waiting, "draining, as a client asked");
    shared.context.dispatcher.drain(waiting).await?;
    Ok(info(shared))
}
