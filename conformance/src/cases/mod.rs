//! The cases, one file for each area.

mod document;
mod events;
mod generated;
mod health;
mod kill;
mod limits;
mod metadata;
mod model;
mod plan;
mod resources;
mod status;
mod submit;
mod wait;

use crate::case::Case;

/// All cases, in the order in which they are run.
#[must_use]
pub fn all() -> Vec<&'static Case> {
    [
        health::CASES,
        submit::CASES,
        status::CASES,
        events::CASES,
        plan::CASES,
        metadata::CASES,
        kill::CASES,
        limits::CASES,
        resources::CASES,
        wait::CASES,
        document::CASES,
        generated::CASES,
        model::CASES,
        generated::LAST,
        document::LAST,
    ]
    .into_iter()
    .flatten()
    .collect()
}
