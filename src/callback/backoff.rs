//! How long to wait before the next attempt. Pure.

const HOUR_MS: u64 = 3_600_000;

/// After so many attempts in vain, the first of which is followed by `first_ms`: twice as long each time, an hour at most.
/// Up to a quarter more by `salt`, so that what failed together does not come back together.
pub(super) fn backoff_ms(attempts: u32, first_ms: u64, salt: u64) -> u64 {
    let doubled = first_ms.saturating_mul(1 << attempts.saturating_sub(1).min(40));
    let wait = doubled.min(HOUR_MS.max(first_ms));
    wait + wait / 4 * (salt % 16) / 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wait_is_twice_the_one_before_up_to_an_hour() {
        let waits: Vec<_> = [1, 2, 3, 12, 13, 4_000_000_000].map(|attempts| backoff_ms(attempts, 1000, 0)).into();
        assert_eq!(waits, [1000, 2000, 4000, 2_048_000, HOUR_MS, HOUR_MS]);
        assert_eq!(backoff_ms(5, 2 * HOUR_MS, 0), 2 * HOUR_MS);
        assert!((0..64).all(|salt| (1000..1250).contains(&backoff_ms(1, 1000, salt))));
        assert_ne!(backoff_ms(1, 1000, 3), backoff_ms(1, 1000, 4));
    }
}
