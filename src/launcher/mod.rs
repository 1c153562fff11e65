//! The launcher: a tiny single-threaded process that forks one shim per running task, and the server's end of the line
//! to it. It knows neither configuration nor database.

mod client;
pub mod frame;
mod orphans;
pub mod outbox;
mod process;
pub mod protocol;
mod spares;

pub use client::{Launcher, LauncherEvent};
pub use process::{ROLE, run};
