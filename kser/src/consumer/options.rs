use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::RangeInclusive;
use std::time::Duration;

use kser_core::{Health, Instance, Name, Topic};

/// The options of a consumer. The methods of [`Consumer`](super::Consumer) document each.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) topics: Option<Vec<Topic>>,
    pub(crate) instance: Option<Instance>,
    pub(crate) concurrency: usize,
    pub(crate) concurrency_of: BTreeMap<Name, usize>,
    pub(crate) held_records: usize,
    pub(crate) held_bytes: usize,
    pub(crate) lease: Duration,
    pub(crate) longest_park: Duration,
    pub(crate) unknown_wait: Duration,
    pub(crate) deadline: Duration,
    pub(crate) sweep_every: Duration,
    pub(crate) signals: bool,
    pub(crate) announces: bool,
    pub(crate) obeys: bool,
    pub(crate) version: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            topics: None,
            instance: None,
            concurrency: 64,
            concurrency_of: BTreeMap::new(),
            held_records: 1024,
            held_bytes: 16 * 1024 * 1024,
            lease: Duration::from_secs(30),
            longest_park: Duration::from_secs(10),
            unknown_wait: Duration::from_secs(600),
            deadline: Duration::from_secs(25),
            sweep_every: Duration::from_secs(10),
            signals: false,
            announces: true,
            obeys: false,
            version: None,
        }
    }
}

/// The interval between the looks at a record that no consumer understands yet.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// The time that handlers have to notice their cancellation, after the shutdown timeout.
pub(crate) const LAST_CALL: Duration = Duration::from_secs(1);

/// The time limit for leaving a group of a few partitions at the end of a shutdown.
pub(crate) const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);

/// The time limit for a thousand more partitions: Kafka commits them all, and its client unassigns them one by one.
const LEAVE_THOUSAND: Duration = Duration::from_secs(3);

/// Returns the time limit for leaving a group, by the partitions that are assigned in its health.
pub(crate) fn leave_timeout(health: &Health) -> Duration {
    let partitions = health.assigned.len() + health.delays.len();
    let thousands = u32::try_from(partitions / 1000).unwrap_or(u32::MAX);
    LEAVE_TIMEOUT.saturating_add(LEAVE_THOUSAND.saturating_mul(thousands))
}

/// The range of places for tasks.
pub(super) const MOST_TASKS: RangeInclusive<usize> = 1..=1_000_000;

/// The shortest lease. Its renewals take a few calls of the store a second.
pub(super) const LEAST_LEASE: Duration = Duration::from_millis(100);

/// Returns the value in `range` that is nearest to `asked`. A warning names an option that is outside of its range.
pub(super) fn within<T: Copy + Debug + Ord>(
    option: &'static str,
    asked: T,
    range: RangeInclusive<T>,
) -> T {
    let used = asked.clamp(*range.start(), *range.end());
    if used != asked {
        tracing::warn!(target: "kser", option, ?asked, ?used, "an option of a consumer is outside of its range");
    }
    used
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_outside_of_its_range_is_the_nearest_in_it() {
        assert_eq!(within("tasks", 0, MOST_TASKS), 1);
        assert_eq!(within("tasks", 7, MOST_TASKS), 7);
        assert_eq!(within("tasks", usize::MAX, MOST_TASKS), 1_000_000);
        let range = LEAST_LEASE..=Duration::MAX;
        assert_eq!(within("lease", Duration::ZERO, range), LEAST_LEASE);
    }
}
