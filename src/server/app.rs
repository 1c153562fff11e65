//! Everything that is served: the operations, the document of them, and what is around them.

use std::sync::Arc;

use poem::{EndpointExt, IntoEndpoint, Route, get};
use poem_openapi::{OpenApiService, Tags};

use super::access::Access;
use super::edge::Edge;
use super::routes::Api;
use super::{Shared, document, page};

/// Paths that the document does not describe: the document itself and what shows it, and the page for people. They are
/// the same on every server of this version.
pub(super) const PLAIN_PATHS: [&str; 4] = ["/", "/assets/{name}", "/docs", "/openapi.json"];

const DESCRIPTION: &str = concat!(
    env!("CARGO_PKG_DESCRIPTION"),
    ".\n\nEvery failure is an `ErrorEnvelope`. In requests `null` means the same as a missing field, and unknown fields, \
     unknown query parameters below `/api` and keys given twice are refused by name. In answers absent fields are left \
     out. Times are RFC 3339 in UTC with milliseconds."
);

/// Everything that is served.
pub(super) fn app(shared: Arc<Shared>, access: Access) -> Edge {
    let metrics = Arc::clone(&shared.context.metrics);
    let document = document::Pages::new();
    let described = Arc::new(service().into_endpoint());
    // Not nested at `/`, which would hide the index.
    let route = Route::new()
        .at("/", page::index())
        .at("/assets/:name", page::assets())
        .at("/docs", get(document.docs()))
        .at("/openapi.json", get(document.json()))
        .at("/healthz", Arc::clone(&described))
        .at("/readyz", Arc::clone(&described))
        .at("/metrics", Arc::clone(&described))
        .nest_no_strip("/api", described)
        .data(shared);
    Edge::new(route.map_to_response().boxed(), access, metrics)
}

pub(super) fn service() -> OpenApiService<Api, ()> {
    OpenApiService::new(Api, "execgo-runtime", env!("CARGO_PKG_VERSION")).description(DESCRIPTION)
}

/// The groups of operations in the document.
#[derive(Tags)]
pub(super) enum Tag {
    /// Submit, watch and end tasks.
    Tasks,
    /// What tasks are given.
    Blobs,
    /// What this runtime is, can and holds.
    Runtime,
    /// For probers and monitors.
    Health,
}
