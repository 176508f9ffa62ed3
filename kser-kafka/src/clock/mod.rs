mod broker;

use std::sync::Arc;

use kser_core::{Clock, Timestamp};

use crate::clock::broker::BrokerClock;

/// The clocks of a transport: its own, and the measured clock of the brokers. Clones share both.
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

    /// Returns the elapsed time, which no step of the wall clock changes.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Returns the time of day. Producers stamp their records with it.
    pub(crate) fn wall(&self) -> Timestamp {
        self.clock.wall()
    }
}

/// Reads the monotonic clock, for timeouts.
pub(crate) fn monotonic() -> std::time::Instant {
    #[expect(
        clippy::disallowed_methods,
        reason = "the timeouts are for real brokers"
    )]
    std::time::Instant::now()
}
