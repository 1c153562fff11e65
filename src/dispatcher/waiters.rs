//! Who waits for a change of which task. Subscribe, then check, then wait: a change after the subscription is
//! never missed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::watch;

use crate::task::TaskId;

/// One entry for each task that somebody waits for, no more.
#[derive(Clone, Debug, Default)]
pub struct Waiters(Arc<Mutex<HashMap<TaskId, watch::Sender<u64>>>>);

/// Woken at every committed change of one task; dropping it ends the subscription.
#[derive(Debug)]
pub struct Subscription {
    id: TaskId,
    changes: Option<watch::Receiver<u64>>,
    waiters: Waiters,
}

impl Waiters {
    pub(super) fn subscribe(&self, id: &TaskId) -> Subscription {
        let changes = self.lock().entry(id.clone()).or_insert_with(|| watch::Sender::new(0)).subscribe();
        Subscription { id: id.clone(), changes: Some(changes), waiters: self.clone() }
    }

    /// Wakes everybody who waits for this task.
    pub(super) fn publish(&self, id: &TaskId) {
        if let Some(sender) = self.lock().get(id) {
            sender.send_modify(|changes| *changes += 1);
        }
    }

    #[cfg(test)]
    pub(super) fn has(&self, id: &TaskId) -> bool {
        self.lock().contains_key(id)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TaskId, watch::Sender<u64>>> {
        self.0.lock().expect("no code panics while it holds this lock")
    }
}

impl Subscription {
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
        let mut waiters = self.waiters.lock();
        drop(self.changes.take());
        if waiters.get(&self.id).is_some_and(|sender| sender.receiver_count() == 0) {
            waiters.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> TaskId {
        TaskId::parse("t").expect("valid")
    }

    #[tokio::test]
    async fn a_change_between_subscribing_and_waiting_is_not_missed() {
        let waiters = Waiters::default();
        let mut subscription = waiters.subscribe(&id());
        waiters.publish(&id());
        subscription.changed().await;
    }

    #[test]
    fn nothing_is_kept_for_a_task_that_nobody_waits_for() {
        let waiters = Waiters::default();
        let (one, two) = (waiters.subscribe(&id()), waiters.subscribe(&id()));
        drop(one);
        assert_eq!(waiters.lock().len(), 1);
        drop(two);
        assert!(waiters.lock().is_empty());
    }
}
