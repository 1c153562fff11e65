//! Events of one task.

use std::sync::Arc;

use super::Shared;
use super::access::Caller;
use super::fault::Fault;
use super::status::{blocking, check_seen, known_id};
use crate::api::EventRecord;

pub(super) async fn events(shared: &Arc<Shared>, by: &Caller, raw_id: &str) -> Result<Vec<EventRecord>, Fault> {
    let id = known_id(raw_id)?;
    check_seen(shared, by, &id).await?;
    let readers = shared.context.readers.clone();
    let events = blocking(move || readers.events(&id)).await??;
    let events = events.ok_or_else(|| Fault::NoTask(raw_id.to_owned()))?;
    Ok(events.into_iter().map(Into::into).collect())
}
