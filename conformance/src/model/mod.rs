//! Several clients at once, and a small model of what they may see: a walk is what they do, a record what they were
//! answered, and the reference says whether one runtime that keeps the contract could have answered so.

mod events;
mod ledger;
mod record;
mod status;
#[cfg(test)]
mod tests;
mod walk;

use crate::case::{Context, NotPassed, Outcome};

pub use events::hold as events;
pub use ledger::hold as ledger;
pub use record::Record;
pub use status::hold as transitions;
pub use walk::{Walk, walks, walks_with_restarts};

/// What the clients saw while they went the walk, until every task of it had ended.
pub fn play(context: &Context, walk: &Walk) -> Result<Record, NotPassed> {
    Record::of(context, walk)
}

/// All laws on one record.
pub fn everything(record: &Record) -> Outcome {
    transitions(record)?;
    events(record)?;
    ledger(record)
}
