use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use kser_core::store::Timed;
use kser_core::{Clock, Error, Timestamp};

/// The clock of the state store: the time in its latest answer, carried on by the local clock.
///
/// Only differences of the local clock count, so that a consumer whose clock is wrong neither takes over live leases nor waits
/// for expired ones.
#[derive(Debug, Clone)]
pub(crate) struct StoreClock {
    clock: Arc<dyn Clock>,
    /// The milliseconds by which the store is ahead of the local clock; [`UNKNOWN`] before its first answer.
    ahead: Arc<AtomicI64>,
}

const UNKNOWN: i64 = i64::MIN;

impl StoreClock {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            ahead: Arc::new(AtomicI64::new(UNKNOWN)),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        let now = self.clock.now().as_millis();
        let ahead = match self.ahead.load(Ordering::Relaxed) {
            UNKNOWN => 0,
            ahead => ahead,
        };
        Timestamp::from_millis(now.saturating_add_signed(ahead))
    }

    /// Converts a time of the store's clock to the local clock. A time in the past becomes the current time.
    pub(crate) fn to_local(&self, at: Timestamp) -> Timestamp {
        self.clock.now() + at.since(self.now())
    }

    /// Notes the time in an answer of the store, and returns the answer.
    pub(crate) fn observe<T>(&self, answer: Timed<T>) -> T {
        let store = i64::try_from(answer.now.as_millis()).unwrap_or(i64::MAX);
        let ours = i64::try_from(self.clock.now().as_millis()).unwrap_or(i64::MAX);
        self.ahead
            .store(store.saturating_sub(ours), Ordering::Relaxed);
        answer.value
    }
}

/// Refuses an answer of a store that is newer than this version of kser.
pub(crate) fn unknown_answer() -> Error {
    Error::Backend {
        backend: "state store",
        temporary: false,
        source: "its answer is of a kind that this version of kser does not know".into(),
    }
}
