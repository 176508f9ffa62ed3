use std::time::{Duration, SystemTime};

use kser_core::{Clock, Timestamp};
use tokio::time::Instant;

/// The time of a memory transport and its store: tokio's clock, which a test can pause, counted on from the time at
/// which this was made. Clones tell the same time.
#[derive(Debug, Clone, Copy)]
pub struct MemoryClock {
    began: Timestamp,
    start: Instant,
}

impl MemoryClock {
    /// Reads the time.
    #[must_use]
    pub fn new() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "a beginning is needed; what counts is tokio's clock from there on"
        )]
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self {
            began: Timestamp::default() + wall.unwrap_or(Duration::ZERO),
            start: Instant::now(),
        }
    }
}

impl Default for MemoryClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for MemoryClock {
    fn now(&self) -> Timestamp {
        self.began + self.start.elapsed()
    }
}
