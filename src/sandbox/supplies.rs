//! What a launcher has made for sandboxes before they are asked for.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use super::base::{BASE_NAME, Base};
use super::layout::LayoutError;
use super::request::SandboxRequest;
use super::seccomp;
use crate::sys::fork::SingleThreaded;
use crate::sys::network;

/// Of one launcher.
#[derive(Debug)]
pub struct Supplies {
    /// Made for the first sandbox that shows the host.
    base: Option<Base>,
    base_dir: PathBuf,
    /// A network that no task has had, from the first sandbox on that has one of its own.
    network: Option<OwnedFd>,
    /// The last sandbox had one of its own.
    wants_network: bool,
    /// How often the root was made.
    edition: u64,
}

/// Of one launch.
#[derive(Debug)]
pub struct Supply<'a> {
    pub base: Option<&'a Base>,
    /// Entered instead of making one.
    pub network: Option<OwnedFd>,
}

impl Supplies {
    /// With the root of sandboxes in this directory, where the runtime's processes have their files.
    #[must_use]
    pub fn new(run_dir: &Path) -> Self {
        Self { base: None, base_dir: run_dir.join(BASE_NAME), network: None, wants_network: false, edition: 0 }
    }

    /// Sees to it that what this sandbox needs is here in memory, so that a forked shim has it too.
    ///
    /// # Errors
    /// The root of sandboxes cannot be made.
    pub fn prepare(&mut self, request: &SandboxRequest) -> Result<(), LayoutError> {
        if request.seccomp {
            seccomp::compile();
        }
        if request.rootfs.is_none() {
            let changed = match &mut self.base {
                Some(base) => base.refresh()?,
                None => {
                    self.base = Some(Base::make(&self.base_dir)?);
                    true
                }
            };
            self.edition += u64::from(changed);
        }
        Ok(())
    }

    /// Another number than before where what was forked before does not know the root as it is now.
    #[must_use]
    pub const fn edition(&self) -> u64 {
        self.edition
    }

    /// The root of sandboxes, from the first one on that shows the host.
    #[must_use]
    pub const fn base(&self) -> Option<&Base> {
        self.base.as_ref()
    }

    /// What there is of a network for this sandbox.
    pub fn take_network(&mut self, request: &SandboxRequest) -> Option<OwnedFd> {
        // One of a rootless runtime belongs to the task's own user namespace. And where sandboxes are begun ahead, they
        // have theirs.
        let wants_network = request.namespaces.net && request.uid.is_some() && request.warm == 0;
        let network = if wants_network { self.network.take() } else { None };
        self.wants_network = wants_network;
        network
    }

    /// Makes what the last sandbox has taken, for the next. To be called when there is nothing else to do.
    pub fn refill(&mut self, single: &SingleThreaded) {
        if self.wants_network {
            // Without it the sandbox makes its own, and tells why it cannot.
            self.network = self.network.take().or_else(|| network::made_ahead(single).ok());
        }
    }
}
