//! The events of all tasks as they come, as server-sent events. They are read from the store when the client takes them, so
//! that a slow client costs no memory; the number of the last one is all that it takes to come again.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream;
use hyper::body::Bytes;
use poem::{Body, IntoResponse, Response};
use poem_openapi::ApiResponse;
use poem_openapi::registry::{MetaResponses, MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::Type;
use serde_json::Value;
use tokio::sync::watch;

use super::Shared;
use super::access::Caller;
use super::fault::Fault;
use super::params::{Parameter, one_of};
use super::status::blocking;
use super::stream::{KEEP_ALIVE, event_stream, meta_of_stream, told};
use crate::api::EventRecord;
use crate::store::{EventFilter, Fed};
use crate::task::{Event, EventType, InvalidField};

/// What is committed within so long is read together.
const TOGETHER: Duration = Duration::from_millis(5);

/// Events without an end.
pub(super) struct EventFeed(Response);

pub(super) async fn feed(
    shared: &Arc<Shared>,
    by: &Caller,
    wanted: EventFilter,
    last_event_id: Option<String>,
) -> Result<EventFeed, Fault> {
    // Before the first look, so that no commit falls between the look and the wait.
    let commits = shared.context.dispatcher.commits();
    let readers = shared.context.readers.clone();
    let last = blocking(move || readers.last_event()).await??;
    let seen = last_event_id.map_or(Ok(last), |id| number(&id, last))?;
    let is_foreign = by.tenant().zip(wanted.tenant.as_deref()).is_some_and(|(own, wanted)| own != wanted);
    let tenant = wanted.tenant.or_else(|| by.tenant().map(str::to_owned));
    let filter = (!is_foreign).then_some(EventFilter { tenant, ..wanted });
    let feed = Feed { shared: Arc::clone(shared), commits, filter, seen, told: None, events: VecDeque::new() };
    Ok(EventFeed(event_stream(Body::from_bytes_stream(stream::unfold(feed, frame)))))
}

/// An id that was told here, or 0; anything greater is of another runtime.
fn number(id: &str, last: u64) -> Result<u64, InvalidField> {
    let digits = Some(id).filter(|id| id.bytes().all(|byte| byte.is_ascii_digit()));
    let seq = digits.and_then(|digits| digits.parse().ok()).filter(|seq| *seq <= last);
    seq.ok_or_else(|| InvalidField::new("Last-Event-ID", "is not the `seq` of any event of this runtime, nor 0"))
}

async fn frame(mut feed: Feed) -> Option<(io::Result<Bytes>, Feed)> {
    match feed.next().await {
        Ok(frame) => frame.map(|frame| (Ok(frame), feed)),
        Err(fault) => {
            tracing::error!(%fault, "the feed of all events was broken off");
            Some((Err(io::Error::other(fault.to_string())), feed))
        }
    }
}

struct Feed {
    shared: Arc<Shared>,
    commits: watch::Receiver<()>,
    /// `None`: the caller may see nothing of what it wants.
    filter: Option<EventFilter>,
    /// Up to here everything was read.
    seen: u64,
    /// The last number that the client knows; `None`: it was told nothing yet.
    told: Option<u64>,
    events: VecDeque<Event>,
}

impl Feed {
    /// What is to be told next; `None` when the server shuts down.
    async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        loop {
            if self.told.is_none() {
                // So that who loses the connection before the first event knows where to go on.
                return Ok(Some(self.place("from here on")));
            }
            if let Some(event) = self.events.pop_front() {
                self.told = Some(event.seq);
                return Ok(Some(told("event", event.seq, &EventRecord::from(event))));
            }
            if self.read().await? {
                continue;
            }
            tokio::select! {
                // The sender lives as long as the dispatcher, and without it nothing comes any more.
                changed = self.commits.changed() => match changed {
                    Ok(()) => tokio::time::sleep(TOGETHER).await,
                    Err(_) => return Ok(None),
                },
                () = tokio::time::sleep(KEEP_ALIVE) => return Ok(Some(self.place("keep-alive"))),
                () = self.shared.shutdown.cancelled() => return Ok(None),
            }
        }
    }

    /// Whether there may be more at once.
    async fn read(&mut self) -> Result<bool, Fault> {
        let Some(filter) = self.filter.clone() else { return Ok(false) };
        self.commits.mark_unchanged();
        let (readers, seen) = (self.shared.context.readers.clone(), self.seen);
        let Fed { events, seen, has_more } = blocking(move || readers.feed(&filter, seen)).await??;
        self.seen = seen;
        self.events = events.into();
        Ok(has_more || !self.events.is_empty())
    }

    /// A comment with the number up to which everything was told, or passed over.
    fn place(&mut self, comment: &str) -> Bytes {
        self.told = Some(self.seen);
        format!(": {comment}\nid: {}\n\n", self.seen).into()
    }
}

/// `event_type=failed,cancelled`: one of these.
#[derive(Clone, Debug, Default)]
pub(super) struct EventTypes(pub(super) Vec<EventType>);

impl Parameter for EventTypes {
    fn schema() -> MetaSchema {
        let words = EventType::ALL.map(|event_type| Value::from(event_type.as_str())).to_vec();
        let word = MetaSchema { enum_items: words, ..MetaSchema::new("string") };
        MetaSchema { items: Some(Box::new(MetaSchemaRef::Inline(Box::new(word)))), ..MetaSchema::new("array") }
    }

    fn parse(name: &str, raw: &str) -> Result<Self, InvalidField> {
        let words = EventType::ALL.map(|event_type| (event_type.as_str(), event_type));
        raw.split(',').map(|word| one_of(name, word, &words)).collect::<Result<_, _>>().map(Self)
    }
}

impl IntoResponse for EventFeed {
    fn into_response(self) -> Response {
        self.0
    }
}

impl ApiResponse for EventFeed {
    fn meta() -> MetaResponses {
        MetaResponses { responses: vec![meta_of_stream()] }
    }

    /// What `data` holds, in the document by name.
    fn register(registry: &mut Registry) {
        EventRecord::register(registry);
    }
}
