//! Submit many tasks: each as by itself, all in one message to the dispatcher.

use std::collections::HashSet;

use super::Shared;
use super::access::Caller;
use super::fault::Fault;
use super::submit::{accepted, prepare, told};
use crate::api::SubmitTaskRequest;
use crate::api::batch::{SubmitBatchRequest, SubmitBatchResponse};
use crate::dispatcher::{BatchError, Submission, Unavailable};

pub(super) async fn submit(
    shared: &Shared,
    by: &Caller,
    request: SubmitBatchRequest,
) -> Result<SubmitBatchResponse, Fault> {
    request.check()?;
    let SubmitBatchRequest { tasks, atomic } = request;
    let atomic = atomic.unwrap_or(false);
    by.charge_batch(tasks.len());
    let mut ids = HashSet::new();
    let mut submissions = Vec::with_capacity(tasks.len());
    let mut prepared = Vec::with_capacity(tasks.len());
    for (index, task) in tasks.into_iter().enumerate() {
        prepared.push(match prepare_one(shared, by, task, &mut ids) {
            Ok(submission) => {
                submissions.push(submission);
                Ok(())
            }
            Err(fault) if atomic => return Err(fault.of_batch(index)),
            Err(fault) => Err(fault),
        });
    }
    let submitted = shared.context.dispatcher.submit_batch(submissions, atomic).await.map_err(|error| match error {
        BatchError::Refused { index, error } => told(by, error).of_batch(index),
        BatchError::Unavailable(unavailable) => unavailable.into(),
    })?;
    let mut submitted = submitted.into_iter();
    let results = prepared.into_iter().enumerate().map(|(index, prepared)| {
        let result = prepared.and_then(|()| match submitted.next() {
            Some(Ok(task)) => Ok(accepted(&task)),
            Some(Err(error)) => Err(told(by, error)),
            None => Err(Unavailable::Dispatcher.into()),
        });
        result.map_or_else(|fault| fault.of_batch(index).info().into(), Into::into)
    });
    Ok(SubmitBatchResponse { results: results.collect() })
}

/// `ids` are those that stand in the batch before.
fn prepare_one(
    shared: &Shared,
    by: &Caller,
    request: SubmitTaskRequest,
    ids: &mut HashSet<String>,
) -> Result<Submission, Fault> {
    if let Some(id) = &request.task_id
        && !ids.insert(id.clone())
    {
        return Err(Fault::TwiceInBatch(id.clone()));
    }
    prepare(shared, by, request)
}
