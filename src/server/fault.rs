//! From a failure to the answer that the client gets: status, code, message, details. The one place that knows.

use std::error::Error as StdError;

use poem::error::ResponseError;
use poem::http::{StatusCode, header};
use poem::{IntoResponse, Response};
use poem_openapi::ApiResponse;
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, Registry};
use poem_openapi::types::Type;
use serde_json::{Value, json};

use crate::api::error::ErrorInfo;
use crate::api::{ErrorCode, ErrorEnvelope, Malformed};
use crate::blobs::BlobError;
use crate::capability::Unsupported;
use crate::config::Role;
use crate::dispatcher::{DeleteError, KillError, SubmitError, Unavailable};
use crate::ledger::{NeverFits, Shortage};
use crate::store::StoreError;
use crate::task::schedule::path_of_dependency;
use crate::task::{InvalidField, Status};

/// How long a client that met a full queue should wait, in seconds.
const RETRY_AFTER_SECS: &str = "1";
/// What a client hears about a fault that is ours; the log has the rest.
const INTERNAL: &str = "the runtime failed to answer; its log says more under the id of the header x-request-id";

/// Why a request gets no 200.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("{} {}", .0.path, .0.message)]
    InvalidField(InvalidField),
    #[error("the request body could not be read to its end")]
    BodyBroken,
    #[error("the request body did not arrive within {timeout_ms} ms")]
    BodyLate { timeout_ms: u64 },
    #[error("the request body is larger than {max_bytes} bytes, which is what this server accepts")]
    BodyTooLarge { max_bytes: u64 },
    #[error("the content type of the request body must be application/json, {}", found.as_ref().map_or_else(
        || "and the request names none".to_owned(), |found| format!("not {found:?}")))]
    MediaType { found: Option<String> },
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
    #[error(transparent)]
    Submit(#[from] SubmitError),
    #[error(transparent)]
    Kill(#[from] KillError),
    #[error(transparent)]
    Delete(#[from] DeleteError),
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    #[error("no task has the task_id {0:?}")]
    NoTask(String),
    #[error("the request of the task {0:?} was not kept")]
    NoRequest(String),
    #[error("cannot read the request of a task")]
    Request(#[source] std::io::Error),
    #[error("there is nothing at this path; /openapi.json lists the paths")]
    NoPath,
    #[error("the method {method} is not allowed at this path; allowed are {}", allow.join(", "))]
    Method { method: String, allow: Vec<String> },
    #[error("the range begins behind the end: there are {length} bytes")]
    Range { length: u64 },
    #[error("cannot read the store")]
    Store(#[from] StoreError),
    #[error("cannot read the output of a task")]
    Output(#[source] std::io::Error),
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error("task {task_id} has not ended (its status is {}): its files are collected at its end", status.as_str())]
    NotEnded { task_id: String, status: Status },
    #[error("the task has left no file {0:?}")]
    NoFile(String),
    #[error("there is no blob {0}")]
    NoBlob(String),
    #[error("a handler panicked: {0}")]
    Panicked(String),
    /// Or the connection of somebody who had gone before it was accepted.
    #[error("the runtime's API is closed to its own sandboxed tasks")]
    FromTask,
    #[error(
        "the host name {0:?} is none of this server's; the key access.allowed_hosts of its configuration names them"
    )]
    Host(String),
    #[error(
        "web pages of {0:?} may not send requests to this server; the key access.allowed_origins of its configuration \
             names those that may"
    )]
    Origin(String),
    #[error("{0}")]
    Unauthenticated(&'static str),
    #[error("the role of this token is `{}`, and this needs `{}`", has.as_str(), needs.as_str())]
    Role { has: Role, needs: Role },
    #[error("this is about the whole runtime, and the token is for the tasks of one tenant")]
    OneTenant,
    #[error("control_context.tenant must be {own:?} or missing: this token is for that tenant's tasks")]
    OtherTenant { own: String },
    #[error("a task with task_id {0} already exists")]
    TakenId(String),
    #[error("the header Idempotency-Key is that of another request; a new request needs a new key")]
    KeyOfAnother,
    #[error("the task_id {0} stands twice in the batch")]
    TwiceInBatch(String),
    /// Of a batch, the task at this place.
    #[error("tasks[{index}]: {fault}")]
    InBatch { index: usize, fault: Box<Self> },
    #[error("more than {requests_per_second} requests a second with this token")]
    TooOften { requests_per_second: u32 },
    #[error("{0}")]
    Other(String),
}

impl From<InvalidField> for Fault {
    fn from(field: InvalidField) -> Self {
        Self::InvalidField(field)
    }
}

/// Status and code of an answer, and details where there are some.
struct Verdict(StatusCode, ErrorCode, Option<Value>);

impl Fault {
    fn verdict(&self) -> Verdict {
        let plain = |status, code| Verdict(status, code, None);
        match self {
            Self::Malformed(Malformed::Field(field)) | Self::InvalidField(field) => {
                let details = (!field.path.is_empty()).then(|| json!({"field": field.path}));
                Verdict(StatusCode::BAD_REQUEST, ErrorCode::InvalidInput, details)
            }
            Self::Malformed(Malformed::Empty | Malformed::Encoding(_) | Malformed::Syntax(_))
            | Self::BodyBroken
            | Self::BodyLate { .. } => plain(StatusCode::BAD_REQUEST, ErrorCode::InvalidInput),
            Self::BodyTooLarge { max_bytes } => {
                let details = Some(json!({"max_body_bytes": max_bytes}));
                Verdict(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::PayloadTooLarge, details)
            }
            Self::MediaType { .. } => plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, ErrorCode::UnsupportedMediaType),
            Self::Unsupported(Unsupported { missing }) => {
                let details = Some(json!({"missing": missing}));
                Verdict(StatusCode::BAD_REQUEST, ErrorCode::UnsupportedCapability, details)
            }
            Self::Submit(error) => refused(error),
            Self::Unauthenticated(_) => plain(StatusCode::UNAUTHORIZED, ErrorCode::Unauthenticated),
            Self::TooOften { requests_per_second } => {
                let details = Some(json!({"requests_per_second": requests_per_second}));
                Verdict(StatusCode::TOO_MANY_REQUESTS, ErrorCode::ResourceLimitExceeded, details)
            }
            Self::KeyOfAnother => plain(StatusCode::CONFLICT, ErrorCode::Conflict),
            Self::InBatch { index, fault } => {
                let Verdict(status, code, details) = fault.verdict();
                let mut details = details.unwrap_or_else(|| json!({}));
                details["index"] = json!(index);
                Verdict(status, code, Some(details))
            }
            Self::TakenId(task_id) | Self::TwiceInBatch(task_id) => {
                Verdict(StatusCode::CONFLICT, ErrorCode::Conflict, Some(json!({"task_id": task_id})))
            }
            Self::FromTask
            | Self::Role { .. }
            | Self::OneTenant
            | Self::OtherTenant { .. }
            | Self::Host(_)
            | Self::Origin(_) => plain(StatusCode::FORBIDDEN, ErrorCode::PermissionDenied),
            Self::Kill(error) => match error {
                KillError::NotFound(_) => plain(StatusCode::NOT_FOUND, ErrorCode::NotFound),
                KillError::NotOwner => plain(StatusCode::FORBIDDEN, ErrorCode::PermissionDenied),
                KillError::Unavailable(_) => plain(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unavailable),
            },
            Self::Delete(error) => match error {
                DeleteError::NotFound(_) => plain(StatusCode::NOT_FOUND, ErrorCode::NotFound),
                DeleteError::NotOwner => plain(StatusCode::FORBIDDEN, ErrorCode::PermissionDenied),
                DeleteError::NotEnded { task_id, status } => {
                    let details = Some(json!({"task_id": task_id, "status": status}));
                    Verdict(StatusCode::CONFLICT, ErrorCode::Conflict, details)
                }
                DeleteError::Awaited(_) | DeleteError::Unavailable(_) => {
                    plain(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unavailable)
                }
            },
            Self::Unavailable(_) | Self::Store(StoreError::Sqlite { .. }) => {
                plain(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unavailable)
            }
            Self::Blob(BlobError::TooLarge(most)) => {
                let details = Some(json!({"blob_max_bytes": most}));
                Verdict(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::PayloadTooLarge, details)
            }
            Self::Blob(BlobError::Full(most)) => {
                let details = Some(json!({"blobs_max_bytes": most}));
                Verdict(StatusCode::TOO_MANY_REQUESTS, ErrorCode::ResourceLimitExceeded, details)
            }
            Self::NotEnded { task_id, status } => {
                let details = Some(json!({"task_id": task_id, "status": status}));
                Verdict(StatusCode::CONFLICT, ErrorCode::Conflict, details)
            }
            Self::NoTask(_) | Self::NoRequest(_) | Self::NoPath | Self::NoBlob(_) | Self::NoFile(_) => {
                plain(StatusCode::NOT_FOUND, ErrorCode::NotFound)
            }
            Self::Method { allow, .. } => {
                Verdict(StatusCode::METHOD_NOT_ALLOWED, ErrorCode::MethodNotAllowed, Some(json!({"allow": allow})))
            }
            Self::Range { length } => {
                let details = Some(json!({"length": length}));
                Verdict(StatusCode::RANGE_NOT_SATISFIABLE, ErrorCode::RangeNotSatisfiable, details)
            }
            Self::Store(
                StoreError::Create { .. }
                | StoreError::Damaged { .. }
                | StoreError::Stale { .. }
                | StoreError::Newer { .. },
            )
            | Self::Output(_)
            | Self::Blob(BlobError::Io(_))
            | Self::Request(_)
            | Self::Panicked(_)
            | Self::Other(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::Internal),
        }
    }

    /// The fault of the task at this place of a batch; what concerns the whole batch stays as it is.
    pub(super) fn of_batch(self, index: usize) -> Self {
        match self {
            Self::InvalidField(InvalidField { path, message }) => {
                Self::InvalidField(InvalidField { path: format!("tasks[{index}].{path}"), message })
            }
            Self::Submit(SubmitError::QueueFull { .. } | SubmitError::Unavailable(_)) => self,
            fault => Self::InBatch { index, fault: Box::new(fault) },
        }
    }

    /// What a client is told, where it is told of more than this.
    pub(super) fn info(&self) -> ErrorInfo {
        let Verdict(_, code, details) = self.verdict();
        ErrorInfo { code, message: self.message(), details }
    }

    /// What the client reads. A fault of ours says nothing of our insides.
    fn message(&self) -> String {
        match self {
            Self::Store(StoreError::Sqlite { .. }) => Unavailable::Storage.to_string(),
            _ if self.is_ours() => INTERNAL.to_owned(),
            _ => self.to_string(),
        }
    }

    fn is_ours(&self) -> bool {
        self.status() == StatusCode::INTERNAL_SERVER_ERROR
    }

    /// Logs what the client does not hear: once, here.
    pub(super) fn log(&self, request_id: &str) {
        if !self.status().is_server_error() {
            return tracing::debug!(request_id, fault = %self, "refused a request");
        }
        let mut causes = Vec::new();
        let mut source = self.source();
        while let Some(cause) = source {
            causes.push(cause.to_string());
            source = cause.source();
        }
        tracing::error!(request_id, fault = %self, causes = causes.join(": "), "failed to answer a request");
    }
}

