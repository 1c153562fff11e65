//! The torture of a runtime: clients submit tasks, a killer kills parts of it, a checker compares. `just torture`;
//! `docs/reliability.md` says what it proves.

mod api;
mod campaign;
mod checker;
mod client;
mod events;
mod killer;
mod plan;
mod processes;
mod runtime;
mod stored;

use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use campaign::Campaign;
use clap::Parser;
use killer::Victim;
use plan::Profile;

/// Kills parts of a runtime under load and checks what it promises.
#[derive(Debug, Parser)]
struct Arguments {
    /// How often something is killed
    #[arg(long, default_value_t = 200)]
    kills: u32,
    /// What is killed
    #[arg(long, value_delimiter = ',', default_value = "serve,launcher,shim,spare,all")]
    victims: Vec<Victim>,
    #[arg(long, default_value_t = 4)]
    clients: usize,
    /// Makes the same tasks and the same kills again; a new one each time
    #[arg(long)]
    seed: Option<u64>,
    /// Where the tasks run
    #[arg(long, default_value = "process")]
    profile: Profile,
    /// The runtime is not root, also where this is
    #[arg(long)]
    rootless: bool,
    /// Kills nothing; measures restarts with so many ended tasks in the store
    #[arg(long, value_parser = clap::value_parser!(u32).range(100..))]
    stored: Option<u32>,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let Arguments { kills, victims, clients, seed, profile, rootless, stored, bench: _ } = Arguments::parse();
    if let Some(stored) = stored {
        return measure(stored);
    }
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos().into());
    let seed = seed.unwrap_or_else(now);
    println!("torture: --seed {seed}");
    match (Campaign { seed, kills, victims, clients, profile, rootless }).run() {
        Ok(report) => {
            print!("{report}");
            if report.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(why) => {
            eprintln!("torture: {why}");
            ExitCode::from(2)
        }
    }
}

fn measure(stored: u32) -> ExitCode {
    match stored::restarts(stored) {
        Ok(times) => {
            let millis: Vec<_> = times.iter().map(Duration::as_millis).collect();
            println!("torture: from start to ready with {stored} stored tasks, in ms: {millis:?}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("torture: {why}");
            ExitCode::from(2)
        }
    }
}
