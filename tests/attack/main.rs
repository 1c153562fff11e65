//! The attack suite: hostile tasks, handed in through the public API, and what must become of them. `docs/sandbox.md`,
//! The attack suite, shows its tables.
//!
//! `rows.rs` is the table of what the attacker (`program/`) tries inside; `suite.rs` runs it as root and rootless, whole
//! and with layers switched off. `leftovers.rs` and `survivors.rs` hold what needs a look from the host.

mod attacker;
mod documented;
mod host;
mod leftovers;
mod rows;
mod suite;
mod survivors;

#[expect(dead_code, reason = "the end-to-end tests use the rest")]
#[path = "../e2e/support.rs"]
mod support;
