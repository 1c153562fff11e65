//! A file that nobody changes any more, as an answer: all of it or the part that is asked for, piece by piece.

use std::io::{self, ErrorKind};

use futures_util::stream;
use hyper::body::Bytes;
use poem::http::{StatusCode, header};
use poem::{Body, Response};

use super::fault::Fault;
use super::range::{Found, Span};
use super::raw::RawOutput;
use crate::output::Log;

/// Of one client there are about three in memory when it does not read.
const PIECE: u64 = 64 * 1024;

/// What of the file is asked for: the headers `Range` and `If-Range`.
#[derive(Debug)]
pub(super) struct ByteRange {
    pub(super) range: Option<String>,
    pub(super) if_range: Option<String>,
}

pub(super) fn send(file: Log, content_type: &str, etag: &str, part: &ByteRange) -> Result<RawOutput, Fault> {
    let length = file.length().map_err(Fault::Output)?;
    let holds = part.if_range.as_deref().is_none_or(|condition| condition.trim() == etag);
    let span = part.range.as_deref().filter(|_| holds).and_then(Span::parse);
    let mut response = Response::builder().content_type(content_type).header(header::ACCEPT_RANGES, "bytes");
    response = response.header(header::ETAG, etag);
    let (start, end) = match span.map(|span| span.within(length)) {
        None | Some(Found::Whole) => (0, length),
        Some(Found::Nothing) => return Err(Fault::Range { length }),
        Some(Found::Part(first, last)) => {
            let range = format!("bytes {first}-{last}/{length}");
            response = response.status(StatusCode::PARTIAL_CONTENT).header(header::CONTENT_RANGE, range);
            (first, last + 1)
        }
    };
    response = response.header(header::CONTENT_LENGTH, end - start);
    let pieces = stream::unfold((file, start), move |(file, at)| async move {
        let piece = read(&file, at, end).await.transpose()?;
        let next = at + piece.as_ref().map_or(0, |piece| piece.len() as u64);
        Some((piece, (file, next)))
    });
    Ok(RawOutput(response.body(Body::from_bytes_stream(pieces))))
}

/// None at the end.
async fn read(file: &Log, at: u64, end: u64) -> io::Result<Option<Bytes>> {
    let most = usize::try_from((end - at).min(PIECE)).unwrap_or(usize::MAX);
    if most == 0 {
        return Ok(None);
    }
    let bytes = file.read_at(at, most).await?;
    // What was promised is not there any more: the client is to know that this is not all.
    if bytes.is_empty() { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(Some(bytes.into())) }
}
