use std::sync::atomic::{AtomicBool, Ordering};

use kser_core::Timestamp;

/// The records that the transport of a client has lost: those of earlier processes, if the transport is in memory and the store
/// is not.
#[derive(Debug, Default)]
pub(crate) struct LostRecords {
    /// The time of the store at which the transport began; `None` if it has lost nothing.
    before: Option<Timestamp>,
    taken: AtomicBool,
}

impl LostRecords {
    /// Makes the value for a transport that began at `began` without a record.
    pub(crate) const fn before(began: Timestamp) -> Self {
        Self {
            before: Some(began),
            taken: AtomicBool::new(false),
        }
    }

    /// Returns the time before which the records are lost, to the first caller only.
    pub(crate) fn take(&self) -> Option<Timestamp> {
        self.before
            .filter(|_| !self.taken.swap(true, Ordering::Relaxed))
    }
}
