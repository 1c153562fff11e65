//! The way in: what the server may ask of the dispatcher. One message, one reply.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

use tokio::sync::{oneshot, watch};

use super::bell::Bell;
use super::input::{Input, Question};
use super::waiters::{Subscription, Waiters};
use crate::ledger::{Account, NeverFits};
use crate::store::{Attempt, Earlier, Ended, RequestKey};
use crate::task::{KillOrder, NewTask, Reservation, Status, Task, TaskId, Timestamp};

/// Cheap to clone; every clone talks to the same dispatcher.
#[derive(Clone, Debug)]
pub struct Dispatcher {
    inbox: mpsc::Sender<Input>,
    waiters: Waiters,
    draining: Arc<AtomicBool>,
    callbacks: Bell,
}

/// What becomes of tasks that wait when the runtime is drained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// They stay stored; the next server takes them up.
    Keep,
    /// They are ended as cancelled.
    Cancel,
}

/// A task to be stored and queued.
#[derive(Debug)]
pub struct Submission {
    pub new: NewTask,
    /// What is kept as its `request.json`.
    pub request: Vec<u8>,
}

/// Why a task was not accepted. Nothing was stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    #[error("a task with task_id {task_id} already exists (its status is {})", status.as_str())]
    Conflict { task_id: TaskId, status: Status, tenant: Option<String> },
    #[error(transparent)]
    NeverFits(#[from] NeverFits),
    #[error("schedule.depends_on[{index}].task_id must name a task of this runtime; there is no {task_id:?}")]
    UnknownDependency { index: usize, task_id: TaskId },
    #[error("the queue is full: {max_queued_tasks} tasks are waiting already")]
    QueueFull { max_queued_tasks: u64 },
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl SubmitError {
    /// With the task that is there.
    pub(super) fn conflict(task: &Task) -> Self {
        let tenant = task.spec().control.tenant.clone();
        Self::Conflict { task_id: task.id().clone(), status: task.status(), tenant }
    }
}

/// What became of a task that was handed over.
pub type SubmitResult = Result<Task, SubmitError>;

/// Makes the answer that a client gets of what became of each task, in order.
pub struct Answer(Box<MakeAnswer>);

type MakeAnswer = dyn FnOnce(&[SubmitResult]) -> String + Send;

impl Answer {
    pub fn new(make: impl FnOnce(&[SubmitResult]) -> String + Send + 'static) -> Self {
        Self(Box::new(make))
    }

    pub(super) fn of(self, results: &[SubmitResult]) -> String {
        (self.0)(results)
    }
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Answer")
    }
}

/// A request that is done once, however often it comes.
#[derive(Debug)]
pub(super) struct Once {
    pub key: RequestKey,
    /// What is kept to be given again.
    pub answer: Answer,
    /// For a request that was there before.
    pub reply: oneshot::Sender<Earlier>,
}

/// What became of a request that may have been there before.
#[derive(Debug)]
pub enum Submitted {
    Now(Vec<SubmitResult>),
    Before(Earlier),
}

/// Why none of a batch was accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The task at this place, from 0, of a batch that is all or none.
    #[error("task {index} of the batch: {error}")]
    Refused { index: usize, error: SubmitError },
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// The end of a task, as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kill {
    pub id: TaskId,
    /// Of whom the one who asks says to be.
    pub owner: Option<String>,
    pub order: KillOrder,
}

/// Why a task was not killed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KillError {
    #[error("no task has the task_id {0}")]
    NotFound(TaskId),
    #[error("the task belongs to another owner than the one named")]
    NotOwner,
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why a task was not deleted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeleteError {
    #[error("no task has the task_id {0}")]
    NotFound(TaskId),
    #[error("the task belongs to another owner than the one named")]
    NotOwner,
    #[error("the task {task_id} has not ended (its status is {}); kill it first", status.as_str())]
    NotEnded { task_id: TaskId, status: Status },
    /// For a moment after its end.
    #[error("tasks that depend on the task {0} are still being told of its end; try again")]
    Awaited(TaskId),
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// The runtime cannot do its work now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    #[error("the runtime is being drained")]
    Draining,
    #[error("the task store cannot be written")]
    Storage,
    #[error("the dispatcher does not answer")]
    Dispatcher,
    #[error("the launcher is stopped, or is gone and could not be replaced yet")]
    Launcher,
}

