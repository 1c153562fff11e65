//! Liveness: the process answers. Readiness: the store takes a write, the dispatcher lives, and the launcher may launch.

use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use super::fault::Fault;
use crate::api::health::HealthResponse;
use crate::dispatcher::Unavailable;

/// A dispatcher that needs longer is as good as dead to a prober.
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) fn alive() -> HealthResponse {
    answer("ok")
}

pub(super) async fn ready(shared: &Arc<Shared>) -> Result<HealthResponse, Fault> {
    if shared.shutdown.is_cancelled() {
        return Err(Unavailable::Draining.into());
    }
    let check = tokio::time::timeout(CHECK_TIMEOUT, shared.context.dispatcher.check());
    check.await.map_err(|_| Unavailable::Dispatcher)??;
    Ok(answer("ready"))
}

fn answer(status: &str) -> HealthResponse {
    HealthResponse { status: status.to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() }
}
