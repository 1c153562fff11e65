//! Liveness and readiness.

use poem_openapi::Object;
use poem_openapi::types::Example;
use serde::{Deserialize, Serialize};

/// Whether the server lives or is ready, and which version it is.
#[derive(Clone, Debug, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(example)]
#[serde(deny_unknown_fields)]
pub struct HealthResponse {
    /// `ok` from `/healthz`, `ready` from `/readyz`.
    pub status: String,
    /// Version of the runtime.
    pub version: String,
}

impl Example for HealthResponse {
    fn example() -> Self {
        Self { status: "ok".into(), version: env!("CARGO_PKG_VERSION").into() }
    }
}
