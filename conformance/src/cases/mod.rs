//! The cases, one file for each area.

mod command;
mod disk;
mod document;
mod health;
mod kill;
mod limits;
mod metadata;
mod metrics;
mod outcomes;
mod output;
mod policy;
mod protocol;
mod queue;
mod refused;
mod resources;
mod runtime;
mod sandbox;
mod script;
mod status;
mod submit;
mod wait;

use crate::case::Case;

/// All cases, in the order in which they are run.
#[must_use]
pub fn all() -> Vec<&'static Case> {
    [
        health::CASES,
        protocol::CASES,
        refused::CASES,
        submit::CASES,
        command::CASES,
        script::CASES,
        output::CASES,
        outcomes::CASES,
        status::CASES,
        metadata::CASES,
        kill::CASES,
        limits::CASES,
        sandbox::CASES,
        policy::CASES,
        resources::CASES,
        disk::CASES,
        runtime::CASES,
        metrics::CASES,
        wait::CASES,
        queue::CASES,
        document::CASES,
        document::LAST,
    ]
    .into_iter()
    .flatten()
    .collect()
}
