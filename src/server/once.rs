//! Requests that are done once, however often they come: the header `Idempotency-Key`. Each answer is kept with the tasks
//! that it is about, and given again to the same request.

use poem::http::{HeaderName, HeaderValue};
use poem::{IntoResponse, Response};
use poem_openapi::ApiResponse;
use poem_openapi::registry::{MetaResponses, Registry};
use poem_openapi::types::Type;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::Shared;
use super::access::Caller;
use super::body::{JSON, Json};
use super::fault::Fault;
use super::params::IdempotencyKey;
use super::status::blocking;
use crate::store::{Earlier, RequestKey};

/// On an answer that was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// An answer, or the one that was given before, as it was.
pub(super) enum Repeatable<T> {
    First(T),
    Again(String),
}

/// The name of the request, where it has one. Two requests are the same when their fields are, however they are written.
pub(super) fn key<T: Serialize>(
    by: &Caller,
    key: IdempotencyKey,
    operation: &str,
    request: &T,
) -> Result<Option<RequestKey>, Fault> {
    let Some(key) = key.0 else { return Ok(None) };
    let request = serde_json::to_vec(&(operation, request)).map_err(|error| Fault::Other(error.to_string()))?;
    let tenant = by.tenant().unwrap_or_default().to_owned();
    Ok(Some(RequestKey { tenant, key, digest: Sha256::digest(request).into() }))
}

impl<T> Repeatable<T> {
    /// The answer that there is already; so a repetition asks nothing of the dispatcher, and is answered while it drains.
    pub(super) async fn given_before(shared: &Shared, key: &RequestKey) -> Result<Option<Self>, Fault> {
        let (readers, key) = (shared.context.readers.clone(), key.clone());
        let earlier = blocking(move || readers.earlier(&key)).await??;
        earlier.map(Self::again).transpose()
    }

    pub(super) fn again(earlier: Earlier) -> Result<Self, Fault> {
        match earlier {
            Earlier::Same(answer) => Ok(Self::Again(answer)),
            Earlier::Other => Err(Fault::KeyOfAnother),
        }
    }
}

/// As it goes to the client, and is kept.
pub(super) fn text<T: Serialize>(answer: &T) -> String {
    serde_json::to_string(answer).expect("a wire type has string keys and no fallible parts")
}

impl<T: Serialize + Send> IntoResponse for Repeatable<T> {
    fn into_response(self) -> Response {
        match self {
            Self::First(answer) => Json(answer).into_response(),
            Self::Again(text) => {
                Response::builder().content_type(JSON).header(REPLAYED, HeaderValue::from_static("true")).body(text)
            }
        }
    }
}

impl<T: Type + Serialize + DeserializeOwned> ApiResponse for Repeatable<T> {
    fn meta() -> MetaResponses {
        Json::<T>::meta()
    }

    fn register(registry: &mut Registry) {
        <Json<T> as ApiResponse>::register(registry);
    }
}
