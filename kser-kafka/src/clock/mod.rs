mod broker;

use std::sync::Arc;

use kser_core::{Clock, Timestamp};

use crate::clock::broker::BrokerClock;

/// The time of a transport: that of its clock, and what is known of the brokers' clock. Cloning shares both.
#[derive(Debug, Clone)]
pub(crate) struct Time {
    clock: Arc<dyn Clock>,
    pub(crate) broker: Arc<BrokerClock>,
}

impl Time {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            broker: Arc::default(),
        }
    }

    /// Returns the present moment of the clock that does not step.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Returns the time of day, which is what producers write beside their records.
    pub(crate) fn wall(&self) -> Timestamp {
        self.clock.wall()
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
