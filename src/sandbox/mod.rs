//! What holds a task in: a cgroup, and with the profile `linux_sandbox` what stands between a task and the host. From what is asked for (`SandboxRequest`) and
//! what is on the host (`Layout`) to a straight list of steps (`plan`), each of which is performed by itself.
//! This room knows no configuration, no message and no journal. `docs/sandbox.md` says what each layer is for.

mod base;
pub mod cgroup;
mod init;
mod landlock;
mod layout;
mod plan;
mod probe;
mod request;
mod seccomp;
mod step;
mod supplies;
#[cfg(test)]
mod tests;

pub use base::{BASE_NAME, Base};
pub use init::{last_word, supervise};
pub use layout::{Layout, LayoutError};
pub use plan::{Place, SandboxPlan, ahead, plan};
pub use probe::{SandboxAnswers, probe_all};
pub use request::{RUN_DIR, SandboxRequest, Shape, WORKSPACE};
pub use step::{Mounts, SandboxStep};
pub use supplies::{Supplies, Supply};
