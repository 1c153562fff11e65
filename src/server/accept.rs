//! Connections. Our own accept loop because poem's server neither cancels a handler whose client left nor gives up on
//! a half-sent header.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use poem::Addr;
use poem::http::uri::Scheme;
use poem::web::{LocalAddr, RemoteAddr};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::edge::Edge;
use super::listener::{Arrival, Listener};

/// Largest request head: request line and headers together.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// How long to wait before the next try when the process or the machine has no descriptor or memory left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

pub(super) struct Connections {
    app: Arc<Edge>,
    http: http1::Builder,
    handshake_timeout: Duration,
    graceful: GracefulShutdown,
    open: TaskTracker,
    /// No new ones.
    shutdown: CancellationToken,
    /// Ends every connection that is left.
    abort: CancellationToken,
}

/// What it takes to answer on one connection.
struct Connection {
    app: Arc<Edge>,
    http: http1::Builder,
    watcher: Watcher,
    local: Addr,
    remote: Addr,
    scheme: Scheme,
    is_task: bool,
}

impl Connections {
    pub(super) fn new(app: Arc<Edge>, header_timeout: Duration, shutdown: CancellationToken) -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(header_timeout).max_buf_size(MAX_HEAD_BYTES);
        let (open, abort) = (TaskTracker::new(), CancellationToken::new());
        let graceful = GracefulShutdown::new();
        Self { app, http, handshake_timeout: header_timeout, graceful, open, shutdown, abort }
    }

    /// Until the server is to stop.
    pub(super) async fn accept(&self, listener: impl Listener) {
        loop {
            let accepted = tokio::select! {
                () = self.shutdown.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok(arrival) => self.spawn(arrival),
                Err(error) if is_of_one_connection(&error) => tracing::debug!(%error, "a connection was lost"),
                Err(error) => {
                    tracing::error!(%error, "cannot accept connections");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn spawn<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(&self, arrival: Arrival<S>) {
        let Arrival { stream, local, remote, tls, may_be_task } = arrival;
        let (app, http, watcher) = (Arc::clone(&self.app), self.http.clone(), self.graceful.watcher());
        let (shutdown, abort, within) = (self.shutdown.clone(), self.abort.clone(), self.handshake_timeout);
        self.open.spawn(async move {
            let is_task = may_be_task.answer().await;
            let scheme = if tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP };
            let connection = Connection { app, http, watcher, local, remote, scheme, is_task };
            let served = async {
                let Some(tls) = tls else { return connection.serve(stream).await };
                let shaken = tokio::select! {
                    shaken = tokio::time::timeout(within, TlsAcceptor::from(tls).accept(stream)) => shaken,
                    () = shutdown.cancelled() => return,
                };
                match shaken {
                    Ok(Ok(stream)) => connection.serve(stream).await,
                    Ok(Err(error)) => tracing::debug!(%error, peer = %connection.remote, "no TLS came of a connection"),
                    Err(_) => tracing::debug!(peer = %connection.remote, "a TLS handshake took too long"),
                }
            };
            tokio::select! {
                () = served => {}
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

impl Connection {
    async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(self, stream: S) {
        let Self { app, http, watcher, local, remote, scheme, is_task } = self;
        let peer = remote.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let addresses = (LocalAddr(local.clone()), RemoteAddr(peer.clone()));
            answer(Arc::clone(&app), (request, addresses.0, addresses.1, scheme.clone()).into(), is_task)
        });
        // A client that goes away or sends garbage; hyper has answered what can be answered.
        if let Err(error) = watcher.watch(http.serve_connection(TokioIo::new(stream), service)).await {
            tracing::debug!(%error, peer = %remote, "a connection ended");
        }
    }
}

async fn answer(
    app: Arc<Edge>,
    request: poem::Request,
    is_task: bool,
) -> Result<Response<BoxBody<Bytes, io::Error>>, Infallible> {
    Ok(if is_task { app.refuse_task(&request) } else { app.answer(request).await }.into())
}

/// The client was gone before it was accepted (accept(2)); the next connection is not affected.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
