//! The stream of a task, as server-sent events: what it writes, its events and its status as they come, and last that it has
//! ended. Everything is read when the client takes it, so that a slow client costs no memory, and a client that comes again
//! gets what it has not seen, from whichever server has the task then.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream;
use hyper::body::Bytes;
use poem::http::{StatusCode, header};
use poem::{Body, IntoResponse, Response};
use poem_openapi::ApiResponse;
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::Type;
use serde::Serialize;

use super::Shared;
use super::access::Caller;
use super::cursor::Cursor;
use super::fault::Fault;
use super::status::{blocking, known_id};
use super::tap::Tap;
use crate::api::EventRecord;
use crate::api::row::TaskRow;
use crate::api::stream::{OutputPiece, StreamEnd};
use crate::dispatcher::Subscription;
use crate::output::text::whole_characters;
use crate::task::exit::OutputStream;
use crate::task::{Event, EventType, InvalidField, Task, TaskId};

pub(super) const EVENT_STREAM: &str = "text/event-stream";
/// Of output in one event. Escaped it may be six times as long.
const PIECE: usize = 8 * 1024;
/// Without anything to tell, so that whatever is in between does not take the connection for dead.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(15);
const STREAMS: [OutputStream; 2] = [OutputStream::Stdout, OutputStream::Stderr];

/// Server-sent events, or nothing for a client that has seen all of them.
pub(super) struct EventStream(Response);

pub(super) async fn stream(
    shared: &Arc<Shared>,
    by: &Caller,
    raw_id: &str,
    last_event_id: Option<String>,
) -> Result<EventStream, Fault> {
    let id = known_id(raw_id)?;
    // Before the first look, so that no change falls between the look and the wait.
    let changes = shared.context.dispatcher.subscribe(&id);
    let resumed = last_event_id.as_deref().map(|id| Cursor::parse(id).ok_or_else(no_id_of_this_stream)).transpose()?;
    let seen = resumed.map_or(0, |cursor| cursor.event);
    let history = history(shared, &id, seen).await?.filter(|(task, _)| by.sees(task));
    let (task, events) = history.ok_or_else(|| Fault::NoTask(id.to_string()))?;
    let cursor = resumed.unwrap_or_else(|| Cursor::start(task.head().seq));
    if cursor.task != task.head().seq {
        return Err(no_id_of_this_stream().into());
    }
    if cursor.has_ended {
        // That tells a browser not to come again.
        return Ok(EventStream(StatusCode::NO_CONTENT.into_response()));
    }
    let taps = STREAMS.map(|stream| Tap::new(shared, &id, stream));
    let mut feed = Feed {
        shared: Arc::clone(shared),
        changes,
        taps,
        next_tap: 0,
        cursor,
        status: cursor.status,
        last: Vec::new().into(),
        events: VecDeque::new(),
        task,
        is_over: false,
    };
    for (tap, offset) in feed.taps.iter_mut().zip(cursor.output) {
        tap.offset = offset;
    }
    feed.take(events);
    feed.open().await?;
    Ok(EventStream(event_stream(Body::from_bytes_stream(stream::unfold(feed, frame)))))
}

pub(super) fn event_stream(body: Body) -> Response {
    Response::builder().content_type(EVENT_STREAM).header(header::CACHE_CONTROL, "no-store").body(body)
}

fn no_id_of_this_stream() -> InvalidField {
    InvalidField::new("Last-Event-ID", "is not the id of anything that the stream of this task has told")
}

async fn frame(mut feed: Feed) -> Option<(io::Result<Bytes>, Feed)> {
    match feed.next().await {
        Ok(frame) => frame.map(|frame| (Ok(frame), feed)),
        Err(fault) => {
            tracing::error!(%fault, "the stream of a task was broken off");
            Some((Err(io::Error::other(fault.to_string())), feed))
        }
    }
}

/// The task and its events behind `seen`, as of one moment.
async fn history(shared: &Shared, id: &TaskId, seen: u64) -> Result<Option<(Task, Vec<Event>)>, Fault> {
    let (readers, id) = (shared.context.readers.clone(), id.clone());
    Ok(blocking(move || readers.history(&id, seen)).await??)
}

struct Feed {
    shared: Arc<Shared>,
    changes: Subscription,
    task: Task,
    /// What the client has.
    cursor: Cursor,
    /// To be told before any more output.
    events: VecDeque<Event>,
    /// Those of the end: to be told when all output is.
    last: VecDeque<Event>,
    /// `seq` of the last event that `task` knows of.
    status: u64,
    taps: [Tap; 2],
    /// Each has its turn.
    next_tap: usize,
    is_over: bool,
}

