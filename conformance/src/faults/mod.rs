//! The proof that the suite bites: faults of a runtime, made by a proxy in front of a good one, each of which a named
//! case must see. Without it a run in which everything passes would mean nothing.

mod memory;
mod mutation;
pub mod proxy;
mod table;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::{Duration, Instant};

use crate::Target;
use crate::case::{Case, Context, Fault, NotPassed, Outcome};
use crate::cases;
use crate::client::Client;
use mutation::{Alteration, Mutation};

/// How long a case waits for what a fault keeps from it.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a fault came to.
#[derive(Debug)]
enum Proof {
    /// The case failed, by this rule.
    Caught(String),
    /// The case passed, or did not look.
    Missed(String),
    /// The case cannot tell anything here, with or without the fault: why.
    Idle(String),
    /// The case fails with nothing altered, by this rule.
    Broken(String),
}

/// Prints the faults and the cases that must see them.
pub fn list() {
    table::all().for_each(|Mutation { fault, case, .. }| println!("{case:32} {fault}"));
}

/// What all faults came to.
#[derive(Debug, Default)]
pub struct Tally {
    pub caught: usize,
    /// What cannot be shown on this runtime.
    pub idle: usize,
    /// Whatever shows that the suite does not bite.
    pub missed: usize,
}

/// Puts one fault after the other in front of the runtime, and says whether its case sees it.
///
/// # Errors
/// Nobody answers, or a fault names a case that does not exist.
pub fn prove(target: &Target<'_>) -> Result<Tally, String> {
    let begun = Instant::now();
    let direct = crate::reach(target)?;
    let mut tally = Tally::default();
    // By the case: how it ends with nothing altered.
    let mut unaltered = BTreeMap::new();
    for mutation in table::all() {
        let all = cases::all();
        let case = all.iter().find(|case| case.id == mutation.case);
        let case = case.ok_or_else(|| format!("{}: no case has the id {}", mutation.fault, mutation.case))?;
        let without = match unaltered.entry(case.id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(run(target, &direct, case, Alteration::Nothing)?),
        };
        let proof = match without {
            Ok(()) => judge(run(target, &direct, case, mutation.alteration)?),
            Err(NotPassed::Skipped { reason }) => Proof::Idle(reason.clone()),
            Err(NotPassed::Failed(faults)) => Proof::Broken(first_rule(faults)),
        };
        println!("{}", proof.line(&mutation));
        match proof {
            Proof::Caught(_) => tally.caught += 1,
            Proof::Idle(_) => tally.idle += 1,
            Proof::Missed(_) | Proof::Broken(_) => tally.missed += 1,
        }
    }
    let Tally { caught, idle, missed } = tally;
    println!("{caught} caught, {missed} missed, {idle} cannot be shown here; {} s", begun.elapsed().as_secs());
    Ok(tally)
}

fn judge(outcome: Outcome) -> Proof {
    match outcome {
        Ok(()) => Proof::Missed("passed".to_owned()),
        Err(NotPassed::Skipped { reason }) => Proof::Missed(format!("skipped: {reason}")),
        Err(NotPassed::Failed(faults)) => Proof::Caught(first_rule(&faults)),
    }
}

/// Through a proxy; what the case leaves running is ended behind it.
fn run(target: &Target<'_>, direct: &Context, case: &Case, alteration: Alteration) -> Result<Outcome, String> {
    let failed = |error| format!("the proxy cannot listen: {error}");
    let (server, memory) = proxy::before(target.url, alteration).map_err(failed)?;
    let url = server.url();
    let is_altered = !matches!(alteration, Alteration::Nothing);
    let patience = if is_altered { PATIENCE.min(target.patience) } else { target.patience };
    let proxied = Target { url: &url, patience, ..target.clone() };
    // The document itself may be what is altered.
    let is_of_document = case.id.starts_with("document.");
    let context = if is_of_document { crate::reach(&proxied)? } else { proxied.like(direct)? };
    let outcome = case.check(&context);
    memory.tasks().iter().for_each(|id| end(&direct.client, id));
    Ok(outcome)
}

/// As far as it can: a fault may have given the task an owner, and a task may have ended.
fn end(direct: &Client, id: &str) {
    let _ = direct.post_nothing(&format!("/api/v1/tasks/{id}/kill"));
}

fn first_rule(faults: &[Fault]) -> String {
    faults.first().map(|fault| fault.rule.clone()).unwrap_or_default()
}

impl Proof {
    fn line(&self, Mutation { fault, case, .. }: &Mutation) -> String {
        let (word, why) = match self {
            Self::Caught(rule) => ("caught", rule),
            Self::Missed(why) => ("MISSED", why),
            Self::Idle(reason) => ("idle", reason),
            Self::Broken(rule) => ("BROKEN", rule),
        };
        format!("{word:7} {case:32} {fault}\n        {why}")
    }
}
