//! The time that the machine has spent in suspend, which `Instant` does not count everywhere.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How far the measured time in suspend has to grow to be believed, in milliseconds: less may be the time between the
/// readings of two clocks.
const GROWTH: u64 = 500;

/// The time in suspend since a start.
#[derive(Debug)]
pub(crate) struct Suspended {
    start: u64,
    now: AtomicU64,
}

impl Suspended {
    pub(crate) const fn new(read: u64) -> Self {
        Self {
            start: read,
            now: AtomicU64::new(read),
        }
    }

    /// Takes a reading, and returns the time in suspend since the start. It never shrinks.
    pub(crate) fn since_start(&self, read: u64) -> Duration {
        let mut now = self.now.load(Ordering::Relaxed);
        if read > now + GROWTH {
            now = self.now.fetch_max(read, Ordering::Relaxed).max(read);
        }
        Duration::from_millis(now - self.start)
    }
}

/// Returns the time in suspend since the machine started, in milliseconds.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn read() -> u64 {
    use rustix::time::{ClockId, clock_gettime};
    let millis = |clock| {
        let read = clock_gettime(clock);
        u64::try_from(read.tv_sec * 1000 + read.tv_nsec / 1_000_000).unwrap_or_default()
    };
    // In this order what passes between the readings makes the result smaller, and does not count.
    let with_suspend = millis(ClockId::Boottime);
    with_suspend.saturating_sub(millis(ClockId::Monotonic))
}

/// Elsewhere `Instant` counts it, or there is no telling.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) const fn read() -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_with_suspends_and_not_with_the_time_between_readings() {
        let suspended = Suspended::new(1000);
        let millis = |read| suspended.since_start(read).as_millis();
        assert_eq!([1000, 1499, 900, 1500].map(millis), [0; 4]);
        assert_eq!(millis(3_601_000), 3_600_000);
        assert_eq!(millis(3_600_100), 3_600_000);
        // Many short ones count together.
        assert_eq!([3_601_400, 3_601_800].map(millis), [3_600_000, 3_600_800]);
    }
}
