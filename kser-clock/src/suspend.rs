//! The time that the machine has spent in suspend, which `Instant` does not count everywhere.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The growth of the measured time in suspend that counts, in milliseconds. Less may be the time between the readings of two
/// clocks.
const GROWTH: u64 = 500;
/// The time for which a reading is used, in milliseconds awake, because each reading reads two more clocks.
const FRESH: u64 = 100;

/// The time in suspend since a start.
#[derive(Debug)]
pub(crate) struct Suspended {
    start: u64,
    now: AtomicU64,
    /// When the next reading is due, in milliseconds awake since the start.
    due: AtomicU64,
}

impl Suspended {
    pub(crate) const fn new(read: u64) -> Self {
        Self {
            start: read,
            now: AtomicU64::new(read),
            due: AtomicU64::new(0),
        }
    }

    /// Returns the time in suspend since the start, by a new reading if the latest is not fresh any more. It never shrinks.
    ///
    /// `awake` is the time since the start without that in suspend.
    pub(crate) fn since_start(&self, awake: Duration, read: impl FnOnce() -> u64) -> Duration {
        let awake = u64::try_from(awake.as_millis()).unwrap_or(u64::MAX);
        let mut now = self.now.load(Ordering::Relaxed);
        if awake >= self.due.load(Ordering::Relaxed) {
            self.due
                .store(awake.saturating_add(FRESH), Ordering::Relaxed);
            let read = read();
            if read > now + GROWTH {
                now = self.now.fetch_max(read, Ordering::Relaxed).max(read);
            }
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
    // In this order the time between the readings makes the result smaller, so that it never counts as suspend.
    let with_suspend = millis(ClockId::Boottime);
    with_suspend.saturating_sub(millis(ClockId::Monotonic))
}

/// Returns zero: on other systems `Instant` counts the time in suspend, or it cannot be read.
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
        let mut awake = Duration::ZERO;
        let mut millis = |read| {
            awake += Duration::from_millis(FRESH);
            suspended.since_start(awake, || read).as_millis()
        };
        assert_eq!([1000, 1499, 900, 1500].map(&mut millis), [0; 4]);
        assert_eq!(millis(3_601_000), 3_600_000);
        assert_eq!(millis(3_600_100), 3_600_000);
        // Many short ones count together.
        assert_eq!([3_601_400, 3_601_800].map(millis), [3_600_000, 3_600_800]);
    }

    #[test]
    fn a_fresh_reading_is_not_taken_again() {
        let suspended = Suspended::new(0);
        let mut n_readings = 0;
        for awake in 0..1000 {
            suspended.since_start(Duration::from_millis(awake), || {
                n_readings += 1;
                0
            });
        }
        assert_eq!(n_readings, 10);
        let read = || 60_000;
        let at = |awake| suspended.since_start(Duration::from_millis(awake), read);
        assert_eq!(
            [999, 1000].map(at),
            [Duration::ZERO, Duration::from_secs(60)]
        );
    }
}
