#![doc = include_str!("../README.md")]

mod suspend;

use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use kser_core::{Clock, Timestamp};
use tokio::time::Instant;

use crate::suspend::Suspended;

/// The clock of programs that are not simulated.
///
/// [`now`](Clock::now) is the wall clock's time at the first use in the process, carried on by elapsed time with that in
/// suspend. A step of the wall clock does not touch it. A suspend is seen within a tenth of a second of the resume, once all
/// of them together have taken half a second.
///
/// It follows tokio's pausable clock, so that a test on paused time needs no real time.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "it has nothing")]
pub struct SystemClock;

/// A point in time, on all clocks.
#[derive(Debug)]
struct Epoch {
    wall: Timestamp,
    instant: Instant,
    suspended: Suspended,
}

static EPOCH: OnceLock<Epoch> = OnceLock::new();

impl SystemClock {
    /// Makes a clock. All clocks tell the same time.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let epoch = EPOCH.get_or_init(Epoch::begin);
        let instant = Instant::now();
        let elapsed = instant.saturating_duration_since(epoch.instant);
        epoch.at(instant, epoch.suspended.since_start(elapsed, suspend::read))
    }

    fn wall(&self) -> Timestamp {
        wall()
    }
}

impl Epoch {
    fn begin() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the clock of programs that are not simulated"
        )]
        let instant = std::time::Instant::now();
        Self {
            wall: wall(),
            // Not tokio's own, which a test may have advanced: then it would be ahead of the wall clock.
            instant: Instant::from_std(instant),
            suspended: Suspended::new(suspend::read()),
        }
    }

    /// Returns the time at an instant, after this time in suspend.
    fn at(&self, instant: Instant, suspended: Duration) -> Timestamp {
        match instant.checked_duration_since(self.instant) {
            Some(later) => self.wall + (later + suspended),
            // A paused clock may be behind the real one. Rounded down, as above.
            None => {
                let sooner = self.instant.saturating_duration_since(instant);
                let sooner = sooner + Duration::from_nanos(999_999);
                let millis = u64::try_from(sooner.as_millis()).unwrap_or(u64::MAX);
                Timestamp::from_millis(self.wall.as_millis().saturating_sub(millis))
            }
        }
    }
}

fn wall() -> Timestamp {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock of programs that are not simulated"
    )]
    let wall = SystemTime::now();
    let since = wall.duration_since(SystemTime::UNIX_EPOCH);
    Timestamp::default() + since.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_follows_the_paused_clock_and_all_values_agree() {
        let early = SystemClock::new();
        let before = early.now();
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(SystemClock::new().now(), early.now());
        let passed = early.now().since(before);
        assert!(passed >= Duration::from_secs(3600), "{passed:?}");
    }

    #[test]
    fn it_begins_at_the_time_of_day() {
        let (now, wall) = (SystemClock.now(), SystemClock.wall());
        let apart = now.since(wall) + wall.since(now);
        assert!(apart < Duration::from_secs(60), "{apart:?}");
    }

    #[test]
    fn time_in_suspend_counts() {
        let epoch = Epoch::begin();
        let (instant, hour) = (
            epoch.instant + Duration::from_secs(5),
            Duration::from_secs(3600),
        );
        assert_eq!(
            epoch.at(instant, hour).since(epoch.wall),
            hour + Duration::from_secs(5)
        );
    }
}
