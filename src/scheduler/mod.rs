//! Who may start now. Pure: a queue and the ledger in, a choice out.
//!
//! The rule (see `docs/architecture.md`, Scheduling): first in, first out, where a level of priority is worth
//! [`AGEING_MS`] of waiting. A task that does not fit now may be passed by
//! later ones that do, but only [`MAX_OVERTAKES`] times; then nothing starts until it fits. A task that only its
//! tenant's quota holds up is passed freely by other tenants' tasks and holds up nobody but its own tenant.

mod agenda;

use std::collections::{BTreeMap, btree_map};
use std::iter::Peekable;

use crate::ledger::{Blocked, Ledger};
use crate::task::schedule::Standing;
use crate::task::{Reservation, TaskId};

pub use agenda::{Agenda, Apart};

/// How many later tasks may start before one that waits for room.
pub const MAX_OVERTAKES: u32 = 16;

/// How far one choice looks down a lane; beyond it nothing can be overtaking within the rule for long.
const LOOKAHEAD: usize = 64;

/// How much longer a task must have waited to come before one whose priority is a level above its own. So nothing waits for
/// ever: what comes later than 200 times this cannot come before it, whatever its priority.
pub const AGEING_MS: i64 = 60_000;

/// Who comes first: the lower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// Since when it would wait if it had no priority. Both grow alike while two tasks wait, so their order never changes.
    since_ms: i64,
    seq: u64,
}

impl Rank {
    #[must_use]
    pub fn of(standing: &Standing, seq: u64) -> Self {
        let since = standing.start_after.map_or(standing.queued_at, |start| start.max(standing.queued_at));
        Self { since_ms: since.as_millis().saturating_sub(i64::from(standing.priority) * AGEING_MS), seq }
    }
}

/// The waiting tasks by rank, in one lane per tenant with a quota and one for everybody else.
#[derive(Debug, Default)]
pub struct Queue {
    lanes: BTreeMap<Option<String>, BTreeMap<Rank, Waiting>>,
    len: usize,
}

#[derive(Debug)]
struct Waiting {
    id: TaskId,
    demand: Reservation,
    overtaken: u32,
}

/// A place in the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    lane: Option<String>,
    rank: Rank,
}

/// The task to start next, and the places that it passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    id: TaskId,
    passed: Vec<Place>,
}

impl Choice {
    #[must_use]
    pub const fn id(&self) -> &TaskId {
        &self.id
    }
}

impl Queue {
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// `tenant` names a tenant with a quota, or nobody.
    pub fn push(&mut self, rank: Rank, id: TaskId, demand: Reservation, tenant: Option<&str>) {
        let lane = self.lanes.entry(tenant.map(str::to_owned)).or_default();
        if lane.insert(rank, Waiting { id, demand, overtaken: 0 }).is_none() {
            self.len += 1;
        }
    }

    /// Takes a task out, wherever it stands.
    pub fn remove(&mut self, rank: Rank, tenant: Option<&str>) {
        let lane = tenant.map(str::to_owned);
        let Some(waiting) = self.lanes.get_mut(&lane) else { return };
        if waiting.remove(&rank).is_some() {
            self.len -= 1;
        }
        if waiting.is_empty() {
            self.lanes.remove(&lane);
        }
    }

    /// Every waiting task with what it asks for, and its tenant if that has a quota.
    pub fn iter(&self) -> impl Iterator<Item = (&TaskId, Reservation, Option<&str>)> {
        let lanes = self.lanes.iter();
        lanes.flat_map(|(lane, tasks)| tasks.values().map(|waiting| (&waiting.id, waiting.demand, lane.as_deref())))
    }

    /// The choice starts: those before it are overtaken.
    pub fn passed(&mut self, choice: &Choice) {
        for place in &choice.passed {
            if let Some(waiting) = self.at(place) {
                waiting.overtaken += 1;
            }
        }
    }

    fn at(&mut self, place: &Place) -> Option<&mut Waiting> {
        self.lanes.get_mut(&place.lane)?.get_mut(&place.rank)
    }

