//! Bodies: JSON in, read strictly and not beyond the limit, and JSON out.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::BodyExt;
use http_body_util::combinators::BoxBody;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use poem::http::header;
use poem::{IntoResponse, Request, RequestBody, Response, Result};
use poem_openapi::payload::{ParsePayload, Payload};
use poem_openapi::registry::{MetaMediaType, MetaRequest, MetaResponse, MetaResponses, MetaSchemaRef, Registry};
use poem_openapi::types::Type;
use poem_openapi::{ApiExtractor, ApiExtractorType, ApiResponse, ExtractParamOptions};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Shared;
use super::fault::Fault;
use crate::api;

/// The one media type of requests and answers.
pub(super) const JSON: &str = "application/json";
/// How much of a body that is too large is still read, so that a client that writes before it reads hears why.
const DRAIN_BYTES: u64 = 64 * 1024 * 1024;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// A JSON body. Poem's own takes numbers for strings and the last of two equal keys.
#[derive(Debug)]
pub(super) struct Json<T>(pub(super) T);

impl<T: Type> Payload for Json<T> {
    const CONTENT_TYPE: &'static str = JSON;

    fn check_content_type(content_type: &str) -> bool {
        is_json(content_type)
    }

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: Type + DeserializeOwned> ParsePayload for Json<T> {
    const IS_REQUIRED: bool = true;

    async fn from_request(request: &Request, body: &mut RequestBody) -> Result<Self> {
        let bytes = read(request, body).await?;
        Ok(Self(api::parse(&bytes).map_err(Fault::from)?))
    }
}

impl<'a, T: Type + DeserializeOwned> ApiExtractor<'a> for Json<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        let content = vec![MetaMediaType { content_type: JSON, schema: T::schema_ref() }];
        Some(MetaRequest { description: None, content, required: true })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> Result<Self> {
        check_declared_as_json(request)?;
        <Self as ParsePayload>::from_request(request, body).await
    }
}

/// A body that may be left out, which is as good as `{}`.
#[derive(Debug)]
pub(super) struct OptionalJson<T>(pub(super) T);

impl<'a, T: Type + DeserializeOwned + Default> ApiExtractor<'a> for OptionalJson<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        <Json<T> as ApiExtractor>::request_meta().map(|meta| MetaRequest { required: false, ..meta })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> Result<Self> {
        let bytes = read(request, body).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        check_declared_as_json(request)?;
        Ok(Self(api::parse(&bytes).map_err(Fault::from)?))
    }
}

/// A web page can send anything to a local server but this content type: the check keeps it out.
fn check_declared_as_json(request: &Request) -> Result<(), Fault> {
    match request.content_type() {
        Some(content_type) if is_json(content_type) => Ok(()),
        found => Err(Fault::MediaType { found: found.map(str::to_owned) }),
    }
}

impl<T: Serialize + Send> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        json_response(&self.0)
    }
}

impl<T: Type + Serialize> ApiResponse for Json<T> {
    fn meta() -> MetaResponses {
        let content = vec![MetaMediaType { content_type: JSON, schema: T::schema_ref() }];
        let ok = MetaResponse { description: "", status: Some(200), status_range: None, content, headers: Vec::new() };
        MetaResponses { responses: vec![ok] }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

pub(super) fn json_response<T: Serialize>(value: &T) -> Response {
    let body = serde_json::to_vec(value).expect("a wire type has string keys and no fallible parts");
    Response::builder().content_type(JSON).body(body)
}

fn is_json(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default();
    media_type.trim().eq_ignore_ascii_case(JSON)
}

/// The whole body, if it keeps the limit.
async fn read(request: &Request, body: &mut RequestBody) -> Result<Vec<u8>, Fault> {
    let shared = request.data::<Arc<Shared>>().ok_or_else(|| Fault::Other("the app has no context".into()))?;
    let (max_bytes, timeout_ms) =
        (shared.context.config.server.max_body_bytes, shared.context.config.server.body_timeout_ms);
    let body: BoxBody<Bytes, io::Error> = body.take().map_err(|e| Fault::Other(e.to_string()))?.into();
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > max_bytes) {
        return Err(Fault::BodyTooLarge { max_bytes });
    }
    let late = |_| Fault::BodyLate { timeout_ms };
    tokio::time::timeout(Duration::from_millis(timeout_ms), collect(body, max_bytes)).await.map_err(late)?
}

/// Memory grows with what has come: the declared length costs a client nothing.
async fn collect(mut body: BoxBody<Bytes, io::Error>, max_bytes: u64) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Fault::BodyBroken)?.into_data() else { continue };
        if (bytes.len() + data.len()) as u64 > max_bytes {
            return Err(Fault::BodyTooLarge { max_bytes });
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

/// The body of a request, to be read to its end by whoever answers, when the handler has not: closing a socket with
/// unread data resets it, and the answer is lost with it; and the client's next request on this connection anyway.
pub(super) struct Rest(Option<BoxBody<Bytes, io::Error>>);

/// A body that two can read.
struct Lent(Arc<Mutex<BoxBody<Bytes, io::Error>>>);

impl Rest {
    /// The request keeps its body.
    pub(super) fn of(request: &mut Request) -> Self {
        let body: BoxBody<Bytes, io::Error> = request.take_body().into();
        // Who asks before sending gets the answer without having sent anything.
        if body.is_end_stream() || request.headers().contains_key(header::EXPECT) {
            request.set_body(body);
            return Self(None);
        }
        let body = Arc::new(Mutex::new(body));
        request.set_body(BoxBody::new(Lent(Arc::clone(&body))));
        Self(Some(BoxBody::new(Lent(body))))
    }

    /// Reads on and forgets.
    pub(super) async fn drain(self) {
        let Some(mut body) = self.0 else { return };
        let read_on = async {
            let mut left = DRAIN_BYTES;
            while let Some(Ok(frame)) = body.frame().await {
                left = left.saturating_sub(frame.into_data().map_or(0, |data| data.len() as u64));
                if left == 0 {
                    return;
                }
            }
        };
        // Whoever is too slow or sends too much loses the answer; nothing else depends on it.
        let _ = tokio::time::timeout(DRAIN_TIMEOUT, read_on).await;
    }
}

impl Body for Lent {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Pin::new(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).size_hint()
    }
}

/// Text that is no JSON.
pub(super) fn text_response(content_type: &'static str, text: impl Into<poem::Body>) -> Response {
    Response::builder().content_type(content_type).body(text)
}
