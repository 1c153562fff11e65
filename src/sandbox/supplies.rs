//! What a launcher has made for sandboxes before they are asked for.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use super::base::{BASE_NAME, Base};
use super::layout::LayoutError;
use super::request::SandboxRequest;
use super::seccomp;
use crate::sys::clock::monotonic_ms;
use crate::sys::fork::SingleThreaded;
use crate::sys::network;

/// So long after a launch: not while the sandbox is made, which needs the processors, and before the next is asked for.
const REFILL_AFTER_MS: u64 = 2;

/// Of one launcher.
#[derive(Debug)]
pub struct Supplies {
    /// Made for the first sandbox that shows the host.
    base: Option<Base>,
    base_dir: PathBuf,
    /// A network that no task has had, from the first sandbox on that has one of its own.
    network: Option<OwnedFd>,
    /// When the next one is made, if one is wanted.
    refill_at: Option<u64>,
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
        Self { base: None, base_dir: run_dir.join(BASE_NAME), network: None, refill_at: None, edition: 0 }
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

    /// What there is for this sandbox, which was prepared for.
    pub fn take(&mut self, request: &SandboxRequest) -> Supply<'_> {
        // One of a rootless runtime belongs to the task's own user namespace. And where sandboxes are begun ahead, they
        // have theirs.
        let wants_network = request.namespaces.net && request.uid.is_some() && request.warm == 0;
        let network = if wants_network { self.network.take() } else { None };
        if wants_network {
            self.refill_at = Some(monotonic_ms().saturating_add(REFILL_AFTER_MS));
        }
        Supply { base: self.base.as_ref(), network }
    }

    /// Milliseconds until something is to be made, if there is something.
    #[must_use]
    pub fn refill_in(&self) -> Option<u64> {
        self.refill_at.map(|at| at.saturating_sub(monotonic_ms()))
    }

    /// Makes what the last sandbox has taken, for the next, if it is time for it. To be called when there is nothing else
    /// to do.
    pub fn refill(&mut self, single: &SingleThreaded) {
        if self.refill_in() == Some(0) {
            self.refill_at = None;
            // Without it the sandbox makes its own, and tells why it cannot.
            self.network = self.network.take().or_else(|| network::made_ahead(single).ok());
        }
    }
}
