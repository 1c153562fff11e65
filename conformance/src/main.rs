//! Checks any ExecGo runtime, by its URL, against the published contract (`docs/api.md`). It knows the wire alone: it
//! has its own client and shares no code with the runtime, so that a fault of the one is not a fault of the other.

mod case;
mod cases;
mod client;
mod property;
mod report;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Parser;

use case::{Case, Context};
use client::Client;
use report::Report;

/// Bad usage, or nobody answers at the URL: nothing was checked.
const NOTHING_CHECKED: u8 = 2;

/// Checks an ExecGo runtime against the contract.
///
/// The tasks that it runs stay in the runtime until its retention ends them. Exit codes: 0 every MUST and SHOULD
/// holds; 1 one does not; 2 bad usage, or nobody answers.
#[derive(Debug, Parser)]
#[command(name = "execgo-conformance", version)]
struct Args {
    /// Base address of the runtime, such as http://127.0.0.1:8080
    #[arg(env = "EXECGO_RUNTIME_URL", required_unless_present = "list")]
    url: Option<String>,

    /// Runs only these cases; `kill` stands for every case whose id starts with `kill.`
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    only: Vec<String>,

    /// Makes the generated inputs the same again; without it they differ from run to run
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// Prints the cases and checks nothing
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(code) => code,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::from(NOTHING_CHECKED)
        }
    }
}

fn run(args: &Args) -> Result<ExitCode, String> {
    let cases = selected(cases::all(), &args.only)?;
    let Some(url) = args.url.as_deref().filter(|_| !args.list) else {
        cases.iter().for_each(|case| report::list(case));
        return Ok(ExitCode::SUCCESS);
    };
    let client = Client::new(url);
    client.reach()?;
    let seed = args.seed.unwrap_or_else(nanos_now);
    println!("{url}, seed {seed}");
    let context = Context::new(client, seed, nanos_now());
    let mut report = Report::default();
    for case in &cases {
        report.add(case, (case.run)(&context));
    }
    report.close();
    Ok(if report.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A name that selects nothing is a mistake: a check that checks nothing must not pass.
fn selected(cases: Vec<&'static Case>, only: &[String]) -> Result<Vec<&'static Case>, String> {
    let names = |name: &String, case: &Case| {
        case.id.strip_prefix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    if let Some(stranger) = only.iter().find(|name| !cases.iter().any(|case| names(name, case))) {
        return Err(format!("--only {stranger}: no case has this id; --list shows them"));
    }
    let ids: BTreeSet<_> = cases.iter().map(|case| case.id).collect();
    assert_eq!(ids.len(), cases.len(), "two cases have the same id");
    Ok(cases.into_iter().filter(|case| only.is_empty() || only.iter().any(|name| names(name, case))).collect())
}

fn nanos_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
