//! Checks any ExecGo runtime, by its URL, against the published contract (`docs/api.md`). It knows the wire alone: it
//! has its own client and shares no code with the runtime, so that a fault of the one is not a fault of the other.

mod case;
mod cases;
mod client;
mod document;
mod faults;
mod fields;
mod forms;
mod generate;
mod model;
mod property;
mod report;
mod restart;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Parser;
use serde_json::Value;

use case::{Case, Context, Fault, Level, NotPassed};
use client::Client;
use document::Documents;
use report::Report;
use restart::Restart;

const A_MUST_FAILED: u8 = 1;
/// Bad usage, or nobody answers at the URL: nothing was checked.
const NOTHING_CHECKED: u8 = 2;
const A_SHOULD_FAILED: u8 = 3;
/// Cases in a row that got no answer. Nobody is there any more, and hundreds of them would take hours to find out.
const GIVE_UP_AFTER: u32 = 5;

/// Checks an ExecGo runtime against the contract.
///
/// The tasks that it runs are harmless, and stay in the runtime until its retention ends them. Exit codes: 0 every MUST
/// and SHOULD holds; 1 a MUST does not; 2 bad usage, or nobody answers; 3 every MUST holds, and a SHOULD does not.
#[derive(Debug, Parser)]
#[command(name = "execgo-conformance", version)]
struct Args {
    /// Base address of the runtime, such as http://127.0.0.1:8080
    #[arg(env = "EXECGO_RUNTIME_URL", required_unless_present = "list")]
    url: Option<String>,

    /// Sent as `Authorization: Bearer` with every request
    #[arg(long, value_name = "T", env = "EXECGO_RUNTIME_TOKEN", hide_env_values = true)]
    token: Option<String>,

    /// The OpenAPI document that the runtime is to keep; without it, the one that the runtime serves
    #[arg(long, value_name = "FILE")]
    spec: Option<PathBuf>,

    /// Makes the generated inputs the same again; without it they differ from run to run
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// How many inputs are generated for each rule that is checked with generated ones
    #[arg(long, value_name = "N", default_value_t = case::INPUTS)]
    inputs: u32,

    /// A line for the shell that kills the runtime and starts it anew at the same address. Without it nothing is restarted
    #[arg(long, value_name = "COMMAND", env = "EXECGO_RUNTIME_RESTART")]
    restart: Option<String>,

    /// Runs only these cases; `kill` stands for every case whose id starts with `kill.`
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    only: Vec<String>,

    /// This case is known to fail, and does not count; once it holds, that is a failure
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    known: Vec<String>,

    /// Writes the result into a file as `text`, `json`, `junit` or `markdown`; may be given again
    #[arg(long, value_name = "FORMAT=FILE")]
    report: Vec<report::Target>,

    /// How long an answer, or a task that ends by itself, may take; half as long after each time in vain
    #[arg(long, value_name = "SECS", default_value_t = 60)]
    patience: u64,

    /// Proves that the suite bites: puts built-in faults in front of the runtime, each of which its case must see
    #[arg(long, conflicts_with_all = ["only", "known", "report"])]
    prove: bool,

    /// Prints the cases and checks nothing; with --prove, the faults and their cases
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
    for id in &args.known {
        selected(cases::all(), std::slice::from_ref(id)).map_err(|_| format!("--known {id}: no case has this id"))?;
    }
    let Some(url) = args.url.as_deref().filter(|_| !args.list) else {
        if args.prove {
            faults::list();
            return Ok(ExitCode::SUCCESS);
        }
        cases.iter().for_each(|case| report::list(case));
        return Ok(ExitCode::SUCCESS);
    };
    let spec = args.spec.as_deref().map(document_of).transpose()?;
    let seed = args.seed.unwrap_or_else(nanos_now);
    let patience = Duration::from_secs(args.patience);
    let target = Target { url, token: args.token.as_deref(), spec, seed, patience };
    if args.prove {
        let bites = faults::prove(&target)?.missed == 0;
        return Ok(if bites { ExitCode::SUCCESS } else { ExitCode::from(A_MUST_FAILED) });
    }
    let mut context = reach(&target)?;
    context.inputs = args.inputs;
    context.restart = args.restart.clone().map(Restart::by_command);
    println!("{url}, seed {}", context.seed);
    let report = check(&cases, &context, Report::new(url.to_owned(), context.seed, args.known.clone()));
    report.close();
    args.report.iter().try_for_each(|target| report.write(target))?;
    Ok(match report.worst() {
        None | Some(Level::Beyond) => ExitCode::SUCCESS,
        Some(Level::Must) => ExitCode::from(A_MUST_FAILED),
        Some(Level::Should) => ExitCode::from(A_SHOULD_FAILED),
    })
}

/// What is checked.
#[derive(Clone, Debug)]
struct Target<'a> {
    url: &'a str,
    token: Option<&'a str>,
    /// Of `--spec`.
    spec: Option<Value>,
    seed: u64,
    patience: Duration,
}

/// Everything that the cases need of the runtime.
fn reach(target: &Target<'_>) -> Result<Context, String> {
    let mut client = target.client()?;
    client.reach()?;
    let documents = Documents::load(&mut client, target.spec.clone())?;
    Ok(Context::new(client, documents, target.patience, target.seed, nanos_now()))
}

impl Target<'_> {
    fn client(&self) -> Result<Client, String> {
        let mut client = Client::new(self.url, self.patience);
        self.token.map_or(Ok(()), |token| client.authorize(token))?;
        Ok(client)
    }

    /// As it is for another context: its documents need not be read and compiled again.
    fn like(&self, other: &Context) -> Result<Context, String> {
        let mut client = self.client()?;
        if let Some(document) = other.client.document() {
            client.hold_against(document.clone());
        }
        Ok(Context::new(client, other.documents.clone(), self.patience, self.seed, nanos_now()))
    }
}

fn check(cases: &[&'static Case], context: &Context, mut report: Report) -> Report {
    let mut unanswered = 0;
    for case in cases {
        let begun = Instant::now();
        let outcome = if unanswered < GIVE_UP_AFTER { case.check(context) } else { Err(not_run()) };
        match &outcome {
            Err(failed) if failed.is_unanswered() => unanswered += 1,
            // It says nothing of the server.
            Err(NotPassed::Skipped { .. }) => {}
            Ok(()) | Err(NotPassed::Failed(_)) => unanswered = 0,
        }
        report.add(case, outcome, begun.elapsed());
    }
    report
}

fn not_run() -> NotPassed {
    let response = format!("none to {GIVE_UP_AFTER} cases in a row; this one was not run");
    Fault { rule: client::ANSWERED.to_owned(), request: "none".to_owned(), response }.into()
}

fn document_of(file: &Path) -> Result<Value, String> {
    let text = fs::read_to_string(file).map_err(|error| format!("--spec {}: {error}", file.display()))?;
    serde_json::from_str(&text).map_err(|error| format!("--spec {}: it must be JSON: {error}", file.display()))
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