    /// The task to start next, if any may start now: the first that fits. It stays in the queue until it is removed.
    #[must_use]
    pub fn choose(&self, ledger: &Ledger) -> Option<Choice> {
        let mut passed = Vec::new();
        let mut passed_by_own_tenant = Vec::new();
        let mut lanes = self.open_lanes(ledger);
        while let Some(lane) = next_lane(&mut lanes) {
            let Lane { tenant, waiting } = &mut lanes[lane];
            let tenant = *tenant;
            let (rank, task) = waiting.next().expect("next_lane returns a lane with a head");
            let place = || Place { lane: tenant.map(str::to_owned), rank: *rank };
            let exhausted = task.overtaken >= MAX_OVERTAKES;
            match ledger.check_fits_now(task.demand, tenant) {
                Ok(()) => {
                    let same_tenant = |p: &Place| p.lane.as_deref() == tenant;
                    passed.extend(passed_by_own_tenant.into_iter().filter(same_tenant));
                    return Some(Choice { id: task.id.clone(), passed });
                }
                Err(Blocked::ByRuntime) if exhausted => return None,
                Err(Blocked::ByRuntime) => passed.push(place()),
                Err(Blocked::ByTenant) if exhausted => drop(lanes.swap_remove(lane)),
                Err(Blocked::ByTenant) => passed_by_own_tenant.push(place()),
            }
        }
        None
    }

    fn open_lanes(&self, ledger: &Ledger) -> Vec<Lane<'_>> {
        if ledger.whole().available().task_slots == 0 {
            return Vec::new();
        }
        let full: Vec<&str> =
            ledger.tenants().filter(|(_, account)| account.available().task_slots == 0).map(|(name, _)| name).collect();
        let open = |tenant: &Option<String>| tenant.as_deref().is_none_or(|name| !full.contains(&name));
        self.lanes
            .iter()
            .filter(|(tenant, _)| open(tenant))
            .map(|(tenant, lane)| Lane { tenant: tenant.as_deref(), waiting: lane.iter().take(LOOKAHEAD).peekable() })
            .collect()
    }
}

struct Lane<'a> {
    tenant: Option<&'a str>,
    waiting: Peekable<std::iter::Take<btree_map::Iter<'a, Rank, Waiting>>>,
}

