//! Amounts: what there is (each kind may be unlimited) and what is taken (each kind is a number).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::task::Reservation;

/// A capacity or quota; `None` means that this kind is not limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capacity {
    pub task_slots: u64,
    pub memory_bytes: Option<u64>,
    pub pids: Option<u64>,
}

/// Sums of reservations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    pub task_slots: u64,
    pub memory_bytes: u64,
    pub pids: u64,
}

/// One kind of resource that does not suffice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// The request field, or `task slots`.
    pub what: &'static str,
    pub asked: u64,
    pub limit: u64,
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} (at most {})", self.what, self.asked, self.limit)
    }
}

impl Capacity {
    /// # Errors
    /// The first kind of which `demand` asks for more than there is.
    pub fn check(&self, demand: Reservation) -> Result<(), Shortage> {
        within("task slots", demand.task_slots, Some(self.task_slots))?;
        within("limits.memory_bytes", demand.memory_bytes.unwrap_or(0), self.memory_bytes)?;
        within("limits.pids_max", demand.pids.unwrap_or(0), self.pids)
    }

    /// What both allow.
    #[must_use]
    pub fn least(self, other: Self) -> Self {
        let least = |a: Option<u64>, b: Option<u64>| a.zip(b).map(|(a, b)| a.min(b)).or(a).or(b);
        Self {
            task_slots: self.task_slots.min(other.task_slots),
            memory_bytes: least(self.memory_bytes, other.memory_bytes),
            pids: least(self.pids, other.pids),
        }
    }

    /// What is left after `reserved`; never below zero.
    #[must_use]
    pub fn minus(&self, reserved: Totals) -> Self {
        Self {
            task_slots: self.task_slots.saturating_sub(reserved.task_slots),
            memory_bytes: self.memory_bytes.map(|bytes| bytes.saturating_sub(reserved.memory_bytes)),
            pids: self.pids.map(|pids| pids.saturating_sub(reserved.pids)),
        }
    }
}

fn within(what: &'static str, asked: u64, limit: Option<u64>) -> Result<(), Shortage> {
    match limit {
        Some(limit) if asked > limit => Err(Shortage { what, asked, limit }),
        _ => Ok(()),
    }
}

impl Totals {
    pub const ZERO: Self = Self { task_slots: 0, memory_bytes: 0, pids: 0 };

    pub(super) fn add(&mut self, r: Reservation) {
        self.task_slots = self.task_slots.saturating_add(r.task_slots);
        self.memory_bytes = self.memory_bytes.saturating_add(r.memory_bytes.unwrap_or(0));
        self.pids = self.pids.saturating_add(r.pids.unwrap_or(0));
    }

    pub(super) fn subtract(&mut self, r: Reservation) {
        self.task_slots = self.task_slots.saturating_sub(r.task_slots);
        self.memory_bytes = self.memory_bytes.saturating_sub(r.memory_bytes.unwrap_or(0));
        self.pids = self.pids.saturating_sub(r.pids.unwrap_or(0));
    }
}
