//! Role dispatch, before any thread exists.

mod capability;
mod config;
mod dispatcher;
mod launcher;
mod ledger;
mod scheduler;
mod store;
mod task;

fn main() {}
