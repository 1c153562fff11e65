//! The ledger of this machine: what there is, what is reserved, what each tenant may hold. Pure arithmetic;
//! it knows task ids and amounts, not states, queues or storage.

mod capacity;

use std::collections::{BTreeMap, HashMap};

pub use capacity::{Capacity, Shortage, Totals};

use crate::task::{Reservation, TaskId};

/// Who holds what. `reserved` is always the sum of the active reservations, for the runtime and for each tenant.
#[derive(Debug)]
pub struct Ledger {
    whole: Account,
    tenants: BTreeMap<String, Account>,
    active: HashMap<TaskId, Held>,
}

/// A limit and what is taken from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    pub capacity: Capacity,
    pub reserved: Totals,
}

impl Account {
    const fn new(capacity: Capacity) -> Self {
        Self { capacity, reserved: Totals::ZERO }
    }

    /// What is left; unlimited kinds stay unlimited.
    #[must_use]
    pub fn available(&self) -> Capacity {
        self.capacity.minus(self.reserved)
    }
}

#[derive(Debug)]
struct Held {
    reservation: Reservation,
    tenant: Option<String>,
}

/// Which limit is too small, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NeverFits {
    #[error("the task asks for {0}, more than this runtime has")]
    Runtime(Shortage),
    #[error("the task asks for {shortage}, more than the quota of tenant {tenant:?}")]
    Tenant { tenant: String, shortage: Shortage },
}

/// Why a task cannot start now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocked {
    /// Its tenant's quota is used up; tasks of others are not affected.
    ByTenant,
    /// The machine is full.
    ByRuntime,
}

impl Ledger {
    #[must_use]
    pub fn new(capacity: Capacity, quotas: &BTreeMap<String, Capacity>) -> Self {
        let tenants = quotas.iter().map(|(name, quota)| (name.clone(), Account::new(*quota))).collect();
        Self { whole: Account::new(capacity), tenants, active: HashMap::new() }
    }

    /// Whether the task could start on an empty machine.
    ///
    /// # Errors
    /// The limit that it can never meet.
    pub fn check_ever_fits(&self, demand: Reservation, tenant: Option<&str>) -> Result<(), NeverFits> {
        self.whole.capacity.check(demand).map_err(NeverFits::Runtime)?;
        if let Some((name, account)) = self.quota(tenant) {
            let refuse = |shortage| NeverFits::Tenant { tenant: name.clone(), shortage };
            account.capacity.check(demand).map_err(refuse)?;
        }
        Ok(())
    }

    /// Whether the task could start now.
    ///
    /// # Errors
    /// What is in the way.
    pub fn check_fits_now(&self, demand: Reservation, tenant: Option<&str>) -> Result<(), Blocked> {
        if let Some((_, account)) = self.quota(tenant) {
            account.available().check(demand).map_err(|_| Blocked::ByTenant)?;
        }
        self.whole.available().check(demand).map_err(|_| Blocked::ByRuntime)
    }

    /// Takes the amounts. The caller has checked that they fit, or must count a task that already runs
    /// (after a restart with a smaller capacity); so this never refuses. A second call for a task does nothing.
    pub fn reserve(&mut self, id: &TaskId, demand: Reservation, tenant: Option<&str>) {
        if self.active.contains_key(id) {
            return;
        }
        self.whole.reserved.add(demand);
        let tenant = self.quota(tenant).map(|(name, _)| name.clone());
        if let Some(account) = tenant.as_ref().and_then(|name| self.tenants.get_mut(name)) {
            account.reserved.add(demand);
        }
        self.active.insert(id.clone(), Held { reservation: demand, tenant });
    }

    /// Gives the amounts back. A task that holds nothing changes nothing.
    pub fn release(&mut self, id: &TaskId) {
        let Some(Held { reservation, tenant }) = self.active.remove(id) else { return };
        self.whole.reserved.subtract(reservation);
        if let Some(account) = tenant.and_then(|name| self.tenants.get_mut(&name)) {
            account.reserved.subtract(reservation);
        }
    }

    #[must_use]
    pub const fn whole(&self) -> &Account {
        &self.whole
    }

    pub fn tenants(&self) -> impl Iterator<Item = (&str, &Account)> {
        self.tenants.iter().map(|(name, account)| (name.as_str(), account))
    }

    /// The tenants that have a quota; all others share the runtime's capacity.
    #[must_use]
    pub fn has_quota(&self, tenant: &str) -> bool {
        self.tenants.contains_key(tenant)
    }

    fn quota(&self, tenant: Option<&str>) -> Option<(&String, &Account)> {
        self.tenants.get_key_value(tenant?)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(n: usize) -> TaskId {
        TaskId::parse(&format!("t{n}")).expect("valid")
    }

    fn ledger() -> Ledger {
        let quota = Capacity { task_slots: 2, memory_bytes: Some(100), pids: None };
        let capacity = Capacity { task_slots: 4, memory_bytes: Some(1000), pids: Some(50) };
        Ledger::new(capacity, &BTreeMap::from([("acme".to_owned(), quota)]))
    }

    const fn demand(memory: Option<u64>, pids: Option<u64>) -> Reservation {
        Reservation { task_slots: 1, memory_bytes: memory, pids }
    }

    #[test]
    fn what_can_never_fit_names_the_limit() {
        let ledger = ledger();
        let fault = ledger.check_ever_fits(demand(Some(1001), None), None).expect_err("too much");
        assert!(fault.to_string().contains("limits.memory_bytes") && fault.to_string().contains("1000"), "{fault}");
        let fault = ledger.check_ever_fits(demand(Some(101), None), Some("acme")).expect_err("over quota");
        assert!(fault.to_string().contains("acme"), "{fault}");
        assert!(ledger.check_ever_fits(demand(Some(101), None), Some("other")).is_ok());
        assert!(ledger.check_ever_fits(demand(None, Some(51)), None).is_err());
    }

    #[test]
    fn a_full_tenant_is_told_from_a_full_machine() {
        let mut ledger = ledger();
        ledger.reserve(&id(1), demand(Some(100), None), Some("acme"));
        assert_eq!(ledger.check_fits_now(demand(Some(1), None), Some("acme")), Err(Blocked::ByTenant));
        assert_eq!(ledger.check_fits_now(demand(Some(901), None), None), Err(Blocked::ByRuntime));
        assert_eq!(ledger.check_fits_now(demand(Some(900), None), None), Ok(()));
    }

    proptest! {
        #[test]
        fn reserved_is_the_sum_of_what_is_active(
            steps in prop::collection::vec((0_usize..6, any::<bool>(), 0_u64..200, any::<bool>()), 0..60)
        ) {
            let mut ledger = ledger();
            let mut model: BTreeMap<usize, (u64, bool)> = BTreeMap::new();
            for (n, add, memory, acme) in steps {
                if add {
                    ledger.reserve(&id(n), demand(Some(memory), None), acme.then_some("acme"));
                    model.entry(n).or_insert((memory, acme));
                } else {
                    ledger.release(&id(n));
                    model.remove(&n);
                }
                let sum = |only_acme: bool| model.values().filter(|(_, a)| *a || !only_acme).map(|(m, _)| m).sum::<u64>();
                prop_assert_eq!(ledger.whole().reserved.memory_bytes, sum(false));
                prop_assert_eq!(ledger.whole().reserved.task_slots, model.len() as u64);
                let (_, acme) = ledger.tenants().next().expect("one tenant");
                prop_assert_eq!(acme.reserved.memory_bytes, sum(true));
            }
        }
    }
}
