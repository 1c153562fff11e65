//! Rules with laws: checked for generated inputs, failed with the smallest input that breaks them. What once broke one
//! stands in `regressions.json` and is tried first.

use std::cell::{Cell, RefCell};

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::case::{Context, NotPassed, Outcome};

/// An array of `{"case", "why", "input"}`.
const REGRESSIONS: &str = include_str!("../regressions.json");
const MAX_SHRINK_ITERS: u32 = 128;

/// Passes when `check` does for the kept inputs of the case `id` and for `inputs` new ones; the same seed gives the
/// same inputs.
pub fn for_all<S>(
    context: &Context,
    id: &str,
    inputs: u32,
    strategy: &S,
    check: impl Fn(&S::Value) -> Outcome,
) -> Outcome
where
    S: Strategy<Value: Serialize + DeserializeOwned>,
{
    holds_for(context, &kept(REGRESSIONS, id), id, inputs, strategy, check)
}

fn holds_for<S>(
    context: &Context,
    kept: &[Value],
    id: &str,
    inputs: u32,
    strategy: &S,
    check: impl Fn(&S::Value) -> Outcome,
) -> Outcome
where
    S: Strategy<Value: Serialize + DeserializeOwned>,
{
    for input in kept {
        let input = S::Value::deserialize(input).expect("a kept input is one: the tests read them all");
        check(&input).map_err(|not_passed| told(not_passed, id, &input))?;
    }
    let config =
        Config { cases: inputs, max_shrink_iters: MAX_SHRINK_ITERS, failure_persistence: None, ..Config::default() };
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&context.seed.to_le_bytes());
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    // The runner passes words on, not values; while it shrinks, the last fault is that of the smallest input so far.
    let last = RefCell::new(None);
    // Of a runtime that is gone nothing more is learnt: the input that ended it is the one to show.
    let gone = Cell::new(false);
    let found = runner.run(strategy, |input| {
        let outcome = if gone.get() { Ok(()) } else { check(&input) };
        outcome.map_err(|not_passed| {
            gone.set(context.client.reach().is_err());
            *last.borrow_mut() = Some(not_passed);
            TestCaseError::fail("does not hold")
        })
    });
    match found {
        Ok(()) => Ok(()),
        Err(TestError::Fail(_, input)) => {
            Err(told(last.into_inner().expect("a failed check left its fault here"), id, &input))
        }
        Err(TestError::Abort(reason)) => Err(NotPassed::Skipped { reason: format!("no inputs: {reason}") }),
    }
}

/// The inputs of a case.
fn kept(regressions: &str, id: &str) -> Vec<Value> {
    let all: Vec<Value> = serde_json::from_str(regressions).expect("it is an array: the tests read it");
    all.into_iter().filter(|one| one["case"] == id).map(|mut one| one["input"].take()).collect()
}

/// With the input, as `regressions.json` keeps it.
fn told<I: Serialize>(not_passed: NotPassed, id: &str, input: &I) -> NotPassed {
    match not_passed {
        NotPassed::Failed(mut faults) => {
            for fault in &mut faults {
                let entry = json!({"case": id, "why": fault.rule, "input": input});
                fault.request = format!("{}\n(for regressions.json: {entry})", fault.request);
            }
            NotPassed::Failed(faults)
        }
        skipped @ NotPassed::Skipped { .. } => skipped,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::case::Fault;
    use crate::client::Client;
    use crate::document::{Documents, Live};

    const NOBODY: &str = "http://127.0.0.1:1";

    const WITHIN: std::time::Duration = std::time::Duration::from_secs(10);

    fn context_at(url: &str, seed: u64) -> Context {
        let documents = Documents { live: Live::Absent, spec: None };
        Context::new(Client::new(url, WITHIN), documents, WITHIN, seed, 0)
    }

    fn context(seed: u64) -> Context {
        context_at(NOBODY, seed)
    }

    fn is_below(limit: u32, input: u32) -> Outcome {
        let fault = Fault { rule: format!("below {limit}"), request: input.to_string(), response: String::new() };
        if input < limit { Ok(()) } else { Err(fault.into()) }
    }

    fn tried(seed: u64, kept: &[Value]) -> Vec<u32> {
        let tried = RefCell::new(Vec::new());
        let outcome = holds_for(&context(seed), kept, "a.case", 5, &(0_u32..1_000_000), |input| {
            tried.borrow_mut().push(*input);
            Ok(())
        });
        outcome.expect("nothing fails");
        tried.into_inner()
    }

    #[test]
    fn the_same_seed_gives_the_same_inputs_and_kept_ones_come_first() {
        assert_eq!(tried(7, &[]), tried(7, &[]));
        assert_ne!(tried(7, &[]), tried(8, &[]));
        assert_eq!(tried(7, &[json!(3), json!(1)])[..2], [3, 1]);
    }

    #[test]
    fn a_failure_shows_the_smallest_input_as_it_is_kept() {
        let strategy = 0_u32..1_000_000;
        let server = crate::tests::yes_man();
        let alive = context_at(&server.url(), 7);
        let outcome = holds_for(&alive, &[], "a.case", 50, &strategy, |input| is_below(1000, *input));
        let Err(NotPassed::Failed(faults)) = outcome else { panic!("{outcome:?}") };
        let entry = json!({"case": "a.case", "why": "below 1000", "input": 1000});
        assert!(
            faults[0].request.starts_with("1000\n") && faults[0].request.contains(&entry.to_string()),
            "{faults:?}"
        );
        // Pasted, it is found without any chance.
        let again = kept(&json!([entry]).to_string(), "a.case");
        let outcome = holds_for(&context(7), &again, "a.case", 0, &strategy, |input| is_below(1000, *input));
        assert!(matches!(outcome, Err(NotPassed::Failed(_))), "{outcome:?}");
    }

    #[test]
    fn a_runtime_that_is_gone_shows_the_input_that_ended_it() {
        let tried = Cell::new(0);
        let outcome = holds_for(&context(7), &[], "a.case", 50, &(0_u32..1_000_000), |input| {
            tried.set(*input);
            is_below(1000, *input)
        });
        let Err(NotPassed::Failed(faults)) = outcome else { panic!("{outcome:?}") };
        assert!(tried.get() > 1000 && faults[0].request.starts_with(&format!("{}\n", tried.get())), "{faults:?}");
    }

    #[test]
    fn every_kept_input_is_that_of_a_case_and_says_why() {
        let entries: Vec<Value> = serde_json::from_str(REGRESSIONS).expect("an array");
        let ids: BTreeSet<_> = crate::cases::all().iter().map(|case| case.id).collect();
        for entry in entries {
            assert!(entry["case"].as_str().is_some_and(|id| ids.contains(id)), "{entry}");
            assert!(entry["why"].is_string() && !entry["input"].is_null(), "{entry}");
        }
    }
}
