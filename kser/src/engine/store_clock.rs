use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use kser_core::store::Timed;
use kser_core::{Clock, Error, Timestamp};

/// The time of the state store, as its answers told it, carried on by a clock of our own.
///
/// Only differences of our clock count, so that a worker whose clock is wrong neither takes live leases nor waits for
/// dead ones.
#[derive(Debug, Clone)]
pub(crate) struct StoreClock {
    clock: Arc<dyn Clock>,
    /// Milliseconds that the store is ahead of our clock; [`UNKNOWN`] until it has told its time.
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

    /// Returns the same time of the store, carried on by another clock.
    pub(crate) fn carried_by(&self, clock: Arc<dyn Clock>) -> Self {
        let other = Self::new(clock);
        if self.ahead.load(Ordering::Relaxed) != UNKNOWN {
            other.observe(Timed::new(self.now(), ()));
        }
        other
    }

    pub(crate) fn now(&self) -> Timestamp {
        let now = self.clock.now().as_millis();
        let ahead = match self.ahead.load(Ordering::Relaxed) {
            UNKNOWN => 0,
            ahead => ahead,
        };
        Timestamp::from_millis(now.saturating_add_signed(ahead))
    }

    /// Returns the moment of our clock at which the store's shows a time. One that is past is now.
    pub(crate) fn to_local(&self, at: Timestamp) -> Timestamp {
        self.clock.now() + at.since(self.now())
    }

    /// Takes the time that an answer tells, and returns the answer.
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
