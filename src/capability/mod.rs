//! What this host can enforce, found out by doing it at start, and what that means for one task.

mod cgroups;
mod manifest;
mod peer;
mod plan;
mod probe;
mod run_as;
#[cfg(test)]
pub mod testing;

pub use cgroups::{CgroupSettings, Cgroups};
pub use manifest::{Manifest, Platform, ResourceCapabilities, SandboxCapabilities};
pub use peer::TaskPeers;
pub use plan::{Unsupported, plan};
pub use probe::{PROBE_ROLE, ProbeSettings, probe, run_probes};
pub use run_as::{resolve_run_as, try_run_as};
