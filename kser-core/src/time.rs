use std::fmt::{self, Debug};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A point in time: milliseconds since 1970-01-01 UTC, as in Kafka.
///
/// Displays as RFC 3339 in UTC (`2026-11-28T07:00:00.250Z`), and as the number of milliseconds from the year 10000 on. As
/// JSON it is the number.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(u64);

/// The latest time to which a wait may reach.
const LAST: u64 = i64::MAX.cast_unsigned();
/// The start of the year 10000, which RFC 3339 cannot write.
const YEAR_10000: u64 = 253_402_300_800_000;

impl Timestamp {
    /// Makes a timestamp from milliseconds since 1970-01-01 UTC.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Returns the milliseconds since 1970-01-01 UTC.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Returns the time since `earlier`; zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 < YEAR_10000 {
            true => write!(f, "{}", humantime::format_rfc3339_millis((*self).into())),
            false => write!(f, "{} ms", self.0),
        }
    }
}

impl From<Timestamp> for SystemTime {
    fn from(timestamp: Timestamp) -> Self {
        UNIX_EPOCH + Duration::from_millis(timestamp.0.min(LAST))
    }
}

/// Converts to whole milliseconds; a time before 1970 becomes the start of 1970.
impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::default() + since
    }
}

/// Adds whole milliseconds, up to the largest signed number of 64 bits, which databases can store. It never wraps.
impl std::ops::Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, wait: Duration) -> Self {
        let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis).min(self.0.max(LAST)))
    }
}

/// A clock. A simulated run has a clock of its own, so that it is the same every time.
pub trait Clock: Debug + Send + Sync + 'static {
    /// Returns the present time: that of a start plus the elapsed time. It never steps, and may differ from the time of day.
    /// All waits go by it.
    fn now(&self) -> Timestamp;

    /// Returns the time of day, for people. It may step at any time. Defaults to [`now`](Self::now).
    fn wall(&self) -> Timestamp {
        self.now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_reaches_no_further_than_a_signed_number() {
        let now = Timestamp::from_millis(1_000);
        let end = i64::try_from((now + Duration::MAX).as_millis());
        assert_eq!(end, Ok(i64::MAX));
        let beyond = Timestamp::from_millis(u64::MAX - 1);
        assert_eq!(beyond + Duration::ZERO, beyond);
    }

    #[test]
    fn a_timestamp_displays_as_rfc_3339() {
        let check =
            |millis, text: &str| assert_eq!(Timestamp::from_millis(millis).to_string(), text);
        check(0, "1970-01-01T00:00:00.000Z");
        check(1_795_849_200_250, "2026-11-28T07:00:00.250Z");
        check(YEAR_10000 - 1, "9999-12-31T23:59:59.999Z");
        check(YEAR_10000, "253402300800000 ms");
        check(u64::MAX, "18446744073709551615 ms");
    }

    #[test]
    fn a_timestamp_converts_to_a_system_time_and_back() {
        let there_and_back =
            |millis| Timestamp::from(SystemTime::from(Timestamp::from_millis(millis)));
        assert_eq!(
            there_and_back(1_795_849_200_250).as_millis(),
            1_795_849_200_250
        );
        assert_eq!(there_and_back(u64::MAX).as_millis(), LAST);
        let before = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(Timestamp::from(before), Timestamp::default());
    }
}
