//! The outermost layer: every answer gets its request id, every failure its envelope, and both are counted.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use poem::endpoint::BoxEndpoint;
use poem::error::{MethodNotAllowedError, NotFoundError};
use poem::http::uri::PathAndQuery;
use poem::http::{HeaderValue, Method, Uri, header};
use poem::{Endpoint, Request, Response};

use super::access::Access;
use super::body::Rest;
use super::fault::Fault;
use super::file_path;
use super::table::{Route, Table};
use crate::metrics::Metrics;

pub(super) const REQUEST_ID: &str = "x-request-id";
/// The name in the metrics of every path that is none of ours.
const NO_ROUTE: &str = "none";

pub(super) struct Edge {
    inner: BoxEndpoint<'static>,
    table: Table,
    access: Access,
    metrics: Arc<Metrics>,
}

/// A request as it came in.
struct Asked<'a> {
    started: Instant,
    request_id: String,
    method: Method,
    route: Option<&'a Route>,
}

impl Edge {
    pub(super) fn new(inner: BoxEndpoint<'static>, access: Access, metrics: Arc<Metrics>) -> Self {
        Self { inner, table: Table::new(), access, metrics }
    }

    /// Always an answer.
    pub(super) async fn answer(&self, mut request: Request) -> Response {
        let started = Instant::now();
        let request_id = uuid::Uuid::new_v4().hyphenated().to_string();
        let method = request.method().clone();
        if let Some(folded) = file_path::folded(request.uri()) {
            *request.uri_mut() = folded;
        }
        let route = self.table.find(request.uri().path(), &method);
        let rest = Rest::of(&mut request);
        let result = self.call(route, request).await;
        // Whoever was too slow gets no more time.
        if !matches!(result, Err(Fault::BodyLate { .. })) {
            rest.drain().await;
        }
        self.finish(result, Asked { started, request_id, method, route })
    }

    /// The answer to a request from inside a sandbox: no.
    pub(super) fn refuse_task(&self, request: &Request) -> Response {
        let started = Instant::now();
        let request_id = uuid::Uuid::new_v4().hyphenated().to_string();
        let route = self.table.find(request.uri().path(), request.method());
        self.finish(Err(Fault::FromTask), Asked { started, request_id, method: request.method().clone(), route })
    }

    fn finish(&self, result: Result<Response, Fault>, asked: Asked<'_>) -> Response {
        let Asked { started, request_id, method, route } = asked;
        let mut response = match result {
            Ok(response) => response,
            Err(fault) => {
                fault.log(&request_id);
                poem::IntoResponse::into_response(fault)
            }
        };
        let (status, duration) = (response.status().as_u16(), started.elapsed());
        let template = route.map_or(NO_ROUTE, |route| route.template.as_str());
        self.metrics.observe_http(template, method_label(&method), status, duration);
        tracing::debug!(request_id, %method, route = template, status, ?duration, "answered a request");
        if let Ok(value) = HeaderValue::from_str(&request_id) {
            response.headers_mut().insert(REQUEST_ID, value);
        }
        response
    }

    async fn call(&self, route: Option<&Route>, mut request: Request) -> Result<Response, Fault> {
        let route = route.ok_or(Fault::NoPath)?;
        let caller = self.access.admit(&route.template, &request)?;
        if let Some(token) = caller.name() {
            tracing::debug!(token, route = route.template, "let a request in");
        }
        request.extensions_mut().insert(caller);
        route.check_query(&request)?;
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        if self.table.is_shadowed(route, &path) {
            *request.uri_mut() = escaped(request.uri());
        }
        if method == Method::HEAD {
            // It belongs to GET alone (RFC 9110, section 14.2), and poem makes a GET of a HEAD.
            request.headers_mut().remove(header::RANGE);
        }
        match without_panic(self.inner.call(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(fault_of(error, &method, || self.table.allow(&path))),
            Err(panic) => Err(Fault::Panicked(panic)),
        }
    }
}

/// The same path, its last segment written so that poem, whose router goes by the path alone, takes it for a parameter.
fn escaped(uri: &Uri) -> Uri {
    let whole = uri.path_and_query().map_or("", PathAndQuery::as_str);
    let (path, query) = whole.split_at(uri.path().len());
    let begin = path.rfind('/').map_or(0, |slash| slash + 1);
    let Some(first) = path.as_bytes().get(begin) else { return uri.clone() };
    let (before, after) = (&path[..begin], path.get(begin + 1..).unwrap_or_default());
    format!("{before}%{first:02X}{after}{query}").parse().unwrap_or_else(|_| uri.clone())
}

/// What poem and poem-openapi refuse before a handler runs.
fn fault_of(error: poem::Error, method: &Method, allow: impl FnOnce() -> Vec<String>) -> Fault {
    let error = match error.downcast::<Fault>() {
        Ok(fault) => return fault,
        Err(error) => error,
    };
    if error.is::<MethodNotAllowedError>() {
        return Fault::Method { method: method.to_string(), allow: allow() };
    }
    // A path segment that is not UTF-8 is the name of nothing, whoever of the two finds out.
    let no_text = error.is::<poem::error::ParsePathError>() || error.is::<poem_openapi::error::ParsePathError>();
    if no_text || error.is::<NotFoundError>() {
        return Fault::NoPath;
    }
    Fault::Other(error.to_string())
}

/// The future's output, or what it said when it panicked.
async fn without_panic<F: Future>(future: F) -> Result<F::Output, String> {
    let mut future = pin!(future);
    // Unwind safety: nothing of the future is used after a panic, and what handlers share has no broken states.
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(poll) => poll.map(Ok),
        Err(panic) => Poll::Ready(Err(panic_message(panic.as_ref()))),
    })
    .await
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

/// Clients can invent methods; the metrics know the usual ones.
fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}
