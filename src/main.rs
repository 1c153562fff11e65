//! Role dispatch, before any thread exists.

mod api;
mod capability;
mod cli;
mod config;
mod dispatcher;
mod init;
mod launcher;
mod ledger;
mod metrics;
mod sandbox;
mod scheduler;
mod server;
mod shim;
mod store;
mod sys;
mod task;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    match args.next() {
        Some(role) if role == "serve" && init::is_needed() => init::run(std::env::args_os().skip(1)),
        Some(role) if role == launcher::ROLE => launcher::run(args),
        Some(role) if role == capability::PROBE_ROLE => capability::run_probes(args),
        _ => cli::main(),
    }
}
