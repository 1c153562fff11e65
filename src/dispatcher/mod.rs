//! The dispatcher: one thread that owns queue and ledger, commits every change before it takes effect, and tells
//! whoever waits. Everything else talks to it through [`Dispatcher`].

mod core;
mod handle;
mod input;
#[cfg(test)]
pub mod testing;
mod waiters;

pub use handle::{ActiveReservation, Dispatcher, KillError, Resources, SubmitError, TenantResources, Unavailable};
pub use waiters::Subscription;
