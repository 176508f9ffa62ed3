use std::collections::VecDeque;
use std::sync::Arc;

use kser_core::{Cancellation, Delivery, Error, HandIn, Origin, Record, Room, Ticket, Timestamp};

use super::RecordId;

/// The limits of the inbox: records, and bytes of records.
const LIMIT: (usize, usize) = (4096, 8 << 20);

/// A record in the inbox, which the subscription receives next.
#[derive(Debug)]
pub(crate) struct QueuedRecord {
    pub(crate) id: RecordId,
    pub(crate) record: Record,
    pub(crate) partition: i32,
    /// The timestamp of the record, if it has one.
    pub(crate) published: Option<Timestamp>,
    pub(crate) crash_count: u32,
    /// The number of failed attempts at the time of its release.
    pub(crate) failed: u32,
    pub(crate) revoked: Cancellation,
}

impl QueuedRecord {
    pub(super) fn into_delivery(self, settle: &Arc<dyn HandIn>) -> Delivery {
        let origin = Origin {
            partition: self.partition,
            offset: self.id.offset,
        };
        let ticket = Ticket::with_hand_in(self.id.ticket(), Arc::clone(settle));
        Delivery::revocable(self.record, origin, ticket, self.revoked)
            .with_crash_count(self.crash_count)
            .with_failed(self.failed)
            .with_published(self.published)
    }
}

/// The records that the poll thread hands over, and the end of the subscription.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    records: VecDeque<QueuedRecord>,
    bytes: usize,
    /// The number of released records that the poll thread has not put back yet. Until then no record is received, since one of
    /// the same key could overtake them.
    pub(super) released: usize,
    pub(super) ended: Option<Error>,
    pub(super) is_ended: bool,
}

impl Inbox {
    pub(super) fn push(&mut self, queued: QueuedRecord) {
        self.bytes += queued.record.size();
        self.records.push_back(queued);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub(super) fn is_crowded(&self) -> bool {
        self.records.len() >= LIMIT.0 || self.bytes >= LIMIT.1
    }

    /// Returns the number of records that may be fetched: 0 when the inbox is crowded.
    pub(super) fn room(&self) -> usize {
        match self.is_crowded() {
            true => 0,
            false => LIMIT.0 - self.records.len(),
        }
    }

    /// Says whether the inbox is at most half full, so that fetching goes on after it was crowded.
    pub(super) fn has_room(&self) -> bool {
        self.records.len() <= LIMIT.0 / 2 && self.bytes <= LIMIT.1 / 2
    }

    /// Removes the records for which `which` returns `true`.
    pub(super) fn recall(
        &mut self,
        mut which: impl FnMut(&QueuedRecord) -> bool,
    ) -> Vec<QueuedRecord> {
        if self.records.is_empty() {
            return Vec::new();
        }
        let all = std::mem::take(&mut self.records);
        let mut recalled = Vec::new();
        self.records.reserve(all.len());
        for queued in all {
            match which(&queued) {
                true => recalled.push(queued),
                false => self.records.push_back(queued),
            }
        }
        let bytes = recalled.iter().map(|queued| queued.record.size());
        self.bytes -= bytes.sum::<usize>();
        recalled
    }

    /// Takes the oldest records: at most as many as `room` allows, and at least one.
    pub(super) fn take(&mut self, room: Room) -> Vec<QueuedRecord> {
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while taken.len() < room.records.max(1) && (taken.is_empty() || bytes < room.bytes) {
            let Some(queued) = self.records.pop_front() else {
                break;
            };
            bytes += queued.record.size();
            taken.push(queued);
        }
        self.bytes -= bytes;
        taken
    }
}