/// One consistent view of the ledger: `reserved + available = capacity`, `reserved` is the sum of `active`.
#[derive(Debug, Clone)]
pub struct Resources {
    pub whole: Account,
    /// By time of reservation.
    pub active: Vec<ActiveReservation>,
    /// Accepted tasks that hold no reservation.
    pub waiting: u64,
    /// The tenants that have a quota, by name.
    pub tenants: Vec<TenantResources>,
}

#[derive(Debug, Clone)]
pub struct ActiveReservation {
    pub task_id: TaskId,
    pub status: Status,
    pub reservation: Reservation,
    pub reserved_at: Option<Timestamp>,
}

impl ActiveReservation {
    /// `None`: the task holds none.
    #[must_use]
    pub fn of(task: &Task) -> Option<Self> {
        task.holds_reservation().then(|| Self {
            task_id: task.id().clone(),
            status: task.status(),
            reservation: task.demand(),
            reserved_at: task.reserved_at(),
        })
    }
}

#[derive(Debug, Clone)]
pub struct TenantResources {
    pub tenant: String,
    pub account: Account,
}

impl Dispatcher {
    pub(super) fn new(inbox: mpsc::Sender<Input>, waiters: Waiters) -> Self {
        Self { inbox, waiters, draining: Arc::default(), callbacks: Bell::default() }
    }

    /// Rings when an event is to be told.
    #[must_use]
    pub fn callbacks(&self) -> Bell {
        self.callbacks.clone()
    }

    /// Notes what came of telling events. Blocks.
    ///
    /// # Errors
    /// The dispatcher is gone, or the store cannot be written.
    pub fn note_attempts(&self, attempts: Vec<Attempt>) -> Result<(), Unavailable> {
        let (reply, answer) = oneshot::channel();
        let question = Question::Attempts { attempts, reply };
        self.inbox.send(Input::Question(question)).map_err(|_| Unavailable::Dispatcher)?;
        answer.blocking_recv().map_err(|_| Unavailable::Dispatcher)?
    }

