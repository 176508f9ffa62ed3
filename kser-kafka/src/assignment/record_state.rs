use kser_core::{Record, Timestamp};

use crate::delay::wait::Wait;

/// A record that came and is not done.
#[derive(Debug)]
pub(super) struct ReceivedRecord {
    pub(super) record: Record,
    pub(super) at: Timestamp,
    /// Set for a waiting record.
    pub(super) wait: Option<Wait>,
    /// How often it may have begun and ended without a goodbye; `None` until that can be told.
    pub(super) unreported: Option<u32>,
    pub(super) state: RecordState,
}

impl ReceivedRecord {
    /// Moves the record to a place, and counts its bytes while it cannot be given out.
    pub(super) fn set_state(&mut self, state: RecordState, waiting_bytes: &mut usize) {
        match (
            self.state == RecordState::Delivered,
            state == RecordState::Delivered,
        ) {
            (false, true) => *waiting_bytes -= self.record.size(),
            (true, false) => *waiting_bytes += self.record.size(),
            _ => {}
        }
        self.state = state;
    }
}

/// Where a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RecordState {
    /// Not yet to be delivered.
    Pending,
    /// It waits for its time, or for another of its key.
    Parked,
    /// It is in the inbox, or with the one who received it.
    Delivered,
}
