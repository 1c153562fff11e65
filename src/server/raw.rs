//! Raw output of a task: all of a stream, a part, its last lines; as it is, or as it grows until the task has ended. It is
//! sent piece by piece, at the pace of the client.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use futures_util::stream;
use hyper::body::Bytes;
use poem::http::{StatusCode, header};
use poem::{Body, IntoResponse, Response};
use poem_openapi::ApiResponse;
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry};

use super::Shared;
use super::access::Caller;
use super::fault::Fault;
use super::range::{Found, Span};
use super::status::{blocking, known_id, read};
use super::tap::Tap;
use crate::dispatcher::Subscription;
use crate::output;
use crate::task::exit::OutputStream;
use crate::task::validate::MAX_INTEGER;
use crate::task::{InvalidField, Task};

pub(super) const BYTES: &str = "application/octet-stream";
/// Where in the stream the body begins: who has read so many bytes of it goes on behind them.
pub(super) const OFFSET: &str = "x-execgo-offset";
/// Of one client there are about three in memory when it does not read.
const PIECE: usize = 32 * 1024;
/// For the end of what is still growing (RFC 8673): larger than any log.
const VERY_LARGE: u64 = MAX_INTEGER;

/// What a client asks for.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) stream: OutputStream,
    pub(super) tail_lines: Option<u64>,
    pub(super) follow: bool,
    pub(super) range: Option<String>,
    pub(super) if_range: Option<String>,
}

/// Bytes.
pub(super) struct RawOutput(pub(super) Response);

/// The part that is sent; `end` is not part of it.
struct Part {
    start: u64,
    end: Option<u64>,
    is_partial: bool,
}

pub(super) async fn output(
    shared: &Arc<Shared>,
    by: &Caller,
    raw_id: &str,
    wanted: Wanted,
) -> Result<RawOutput, Fault> {
    let id = known_id(raw_id)?;
    // Before the first look, so that no end falls between the look and the wait.
    let changes = shared.context.dispatcher.subscribe(&id);
    let task = read(shared, by, id.clone()).await?;
    let has_ended = task.status().is_terminal();
    let mut tap = Tap::new(shared, &id, wanted.stream);
    tap.open().await?;
    let etag = if has_ended { etag(&tap)? } else { None };
    let part = part(&tap, &wanted, has_ended, etag.as_deref()).await?;
    tap.offset = part.start;
    let length = tap.length()?;
    let mut response = Response::builder().content_type(BYTES).header(header::ACCEPT_RANGES, "bytes");
    response = response.header(OFFSET, part.start);
    if part.is_partial {
        let last = part.end.map_or(VERY_LARGE, |end| end - 1);
        let whole = if wanted.follow { "*".to_owned() } else { length.to_string() };
        let range = format!("bytes {}-{last}/{whole}", part.start);
        response = response.status(StatusCode::PARTIAL_CONTENT).header(header::CONTENT_RANGE, range);
    }
    if let Some(etag) = etag.filter(|_| wanted.tail_lines.is_none()) {
        response = response.header(header::ETAG, etag);
    }
    let body = if wanted.follow {
        let (shared, by) = (Arc::clone(shared), by.clone());
        let follow = Follow { shared, by, task, changes, tap, end: part.end, has_ended };
        Body::from_bytes_stream(stream::unfold(follow, |follow| sent(follow, Follow::next)))
    } else {
        let end = part.end.unwrap_or(length);
        response = response.header(header::CONTENT_LENGTH, end.saturating_sub(part.start));
        let reading = Reading { tap, end };
        Body::from_bytes_stream(stream::unfold(reading, |reading| sent(reading, Reading::next)))
    };
    Ok(RawOutput(response.body(body)))
}

/// Names the content of a log that nobody writes any more.
fn etag(tap: &Tap) -> Result<Option<String>, Fault> {
    let version = tap.log().map(output::Log::version).transpose().map_err(Fault::Output)?;
    Ok(version.map(|(length, written)| format!("\"{length:x}-{written:x}\"")))
}

