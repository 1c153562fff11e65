//! The shim: one process for each running task, forked from the launcher without exec. It prepares the task's
//! directory, starts the command, watches its time, ends it with all its descendants, and leaves its exit record in the
//! journal before it tells anybody. It outlives the server. It knows neither configuration nor database: a
//! `LaunchRequest` is all it gets.

mod collect;
mod inputs;
pub mod journal;
mod output;
mod prepare;
mod program;
mod recorder;
mod sequence;
mod spare;
mod spawn;
mod step;
mod supervise;
pub mod terminate;
mod timeline;
pub mod walk;
mod warm;
mod watch;
mod workspace;

pub use spare::{Lines, MESSAGE_BYTES, wait};
pub use step::StepError;
pub use supervise::run;
