//! Rules with laws: checked for generated inputs, failed with the smallest input that breaks them.

use std::cell::RefCell;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use crate::case::{Context, NotPassed, Outcome};

/// Each input may cost a task.
const INPUTS: u32 = 24;

/// Passes when `check` does for every input; the same seed gives the same inputs.
pub fn for_all<S: Strategy>(context: &Context, strategy: &S, check: impl Fn(&S::Value) -> Outcome) -> Outcome {
    let config = Config { cases: INPUTS, max_shrink_iters: 128, failure_persistence: None, ..Config::default() };
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
        Err(TestError::Fail(..)) => Err(last.into_inner().expect("a failed check left its fault here")),
        Err(TestError::Abort(reason)) => Err(NotPassed::Skipped { reason: format!("no inputs: {reason}") }),
    }
}
