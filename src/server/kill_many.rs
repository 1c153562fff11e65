//! Kill of many tasks: asks for the end of all that a filter names.

use std::sync::Arc;

use futures_util::stream::{self, StreamExt};

use super::Shared;
use super::access::Caller;
use super::fault::Fault;
use super::filter::Wanted;
use super::status::blocking;
use crate::api::kill_many::{KillTasksRequest, KilledTasks, LiveStatus};
use crate::api::submit::ExecutionKind;
use crate::dispatcher::{Dispatcher, Kill, KillError};
use crate::store::{Filter, Kind, Order, Readers};
use crate::task::validate::keyed;
use crate::task::{InvalidField, KillOrder, Status, Task};

/// How many tasks are read, and asked for, at a time.
const AT_ONCE: usize = 256;

/// Goes on to its end when the client leaves.
pub(super) async fn kill_many(
    shared: &Arc<Shared>,
    by: &Caller,
    request: KillTasksRequest,
    owner: Option<String>,
) -> Result<KilledTasks, Fault> {
    let filter = wanted(request)?.filter(by);
    let (readers, dispatcher) = (shared.context.readers.clone(), shared.context.dispatcher.clone());
    let killing = tokio::spawn(kill_all(readers, dispatcher, filter, owner));
    killing.await.map_err(|error| Fault::Panicked(error.to_string()))?
}

fn wanted(request: KillTasksRequest) -> Result<Wanted, InvalidField> {
    let is_all = request.all == Some(true);
    let KillTasksRequest { status, tenant, owner, labels, kind, created_after, created_before, q, all: _ } = request;
    for (name, text) in [("tenant", &tenant), ("owner", &owner), ("q", &q)] {
        if text.as_ref().is_some_and(|text| text.trim().is_empty()) {
            return Err(InvalidField::new(name, "must not be blank"));
        }
        if text.as_ref().is_some_and(|text| text.contains('\0')) {
            return Err(InvalidField::new(name, "must not hold a NUL character"));
        }
    }
    let statuses = match status {
        None => vec![Status::Accepted, Status::Running],
        Some(LiveStatus::Accepted) => vec![Status::Accepted],
        Some(LiveStatus::Running) => vec![Status::Running],
    };
    let kind = kind.map(|kind| match kind {
        ExecutionKind::Command => Kind::Command,
        ExecutionKind::Script => Kind::Script,
    });
    let labels = keyed("labels", labels.unwrap_or_default())?;
    let is_empty = status.is_none()
        && [&tenant, &owner, &q].iter().all(|text| text.is_none())
        && labels.is_empty()
        && kind.is_none()
        && created_after.or(created_before).is_none();
    match (is_all, is_empty) {
        (false, true) => Err(InvalidField::new("all", "must be true where nothing else says which tasks are meant")),
        (true, false) => {
            Err(InvalidField::new("all", "must not be true together with anything that says which tasks are meant"))
        }
        _ => Ok(Wanted { statuses, tenant, owner, labels, kind, created_after, created_before, text: q }),
    }
}

/// From the newest back, so that what is submitted meanwhile is not met.
async fn kill_all(
    readers: Readers,
    dispatcher: Dispatcher,
    filter: Filter,
    owner: Option<String>,
) -> Result<KilledTasks, Fault> {
    let filter = Arc::new(filter);
    let (mut from, mut killed) = (None, Vec::new());
    loop {
        let (readers, filter) = (readers.clone(), Arc::clone(&filter));
        let page = blocking(move || readers.page(&filter, Order::NewestFirst, from, AT_ONCE)).await??;
        let answers = page.tasks.into_iter().map(|task| {
            dispatcher.kill(Kill { id: task.id().clone(), owner: owner.clone(), order: KillOrder::default() })
        });
        let answers: Vec<_> = stream::iter(answers).buffered(AT_ONCE).collect().await;
        for answer in answers {
            match answer {
                Ok(task) if was_killed(&task) => killed.push(task.id().to_string()),
                // It has ended meanwhile, or belongs to somebody else.
                Ok(_) | Err(KillError::NotFound(_) | KillError::NotOwner) => {}
                Err(error @ KillError::Unavailable(_)) => return Err(error.into()),
            }
        }
        from = page.next;
        if from.is_none() {
            return Ok(KilledTasks { killed });
        }
    }
}

/// It is ending by request, or has ended so.
fn was_killed(task: &Task) -> bool {
    task.status() == Status::Cancelled || task.kill_requested() && !task.status().is_terminal()
}
