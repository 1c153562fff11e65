//! What a task has written, read while it may still be writing: a log is opened without being led elsewhere, and
//! its growth is noticed. It knows files; it must not know the
//! states of tasks, or HTTP.

mod growth;
mod log;

pub use growth::{Growth, Watch};
pub use log::Log;
