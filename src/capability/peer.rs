//! Whether a connection to the runtime comes from one of its own sandboxed tasks. With the host's network a task could
//! otherwise submit one without a sandbox.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use super::manifest::Manifest;
use crate::sys::identity::own_ids;
use crate::sys::sock_diag::{self, Owner};
use crate::sys::socket_holder::Holders;

/// How a task's connection is told from others.
#[derive(Clone, Debug)]
pub enum TaskPeers {
    /// There is no sandbox, or its tasks may use the API.
    Nobody,
    /// By its user: tasks have users of their own.
    Users(Range<u32>),
    /// By who holds it: all tasks are the runtime's own user, but in user namespaces of their own.
    Holders { own_uid: u32, holders: Arc<Holders> },
}

impl TaskPeers {
    /// `count` users from `base` on, where the manifest says that tasks get them.
    #[must_use]
    pub fn new(base: u32, count: u32, manifest: &Manifest) -> Self {
        let sandbox = &manifest.sandbox;
        if !sandbox.linux_sandbox || !sandbox.api_closed_to_tasks {
            Self::Nobody
        } else if sandbox.rootless {
            Self::Holders { own_uid: own_ids().0, holders: Arc::new(Holders::default()) }
        } else {
            Self::Users(base..base.saturating_add(count))
        }
    }

    /// For a UNIX socket, whose peers are told without the diagnostics that TCP needs: it is closed to tasks unless
    /// `allow_tasks`.
    #[must_use]
    pub fn of_unix_socket(base: u32, count: u32, allow_tasks: bool, manifest: &Manifest) -> Self {
        let mut told = manifest.clone();
        told.sandbox.api_closed_to_tasks = !allow_tasks;
        Self::new(base, count, &told)
    }

    /// Whether it takes a look at other processes to tell.
    #[must_use]
    pub const fn is_slow(&self) -> bool {
        matches!(self, Self::Holders { .. })
    }

    /// Whether the connection from `peer` to `local` may be a task's: by its user or its holder, or because nobody on
    /// this machine holds it any more (a task may send its request, close, and so hide).
    #[must_use]
    pub fn may_own(&self, peer: SocketAddr, local: SocketAddr) -> bool {
        let owner = match self {
            Self::Nobody => return false,
            Self::Users(_) | Self::Holders { .. } => sock_diag::owner(peer, local),
        };
        let answer = owner.and_then(|owner| match (owner, self) {
            (Owner::Elsewhere, _) | (_, Self::Nobody) => Ok(false),
            (Owner::Nobody, _) => Ok(true),
            (Owner::User { uid, .. }, Self::Users(users)) => Ok(users.contains(&uid)),
            (Owner::User { uid, .. }, Self::Holders { own_uid, .. }) if uid != *own_uid => Ok(false),
            (Owner::User { inode, .. }, Self::Holders { holders, .. }) => Ok(!holders.has_one_of_ours(inode, None)?),
        });
        answer.unwrap_or_else(|error| cannot_tell(&error))
    }

    /// The same for a UNIX socket: `uid` and `pid` are those of whoever connected (`SO_PEERCRED`), `ours` is our end.
    ///
    /// A pid may be another process's by now, so it is no more than a hint at who holds the other end.
    #[must_use]
    pub fn may_have_connected(&self, uid: u32, pid: Option<u32>, ours: BorrowedFd<'_>) -> bool {
        match self {
            Self::Nobody => false,
            Self::Users(users) => users.contains(&uid),
            Self::Holders { own_uid, .. } if uid != *own_uid => false,
            Self::Holders { holders, .. } => {
                let held = sock_diag::unix_peer(ours).and_then(|inode| match inode {
                    Some(inode) => holders.has_one_of_ours(inode, pid),
                    None => Ok(false),
                });
                held.map_or_else(|error| cannot_tell(&error), |is_ours| !is_ours)
            }
        }
    }
}

fn cannot_tell(error: &io::Error) -> bool {
    tracing::warn!(%error, "cannot tell whose a connection is; it is refused");
    true
}

/// Tells a connection of this very process apart, as it will those of clients.
///
/// # Errors
/// Why that cannot be done here.
pub(super) fn prove() -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    match sock_diag::owner(client.local_addr()?, client.peer_addr()?)? {
        Owner::User { uid, inode } if uid == own_ids().0 && Holders::default().has_one_of_ours(inode, None)? => Ok(()),
        other => Err(io::Error::other(format!("this process's own connection seems to be of {other:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::capability::testing::manifest;

    #[test]
    fn it_can_be_told_here() {
        prove().expect("the kernel tells");
    }

    #[test]
    fn tasks_are_told_by_what_they_have() {
        let mut manifest = manifest();
        assert!(matches!(TaskPeers::new(10, 5, &manifest), TaskPeers::Users(users) if users == (10..15)));
        manifest.sandbox.rootless = true;
        assert!(TaskPeers::new(10, 5, &manifest).is_slow());
        manifest.sandbox.api_closed_to_tasks = false;
        assert!(matches!(TaskPeers::new(10, 5, &manifest), TaskPeers::Nobody));
    }

    #[test]
    fn the_peer_of_a_unix_socket_is_told_by_its_user_and_its_holder() {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().expect("a pair");
        let own_uid = own_ids().0;
        let told = |peers: &TaskPeers, uid| peers.may_have_connected(uid, None, ours.as_fd());
        assert!(told(&TaskPeers::Users(10..15), 14) && !told(&TaskPeers::Users(10..15), 15));
        assert!(!told(&TaskPeers::Nobody, 14));
        let rootless = TaskPeers::Holders { own_uid, holders: Arc::new(Holders::default()) };
        assert!(!told(&rootless, own_uid) && !told(&rootless, own_uid + 1));
        assert!(!rootless.may_have_connected(own_uid, Some(std::process::id()), ours.as_fd()));
        drop(theirs);
        // A process that another test starts may hold a copy until it execs.
        let until = Instant::now() + Duration::from_secs(10);
        while !told(&rootless, own_uid) {
            assert!(Instant::now() < until, "somebody still holds it");
            std::thread::yield_now();
        }
        assert!(!told(&rootless, own_uid + 1), "another user's is none of a task");
        let mut manifest = manifest();
        manifest.sandbox.rootless = true;
        manifest.sandbox.api_closed_to_tasks = false;
        assert!(TaskPeers::of_unix_socket(10, 5, false, &manifest).is_slow());
        assert!(matches!(TaskPeers::of_unix_socket(10, 5, true, &manifest), TaskPeers::Nobody));
    }

    #[test]
    fn our_own_connection_is_no_task_s_until_nobody_holds_it() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bound");
        let local = listener.local_addr().expect("bound");
        let client = TcpStream::connect(local).expect("connected");
        let peer = client.local_addr().expect("bound");
        let (own_uid, holders) = (own_ids().0, Arc::new(Holders::default()));
        let peers = TaskPeers::Holders { own_uid, holders };
        assert!(!peers.may_own(peer, local));
        assert!(!TaskPeers::Users(own_uid + 1..own_uid + 9).may_own(peer, local));
        assert!(TaskPeers::Users(own_uid..own_uid + 1).may_own(peer, local));
        drop(client);
        // A process that another test starts may hold a copy until it execs.
        let until = Instant::now() + Duration::from_secs(10);
        while !peers.may_own(peer, local) {
            assert!(Instant::now() < until, "somebody still holds it");
            std::thread::yield_now();
        }
    }
}
