//! How much of a partition is in memory, and when no more of it is fetched.

use std::collections::BTreeMap;

use super::Assignment;
use crate::progress::PartitionProgress;

/// How many records that wait for their time one partition may hold in memory, before it is paused.
pub(super) const PARKED: usize = 1000;

/// How many records one partition may hold that wait behind others of their keys, before it is paused. As many as a text beside
/// the offset can tell of: the records of other keys behind them are fetched and run meanwhile.
pub(super) const BEHIND: usize = 16_384;

impl Assignment {
    /// Says whether so much waits here that no more should be fetched, or so much was done out of order that no commit
    /// can say it.
    pub(crate) fn is_full(&self) -> bool {
        let full = self
            .progress
            .as_ref()
            .is_some_and(PartitionProgress::is_full);
        full || self.n_waiting() >= self.most_waiting()
    }

    /// Says whether records are fetched again after it was full.
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

    /// Counts what is in memory and cannot be given out yet.
    pub(crate) fn n_waiting(&self) -> usize {
        let behind: usize = self.keys.values().map(BTreeMap::len).sum();
        self.parked + self.pending.len() + behind
    }

    /// Returns the bytes of the records that cannot be given out yet.
    pub(crate) const fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }
}
