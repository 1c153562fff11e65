//! How a task is asked to end.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

/// A signal for the whole task first, SIGKILL for what is left of it after the grace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KillOrder {
    pub signal: KillSignal,
    /// Absent: the server's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_ms: Option<u64>,
}

/// What a grace may be.
pub const GRACE_MS: RangeInclusive<u64> = 0..=3_600_000;

/// The signals by which programs are told to end, as they are called on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum KillSignal {
    #[serde(rename = "SIGHUP")]
    Hup,
    #[serde(rename = "SIGINT")]
    Int,
    #[serde(rename = "SIGQUIT")]
    Quit,
    #[serde(rename = "SIGABRT")]
    Abrt,
    /// At once, whatever the grace.
    #[serde(rename = "SIGKILL")]
    Kill,
    #[serde(rename = "SIGUSR1")]
    Usr1,
    #[serde(rename = "SIGUSR2")]
    Usr2,
    #[default]
    #[serde(rename = "SIGTERM")]
    Term,
}

impl KillSignal {
    pub const ALL: [Self; 8] =
        [Self::Hup, Self::Int, Self::Quit, Self::Abrt, Self::Kill, Self::Usr1, Self::Usr2, Self::Term];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hup => "SIGHUP",
            Self::Int => "SIGINT",
            Self::Quit => "SIGQUIT",
            Self::Abrt => "SIGABRT",
            Self::Kill => "SIGKILL",
            Self::Usr1 => "SIGUSR1",
            Self::Usr2 => "SIGUSR2",
            Self::Term => "SIGTERM",
        }
    }

    /// As signal(7) has it for this machine.
    #[must_use]
    pub const fn number(self) -> i32 {
        match self {
            Self::Hup => libc::SIGHUP,
            Self::Int => libc::SIGINT,
            Self::Quit => libc::SIGQUIT,
            Self::Abrt => libc::SIGABRT,
            Self::Kill => libc::SIGKILL,
            Self::Usr1 => libc::SIGUSR1,
            Self::Usr2 => libc::SIGUSR2,
            Self::Term => libc::SIGTERM,
        }
    }
}

/// The value of the signal that carries an order to a shim: the number of the signal in the lowest eight bits, above
/// them the grace and one, or 0 for that of the launch.
impl KillOrder {
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        let grace = match self.grace_ms {
            Some(ms) => ms.saturating_add(1),
            None => 0,
        };
        grace << 8 | self.signal.number().unsigned_abs() as u64
    }

    /// `None`: no order that this version knows.
    #[must_use]
    pub fn from_bits(bits: u64) -> Option<Self> {
        let number = i32::try_from(bits & 0xff).ok()?;
        let signal = KillSignal::ALL.into_iter().find(|signal| signal.number() == number)?;
        Some(Self { signal, grace_ms: (bits >> 8).checked_sub(1) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_order_is_carried_whole_by_the_value_of_a_signal() {
        for signal in KillSignal::ALL {
            for grace_ms in [None, Some(0), Some(1), Some(*GRACE_MS.end())] {
                let order = KillOrder { signal, grace_ms };
                assert_eq!(KillOrder::from_bits(order.to_bits()), Some(order));
            }
        }
        assert_eq!((KillOrder::from_bits(0), KillOrder::from_bits(0xff)), (None, None));
    }

    #[test]
    fn a_signal_is_called_the_same_everywhere() {
        for signal in KillSignal::ALL {
            assert_eq!(serde_json::to_value(signal).expect("serialises"), signal.as_str());
        }
    }
}
