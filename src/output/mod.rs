//! What a task has written, read while it may still be writing: a log is opened without being led elsewhere, read piece
//! by piece at any offset, its last lines are found and its growth is noticed. It knows files; it must not know the
//! states of tasks, or HTTP.

mod growth;
mod log;
mod tail;
pub mod text;

pub use growth::{Growth, Watch};
pub use log::Log;
pub use tail::start_of_last_lines;
