//! Walks of several clients, held against the model.

use crate::case::{Case, Context, Level, Outcome, skipped};
use crate::model::{Record, events, everything, ledger, play, transitions, walks, walks_with_restarts};
use crate::property::for_all;

use Level::{Must, Should};

const TRANSITIONS: &str = "model.transitions";
const EVENTS: &str = "model.events";
const LEDGER: &str = "model.ledger";
const RESTART: &str = "model.restart";

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
    for_all(context, id, number_of(context), &walks(), |walk| laws(&play(context, walk)?))
}

/// What the clients see of a runtime that is killed and started anew is one life of each task all the same.
fn restart(context: &Context) -> Outcome {
    if context.restart.is_none() {
        return Err(skipped("--restart names no command that restarts the runtime"));
    }
    let walks = walks_with_restarts();
    for_all(context, RESTART, number_of(context), &walks, |walk| everything(&play(context, walk)?))
}
