//! Which tasks live, and who waits for a change of which. Subscribe, then check, then wait: a change after the subscription is
//! never missed.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::watch;

use crate::task::{Task, TaskId};

#[derive(Clone, Debug, Default)]
pub struct Waiters {
    known: Arc<Mutex<Known>>,
    /// Changes with every commit.
    commits: Arc<watch::Sender<()>>,
}

#[derive(Debug, Default)]
struct Known {
    /// Every task that is committed and has not ended.
    live: HashSet<TaskId>,
    /// One entry for each task that somebody waits for, no more.
    waited_for: HashMap<TaskId, Sender>,
}

/// Holds the task as it was last committed while somebody waited.
type Sender = watch::Sender<Option<Task>>;

/// Woken at every committed change of one task; dropping it ends the subscription.
#[derive(Debug)]
pub struct Subscription {
    id: TaskId,
    changes: Option<watch::Receiver<Option<Task>>>,
    waiters: Waiters,
}

impl Waiters {
    /// The tasks that the store has at the start.
    pub(super) fn restore(&self, live: impl Iterator<Item = TaskId>) {
        self.lock().live.extend(live);
    }

    pub(super) fn subscribe(&self, id: &TaskId) -> Subscription {
        let mut known = self.lock();
        let changes = known.waited_for.entry(id.clone()).or_insert_with(|| watch::Sender::new(None)).subscribe();
        drop(known);
        Subscription { id: id.clone(), changes: Some(changes), waiters: self.clone() }
    }

    /// Wakes everybody who waits for this task, which was committed as it is here.
    pub(super) fn publish(&self, task: &Task) {
        let mut known = self.lock();
        if task.status().is_terminal() {
            known.live.remove(task.id());
        } else if !known.live.contains(task.id()) {
            known.live.insert(task.id().clone());
        }
        if let Some(sender) = known.waited_for.get(task.id()) {
            sender.send_replace(Some(task.clone()));
        }
    }

    /// How many tasks somebody waits for.
    pub(super) fn count(&self) -> usize {
        self.lock().waited_for.len()
    }

    /// Wakes everybody who waits for whatever comes: all that belongs to a commit is published.
    pub(super) fn committed(&self) {
        self.commits.send_replace(());
    }

    pub(super) fn commits(&self) -> watch::Receiver<()> {
        self.commits.subscribe()
    }

    #[cfg(test)]
    pub(super) fn has(&self, id: &TaskId) -> bool {
        self.lock().waited_for.contains_key(id)
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().expect("no code panics while it holds this lock")
    }
}

impl Subscription {
    /// The task is there and its end is still to come: [`Self::changed`] will tell it.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.waiters.lock().live.contains(&self.id)
    }

    /// The task after its last change since somebody subscribed; `None` when there was none.
    #[must_use]
    pub fn latest(&self) -> Option<Task> {
        self.changes.as_ref()?.borrow().clone()
    }

    /// Returns at the next change since the subscription or since the last call.
    pub async fn changed(&mut self) {
        // The sender lives as long as a subscription does, so an error cannot happen; waiting for ever is safe.
        let Some(changes) = &mut self.changes else { return std::future::pending().await };
        if changes.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut known = self.waiters.lock();
        drop(self.changes.take());
        if known.waited_for.get(&self.id).is_some_and(|sender| sender.receiver_count() == 0) {
            known.waited_for.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task() -> Task {
        Task::submit(crate::task::testing::new_task("t"), 1).task().clone()
    }

    #[tokio::test]
    async fn a_change_between_subscribing_and_waiting_is_not_missed() {
        let waiters = Waiters::default();
        let mut subscription = waiters.subscribe(task().id());
        assert_eq!(subscription.latest(), None);
        waiters.publish(&task());
        subscription.changed().await;
        assert_eq!(subscription.latest(), Some(task()));
    }

    #[test]
    fn nothing_is_kept_for_a_task_that_nobody_waits_for() {
        let waiters = Waiters::default();
        let (one, two) = (waiters.subscribe(task().id()), waiters.subscribe(task().id()));
        drop(one);
        assert_eq!(waiters.lock().waited_for.len(), 1);
        drop(two);
        assert!(waiters.lock().waited_for.is_empty());
    }

    #[test]
    fn a_task_is_live_from_its_first_commit_to_its_last() {
        let waiters = Waiters::default();
        let subscription = waiters.subscribe(task().id());
        assert!(!subscription.is_live());
        waiters.publish(&task());
        assert!(subscription.is_live());
        waiters.publish(task().cancel(crate::task::testing::at(2000)).expect("queued").task());
        assert!(!subscription.is_live());
        assert!(waiters.lock().live.is_empty());
        waiters.restore(std::iter::once(task().id().clone()));
        assert!(subscription.is_live());
    }
}
