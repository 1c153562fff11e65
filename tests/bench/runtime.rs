//! How fast tasks go, beside what this machine could do at best: the runtime's numbers and the machine's are taken in
//! the same run and in turns. `just bench`, or `cargo bench --bench runtime -- --help`; docs/performance.md explains the
//! lines.

mod busy;
mod client;
mod fill;
mod http;
mod idle;
mod lifecycles;
mod limit;
mod load;
mod machine;
mod parts;
mod plan;
mod report;
mod sample;
mod sandboxes;
mod server;
mod stores;
mod sustained;
mod usage;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use serde_json::{Value, json};

use load::Window;
use plan::{Plan, Scenario};

/// What cargo passes to a benchmark, and not to a test.
const BY_CARGO_BENCH: &str = "--bench";
const LEAD: Duration = Duration::from_millis(200);

/// Measures the runtime beside the machine's own limit.
#[derive(Debug, Parser)]
#[command(name = "runtime")]
struct Args {
    /// What is measured
    #[arg(long, value_delimiter = ',', default_value = "lifecycles,submits,reads,sandbox")]
    scenarios: Vec<Scenario>,

    /// How often everything is measured, in turns
    #[arg(long, default_value_t = 3, env = "EXECGO_BENCH_ROUNDS", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,

    /// No single measurement takes longer
    #[arg(long, value_name = "MS", default_value_t = 1400, env = "EXECGO_BENCH_SLICE_MS")]
    slice_ms: u64,

    /// No single measurement runs more tasks (or processes, or reads)
    #[arg(long, value_name = "N", default_value_t = 100_000, env = "EXECGO_BENCH_TASKS")]
    tasks: usize,

    /// Ended tasks in the store, for the scenario growth
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "0,10000,1000000")]
    stored: Vec<u32>,

    /// Waiting tasks, for the scenario queue
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "0,100000")]
    queued: Vec<u32>,

    /// How long the scenario sustained takes
    #[arg(long, value_name = "S", default_value_t = 120)]
    seconds: u64,

    /// Writes all results into this file, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// More flags for `serve`, after `--`
    #[arg(last = true)]
    serve: Vec<OsString>,
}

fn main() {
    let (by_cargo, args): (Vec<_>, Vec<_>) = std::env::args_os().partition(|arg| arg == BY_CARGO_BENCH);
    if by_cargo.is_empty() {
        println!("a benchmark measures nothing as a test; run `cargo bench --bench runtime`");
        return;
    }
    let about = about(&args);
    let Args { scenarios, rounds, slice_ms, tasks, stored, queued, seconds, json, serve } = Args::parse_from(args);
    println!("{about:#}");
    let plan = Plan {
        rounds,
        window: Window { lead: LEAD, time: Duration::from_millis(slice_ms), items: tasks },
        stored,
        queued,
        sustained: Duration::from_secs(seconds),
        idle: Duration::from_secs(10),
        serve,
    };
    let report = plan.run(&scenarios);
    report.print_musts();
    if let Some(file) = json {
        std::fs::write(&file, format!("{:#}\n", report.json(about))).expect("the file can be written");
    }
}

/// Where and how this runs.
fn about(args: &[OsString]) -> Value {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let processors = read("/proc/cpuinfo");
    let processor = processors.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let args: Vec<_> = args.iter().skip(1).map(|arg| arg.to_string_lossy()).collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "arguments": args,
        "cores": limit::cores(),
        "processor": processor,
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "load_before": read("/proc/loadavg").split(' ').next(),
    })
}