fn refused(error: &SubmitError) -> Verdict {
    match error {
        SubmitError::Conflict { task_id, status, tenant: _ } => {
            let details = json!({"task_id": task_id, "status": status});
            Verdict(StatusCode::CONFLICT, ErrorCode::Conflict, Some(details))
        }
        SubmitError::UnknownDependency { index, .. } => {
            let details = json!({"field": path_of_dependency(*index)});
            Verdict(StatusCode::BAD_REQUEST, ErrorCode::InvalidInput, Some(details))
        }
        SubmitError::NeverFits(never) => {
            let (Shortage { what, asked, limit }, tenant) = match never {
                NeverFits::Runtime(shortage) => (shortage, None),
                NeverFits::Tenant { tenant, shortage } => (shortage, Some(tenant)),
            };
            let mut details = json!({"what": what, "asked": asked, "limit": limit});
            if let Some(tenant) = tenant {
                details["tenant"] = json!(tenant);
            }
            Verdict(StatusCode::BAD_REQUEST, ErrorCode::InsufficientResources, Some(details))
        }
        SubmitError::QueueFull { max_queued_tasks } => {
            let details = json!({"max_queued_tasks": max_queued_tasks});
            Verdict(StatusCode::TOO_MANY_REQUESTS, ErrorCode::ResourceLimitExceeded, Some(details))
        }
        SubmitError::Unavailable(_) => Verdict(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unavailable, None),
    }
}

