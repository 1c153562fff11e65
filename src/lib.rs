//! Everything but the process: a library, so that fuzz targets reach the parsers. Its rooms are private, so that what
//! nobody uses is found; programs have [`main`].

mod api;
mod blobs;
mod callback;
mod capability;
mod cli;
mod config;
mod dispatcher;
#[cfg(any(fuzzing, test))]
pub mod fuzz;
mod init;
mod launcher;
mod ledger;
mod metrics;
mod output;
mod sandbox;
mod scheduler;
mod server;
mod shim;
mod store;
mod sys;
mod task;

use std::process::ExitCode;

/// Role dispatch, before any thread exists.
#[must_use]
pub fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    match args.next() {
        Some(role) if role == "serve" && init::is_needed() => init::run(std::env::args_os().skip(1)),
        Some(role) if role == launcher::ROLE => launcher::run(args),
        Some(role) if role == capability::PROBE_ROLE => capability::run_probes(args),
        _ => cli::main(),
    }
}
