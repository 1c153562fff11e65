//! Walks of several clients, held against the model.

use std::cell::Cell;

use proptest::strategy::Strategy;

use crate::case::{Case, Context, Level, Outcome, skipped};
use crate::model::{Record, Walk, events, everything, ledger, play, transitions, walks, walks_with_restarts};
use crate::property::for_all;

use Level::{Must, Should};

const TRANSITIONS: &str = "model.transitions";
const EVENTS: &str = "model.events";
const LEDGER: &str = "model.ledger";
const RESTART: &str = "model.restart";

const CHANCES: usize = 4;

pub const CASES: &[Case] = &[
    Case { id: TRANSITIONS, section: "Status", level: Must, run: |context| hold(context, TRANSITIONS, transitions) },
    Case { id: EVENTS, section: "Events", level: Must, run: |context| hold(context, EVENTS, events) },
    Case { id: LEDGER, section: "Resources", level: Must, run: |context| hold(context, LEDGER, ledger) },
    Case { id: RESTART, section: "Submit", level: Should, run: restart },
];

/// A walk is a dozen inputs by itself.
const fn number_of(context: &Context) -> u32 {
    context.inputs.div_ceil(8)
}

fn hold(context: &Context, id: &str, laws: fn(&Record) -> Outcome) -> Outcome {
    for_all_walks(context, id, &walks(), laws)
}

/// What the clients see of a runtime that is killed and started anew is one life of each task all the same.
fn restart(context: &Context) -> Outcome {
    if context.restart.is_none() {
        return Err(skipped("--restart names no command that restarts the runtime"));
    }
    for_all_walks(context, RESTART, &walks_with_restarts(), everything)
}

fn for_all_walks(
    context: &Context,
    id: &str,
    walks: &impl Strategy<Value = Walk>,
    laws: fn(&Record) -> Outcome,
) -> Outcome {
    let failed = Cell::new(false);
    for_all(context, id, number_of(context), walks, |walk| {
        // A race is not lost every time: behind the first failure a smaller walk gets more than one chance to show it.
        let times = if failed.get() { CHANCES } else { 1 };
        (0..times).try_for_each(|_| laws(&play(context, walk)?)).inspect_err(|_| failed.set(true))
    })
}
