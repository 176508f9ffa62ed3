use std::fmt::Debug;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment: milliseconds since 1970-01-01 UTC, as in Kafka.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(u64);

/// The last moment to which a wait may reach.
const LAST: u64 = i64::MAX.cast_unsigned();

impl Timestamp {
    /// Makes one from milliseconds since 1970-01-01 UTC.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Returns the milliseconds since 1970-01-01 UTC.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Returns the time from `earlier` to this, zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Adds whole milliseconds and stops at the last moment that a signed number of 64 bits holds, as databases keep it: it
/// never wraps.
impl std::ops::Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, wait: Duration) -> Self {
        let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis).min(self.0.max(LAST)))
    }
}

/// Tells the time. A simulated run has its own, so that it is the same every time.
pub trait Clock: Debug + Send + Sync + 'static {
    /// Returns the present moment: that of a start, carried on by elapsed time. It never steps, and may differ from the
    /// time of day. All waits go by it.
    fn now(&self) -> Timestamp;

    /// Returns the time of day, for what people read. It may step at any time. Defaults to [`now`](Self::now).
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
}
