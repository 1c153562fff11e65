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
    wants_network: bool,
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
        Self { base: None, base_dir: run_dir.join(BASE_NAME), network: None, wants_network: false }
    }

    /// What there is for this sandbox. All of it is here in memory, so that a forked shim has it too.
    ///
    /// # Errors
    /// The root of sandboxes cannot be made.
    pub fn take(&mut self, request: &SandboxRequest) -> Result<Supply<'_>, LayoutError> {
        if request.seccomp {
            seccomp::compile();
        }
        if request.rootfs.is_none() {
            match &mut self.base {
                Some(base) => base.refresh()?,
                None => self.base = Some(Base::make(&self.base_dir)?),
            }
        }
        // One of a rootless runtime belongs to the task's own user namespace.
        self.wants_network = request.namespaces.net && request.uid.is_some();
        let network = if self.wants_network { self.network.take() } else { None };
        Ok(Supply { base: self.base.as_ref(), network })
    }

    /// Makes what the last sandbox has taken, for the next. To be called when there is nothing else to do: it takes as
    /// long as half of a launch.
    pub fn refill(&mut self, single: &SingleThreaded) {
        if self.wants_network && self.network.is_none() {
            // Without it the sandbox makes its own, and tells why it cannot.
            self.network = network::made_ahead(single).ok();
        }
    }
}
