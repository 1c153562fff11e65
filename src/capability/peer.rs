//! Whether a connection to the runtime comes from one of its own sandboxed tasks. With the host's network a task could
//! otherwise submit one without a sandbox.

use std::net::SocketAddr;
use std::ops::Range;

use super::manifest::Manifest;
use crate::sys::sock_diag::{self, Owner};

/// The users of sandboxed tasks; nobody's where tasks have none of their own.
#[derive(Clone, Debug)]
pub struct TaskUsers(Range<u32>);

impl TaskUsers {
    /// `count` users from `base` on, where the manifest says that tasks get them.
    #[must_use]
    pub const fn new(base: u32, count: u32, manifest: &Manifest) -> Self {
        let own_users = manifest.sandbox.linux_sandbox && !manifest.sandbox.rootless;
        Self(if own_users { base..base.saturating_add(count) } else { 0..0 })
    }

    /// Whether the connection from `peer` to `local` may be a task's: its socket has such a user, or, on this machine,
    /// nobody holds it any more (a task may send its request, close, and so hide).
    #[must_use]
    pub fn may_own(&self, peer: SocketAddr, local: SocketAddr) -> bool {
        if self.0.is_empty() {
            return false;
        }
        match sock_diag::owner(peer, local) {
            Ok(Owner::User(uid)) => self.0.contains(&uid),
            Ok(Owner::Nobody) => true,
            Ok(Owner::Elsewhere) => false,
            Err(error) => {
                tracing::warn!(%error, %peer, "cannot tell whose a connection is; it is refused");
                true
            }
        }
    }
}
