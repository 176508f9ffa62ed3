use std::collections::BTreeMap;

use kser_core::Timestamp;

/// The publish times of the waiting records: their number, and the oldest.
#[derive(Debug, Default)]
pub(super) struct AgeIndex {
    /// The number of records of each millisecond.
    waiting: BTreeMap<Timestamp, u32>,
    total: u64,
}

impl AgeIndex {
    pub(super) fn add(&mut self, published: Timestamp) {
        self.count();
        self.begin(published);
    }

    /// Counts a record that is not due yet, and so has no publish time here.
    pub(super) const fn count(&mut self) {
        self.total += 1;
    }

    /// Adds the publish time of a record that is counted.
    pub(super) fn begin(&mut self, published: Timestamp) {
        *self.waiting.entry(published).or_default() += 1;
    }

    pub(super) fn remove(&mut self, published: Timestamp) {
        // The oldest goes first, nearly always.
        if let Some(mut first) = self.waiting.first_entry()
            && *first.key() == published
        {
            self.total -= 1;
            *first.get_mut() -= 1;
            if *first.get() == 0 {
                first.remove();
            }
            return;
        }
        if let Some(count) = self.waiting.get_mut(&published) {
            self.total -= 1;
            *count -= 1;
            if *count == 0 {
                self.waiting.remove(&published);
            }
        }
    }

    pub(super) const fn total(&self) -> u64 {
        self.total
    }

    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.waiting.keys().next().copied()
    }
}
