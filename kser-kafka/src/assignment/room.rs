//! The limits of the records of a partition in memory.

use std::collections::BTreeMap;

use super::Assignment;
use crate::progress::PartitionProgress;

/// The number of delayed records in memory at which a partition is paused.
pub(super) const PARKED: usize = 1000;

/// The number of records that wait behind others of their keys at which a partition is paused. Commit metadata can describe as
/// many, so that the records of other keys behind them are fetched and run meanwhile.
pub(super) const BEHIND: usize = 16_384;

impl Assignment {
    /// Says whether the partition should be paused: too many records wait, or too many were settled out of order for the commit
    /// metadata.
    pub(crate) fn is_full(&self) -> bool {
        let full = self
            .progress
            .as_ref()
            .is_some_and(PartitionProgress::is_full);
        full || self.n_waiting() >= self.most_waiting()
    }

    /// Says whether the partition should be resumed after it was full.
    pub(crate) fn has_room(&self) -> bool {
        let full = self
            .progress
            .as_ref()
            .is_some_and(PartitionProgress::is_full);
        !full && self.n_waiting() < self.most_waiting() - PARKED / 2
    }

    const fn most_waiting(&self) -> usize {
        match self.waits_for {
            Some(_) => PARKED,
            None => BEHIND,
        }
    }

    /// Counts the records in memory that cannot be delivered yet.
    pub(crate) fn n_waiting(&self) -> usize {
        let behind: usize = self.keys.values().map(BTreeMap::len).sum();
        self.parked + self.pending.len() + behind
    }

    /// Returns the size of the records that cannot be delivered yet, in bytes.
    pub(crate) const fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }
}