async fn part(tap: &Tap, wanted: &Wanted, has_ended: bool, etag: Option<&str>) -> Result<Part, Fault> {
    // A condition that does not hold takes the range with it, and so does a date, for there is none to compare with.
    let holds = wanted.if_range.as_deref().is_none_or(|condition| etag == Some(condition.trim()));
    let span = wanted.range.as_deref().filter(|_| holds).and_then(Span::parse);
    let whole = Part { start: 0, end: None, is_partial: false };
    if let Some(lines) = wanted.tail_lines {
        if wanted.range.is_some() {
            return Err(InvalidField::new("tail_lines", "cannot be combined with the header Range").into());
        }
        let Some(log) = tap.log().cloned() else { return Ok(whole) };
        let start = blocking(move || output::start_of_last_lines(&log, lines)).await?.map_err(Fault::Output)?;
        return Ok(Part { start, ..whole });
    }
    let Some(span) = span else { return Ok(whole) };
    let length = tap.length()?;
    if wanted.follow && !has_ended {
        // What lies behind the end may come yet.
        let (start, end) = match span {
            Span::From(first) => (first, None),
            Span::Between(first, last) => (first, Some(last.saturating_add(1))),
            Span::Last(count) => (length.saturating_sub(count), None),
        };
        return Ok(Part { start, end, is_partial: true });
    }
    match span.within(length) {
        Found::Whole => Ok(whole),
        Found::Part(first, last) => Ok(Part { start: first, end: Some(last + 1), is_partial: true }),
        Found::Nothing => Err(Fault::Range { length }),
    }
}

/// One step of a body.
async fn sent<S, F>(mut source: S, next: F) -> Option<(io::Result<Bytes>, S)>
where
    F: AsyncFnOnce(&mut S) -> Result<Vec<u8>, Fault>,
{
    match next(&mut source).await {
        Ok(bytes) if bytes.is_empty() => None,
        Ok(bytes) => Some((Ok(bytes.into()), source)),
        Err(Fault::Unavailable(reason)) => Some((Err(io::Error::other(reason)), source)),
        Err(fault) => {
            // The status is on its way: what is left is to break off, so that the client knows that this is not all.
            tracing::error!(%fault, "the output of a task could not be sent to its end");
            Some((Err(io::Error::other(fault.to_string())), source))
        }
    }
}

/// What is there, up to an end.
struct Reading {
    tap: Tap,
    end: u64,
}

impl Reading {
    /// None at the end.
    async fn next(&mut self) -> Result<Vec<u8>, Fault> {
        let bytes = self.tap.peek(at_most(self.tap.offset, Some(self.end))).await?;
        self.tap.offset += bytes.len() as u64;
        if bytes.is_empty() && self.tap.offset < self.end {
            return Err(Fault::Output(ErrorKind::UnexpectedEof.into()));
        }
        Ok(bytes)
    }
}

/// What is there and what comes, until the task has ended and all is sent.
struct Follow {
    shared: Arc<Shared>,
    by: Caller,
    task: Task,
    changes: Subscription,
    tap: Tap,
    end: Option<u64>,
    /// Then nothing more is written.
    has_ended: bool,
}

impl Follow {
    /// None at the end.
    async fn next(&mut self) -> Result<Vec<u8>, Fault> {
        loop {
            let most = at_most(self.tap.offset, self.end);
            let bytes = if most == 0 { Vec::new() } else { self.tap.peek(most).await? };
            self.tap.offset += bytes.len() as u64;
            // The end was known before the log was read: nothing was written in between.
            if !bytes.is_empty() || self.has_ended || most == 0 {
                return Ok(bytes);
            }
            tokio::select! {
                () = self.tap.written() => {}
                () = self.changes.changed() => {
                    self.has_ended = has_ended(&self.shared, &self.by, &self.task).await?;
                    self.tap.open().await?;
                }
                () = self.shared.shutdown.cancelled() => return Err(crate::dispatcher::Unavailable::Draining.into()),
            }
        }
    }
}

/// Also when it is forgotten, and its name is another's.
async fn has_ended(shared: &Shared, by: &Caller, task: &Task) -> Result<bool, Fault> {
    match read(shared, by, task.id().clone()).await {
        Ok(now) => Ok(now.status().is_terminal() || now.head().seq != task.head().seq),
        Err(Fault::NoTask(_)) => Ok(true),
        Err(fault) => Err(fault),
    }
}

/// How much is to be read at the offset.
fn at_most(offset: u64, end: Option<u64>) -> usize {
    let left = end.map_or(u64::MAX, |end| end.saturating_sub(offset));
    usize::try_from(left).unwrap_or(usize::MAX).min(PIECE)
}

impl IntoResponse for RawOutput {
    fn into_response(self) -> Response {
        self.0
    }
}

impl ApiResponse for RawOutput {
    fn meta() -> MetaResponses {
        let response = |status, description| {
            let schema = MetaSchemaRef::Inline(Box::new(MetaSchema::new_with_format("string", "binary")));
            let content = vec![MetaMediaType { content_type: BYTES, schema }];
            MetaResponse { description, status: Some(status), status_range: None, content, headers: Vec::new() }
        };
        MetaResponses { responses: vec![response(200, ""), response(206, "The part that `Range` asks for.")] }
    }

    fn register(_registry: &mut Registry) {}
}
