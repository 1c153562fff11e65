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
use hyper_util::server::graceful::GracefulShutdown;
use poem::http::uri::Scheme;
use poem::web::{LocalAddr, RemoteAddr};
use tokio::io::{AsyncRead, AsyncWrite};
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
    graceful: GracefulShutdown,
    open: TaskTracker,
    /// Ends every connection that is left.
    abort: CancellationToken,
}

impl Connections {
    pub(super) fn new(app: Arc<Edge>, header_timeout: Duration) -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(header_timeout).max_buf_size(MAX_HEAD_BYTES);
        let (open, abort) = (TaskTracker::new(), CancellationToken::new());
        Self { app, http, graceful: GracefulShutdown::new(), open, abort }
    }

    pub(super) async fn accept_until(&self, listener: impl Listener, shutdown: &CancellationToken) {
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => return,
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
        let Arrival { stream, local, remote, may_be_task } = arrival;
        let (app, http) = (Arc::clone(&self.app), self.http.clone());
        let (watcher, abort) = (self.graceful.watcher(), self.abort.clone());
        self.open.spawn(async move {
            let is_task = may_be_task.answer().await;
            let peer = remote.clone();
            let service = service_fn(move |request| {
                answer(Arc::clone(&app), request, LocalAddr(local.clone()), RemoteAddr(peer.clone()), is_task)
            });
            let connection = watcher.watch(http.serve_connection(TokioIo::new(stream), service));
            tokio::select! {
                // A client that goes away or sends garbage; hyper has answered what can be answered.
                ended = connection => if let Err(error) = ended {
                    tracing::debug!(%error, peer = %remote, "a connection ended");
                },
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

async fn answer(
    app: Arc<Edge>,
    request: Request<Incoming>,
    local: LocalAddr,
    remote: RemoteAddr,
    is_task: bool,
) -> Result<Response<BoxBody<Bytes, io::Error>>, Infallible> {
    let request = (request, local, remote, Scheme::HTTP).into();
    Ok(if is_task { app.refuse_task(&request) } else { app.answer(request).await }.into())
}

/// The client was gone before it was accepted (accept(2)); the next connection is not affected.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
