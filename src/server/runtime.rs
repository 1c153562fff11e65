//! What the runtime says about itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Shared;
use super::access::Caller;
use super::fault::Fault;
use super::status::blocking;
use crate::api::runtime::{
    ActiveReservation, CapabilityManifest, RuntimeConfig, RuntimeInfo, RuntimeResources, TenantResources,
};
use crate::dispatcher::{self, Resources};
use crate::ledger::{Account, Ledger};
use crate::store::LiveTasks;

pub(super) fn info(shared: &Shared) -> RuntimeInfo {
    let context = &shared.context;
    let draining = context.dispatcher.is_draining();
    RuntimeInfo::new(&context.runtime_id, context.started_at, draining, &context.manifest.platform)
}

pub(super) fn capabilities(shared: &Shared) -> CapabilityManifest {
    shared.context.manifest.as_ref().into()
}

pub(super) fn config(shared: &Shared) -> RuntimeConfig {
    RuntimeConfig::new(&shared.context.runtime_id, shared.listen_addr, &shared.context.config)
}

pub(super) async fn resources(shared: &Arc<Shared>, by: &Caller) -> Result<RuntimeResources, Fault> {
    let resources = match by.tenant() {
        None => shared.context.dispatcher.resources().await?,
        Some(tenant) => resources_of(shared, tenant).await?,
    };
    let Resources { whole, active, waiting, tenants } = resources;
    Ok(RuntimeResources {
        runtime_id: shared.context.runtime_id.clone(),
        capacity: whole.capacity.into(),
        reserved: whole.reserved.into(),
        available: whole.available().into(),
        active_reservations: active.into_iter().map(Into::into).collect(),
        accepted_waiting_tasks: waiting,
        tenants: tenants.into_iter().map(Into::into).collect(),
    })
}

/// A tenant's own: as if there were nobody else. It is told what it may hold at most, and not what others leave of it.
async fn resources_of(shared: &Arc<Shared>, tenant: &str) -> Result<Resources, Fault> {
    let (readers, own) = (shared.context.readers.clone(), tenant.to_owned());
    let LiveTasks { launched, queued } = blocking(move || readers.live_tasks_of(&own)).await??;
    let config = &shared.context.config;
    let quotas = config.tenant_quotas();
    let quota = quotas.get_key_value(tenant);
    let capacity = quota.map_or(config.capacity(), |(_, quota)| config.capacity().least(*quota));
    let of_quota = quota.map(|(name, quota)| BTreeMap::from([(name.clone(), *quota)])).unwrap_or_default();
    let mut ledger = Ledger::new(capacity, &of_quota);
    launched.iter().for_each(|task| ledger.reserve(task.id(), task.demand(), Some(tenant)));
    let mut active: Vec<_> = launched.iter().filter_map(dispatcher::ActiveReservation::of).collect();
    active.sort_by(|a, b| (a.reserved_at, &a.task_id).cmp(&(b.reserved_at, &b.task_id)));
    let tenants = ledger
        .tenants()
        .map(|(name, account)| dispatcher::TenantResources { tenant: name.to_owned(), account: *account });
    Ok(Resources { whole: *ledger.whole(), active, waiting: queued.len() as u64, tenants: tenants.collect() })
}

impl From<dispatcher::ActiveReservation> for ActiveReservation {
    fn from(active: dispatcher::ActiveReservation) -> Self {
        let dispatcher::ActiveReservation { task_id, status, reservation, reserved_at } = active;
        Self { task_id: task_id.to_string(), status: status.into(), reservation: reservation.into(), reserved_at }
    }
}

impl From<dispatcher::TenantResources> for TenantResources {
    fn from(resources: dispatcher::TenantResources) -> Self {
        let dispatcher::TenantResources { tenant, account } = resources;
        let available = account.available().into();
        let Account { capacity, reserved } = account;
        Self { tenant, quota: capacity.into(), reserved: reserved.into(), available }
    }
}