impl Feed {
    /// What is to be told next; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        loop {
            if self.is_over {
                return Ok(None);
            }
            let has_ended = self.task.status().is_terminal();
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(self.event(event)));
            }
            if !has_ended && self.cursor.status < self.status {
                return self.status().map(Some);
            }
            if let Some(output) = self.output(has_ended).await? {
                return Ok(Some(output));
            }
            if has_ended {
                return self.end().map(Some);
            }
            if let Some(frame) = self.wait().await? {
                return Ok(Some(frame));
            }
        }
    }

    /// Returns when there may be more to tell; a comment when nothing has come for long.
    async fn wait(&mut self) -> Result<Option<Bytes>, Fault> {
        let [stdout, stderr] = &mut self.taps;
        tokio::select! {
            () = stdout.written() => {}
            () = stderr.written() => {}
            () = self.changes.changed() => self.look().await?,
            () = tokio::time::sleep(KEEP_ALIVE) => return Ok(Some(Bytes::from_static(b": keep-alive\n\n"))),
            // Without the event `end`: the client comes again, to the next server.
            () = self.shared.shutdown.cancelled() => self.is_over = true,
        }
        Ok(None)
    }

    /// Looks at the task again.
    async fn look(&mut self) -> Result<(), Fault> {
        match history(&self.shared, self.task.id(), self.cursor.event).await? {
            Some((task, events)) if task.head().seq == self.task.head().seq => {
                self.task = task;
                self.take(events);
                self.open().await
            }
            // Forgotten, before its end could be told.
            _ => {
                self.is_over = true;
                Ok(())
            }
        }
    }

    async fn open(&mut self) -> Result<(), Fault> {
        for tap in &mut self.taps {
            tap.open().await?;
        }
        Ok(())
    }

    fn take(&mut self, events: Vec<Event>) {
        self.status = events.last().map_or(self.status.max(self.cursor.event), |last| last.seq);
        let mut events = VecDeque::from(events);
        self.last = VecDeque::new();
        if self.task.status().is_terminal() {
            // The end, and that the reservation was released just before.
            let is_of_the_end = |event: &Event, of: &[EventType]| of.contains(&event.event_type);
            let ends = [EventType::Finished, EventType::Failed, EventType::Cancelled];
            let first = events.iter().rposition(|event| is_of_the_end(event, &ends)).map_or(events.len(), |end| {
                let released = |event: &Event| is_of_the_end(event, &[EventType::ResourceReleased]);
                if end > 0 && released(&events[end - 1]) { end - 1 } else { end }
            });
            self.last = events.split_off(first);
        }
        self.events = events;
    }

    fn event(&mut self, event: Event) -> Bytes {
        self.cursor.event = event.seq;
        told("event", self.cursor, &EventRecord::from(event))
    }

    fn status(&mut self) -> Result<Bytes, Fault> {
        self.cursor.status = self.status;
        let lengths = [self.taps[0].length()?, self.taps[1].length()?];
        Ok(told("status", self.cursor, &TaskRow::render(&self.task, lengths)))
    }

    /// What of the output is there and may be told.
    async fn output(&mut self, has_ended: bool) -> Result<Option<Bytes>, Fault> {
        for _ in STREAMS {
            let index = self.next_tap;
            self.next_tap = (index + 1) % STREAMS.len();
            let tap = &mut self.taps[index];
            let mut bytes = tap.peek(PIECE).await?;
            let is_all = has_ended && tap.offset + bytes.len() as u64 >= tap.length()?;
            if !is_all {
                bytes.truncate(whole_characters(&bytes));
            }
            if !bytes.is_empty() {
                let offset = tap.offset;
                tap.offset += bytes.len() as u64;
                self.cursor.output[index] = tap.offset;
                return Ok(Some(told("output", self.cursor, &OutputPiece::new(STREAMS[index], offset, bytes))));
            }
        }
        Ok(None)
    }

    /// One after the other: the last events, the last status, and that there is no more.
    fn end(&mut self) -> Result<Bytes, Fault> {
        if let Some(event) = self.last.pop_front() {
            return Ok(self.event(event));
        }
        if self.cursor.status < self.status {
            return self.status();
        }
        self.is_over = true;
        self.cursor.has_ended = true;
        let end = StreamEnd { task_id: self.task.id().to_string(), status: self.task.status().into() };
        Ok(told("end", self.cursor, &end))
    }
}

/// One event, as the HTML standard has it. JSON has no line ends of its own.
pub(super) fn told<T: Serialize>(name: &str, id: impl fmt::Display, data: &T) -> Bytes {
    let data = serde_json::to_string(data).expect("a wire type has string keys and no fallible parts");
    format!("event: {name}\nid: {id}\ndata: {data}\n\n").into()
}

impl IntoResponse for EventStream {
    fn into_response(self) -> Response {
        self.0
    }
}

/// One event, as its reader sees it. OpenAPI 3.0 has no word for a stream of them.
fn event() -> MetaSchemaRef {
    let text = || MetaSchemaRef::Inline(Box::new(MetaSchema::new("string")));
    let properties = ["id", "event", "data"].map(|field| (field, text())).into();
    MetaSchemaRef::Inline(Box::new(MetaSchema { properties, ..MetaSchema::new("object") }))
}

pub(super) fn meta_of_stream() -> MetaResponse {
    let content = vec![MetaMediaType { content_type: EVENT_STREAM, schema: event() }];
    MetaResponse { description: "", status: Some(200), status_range: None, content, headers: Vec::new() }
}

impl ApiResponse for EventStream {
    fn meta() -> MetaResponses {
        let nothing = MetaResponse {
            description: "`Last-Event-ID` is that of the event `end`: there is no more.",
            status: Some(204),
            status_range: None,
            content: Vec::new(),
            headers: Vec::new(),
        };
        MetaResponses { responses: vec![meta_of_stream(), nothing] }
    }

    /// What `data` holds, in the document by name.
    fn register(registry: &mut Registry) {
        OutputPiece::register(registry);
        EventRecord::register(registry);
        TaskRow::register(registry);
        StreamEnd::register(registry);
    }
}