/// The lane whose head comes first.
fn next_lane(lanes: &mut [Lane<'_>]) -> Option<usize> {
    let heads = lanes.iter_mut().enumerate().filter_map(|(n, lane)| lane.waiting.peek().map(|(rank, _)| (**rank, n)));
    heads.min().map(|(_, n)| n)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::ledger::Capacity;
    use crate::task::Timestamp;

    fn id(n: u64) -> TaskId {
        TaskId::parse(&format!("t{n}")).expect("valid")
    }

    const fn rank(seq: u64) -> Rank {
        Rank { since_ms: 0, seq }
    }

    const fn memory(bytes: u64) -> Reservation {
        Reservation { task_slots: 1, memory_bytes: Some(bytes), pids: None }
    }

    fn ledger() -> Ledger {
        let quota = Capacity { task_slots: 1, memory_bytes: Some(50), pids: None };
        let capacity = Capacity { task_slots: 3, memory_bytes: Some(100), pids: None };
        Ledger::new(capacity, &BTreeMap::from([("acme".to_owned(), quota)]))
    }

    fn choose(queue: &mut Queue, ledger: &Ledger) -> Option<TaskId> {
        let choice = queue.choose(ledger)?;
        queue.passed(&choice);
        Some(choice.id)
    }

    /// Starts the chosen task.
    fn start(queue: &mut Queue, ledger: &mut Ledger, seq_of: &BTreeMap<TaskId, (u64, Option<&str>)>) -> Option<TaskId> {
        let chosen = choose(queue, ledger)?;
        let (seq, tenant) = seq_of[&chosen];
        let demand = queue.at(&Place { lane: tenant.map(str::to_owned), rank: rank(seq) }).expect("queued").demand;
        queue.remove(rank(seq), tenant);
        ledger.reserve(&chosen, demand, tenant);
        Some(chosen)
    }

    #[test]
    fn first_in_first_out_when_all_fit() {
        let (mut queue, mut ledger) = (Queue::default(), ledger());
        let mut places = BTreeMap::new();
        for n in [3, 1, 2] {
            queue.push(rank(n), id(n), memory(1), None);
            places.insert(id(n), (n, None));
        }
        for n in 1..=3 {
            assert_eq!(start(&mut queue, &mut ledger, &places), Some(id(n)));
        }
        assert_eq!(queue.len(), 0);
    }

    fn ranked(priority: i8, queued_ms: i64, start_ms: Option<i64>, seq: u64) -> Rank {
        let [queued_at, start] = [queued_ms, start_ms.unwrap_or(0)].map(Timestamp::from_millis);
        let start_after = start_ms.map(|_| start);
        Rank::of(&Standing { priority, queued_at, start_after, expires_at: None, waits_for: vec![] }, seq)
    }

    #[test]
    fn a_level_of_priority_is_worth_a_minute_of_waiting() {
        let old = ranked(0, 1000, None, 1);
        assert!(old < ranked(0, 1000, None, 2), "the first in is the first out");
        assert!(ranked(1, 1000, None, 2) < old && ranked(1, 1000 + AGEING_MS - 1, None, 2) < old);
        assert!(old < ranked(1, 1000 + AGEING_MS, None, 2), "it has waited for longer than the level is worth");
        assert!(old < ranked(-1, 1000, None, 0));
        let least = ranked(-100, 1000, None, 1);
        assert!(least < ranked(100, 1000 + 200 * AGEING_MS, None, 2), "nothing waits for ever");
        assert!(ranked(0, 5000, None, 9) < ranked(0, 1000, Some(6000), 1), "waiting begins at start_after");
    }

    #[test]
    fn small_tasks_pass_a_large_one_only_so_often() {
        let (mut queue, mut ledger) = (Queue::default(), ledger());
        ledger.reserve(&id(1000), memory(60), None);
        queue.push(rank(0), id(0), memory(100), None);
        for n in 1..=u64::from(MAX_OVERTAKES) + 5 {
            queue.push(rank(n), id(n), memory(1), None);
        }
        for n in 1..=u64::from(MAX_OVERTAKES) {
            assert_eq!(choose(&mut queue, &ledger), Some(id(n)), "small ones pass");
            queue.remove(rank(n), None);
        }
        assert_eq!(choose(&mut queue, &ledger), None, "now the large one holds the place");
        ledger.release(&id(1000));
        assert_eq!(choose(&mut queue, &ledger), Some(id(0)));
    }

    #[test]
    fn a_tenant_at_its_quota_holds_up_nobody_else() {
        let (mut queue, mut ledger) = (Queue::default(), ledger());
        ledger.reserve(&id(1000), memory(10), Some("acme"));
        for n in 0..200 {
            queue.push(rank(n), id(n), memory(10), Some("acme"));
        }
        queue.push(rank(500), id(500), memory(10), None);
        assert_eq!(choose(&mut queue, &ledger), Some(id(500)));
    }

    #[test]
    fn overtaking_inside_a_tenant_is_bounded_too() {
        let quota = Capacity { task_slots: 9, memory_bytes: Some(50), pids: None };
        let capacity = Capacity { task_slots: 99, memory_bytes: Some(1000), pids: None };
        let mut ledger = Ledger::new(capacity, &BTreeMap::from([("acme".to_owned(), quota)]));
        let mut queue = Queue::default();
        ledger.reserve(&id(1000), memory(10), Some("acme"));
        queue.push(rank(0), id(0), memory(50), Some("acme"));
        for n in 1..60 {
            queue.push(rank(n), id(n), memory(1), Some("acme"));
        }
        queue.push(rank(100), id(100), memory(1), None);
        for n in 1..=u64::from(MAX_OVERTAKES) {
            assert_eq!(choose(&mut queue, &ledger), Some(id(n)));
            queue.remove(rank(n), Some("acme"));
        }
        assert_eq!(choose(&mut queue, &ledger), Some(id(100)), "others go on");
    }

    proptest! {
        #[test]
        fn an_empty_machine_always_starts_the_oldest(
            tasks in prop::collection::vec((1_u64..=100, any::<bool>()), 1..40)
        ) {
            let mut queue = Queue::default();
            for (n, (bytes, acme)) in (0..).zip(&tasks) {
                let (bytes, tenant) = if *acme { (bytes.min(&50), Some("acme")) } else { (bytes, None) };
                queue.push(rank(n), id(n), memory(*bytes), tenant);
            }
            prop_assert_eq!(choose(&mut queue, &ledger()), Some(id(0)));
        }

        #[test]
        fn everything_starts_and_none_is_passed_too_often(
            tasks in prop::collection::vec((1_u64..=100, any::<bool>()), 1..60),
            ends in prop::collection::vec(any::<prop::sample::Index>(), 400),
        ) {
            let (mut queue, mut ledger) = (Queue::default(), ledger());
            let mut places = BTreeMap::new();
            for (n, (bytes, acme)) in (0..).zip(&tasks) {
                let (bytes, tenant) = if *acme { (bytes.min(&50), Some("acme")) } else { (bytes, None) };
                queue.push(rank(n), id(n), memory(*bytes), tenant);
                places.insert(id(n), (n, tenant));
            }
            let mut running: Vec<TaskId> = Vec::new();
            for end in ends {
                while let Some(started) = start(&mut queue, &mut ledger, &places) {
                    running.push(started);
                }
                let overtaken = queue.lanes.values().flat_map(BTreeMap::values).map(|w| w.overtaken).max();
                prop_assert!(overtaken.unwrap_or(0) <= MAX_OVERTAKES);
                if running.is_empty() {
                    break;
                }
                ledger.release(&running.swap_remove(end.index(running.len())));
            }
            prop_assert_eq!(queue.len(), 0);
        }
    }
}
