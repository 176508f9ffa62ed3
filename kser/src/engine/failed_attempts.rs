use std::time::Duration;

use kser_core::Timestamp;

/// The failed attempts at a task, as far as its deliveries count them: no store does.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct FailedAttempts {
    pub(crate) failed: u32,
    /// How many of them are counted in memory only.
    pub(crate) in_memory: u32,
    pub(crate) first: Option<Timestamp>,
    pub(crate) last: Option<Timestamp>,
}

impl FailedAttempts {
    /// Adds an attempt that failed just now.
    pub(crate) fn add(&mut self, now: Timestamp) {
        self.in_memory += 1;
        self.failed = self.failed.saturating_add(1);
        self.first.get_or_insert(now);
        self.last = Some(now);
    }
}

/// Returns the moment that is so long before another.
pub(crate) fn earlier(moment: Timestamp, by: Duration) -> Timestamp {
    let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
    Timestamp::from_millis(moment.as_millis().saturating_sub(by))
}
