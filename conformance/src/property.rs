//! Rules with laws: checked for generated inputs, failed with the smallest input that breaks them. What once broke one
//! stands in `regressions.json` and is tried first.

use std::cell::RefCell;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::case::{Context, NotPassed, Outcome};

/// An array of `{"case", "why", "input"}`.
const REGRESSIONS: &str = include_str!("../regressions.json");
const MAX_SHRINK_ITERS: u32 = 256;

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
    for input in kept(REGRESSIONS, id) {
        let input = serde_json::from_value(input).expect("a kept input is one: the tests read them all");
        check(&input).map_err(|not_passed| told(not_passed, id, &input))?;
    }
    let config =
        Config { cases: inputs, max_shrink_iters: MAX_SHRINK_ITERS, failure_persistence: None, ..Config::default() };
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&context.seed.to_le_bytes());
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    // The runner passes words on, not values; while it shrinks, the last fault is that of the smallest input so far.
    let last = RefCell::new(None);
    let found = runner.run(strategy, |input| {
        check(&input).map_err(|not_passed| {
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
