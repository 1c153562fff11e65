//! HTTP: routes, one verb a file, and the one place where a failure becomes a status. It decides nothing about tasks:
//! it reads, validates and asks the dispatcher or the readers.

mod accept;
mod access;
mod body;
mod cursor;
pub mod document;
mod doors;
mod edge;
mod events;
mod fault;
mod health;
mod kill;
mod metrics;
mod params;
mod range;
mod rate;
mod raw;
mod routes;
mod runtime;
mod status;
mod stream;
mod submit;
mod table;
mod tap;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub use access::Access;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::capability::{Manifest, TaskPeers};
use crate::config::Config;
use crate::dispatcher::Dispatcher;
use crate::metrics::Metrics;
use crate::output::Growth;
use crate::store::Readers;
use crate::task::Timestamp;

/// What the handlers work with.
#[derive(Clone, Debug)]
pub struct Context {
    pub config: Arc<Config>,
    pub runtime_id: String,
    pub started_at: Timestamp,
    pub manifest: Arc<Manifest>,
    pub dispatcher: Dispatcher,
    pub readers: Readers,
    pub metrics: Arc<Metrics>,
}

/// The context and what belongs to this one run of the server.
struct Shared {
    context: Context,
    listen_addr: SocketAddr,
    shutdown: CancellationToken,
    /// Tells of output as it comes.
    growth: Growth,
}

/// Serves until `shutdown` is cancelled; then refuses new connections, lets open requests end within
/// `server.shutdown_timeout_ms` and returns.
///
/// # Errors
/// The listener has no local address.
pub async fn serve(
    listener: TcpListener,
    context: Context,
    access: Access,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let listen_addr = listener.local_addr()?;
    let (header_timeout_ms, shutdown_timeout_ms) =
        (context.config.server.header_timeout_ms, context.config.server.shutdown_timeout_ms);
    let sandbox = &context.config.sandbox;
    let task_peers = TaskPeers::new(sandbox.uid_base, sandbox.uid_count, &context.manifest);
    let shared = Shared { context, listen_addr, shutdown: shutdown.clone(), growth: Growth::start() };
    let app = Arc::new(routes::app(Arc::new(shared), access));
    let connections = accept::Connections::new(app, listen_addr, task_peers, Duration::from_millis(header_timeout_ms));
    tracing::debug!(%listen_addr, "serving");
    connections.accept_until(&listener, &shutdown).await;
    drop(listener);
    if tokio::time::timeout(Duration::from_millis(shutdown_timeout_ms), connections.drain()).await.is_err() {
        tracing::warn!(shutdown_timeout_ms, "requests were still open when the time to end them was over");
    }
    Ok(())
}
