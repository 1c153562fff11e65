//! More than a runtime can take: connections, slow and vanishing clients, tasks. `just overload`; `docs/reliability.md`
//! says what must hold.

mod http;
mod queue;
mod server;
mod slow;
mod vanish;
mod watch;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use watch::{Bounds, Report};

const CONNECTIONS: Bounds = Bounds { p99: Duration::from_millis(100), memory: 200 };
/// A waiting task is kept in memory.
const TASKS: Bounds = Bounds { memory: 400, ..CONNECTIONS };
const TIMEOUT: Duration = Duration::from_secs(10);

/// Asks more of a runtime than it can give and checks what must hold all the same
#[derive(Debug, Parser)]
struct Arguments {
    #[arg(long, value_delimiter = ',', default_value = "idle,slow,vanish,refused,queued")]
    scenarios: Vec<Scenario>,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Scenario {
    /// 10,000 idle connections and 200 half-sent heads
    Idle,
    /// 500 heads and 500 bodies at a byte a second
    Slow,
    /// 2,000 long polls that are closed at once
    Vanish,
    /// 100,000 waiting tasks
    Queued,
    /// 32 clients submit into a full queue for ten seconds
    Refused,
}

impl Scenario {
    fn run(self) -> Report {
        match self {
            Self::Idle => slow::idle(10_000, 200, TIMEOUT, CONNECTIONS),
            Self::Slow => slow::slow(500, TIMEOUT, CONNECTIONS),
            Self::Vanish => vanish::polls(2_000, CONNECTIONS),
            Self::Queued => queue::queued(100_000, TASKS),
            Self::Refused => queue::refused(TIMEOUT, CONNECTIONS),
        }
    }
}

fn main() -> ExitCode {
    let Arguments { scenarios, bench: _ } = Arguments::parse();
    // The clients' ends of the connections.
    if let Err(error) =
        getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard))
    {
        eprintln!("overload: the limit on open descriptors could not be raised: {error}");
    }
    println!("{}", Report::HEAD);
    let mut holds = true;
    for scenario in scenarios {
        let report = scenario.run();
        println!("{report}");
        holds &= report.broken.is_empty();
    }
    if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
