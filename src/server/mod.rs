//! HTTP: routes, one verb a file, and the one place where a failure becomes a status. It decides nothing about tasks:
//! it reads, validates and asks the dispatcher or the readers.

mod accept;
mod access;
mod app;
mod archive;
mod batch;
mod blobs;
mod body;
mod cursor;
mod delete;
pub mod document;
mod doors;
mod drain;
mod edge;
mod events;
mod fault;
mod feed;
mod file_path;
mod files;
mod filter;
mod followed;
mod health;
mod kill;
mod kill_many;
mod list;
mod listener;
mod metrics;
mod once;
mod page;
mod params;
mod range;
mod rate;
mod raw;
mod request;
mod routes;
mod runtime;
mod status;
mod stored;
mod stream;
mod submit;
mod table;
mod tap;
#[cfg(test)]
mod tests;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub use access::Access;
pub use tls::Tls;
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;

use listener::{Tcp, Unix};

use crate::blobs::Blobs;
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
    pub blobs: Blobs,
    pub metrics: Arc<Metrics>,
}

/// Where the server listens.
#[derive(Debug)]
pub struct Listeners {
    pub tcp: TcpListener,
    /// What is spoken over TCP; absent: plain HTTP.
    pub tls: Option<Tls>,
    pub unix: Option<UnixListener>,
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
/// `server.shutdown_timeout_ms`, unless `at_once` is cancelled, and returns.
///
/// # Errors
/// The listener has no local address.
pub async fn serve(
    listeners: Listeners,
    context: Context,
    access: Access,
    shutdown: CancellationToken,
    at_once: CancellationToken,
) -> io::Result<()> {
    let Listeners { tcp, tls, unix } = listeners;
    let listen_addr = tcp.local_addr()?;
    let (server, sandbox) = (&context.config.server, &context.config.sandbox);
    let (header_timeout_ms, shutdown_timeout_ms) = (server.header_timeout_ms, server.shutdown_timeout_ms);
    let (base, count) = (sandbox.uid_base, sandbox.uid_count);
    let tcp = Tcp { listener: tcp, tls, task_peers: TaskPeers::new(base, count, &context.manifest) };
    let unix_peers = TaskPeers::of_unix_socket(base, count, server.allow_tasks, &context.manifest);
    let unix = unix.map(|listener| Unix { listener, task_peers: unix_peers });
    let shared = Shared { context, listen_addr, shutdown: shutdown.clone(), growth: Growth::start() };
    let app = Arc::new(app::app(Arc::new(shared), access));
    let connections = accept::Connections::new(app, Duration::from_millis(header_timeout_ms), shutdown.clone());
    tracing::debug!(%listen_addr, "serving");
    let over_unix = async {
        if let Some(unix) = unix {
            connections.accept(unix).await;
        }
    };
    tokio::join!(connections.accept(tcp), over_unix);
    let drained = connections.drain();
    tokio::select! {
        ended = tokio::time::timeout(Duration::from_millis(shutdown_timeout_ms), drained) => if ended.is_err() {
            tracing::warn!(shutdown_timeout_ms, "requests were still open when the time to end them was over");
        },
        () = at_once.cancelled() => tracing::warn!("stopping at once: open requests are cut off"),
    }
    Ok(())
}
