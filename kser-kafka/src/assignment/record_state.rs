use kser_core::{Record, Timestamp};

use crate::delay::wait::Wait;

/// A record that arrived and is not done.
#[derive(Debug)]
pub(super) struct ReceivedRecord {
    pub(super) record: Record,
    pub(super) at: Timestamp,
    /// Set for a delayed record.
    pub(super) wait: Option<Wait>,
    /// The number of its crashed deliveries; `None` until the progress of the partition is read.
    pub(super) crash_count: Option<u32>,
    pub(super) state: RecordState,
}

impl ReceivedRecord {
    /// Changes the state, and counts the bytes of the record while it cannot be delivered.
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

/// The state of a received record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RecordState {
    /// The record may not start yet.
    Pending,
    /// The record waits for its due time, or for an earlier record of its key.
    Parked,
    /// The record is in the inbox, or in progress.
    Delivered,
}
