//! What the runtime says about itself.

use std::sync::Arc;

use super::Shared;
use super::fault::Fault;
use crate::api::runtime::{
    ActiveReservation, CapabilityManifest, RuntimeConfig, RuntimeInfo, RuntimeResources, TenantResources,
};
use crate::dispatcher::{self, Resources};
use crate::ledger::Account;

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

pub(super) async fn resources(shared: &Arc<Shared>) -> Result<RuntimeResources, Fault> {
    let Resources { whole, active, waiting, tenants } = shared.context.dispatcher.resources().await?;
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
