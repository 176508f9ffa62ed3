use kser_core::{Clock, IdSource, Timestamp};
use tokio::time::Instant;
use uuid::Uuid;

/// The time of this machine when it was made, carried on by a clock that never goes back.
///
/// It follows tokio's pausable clock, so that a test on paused time needs no real time.
#[derive(Debug, Clone)]
pub struct SystemClock {
    began: Timestamp,
    start: Instant,
}

impl SystemClock {
    /// Reads the time.
    #[must_use]
    pub fn new() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the clock of programs that are not simulated"
        )]
        let wall = std::time::SystemTime::now();
        let since = wall.duration_since(std::time::SystemTime::UNIX_EPOCH);
        Self {
            began: Timestamp::default() + since.unwrap_or_default(),
            start: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        self.began + self.start.elapsed()
    }
}

/// Random UUIDs (version 4, as the Python library makes them).
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "it has nothing")]
pub struct RandomIds;

impl IdSource for RandomIds {
    fn next_id(&self) -> String {
        #[expect(
            clippy::disallowed_methods,
            reason = "these are the ids of programs that are not simulated"
        )]
        Uuid::new_v4().to_string()
    }
}
