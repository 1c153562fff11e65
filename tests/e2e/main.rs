//! End to end: the real binary on a free port with a data directory of its own, over HTTP.

mod access;
mod batch;
mod callback;
mod cgroups;
mod cli;
mod concurrency;
mod container;
mod delegation;
mod files;
mod formats;
mod ledger;
mod lifecycle;
mod limits;
mod lists;
mod network;
mod once;
mod outcomes;
mod output;
mod retention;
mod run_as;
mod sandbox;
mod stream;
mod support;
mod tasks;
mod tls;
mod transport;
