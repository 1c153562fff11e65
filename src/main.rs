//! Role dispatch, before any thread exists.

mod api;
mod capability;
mod cli;
mod config;
mod dispatcher;
mod launcher;
mod ledger;
mod metrics;
mod scheduler;
mod server;
mod store;
mod task;

use std::process::ExitCode;

fn main() -> ExitCode {
    match std::env::args_os().nth(1) {
        Some(role) if role == "__launcher" => ExitCode::FAILURE,
        _ => cli::main(),
    }
}
