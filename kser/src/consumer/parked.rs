use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Counts the deliveries that wait in hand for their time, with nothing running for them.
#[derive(Debug, Default)]
pub(crate) struct Parked {
    records: AtomicUsize,
    bytes: AtomicUsize,
    changed: Notify,
}

/// A delivery that is counted until this is dropped.
#[derive(Debug)]
pub(crate) struct ParkedGuard<'a> {
    parked: &'a Parked,
    bytes: usize,
}

impl Parked {
    /// Counts a delivery.
    pub(super) fn enter(&self, bytes: usize) -> ParkedGuard<'_> {
        self.records.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.changed.notify_one();
        ParkedGuard {
            parked: self,
            bytes,
        }
    }

    /// Returns how many there are.
    pub(super) fn records(&self) -> usize {
        self.records.load(Ordering::Relaxed)
    }

    /// Returns how many bytes they have.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Waits until there is one more.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}

impl Drop for ParkedGuard<'_> {
    fn drop(&mut self) {
        self.parked.records.fetch_sub(1, Ordering::Relaxed);
        self.parked.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
