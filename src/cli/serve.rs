//! `serve`: reads the configuration, starts the log, hands over to the server. Wiring only.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::Args;
use tracing_subscriber::EnvFilter;

use super::Exit;
use crate::config::{self, Flags, Loaded, Log, LogFormat};

const HELP: &str =
    "Each flag beats its environment variable, that beats the files of --config, and they beat the defaults.
`execgo-runtime config show` takes the same flags and prints what holds and why.

Examples:
  execgo-runtime serve
  execgo-runtime serve --config /etc/execgo-runtime/config.yaml --listen-addr 0.0.0.0:8080
  execgo-runtime serve --capacity-memory-bytes 8589934592 --tenant-quota acme=slots:2,memory:1073741824";

/// Runs the server
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub struct Serve {
    #[command(flatten)]
    flags: Box<Flags>,
}

impl Serve {
    /// Does not return before the server has stopped.
    pub fn start(&self) -> ExitCode {
        match config::load(&self.flags, std::env::vars_os()) {
            Ok(loaded) => {
                start_log(&loaded.config.log);
                for warning in &loaded.warnings {
                    tracing::warn!("{warning}");
                }
                run(loaded)
            }
            Err(invalid) => {
                for line in invalid.to_string().lines() {
                    drop(writeln!(std::io::stderr(), "error: {line}"));
                }
                ExitCode::from(Exit::Refused.code())
            }
        }
    }
}

/// Runs the server with this configuration until it is told to stop.
pub fn run(loaded: Loaded) -> ExitCode {
    tracing::error!(listen_addr = %loaded.config.server.listen_addr, "this build has no server");
    ExitCode::FAILURE
}

/// Starts the log on standard error. The filter was checked when it was loaded (and `RUST_LOG` is part of it).
fn start_log(log: &Log) {
    let filter = EnvFilter::builder().parse_lossy(&log.filter);
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .log_internal_errors(false);
    match log.format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().init(),
    }
}
