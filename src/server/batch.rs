//! Submit many tasks: each as by itself, all in one message to the dispatcher.

use std::collections::HashSet;
use std::sync::Arc;

use super::access::Caller;
use super::fault::Fault;
use super::once::Repeatable;
use super::params::IdempotencyKey;
use super::submit::{accepted, holding, prepare, told};
use super::{Shared, once};
use crate::api::SubmitTaskRequest;
use crate::api::batch::{BatchResult, SubmitBatchRequest, SubmitBatchResponse};
use crate::blobs::Hold;
use crate::dispatcher::{Answer, BatchError, Submission, SubmitResult, Submitted, Unavailable};

pub(super) async fn submit(
    shared: &Shared,
    by: &Caller,
    key: IdempotencyKey,
    request: SubmitBatchRequest,
) -> Result<Repeatable<SubmitBatchResponse>, Fault> {
    request.check()?;
    let key = once::key(by, key, "submit_batch", &request)?;
    if let Some(key) = &key
        && let Some(again) = Repeatable::given_before(shared, key).await?
    {
        return Ok(again);
    }
    let SubmitBatchRequest { tasks, atomic } = request;
    let atomic = atomic.unwrap_or(false);
    by.charge_batch(tasks.len());
    let Prepared { submissions, holds, refused } = Prepared::new(shared, by, tasks, atomic).await?;
    let dispatcher = shared.context.dispatcher.clone();
    let submitted = match key {
        None => {
            let submitted = async move { dispatcher.submit_batch(submissions, atomic).await };
            holding(holds, submitted).await?.map(Submitted::Now)
        }
        Some(key) => {
            let (by, refused) = (by.clone(), Arc::clone(&refused));
            let answer = Answer::new(move |results| once::text(&response(&by, &refused, results)));
            holding(holds, async move { dispatcher.submit_once(submissions, atomic, key, answer).await }).await?
        }
    };
    match submitted {
        Ok(Submitted::Now(results)) => Ok(Repeatable::First(response(by, &refused, &results))),
        Ok(Submitted::Before(earlier)) => Repeatable::again(earlier),
        Err(BatchError::Refused { index, error }) => Err(told(by, error).of_batch(index)),
        Err(BatchError::Unavailable(unavailable)) => Err(unavailable.into()),
    }
}

/// The tasks of a batch before the dispatcher sees them.
struct Prepared {
    submissions: Vec<Submission>,
    holds: Vec<Hold>,
    /// For each task of the request why it is not handed over, if it is not.
    refused: Arc<[Option<BatchResult>]>,
}

impl Prepared {
    async fn new(shared: &Shared, by: &Caller, tasks: Vec<SubmitTaskRequest>, atomic: bool) -> Result<Self, Fault> {
        let mut ids = HashSet::new();
        let mut submissions = Vec::with_capacity(tasks.len());
        let mut holds = Vec::new();
        let mut refused = Vec::with_capacity(tasks.len());
        for (index, task) in tasks.into_iter().enumerate() {
            refused.push(match prepare_one(shared, by, task, &mut ids).await {
                Ok((submission, hold)) => {
                    submissions.push(submission);
                    holds.extend(hold);
                    None
                }
                Err(fault) if atomic => return Err(fault.of_batch(index)),
                Err(fault) => Some(refusal(fault, index)),
            });
        }
        Ok(Self { submissions, holds, refused: refused.into() })
    }
}

/// `ids` are those that stand in the batch before.
async fn prepare_one(
    shared: &Shared,
    by: &Caller,
    request: SubmitTaskRequest,
    ids: &mut HashSet<String>,
) -> Result<(Submission, Option<Hold>), Fault> {
    if let Some(id) = &request.task_id
        && !ids.insert(id.clone())
    {
        return Err(Fault::TwiceInBatch(id.clone()));
    }
    prepare(shared, by, request).await
}

fn refusal(fault: Fault, index: usize) -> BatchResult {
    fault.of_batch(index).info().into()
}

/// In the order of the request: what was refused here, and what the dispatcher says of the rest.
fn response(by: &Caller, refused: &[Option<BatchResult>], submitted: &[SubmitResult]) -> SubmitBatchResponse {
    let mut submitted = submitted.iter();
    let results = refused.iter().enumerate().map(|(index, refused)| match refused {
        Some(refused) => refused.clone(),
        None => match submitted.next() {
            Some(Ok(task)) => accepted(task).into(),
            Some(Err(error)) => refusal(told(by, error.clone()), index),
            None => refusal(Unavailable::Dispatcher.into(), index),
        },
    });
    SubmitBatchResponse { results: results.collect() }
}
