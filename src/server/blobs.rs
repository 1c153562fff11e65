//! Blobs: bytes that a client uploads once, by their digest, for tasks to come. They go to the disk as they arrive.

use std::io;
use std::time::Duration;

use http_body_util::BodyExt;
use http_body_util::combinators::BoxBody;
use hyper::body::Bytes;
use poem::http::{StatusCode, header};
use poem::{IntoResponse, Request, RequestBody, Response, Result};
use poem_openapi::registry::{
    MetaMediaType, MetaRequest, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry,
};
use poem_openapi::types::Type;
use poem_openapi::{ApiExtractor, ApiExtractorType, ApiResponse, ExtractParamOptions};

use super::Shared;
use super::access::Caller;
use super::body::{JSON, json_response};
use super::fault::Fault;
use super::raw::{BYTES, RawOutput};
use super::status::blocking;
use super::stored::{self, ByteRange};
use crate::api::{BlobResponse, Content};
use crate::blobs::{BlobError, Hold, Stored, Upload};
use crate::output::Log;
use crate::task::InvalidField;
use crate::task::blob::{BlobId, Digest};

/// So much is in memory before it is written.
const PIECE: usize = 256 * 1024;

/// A body that is read as it comes.
pub(super) struct Incoming {
    body: BoxBody<Bytes, io::Error>,
    length: Option<u64>,
}

/// A blob that is there now.
pub(super) struct Kept {
    is_new: bool,
    blob: BlobResponse,
}

pub(super) async fn put(shared: &Shared, by: &Caller, raw: &str, incoming: Incoming) -> Result<Kept, Fault> {
    let digest = known_digest(raw)?;
    let id = BlobId::new(digest, by.tenant());
    let Incoming { mut body, length } = incoming;
    let config = &shared.context.config;
    let (timeout_ms, max_bytes) = (config.server.body_timeout_ms, config.files.blob_max_bytes);
    if length.is_some_and(|length| length > max_bytes) {
        return Err(BlobError::TooLarge(max_bytes).into());
    }
    let blobs = shared.context.blobs.clone();
    let mut upload = blocking(move || blobs.upload()).await??;
    let mut piece = Vec::new();
    loop {
        // Of each frame, not of the whole: a large blob takes its time.
        let next = tokio::time::timeout(Duration::from_millis(timeout_ms), body.frame()).await;
        let frame = next.map_err(|_| Fault::BodyLate { timeout_ms })?;
        let is_end = frame.is_none();
        if let Some(frame) = frame
            && let Ok(data) = frame.map_err(|_| Fault::BodyBroken)?.into_data()
        {
            piece.extend_from_slice(&data);
        }
        if is_end || piece.len() >= PIECE {
            upload = write(upload, std::mem::take(&mut piece)).await?;
        }
        if is_end {
            break;
        }
    }
    let (is_new, size) = match blocking(move || upload.finish(&id)).await?? {
        Stored::New(size) => (true, size),
        Stored::Known(size) => (false, size),
        Stored::Other(found) => {
            let message = format!("must be the SHA-256 of the body, which is {found}");
            return Err(InvalidField::new("sha256", message).into());
        }
    };
    Ok(Kept { is_new, blob: BlobResponse { sha256: digest.to_string(), size } })
}

async fn write(mut upload: Upload, piece: Vec<u8>) -> Result<Upload, Fault> {
    Ok(blocking(move || upload.write(&piece).map(|()| upload)).await??)
}

pub(super) async fn get(shared: &Shared, by: &Caller, raw: &str, part: ByteRange) -> Result<RawOutput, Fault> {
    let digest = known_digest(raw)?;
    let (blobs, id) = (shared.context.blobs.clone(), BlobId::new(digest, by.tenant()));
    let found = blocking(move || blobs.find(&id)).await?.map_err(BlobError::from)?;
    let file = found.ok_or_else(|| Fault::NoBlob(digest.to_string()))?;
    stored::send(Log::from(file), BYTES, &format!("\"{digest}\""), &part)
}

/// Keeps what a request brings along and sees that the rest of what it names is there, for as long as the answer is held.
/// Nothing where it names nothing.
pub(super) async fn hold(shared: &Shared, by: &Caller, contents: Vec<Content>) -> Result<Option<Hold>, Fault> {
    if contents.is_empty() {
        return Ok(None);
    }
    let (blobs, giver) = (shared.context.blobs.clone(), by.tenant().map(str::to_owned));
    blocking(move || {
        let mut hold = blobs.hold();
        for Content { field, digest, bytes } in contents {
            let id = BlobId::new(digest, giver.as_deref());
            match bytes {
                Some(bytes) => hold.keep(&id, &bytes)?,
                None if hold.add(&id).map_err(BlobError::from)? => {}
                None => {
                    let message = "names no blob that is here; upload it with PUT /api/v1/blobs/{sha256}";
                    return Err(InvalidField::new(field + ".blob", message).into());
                }
            }
        }
        Ok(Some(hold))
    })
    .await?
}

fn known_digest(raw: &str) -> Result<Digest, InvalidField> {
    let message = "must be a SHA-256: 64 hexadecimal digits, in lower case";
    Digest::parse(raw).ok_or_else(|| InvalidField::new("sha256", message))
}

impl<'a> ApiExtractor<'a> for Incoming {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn request_meta() -> Option<MetaRequest> {
        let schema = MetaSchemaRef::Inline(Box::new(MetaSchema::new_with_format("string", "binary")));
        let content = vec![MetaMediaType { content_type: BYTES, schema }];
        Some(MetaRequest { description: None, content, required: true })
    }

    /// Whatever it is declared as: it is kept as it is.
    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> Result<Self> {
        let length = request.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse().ok());
        let body = body.take().map_err(|error| Fault::Other(error.to_string()))?;
        Ok(Self { body: body.into(), length })
    }
}

impl IntoResponse for Kept {
    fn into_response(self) -> Response {
        let mut response = json_response(&self.blob);
        response.set_status(if self.is_new { StatusCode::CREATED } else { StatusCode::OK });
        response
    }
}

impl ApiResponse for Kept {
    fn meta() -> MetaResponses {
        let response = |status, description| {
            let content = vec![MetaMediaType { content_type: JSON, schema: BlobResponse::schema_ref() }];
            MetaResponse { description, status: Some(status), status_range: None, content, headers: Vec::new() }
        };
        MetaResponses { responses: vec![response(200, ""), response(201, "It was not there before.")] }
    }

    fn register(registry: &mut Registry) {
        BlobResponse::register(registry);
    }
}
