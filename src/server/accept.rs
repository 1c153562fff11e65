//! Connections. Our own accept loop because poem's server neither cancels a handler whose client left nor gives up on
//! a half-sent header.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use poem::Addr;
use poem::http::uri::Scheme;
use poem::web::{LocalAddr, RemoteAddr};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::edge::Edge;
use crate::capability::TaskPeers;

/// Largest request head: request line and headers together.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// How long to wait before the next try when the process or the machine has no descriptor or memory left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

pub(super) struct Connections {
    app: Arc<Edge>,
    listen_addr: SocketAddr,
    task_peers: TaskPeers,
    http: http1::Builder,
    graceful: GracefulShutdown,
    open: TaskTracker,
    /// Ends every connection that is left.
    abort: CancellationToken,
}

impl Connections {
    pub(super) fn new(
        app: Arc<Edge>,
        listen_addr: SocketAddr,
        task_peers: TaskPeers,
        header_timeout: Duration,
    ) -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(header_timeout).max_buf_size(MAX_HEAD_BYTES);
        let (open, abort) = (TaskTracker::new(), CancellationToken::new());
        Self { app, listen_addr, task_peers, http, graceful: GracefulShutdown::new(), open, abort }
    }

    pub(super) async fn accept_until(&self, listener: &TcpListener, shutdown: &CancellationToken) {
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => self.spawn(stream, peer),
                Err(error) if is_of_one_connection(&error) => tracing::debug!(%error, "a connection was lost"),
                Err(error) => {
                    tracing::error!(%error, "cannot accept connections");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn spawn(&self, stream: TcpStream, peer: SocketAddr) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
        let (app, listen_addr) = (Arc::clone(&self.app), self.listen_addr);
        let local = stream.local_addr();
        let (peers, http, watcher, abort) =
            (self.task_peers.clone(), self.http.clone(), self.graceful.watcher(), self.abort.clone());
        self.open.spawn(async move {
            let is_task = match local {
                Ok(local) => is_task(peers, peer, local).await,
                Err(_) => true,
            };
            let service = service_fn(move |request| answer(Arc::clone(&app), request, listen_addr, peer, is_task));
            let connection = watcher.watch(http.serve_connection(TokioIo::new(stream), service));
            tokio::select! {
                // A client that goes away or sends garbage; hyper has answered what can be answered.
                ended = connection => if let Err(error) = ended { tracing::debug!(%error, %peer, "a connection ended") },
                () = abort.cancelled() => {}
            }
        });
    }

    /// Returns when the last connection has ended. Dropping the future ends those that are left.
    pub(super) async fn drain(self) {
        let Self { graceful, open, abort, .. } = self;
        let _end_what_is_left = abort.drop_guard();
        graceful.shutdown().await;
        open.close();
        open.wait().await;
    }
}

/// Asked once for each connection, before anything of it is read.
async fn is_task(peers: TaskPeers, peer: SocketAddr, local: SocketAddr) -> bool {
    if !peers.is_slow() {
        return peers.may_own(peer, local);
    }
    // What cannot be told is refused.
    tokio::task::spawn_blocking(move || peers.may_own(peer, local)).await.unwrap_or(true)
}

async fn answer(
    app: Arc<Edge>,
    request: Request<Incoming>,
    local: SocketAddr,
    peer: SocketAddr,
    is_task: bool,
) -> Result<Response<BoxBody<Bytes, io::Error>>, Infallible> {
    let addresses = (LocalAddr(Addr::SocketAddr(local)), RemoteAddr(Addr::SocketAddr(peer)));
    let request = (request, addresses.0, addresses.1, Scheme::HTTP).into();
    Ok(if is_task { app.refuse_task(&request) } else { app.answer(request).await }.into())
}

/// The client was gone before it was accepted (accept(2)); the next connection is not affected.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
