use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use kser_core::{Clock, Timestamp};
use tokio::time::Instant;

/// The time of memory transports and stores: tokio's clock, which a test can pause and advance, counted on from the
/// wall clock's time at its first use in the process.
///
/// All clocks tell the same time within one runtime, no matter when they were made.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct MemoryClock;

/// A point in time, on both clocks.
#[derive(Debug, Clone, Copy)]
struct Epoch {
    millis: u64,
    instant: Instant,
}

static EPOCH: OnceLock<Epoch> = OnceLock::new();

impl MemoryClock {
    /// Makes a clock.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }

    /// Returns the instant on tokio's clock. A time that is more than a year away becomes a year from now.
    pub(crate) fn instant(at: Timestamp) -> Instant {
        const YEAR: u64 = 365 * 24 * 60 * 60 * 1000;
        let now = Self.now().as_millis();
        let at = at.as_millis().min(now.saturating_add(YEAR));
        let epoch = epoch();
        let (later, sooner) = (
            at.saturating_sub(epoch.millis),
            epoch.millis.saturating_sub(at),
        );
        epoch.instant + Duration::from_millis(later) - Duration::from_millis(sooner)
    }
}

impl Clock for MemoryClock {
    fn now(&self) -> Timestamp {
        let epoch = epoch();
        let now = Instant::now();
        let millis = match now.checked_duration_since(epoch.instant) {
            Some(later) => epoch.millis + whole_millis(later),
            // A paused clock may be behind the real one. Rounded down, as above.
            None => {
                let sooner = epoch.instant.saturating_duration_since(now);
                let up = Duration::from_nanos(999_999);
                epoch.millis.saturating_sub(whole_millis(sooner + up))
            }
        };
        Timestamp::from_millis(millis)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the epoch is that of the wall clock; elapsed time is tokio's"
)]
fn epoch() -> Epoch {
    *EPOCH.get_or_init(|| {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Epoch {
            millis: whole_millis(wall.unwrap_or_default()),
            // Not tokio's own, which a test may have advanced: then the others would be behind the wall clock.
            instant: Instant::from_std(std::time::Instant::now()),
        }
    })
}

fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn clocks_made_at_different_times_agree() {
        let early = MemoryClock::new();
        let before = early.now();
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(MemoryClock::new().now(), early.now());
        assert!(early.now().since(before) >= Duration::from_secs(3600));
    }

    #[tokio::test(start_paused = true)]
    async fn an_instant_is_the_moment_at_which_the_clock_says_so() {
        let due = MemoryClock.now() + Duration::from_millis(1234);
        tokio::time::sleep_until(MemoryClock::instant(due)).await;
        assert!(MemoryClock.now() >= due);
        assert!(MemoryClock.now().since(due) <= Duration::from_millis(1));
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_moment_that_can_be_written_is_an_instant() {
        let far = MemoryClock::instant(Timestamp::from_millis(u64::MAX));
        assert!(far > Instant::now() + Duration::from_secs(300 * 24 * 3600));
    }
}
