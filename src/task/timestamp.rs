//! One type and one format for every time that leaves the runtime: RFC 3339, UTC, milliseconds, `Z`.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Milliseconds since the Unix epoch on the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    #[must_use]
    pub fn now() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }

    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// RFC 3339, with any offset; what is finer than a millisecond is dropped. From 1970 to 9999.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let upper = text.to_ascii_uppercase();
        let (local, offset_ms) = match upper.strip_suffix('Z') {
            Some(local) => (local, 0),
            None => {
                let (local, offset) = upper.split_at_checked(upper.len().checked_sub(6)?)?;
                (local, offset_ms(offset)?)
            }
        };
        let time = humantime::parse_rfc3339(&format!("{local}Z")).ok()?.duration_since(UNIX_EPOCH).ok()?;
        let millis = i64::try_from(time.as_millis()).ok()?.checked_sub(offset_ms)?;
        (0..=LAST_MS).contains(&millis).then_some(Self(millis))
    }

    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    #[must_use]
    pub fn plus_millis(self, millis: u64) -> Self {
        Self(self.0.saturating_add(i64::try_from(millis).unwrap_or(i64::MAX)))
    }

    #[must_use]
    pub fn minus_secs(self, secs: u64) -> Self {
        let millis = i64::try_from(secs).unwrap_or(i64::MAX).saturating_mul(1000);
        Self(self.0.saturating_sub(millis))
    }
}

/// The last millisecond of the year 9999.
const LAST_MS: i64 = 253_402_300_799_999;

/// Of `+02:00`.
fn offset_ms(offset: &str) -> Option<i64> {
    let (sign, clock) = match offset.split_at_checked(1)? {
        ("+", clock) => (1, clock),
        ("-", clock) => (-1, clock),
        _ => return None,
    };
    let (hours, minutes) = clock.split_once(':')?;
    let number = |digits: &str, below: i64| {
        let is_number = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| digits.parse::<i64>().ok()).flatten().filter(|number| *number < below)
    };
    Some(sign * (number(hours, 24)? * 60 + number(minutes, 60)?) * 60_000)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = u64::try_from(self.0).unwrap_or(0);
        let time = UNIX_EPOCH + Duration::from_millis(millis);
        write!(f, "{}", humantime::format_rfc3339_millis(time))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = String::deserialize(deserializer)?;
        let time = humantime::parse_rfc3339(&raw).map_err(serde::de::Error::custom)?;
        let since_epoch = time.duration_since(UNIX_EPOCH).map_err(serde::de::Error::custom)?;
        i64::try_from(since_epoch.as_millis()).map(Self).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_utc_with_milliseconds_and_z() {
        assert_eq!(Timestamp::from_millis(1_700_000_000_007).to_string(), "2023-11-14T22:13:20.007Z");
        assert_eq!(Timestamp::from_millis(0).to_string(), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn a_time_is_read_with_any_offset() {
        let noon = Some(Timestamp::from_millis(1_700_049_600_500));
        for same in [
            "2023-11-15T12:00:00.5Z",
            "2023-11-15t12:00:00.500999z",
            "2023-11-15T14:00:00.5+02:00",
            "2023-11-15T02:30:00.5-09:30",
        ] {
            assert_eq!(Timestamp::parse(same), noon, "{same}");
        }
        for bad in [
            "",
            "Z",
            "now",
            "2023-11-15",
            "2023-11-15T12:00:00",
            "2023-11-15T12:00:00+2:00",
            "2023-11-15T12:00:00+24:00",
            "2023-11-15T12:00:00 02:00",
            "2023-11-15T25:00:00Z",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+00:01",
            "é",
        ] {
            assert_eq!(Timestamp::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn json_round_trip_keeps_the_millisecond() {
        let time = Timestamp::from_millis(1_700_000_000_999);
        let json = serde_json::to_string(&time).expect("serialises");
        assert_eq!(serde_json::from_str::<Timestamp>(&json).expect("parses"), time);
    }
}
