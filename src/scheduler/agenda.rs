//! Waiting tasks for which something else than room is due: that their time comes, that other tasks end, or that they have
//! waited for too long. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::task::schedule::Standing;
use crate::task::{Reservation, TaskId, Timestamp};

/// Its size follows the tasks that ask for something of this kind; a task that does not is not here.
#[derive(Debug, Default)]
pub struct Agenda {
    /// By their place in the order of submission.
    apart: BTreeMap<u64, Apart>,
    /// When one of them may be queued.
    starts: BTreeSet<(Timestamp, u64)>,
    /// When a waiting task, wherever it stands, has waited for too long.
    expiries: BTreeMap<(Timestamp, u64), TaskId>,
    /// Who waits for a task.
    dependents: HashMap<TaskId, BTreeSet<u64>>,
}

/// A task that may not be queued yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Apart {
    pub id: TaskId,
    pub demand: Reservation,
    /// Where it is queued then.
    pub lane: Option<String>,
    pub standing: Standing,
}

impl Agenda {
    /// How many stand apart.
    #[must_use]
    pub fn len(&self) -> usize {
        self.apart.len()
    }

    /// Those who stand apart.
    pub fn iter(&self) -> impl Iterator<Item = (&TaskId, Reservation, Option<&str>)> {
        self.apart.values().map(|task| (&task.id, task.demand, task.lane.as_deref()))
    }

    /// A waiting task, wherever it stands.
    pub fn note(&mut self, seq: u64, id: &TaskId, standing: &Standing) {
        if let Some(time) = standing.expires_at {
            self.expiries.insert((time, seq), id.clone());
        }
    }

    /// It may not be queued yet.
    pub fn set_apart(&mut self, seq: u64, task: Apart) {
        for id in &task.standing.waits_for {
            self.dependents.entry(id.clone()).or_default().insert(seq);
        }
        if task.standing.waits_for.is_empty()
            && let Some(time) = task.standing.start_after
        {
            self.starts.insert((time, seq));
        }
        self.apart.insert(seq, task);
    }

    /// It waits no more, or in another way than with this standing.
    pub fn remove(&mut self, seq: u64, standing: &Standing) {
        if let Some(time) = standing.expires_at {
            self.expiries.remove(&(time, seq));
        }
        if let Some(time) = standing.start_after {
            self.starts.remove(&(time, seq));
        }
        for id in &standing.waits_for {
            self.drop_dependent(id, seq);
        }
        self.apart.remove(&seq);
    }

    /// Those whose time has come; they are here no more.
    pub fn take_ready(&mut self, now: Timestamp) -> Vec<(u64, Apart)> {
        let mut ready = Vec::new();
        while let Some((time, seq)) = self.starts.first().copied()
            && time <= now
        {
            self.starts.remove(&(time, seq));
            ready.extend(self.apart.remove(&seq).map(|task| (seq, task)));
        }
        ready
    }

    /// Some that have waited for too long; they stay until they are removed.
    pub fn expired(&self, now: Timestamp, most: usize) -> Vec<TaskId> {
        let due = self.expiries.iter().take_while(|((time, _), _)| *time <= now);
        due.take(most).map(|(_, id)| id.clone()).collect()
    }

    /// The first time at which something is due.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        let start = self.starts.first().map(|(time, _)| *time);
        start.into_iter().chain(self.expiries.keys().next().map(|(time, _)| *time)).min()
    }

    /// Somebody waits for this task.
    #[must_use]
    pub fn is_awaited(&self, id: &TaskId) -> bool {
        self.dependents.contains_key(id)
    }

    /// Every task that somebody waits for.
    pub fn awaited(&self) -> impl Iterator<Item = &TaskId> {
        self.dependents.keys()
    }

    /// Some who wait for this task, by order of submission.
    pub fn dependents(&self, id: &TaskId, most: usize) -> Vec<(u64, TaskId)> {
        let waiting = self.dependents.get(id).into_iter().flatten().take(most);
        waiting.filter_map(|seq| Some((*seq, self.apart.get(seq)?.id.clone()))).collect()
    }

    /// The task at this place does not wait for `id`.
    pub fn drop_dependent(&mut self, id: &TaskId, seq: u64) {
        if let Some(waiting) = self.dependents.get_mut(id) {
            waiting.remove(&seq);
            if waiting.is_empty() {
                self.dependents.remove(id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> TaskId {
        TaskId::parse(name).expect("valid")
    }

    const fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    fn apart(name: &str, start: Option<i64>, expiry: Option<i64>, waits_for: &[&str]) -> Apart {
        let standing = Standing {
            priority: 0,
            queued_at: at(0),
            start_after: start.map(at),
            expires_at: expiry.map(at),
            waits_for: waits_for.iter().map(|name| id(name)).collect(),
        };
        let demand = Reservation { task_slots: 1, memory_bytes: None, pids: None };
        Apart { id: id(name), demand, lane: None, standing }
    }

    #[test]
    fn what_is_due_comes_by_time_and_leaves_nothing_behind() {
        let mut agenda = Agenda::default();
        let tasks = [
            apart("late", Some(90), None, &[]),
            apart("soon", Some(50), Some(70), &[]),
            apart("after", Some(10), Some(60), &["a", "b"]),
        ];
        for (seq, task) in (1..).zip(&tasks) {
            agenda.note(seq, &task.id, &task.standing);
            agenda.set_apart(seq, task.clone());
        }
        assert_eq!((agenda.len(), agenda.next_due()), (3, Some(at(50))), "who waits for others has no time");
        assert!(agenda.take_ready(at(49)).is_empty());
        assert_eq!(agenda.take_ready(at(50)), [(2, tasks[1].clone())]);
        assert_eq!(agenda.expired(at(70), 9), [id("after"), id("soon")]);
        assert_eq!(agenda.expired(at(70), 1), [id("after")]);
        assert_eq!(agenda.dependents(&id("a"), 9), [(3, id("after"))]);
        for (seq, task) in (1..).zip(&tasks) {
            agenda.remove(seq, &task.standing);
        }
        assert_eq!((agenda.len(), agenda.next_due(), agenda.awaited().count()), (0, None, 0));
    }
}
