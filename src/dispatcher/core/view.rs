//! What can be seen of the dispatcher's memory.

use super::Core;
use crate::dispatcher::handle::{ActiveReservation, Resources, TenantResources};
use crate::ledger::Account;
use crate::task::Task;

/// How much there is to do.
#[derive(Clone, Copy, Debug)]
pub(in crate::dispatcher) struct Load {
    pub queued: u64,
    /// Tasks that are launching or running.
    pub reserved: u64,
    pub account: Account,
}

impl Core {
    pub fn resources(&self) -> Resources {
        let mut active: Vec<_> = self.live.values().filter_map(|live| ActiveReservation::of(&live.task)).collect();
        active.sort_by(|a, b| (a.reserved_at, &a.task_id).cmp(&(b.reserved_at, &b.task_id)));
        let tenants = self.ledger.tenants();
        // Those that are about to end without having started have left the queue.
        let ending = self.live.values().filter(|live| live.ending.is_some() && !live.task.holds_reservation());
        Resources {
            whole: *self.ledger.whole(),
            waiting: (self.waiting_len() + ending.count()) as u64,
            active,
            tenants: tenants.map(|(name, a)| TenantResources { tenant: name.to_owned(), account: *a }).collect(),
        }
    }

    /// For the gauges.
    pub fn load(&self) -> Load {
        let account = *self.ledger.whole();
        Load { queued: self.waiting_len() as u64, reserved: account.reserved.task_slots, account }
    }

    /// The live tasks that have a launch and no end yet: for recovery.
    pub fn launched(&self) -> Vec<Task> {
        self.live
            .values()
            .filter(|l| l.task.launch_id().is_some() && l.ending.is_none())
            .map(|l| l.task.clone())
            .collect()
    }
}
