//! What this host can enforce, found out by doing it at start, and what that means for one task.

mod manifest;
mod plan;
#[cfg(test)]
pub mod testing;

pub use manifest::{Manifest, Platform, ResourceCapabilities, SandboxCapabilities, containerized, kubernetes};
pub use plan::{Unsupported, plan};
