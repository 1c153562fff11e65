//! The request of a task, as it was accepted: to be looked at, or submitted again.

use std::fs;
use std::io::ErrorKind;
use std::sync::Arc;

use super::Shared;
use super::access::Caller;
use super::fault::Fault;
use super::status::{blocking, known_id, read};
use crate::api::{self, SubmitTaskRequest};
use crate::task::TaskPaths;

pub(super) async fn request(shared: &Arc<Shared>, by: &Caller, raw_id: &str) -> Result<SubmitTaskRequest, Fault> {
    let task = read(shared, by, known_id(raw_id)?).await?;
    let kept = TaskPaths::new(&shared.context.config.runtime.data_dir, task.id()).request();
    let bytes = match blocking(move || fs::read(kept)).await? {
        Ok(bytes) => bytes,
        // It could not be written when the task was accepted, or is not yet.
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(Fault::NoRequest(raw_id.to_owned())),
        Err(error) => return Err(Fault::Request(error)),
    };
    api::parse(&bytes).map_err(|error| Fault::Request(std::io::Error::new(ErrorKind::InvalidData, error)))
}
