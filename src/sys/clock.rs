//! The clock that deadlines and durations use, and the name of the boot in which its values mean something.

use std::io;

use rustix::time::{ClockId, clock_gettime};

/// `CLOCK_MONOTONIC` in milliseconds: never steps, stands still during suspend, starts anew with each boot.
#[must_use]
pub fn monotonic_ms() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let millis = now.tv_sec.saturating_mul(1000).saturating_add(now.tv_nsec / 1_000_000);
    u64::try_from(millis).unwrap_or(0)
}

/// A random UUID that the kernel makes at each boot (random(4)).
///
/// # Errors
/// `/proc` is not mounted.
pub fn boot_id() -> io::Result<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    Ok(text.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_id_is_one_uuid_and_stays() {
        let id = boot_id().expect("readable");
        assert!(uuid::Uuid::parse_str(&id).is_ok(), "{id:?}");
        assert_eq!(boot_id().expect("readable"), id);
    }
}
