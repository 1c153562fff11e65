//! The dispatcher: one thread that owns queue and ledger, commits every change before it takes effect, and tells
//! whoever waits. Everything else talks to it through [`Dispatcher`].

mod bell;
mod core;
mod files;
mod handle;
mod input;
mod journals;
mod launch;
mod lifeline;
mod measure;
mod recovery;
mod retention;
mod run;
mod shortage;
#[cfg(test)]
pub mod testing;
pub mod trash;
mod waiters;
mod watch;

pub use bell::Bell;
pub use files::WriteResult;
pub use handle::{
    ActiveReservation, Answer, BatchError, DeleteError, Dispatcher, Kill, KillError, Resources, Submission,
    SubmitError, SubmitResult, Submitted, TenantResources, Unavailable, Waiting,
};
pub use launch::{CollectBounds, LaunchSettings, inherited_env};
pub use measure::measure;
pub use retention::Bounds;
pub use run::{Settings, or_abort, start};
pub use waiters::Subscription;
