//! Role dispatch, before any thread exists.

mod api;
mod capability;
mod config;
mod dispatcher;
mod launcher;
mod ledger;
mod metrics;
mod server;
mod store;
mod task;

fn main() {}
