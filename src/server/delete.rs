//! Delete: forgets a task that has ended, with its events and files.

use std::sync::Arc;

use poem::http::StatusCode;
use poem::{IntoResponse, Response};
use poem_openapi::ApiResponse;
use poem_openapi::registry::{MetaResponse, MetaResponses, Registry};

use super::Shared;
use super::access::Caller;
use super::fault::Fault;
use super::status::{check_seen, known_id};

/// Nothing is left to be told.
pub(super) struct Deleted;

pub(super) async fn delete(
    shared: &Arc<Shared>,
    by: &Caller,
    raw_id: &str,
    owner: Option<String>,
) -> Result<Deleted, Fault> {
    let id = known_id(raw_id)?;
    check_seen(shared, by, &id).await?;
    shared.context.dispatcher.delete(id, owner).await?;
    Ok(Deleted)
}

impl IntoResponse for Deleted {
    fn into_response(self) -> Response {
        StatusCode::NO_CONTENT.into_response()
    }
}

impl ApiResponse for Deleted {
    fn meta() -> MetaResponses {
        let (status, content, headers) = (Some(204), Vec::new(), Vec::new());
        MetaResponses {
            responses: vec![MetaResponse { description: "", status, status_range: None, content, headers }],
        }
    }

    fn register(_registry: &mut Registry) {}
}
