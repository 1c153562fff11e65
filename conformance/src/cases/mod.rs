//! The cases, one file for each area.

mod access;
mod batch;
mod callback;
mod command;
mod delete;
mod disk;
mod document;
mod events;
mod feed;
mod files;
mod generated;
mod health;
mod input;
mod kill;
mod limits;
mod list;
mod metadata;
mod metrics;
mod model;
mod once;
mod outcomes;
mod output;
mod plan;
mod policy;
mod protocol;
mod queue;
mod raw;
mod refused;
mod resources;
mod runtime;
mod sandbox;
mod schedule;
mod script;
mod status;
mod stream;
mod submit;
mod wait;

use crate::case::Case;

/// All cases, in the order in which they are run.
#[must_use]
pub fn all() -> Vec<&'static Case> {
    [
        health::CASES,
        protocol::CASES,
        access::CASES,
        refused::CASES,
        submit::CASES,
        batch::CASES,
        once::CASES,
        callback::CASES,
        command::CASES,
        script::CASES,
        input::CASES,
        output::CASES,
        raw::CASES,
        files::CASES,
        stream::CASES,
        outcomes::CASES,
        status::CASES,
        events::CASES,
        plan::CASES,
        metadata::CASES,
        kill::CASES,
        delete::CASES,
        list::CASES,
        feed::CASES,
        limits::CASES,
        sandbox::CASES,
        policy::CASES,
        schedule::CASES,
        resources::CASES,
        disk::CASES,
        runtime::CASES,
        metrics::CASES,
        wait::CASES,
        queue::CASES,
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