    /// For the loop to set.
    pub(super) fn draining_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.draining)
    }

    /// Stores a task durably and queues it. After `Ok` the task survives `kill -9` and a power loss, and `request` is its
    /// `request.json`, unless that could not be written. Whoever drops the future leaves; the work goes on.
    ///
    /// # Errors
    /// See [`SubmitError`].
    pub async fn submit(&self, new: NewTask, request: Vec<u8>) -> Result<Task, SubmitError> {
        self.ask(|reply| Input::Submit { new: Box::new(new), request, reply }).await?
    }

    /// As [`Self::submit`], many in one message and so in one commit: what became of each, in order.
    ///
    /// # Errors
    /// Nothing was stored: one of an atomic batch was refused, or the runtime can take none now.
    pub async fn submit_batch(&self, batch: Vec<Submission>, atomic: bool) -> Result<Vec<SubmitResult>, BatchError> {
        self.hand_over(batch, atomic, None).await
    }

    /// As [`Self::submit_batch`], unless there is an answer under this key. It is kept with the tasks, in one commit, unless
    /// there are none.
    ///
    /// # Errors
    /// As [`Self::submit_batch`].
    pub async fn submit_once(
        &self,
        batch: Vec<Submission>,
        atomic: bool,
        key: RequestKey,
        answer: Answer,
    ) -> Result<Submitted, BatchError> {
        let (reply, earlier) = oneshot::channel();
        let results = self.hand_over(batch, atomic, Some(Once { key, answer, reply })).await;
        match earlier.await {
            Ok(earlier) => Ok(Submitted::Before(earlier)),
            Err(_) => results.map(Submitted::Now),
        }
    }

    async fn hand_over(
        &self,
        batch: Vec<Submission>,
        atomic: bool,
        once: Option<Once>,
    ) -> Result<Vec<SubmitResult>, BatchError> {
        let (submissions, answers): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .map(|submission| {
                let (reply, answer) = oneshot::channel();
                ((submission, reply), answer)
            })
            .unzip();
        self.inbox.send(Input::SubmitBatch { submissions, atomic, once }).map_err(|_| Unavailable::Dispatcher)?;
        let mut results = Vec::with_capacity(answers.len());
        let mut is_silent = false;
        for (index, answer) in answers.into_iter().enumerate() {
            match answer.await {
                Ok(Err(error)) if atomic => return Err(BatchError::Refused { index, error }),
                Ok(result) => results.push(result),
                // The dispatcher is gone, or another task of an atomic batch was refused.
                Err(_) => is_silent = true,
            }
        }
        let away = results.iter().find_map(|result| match result {
            Err(SubmitError::Unavailable(unavailable)) => Some(*unavailable),
            Ok(_) | Err(_) => None,
        });
        match away.or(is_silent.then_some(Unavailable::Dispatcher)) {
            Some(unavailable) if !results.iter().any(Result::is_ok) => Err(unavailable.into()),
            _ => Ok(results),
        }
    }

    /// Asks for the end of a task; idempotent. The answer is the task after the request was committed: cancelled
    /// for one that had not started, still running for one that gets its signal now, unchanged for an ended one.
    ///
    /// # Errors
    /// See [`KillError`].
    pub async fn kill(&self, kill: Kill) -> Result<Task, KillError> {
        self.ask(|reply| Input::Kill { kill, reply }).await?
    }

    /// Forgets a task that has ended. After `Ok` its id is free, and its files are out of the way.
    ///
    /// # Errors
    /// See [`DeleteError`].
    pub async fn delete(&self, id: TaskId, owner: Option<String>) -> Result<(), DeleteError> {
        self.ask(|reply| Input::Question(Question::Delete { id, owner, reply })).await?
    }

    /// # Errors
    /// The dispatcher is gone.
    pub async fn resources(&self) -> Result<Resources, Unavailable> {
        self.ask(|reply| Input::Question(Question::Resources { reply })).await
    }

    /// Proves that the store takes a write, that the dispatcher lives, and that something may be launched.
    ///
    /// # Errors
    /// What is not so.
    pub async fn check(&self) -> Result<(), Unavailable> {
        self.ask(|reply| Input::Question(Question::Check { reply })).await?
    }

    /// Forgets tasks that ended before `before`, and the oldest where the bounds are exceeded. Answers how many; call again
    /// while it is more than none.
    ///
    /// # Errors
    /// The dispatcher is gone.
    pub async fn forget(&self, before: Timestamp) -> Result<usize, Unavailable> {
        self.ask(|reply| Input::Question(Question::Forget { before, reply })).await
    }

    /// Ended tasks to be measured for [`Self::measured`]; call again while there are any.
    ///
    /// # Errors
    /// The dispatcher is gone.
    pub async fn unmeasured(&self) -> Result<Vec<Ended>, Unavailable> {
        self.ask(|reply| Input::Question(Question::Unmeasured { reply })).await
    }

    /// Notes what the directories of ended tasks occupy.
    ///
    /// # Errors
    /// The dispatcher is gone, or the store cannot be written.
    pub async fn measured(&self, sizes: Vec<(Ended, u64)>) -> Result<(), Unavailable> {
        self.ask(|reply| Input::Question(Question::Measured { sizes, reply })).await?
    }

    /// Starts nothing and accepts nothing any more. Running tasks go on under their shims. Where waiting tasks are to be
    /// cancelled, the answer comes when the end of each is committed. Asked again it changes nothing, but to cancel what
    /// was kept.
    ///
    /// # Errors
    /// The dispatcher is gone.
    pub async fn drain(&self, waiting: Waiting) -> Result<(), Unavailable> {
        self.ask(|reply| Input::Question(Question::Drain { waiting, reply })).await
    }

    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// To be called before the state is looked at.
    #[must_use]
    pub fn subscribe(&self, id: &TaskId) -> Subscription {
        self.waiters.subscribe(id)
    }

    /// Changes whenever something was committed. To be called before the store is looked at.
    #[must_use]
    pub fn commits(&self) -> watch::Receiver<()> {
        self.waiters.commits()
    }

    async fn ask<T>(&self, input: impl FnOnce(oneshot::Sender<T>) -> Input) -> Result<T, Unavailable> {
        let (reply, answer) = oneshot::channel();
        self.inbox.send(input(reply)).map_err(|_| Unavailable::Dispatcher)?;
        answer.await.map_err(|_| Unavailable::Dispatcher)
    }
}