impl ResponseError for Fault {
    fn status(&self) -> StatusCode {
        self.verdict().0
    }

    fn as_response(&self) -> Response {
        let status = self.status();
        let mut response = super::body::json_response(&ErrorEnvelope { error: self.info() });
        response.set_status(status);
        let headers = response.headers_mut();
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            headers.insert(header::RETRY_AFTER, header::HeaderValue::from_static(RETRY_AFTER_SECS));
        }
        if matches!(self, Self::Unauthenticated(_)) {
            headers.insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
        }
        if let Self::Method { allow, .. } = self
            && let Ok(allow) = header::HeaderValue::from_str(&allow.join(", "))
        {
            headers.insert(header::ALLOW, allow);
        }
        if let Self::Range { length } = self
            && let Ok(range) = header::HeaderValue::from_str(&format!("bytes */{length}"))
        {
            headers.insert(header::CONTENT_RANGE, range);
        }
        response
    }
}

/// The document gets the envelope once for each operation; `document::failures` says for which statuses it stands.
impl ApiResponse for Fault {
    fn meta() -> MetaResponses {
        let schema = ErrorEnvelope::schema_ref();
        let content = vec![MetaMediaType { content_type: super::body::JSON, schema }];
        let any = MetaResponse { description: "", status: None, status_range: None, content, headers: Vec::new() };
        MetaResponses { responses: vec![any] }
    }

    fn register(registry: &mut Registry) {
        ErrorEnvelope::register(registry);
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        self.as_response()
    }
}
