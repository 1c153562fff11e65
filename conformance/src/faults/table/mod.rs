//! The faults, one file for each area of cases.

mod answers;
mod document;
mod events;
mod feed;
mod generated;
mod list;
mod plan;
mod resources;
mod schedule;
mod status;
mod submit;
mod verbs;

use super::mutation::Mutation;

pub fn all() -> impl Iterator<Item = Mutation> {
    let tables = [
        answers::FAULTS,
        submit::FAULTS,
        status::FAULTS,
        events::FAULTS,
        feed::FAULTS,
        plan::FAULTS,
        resources::FAULTS,
        document::FAULTS,
        generated::FAULTS,
        list::FAULTS,
        verbs::FAULTS,
        schedule::FAULTS,
    ];
    tables.into_iter().flatten().copied()
}
