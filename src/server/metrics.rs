//! The metrics as a page.

use poem::{IntoResponse, Response};
use poem_openapi::ApiResponse;
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, Registry};
use poem_openapi::types::Type;

use super::Shared;
use super::body::text_response;
use crate::metrics::CONTENT_TYPE;

/// Prometheus' text format.
pub(super) struct Exposition(String);

pub(super) fn render(shared: &Shared) -> Exposition {
    Exposition(shared.context.metrics.render())
}

impl IntoResponse for Exposition {
    fn into_response(self) -> Response {
        text_response(CONTENT_TYPE, self.0)
    }
}

impl ApiResponse for Exposition {
    fn meta() -> MetaResponses {
        let content = vec![MetaMediaType { content_type: CONTENT_TYPE, schema: String::schema_ref() }];
        let ok = MetaResponse { description: "", status: Some(200), status_range: None, content, headers: Vec::new() };
        MetaResponses { responses: vec![ok] }
    }

    fn register(_registry: &mut Registry) {}
}
