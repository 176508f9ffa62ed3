use kser_core::{Clock, Timestamp};

/// The time of the machine, which is what Kafka's timestamps are in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(
            clippy::disallowed_methods,
            reason = "delays are compared with the timestamps of a broker, which nobody simulates"
        )]
        let wall = std::time::SystemTime::now();
        let since = wall.duration_since(std::time::SystemTime::UNIX_EPOCH);
        Timestamp::default() + since.unwrap_or_default()
    }
}

/// Reads a clock that never goes back, for limits.
pub(crate) fn monotonic() -> std::time::Instant {
    #[expect(
        clippy::disallowed_methods,
        reason = "a broker that nobody simulates is waited for"
    )]
    std::time::Instant::now()
}
