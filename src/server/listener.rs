//! Where connections come from: TCP and a UNIX socket. What differs between the two stands here; behind it a connection
//! is a connection.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use poem::Addr;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_rustls::rustls::ServerConfig;

use super::tls::Tls;
use crate::capability::TaskPeers;

/// A connection that was accepted, before anything of it is read.
pub(super) struct Arrival<S> {
    pub(super) stream: S,
    pub(super) local: Addr,
    pub(super) remote: Addr,
    /// The client is to speak TLS.
    pub(super) tls: Option<Arc<ServerConfig>>,
    /// Whether it may be a task's; to be asked once.
    pub(super) may_be_task: Question,
}

/// A question to the kernel, and whether the answer needs a look at other processes.
pub(super) struct Question {
    ask: Box<dyn FnOnce() -> bool + Send>,
    is_slow: bool,
}

pub(super) trait Listener {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    async fn accept(&self) -> io::Result<Arrival<Self::Stream>>;
}

pub(super) struct Tcp {
    pub(super) listener: TcpListener,
    pub(super) tls: Option<Tls>,
    pub(super) task_peers: TaskPeers,
}

pub(super) struct Unix {
    pub(super) listener: UnixListener,
    pub(super) task_peers: TaskPeers,
}

impl Listener for Tcp {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<Arrival<TcpStream>> {
        let (stream, peer) = self.listener.accept().await?;
        let local = stream.local_addr().map_err(lost)?;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
        let peers = self.task_peers.clone();
        let may_be_task = Question::new(&self.task_peers, move || peers.may_own(peer, local));
        let tls = self.tls.as_ref().map(Tls::current);
        Ok(Arrival { stream, local: local.into(), remote: peer.into(), tls, may_be_task })
    }
}

impl Listener for Unix {
    type Stream = UnixStream;

    async fn accept(&self) -> io::Result<Arrival<UnixStream>> {
        let (stream, peer) = self.listener.accept().await?;
        let local = stream.local_addr().map_err(lost)?;
        let who = stream.peer_cred().map_err(lost)?;
        let ours = stream.as_fd().try_clone_to_owned().map_err(lost)?;
        let pid = who.pid().and_then(|pid| u32::try_from(pid).ok());
        let peers = self.task_peers.clone();
        let ask = move || peers.may_have_connected(who.uid(), pid, ours.as_fd());
        let may_be_task = Question::new(&self.task_peers, ask);
        Ok(Arrival { stream, local: local.into(), remote: peer.into(), tls: None, may_be_task })
    }
}

/// It was accepted and cannot be used; the next one is not affected.
fn lost(error: io::Error) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, error)
}

impl Question {
    fn new(peers: &TaskPeers, ask: impl FnOnce() -> bool + Send + 'static) -> Self {
        Self { ask: Box::new(ask), is_slow: peers.is_slow() }
    }

    pub(super) async fn answer(self) -> bool {
        if !self.is_slow {
            return (self.ask)();
        }
        // What cannot be told is refused.
        tokio::task::spawn_blocking(self.ask).await.unwrap_or(true)
    }
}
