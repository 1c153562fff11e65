//! The wire: every type that a client sends or gets, its strict reading and its description for the OpenAPI document.
//! It knows tasks and amounts; it must not know HTTP, the store or the dispatcher.

pub mod batch;
pub mod callback;
mod collected;
mod content;
pub mod drain;
pub mod error;
pub mod event;
pub mod health;
pub mod inline;
pub mod kill;
pub mod kill_many;
pub mod list;
pub mod parse;
pub mod plan;
pub mod row;
pub mod runtime;
pub mod schedule;
pub mod status;
pub mod stream;
mod strict;
pub mod submit;
#[cfg(test)]
mod tests;
mod time;

pub use collected::{FileEntry, FileList};
pub use content::{BlobResponse, Content};
pub use error::{ErrorCode, ErrorEnvelope};
pub use event::EventRecord;
pub use parse::{Malformed, parse};
pub use status::TaskStatusResponse;
pub use submit::{SubmitTaskRequest, SubmitTaskResponse};
