use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use kser_core::sequencing::MAX_CRASHES;
use kser_core::{Cancellation, Record, Timestamp, Topic};

use super::MemberId;

/// The place of a record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Spot {
    pub(crate) topic: Topic,
    pub(crate) partition: usize,
    pub(crate) offset: usize,
}

/// Consumers that share the work.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// In the order in which they joined.
    pub(super) members: Vec<MemberId>,
    pub(super) generation: u64,
    /// Turns the assignment, so that a rebalance moves something.
    pub(super) turned: usize,
    pub(super) parts: BTreeMap<(Topic, usize), PartitionState>,
}

/// The state of a group in one partition: the records that the group has not settled.
#[derive(Debug, Default)]
pub(super) struct PartitionState {
    pub(super) owner: Option<MemberId>,
    /// Cancelled when the partition goes to another member.
    pub(super) revoked: Cancellation,
    pub(super) unsettled: BTreeMap<usize, Unsettled>,
    /// The number of deliveries that were taken back from members.
    pub(super) taken_back: usize,
}

/// A record that the group has not settled.
#[derive(Debug, Clone)]
pub(super) struct Unsettled {
    pub(super) key: Option<Bytes>,
    /// The number of deliveries whose member was gone without leaving its group, as in a crash.
    pub(super) crash_count: u32,
    pub(super) failed: u32,
    pub(super) stand: RecordState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RecordState {
    Ready,
    /// Published with a time: it holds back no other record.
    Delayed(Timestamp),
    /// Released until a time: it holds back the later records of its key.
    Released(Timestamp),
    Held {
        serial: u64,
        begun: bool,
    },
}

impl Unsettled {
    pub(super) fn new(record: &Record, now: Timestamp) -> Self {
        Self {
            key: record.key.clone(),
            crash_count: 0,
            failed: 0,
            stand: match record.not_before {
                Some(due) if due > now => RecordState::Delayed(due),
                _ => RecordState::Ready,
            },
        }
    }

    /// Returns the record as not processed: ready to be delivered.
    pub(super) fn again(mut self) -> Self {
        self.stand = RecordState::Ready;
        self
    }

    /// Says whether it may be delivered, its key apart.
    fn is_due(&self, now: Timestamp) -> bool {
        match self.stand {
            RecordState::Ready => true,
            RecordState::Delayed(due) | RecordState::Released(due) => due <= now,
            RecordState::Held { .. } => false,
        }
    }
}

impl PartitionState {
    /// Returns the records that may be delivered to the owner now, in order.
    pub(super) fn ready(&self, now: Timestamp) -> impl Iterator<Item = usize> {
        let mut waiting: BTreeSet<&Bytes> = BTreeSet::new();
        self.unsettled.iter().filter_map(move |(offset, record)| {
            let behind = record.key.as_ref().is_some_and(|key| waiting.contains(key));
            if record.is_due(now) && !behind {
                return Some(*offset);
            }
            if let (RecordState::Released(_) | RecordState::Ready, Some(key)) =
                (record.stand, &record.key)
            {
                waiting.insert(key);
            }
            None
        })
    }

    /// Lists the unsettled records that are not delayed.
    fn waiting(&self, now: Timestamp) -> impl Iterator<Item = (&usize, &Unsettled)> {
        let records = self.unsettled.iter();
        records.filter(
            move |(_, record)| !matches!(record.stand, RecordState::Delayed(due) if due > now),
        )
    }

    /// Returns the oldest unsettled record that is not delayed.
    pub(super) fn oldest(&self, now: Timestamp) -> Option<usize> {
        self.waiting(now).next().map(|(offset, _)| *offset)
    }

    /// Returns the first record that may be delivered now and that has no other of its key before it.
    pub(super) fn healthy(&self, now: Timestamp) -> Option<usize> {
        let mut keys: BTreeSet<&Bytes> = BTreeSet::new();
        let mut records = self.waiting(now);
        let found = records.find(|(_, record)| {
            let first = record.key.as_ref().is_none_or(|key| keys.insert(key));
            first && record.is_due(now)
        });
        found.map(|(offset, _)| *offset)
    }

    /// Returns the first record that is not done; `end` is behind the last.
    pub(super) fn position(&self, end: usize) -> usize {
        let first = self.unsettled.keys().next();
        first.copied().unwrap_or(end)
    }

    /// Returns when a record becomes ready by itself.
    pub(super) fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        let dues = self
            .unsettled
            .values()
            .filter_map(|record| match record.stand {
                RecordState::Delayed(due) | RecordState::Released(due) if due > now => Some(due),
                _ => None,
            });
        dues.min()
    }

    /// Takes the held deliveries back, to be redelivered. Counts them as unreported if the owner is gone without a goodbye,
    /// that is, without leaving its group.
    pub(super) fn take_back(&mut self, goodbye: bool) {
        let mut any = false;
        for record in self.unsettled.values_mut() {
            if let RecordState::Held { begun, .. } = record.stand {
                any = true;
                self.taken_back += 1;
                record.stand = RecordState::Ready;
                // A suspected poison message that did not begin to run cannot have caused the crash.
                if !goodbye && (begun || record.crash_count + 1 < MAX_CRASHES) {
                    record.crash_count += 1;
                }
            }
        }
        let revoked = std::mem::take(&mut self.revoked);
        if any {
            revoked.cancel();
        }
    }

    /// Drops the held records, which are never redelivered then.
    pub(super) fn forget(&mut self) {
        self.unsettled
            .retain(|_, record| !matches!(record.stand, RecordState::Held { .. }));
    }

    pub(super) fn holds(&self) -> bool {
        self.held().next().is_some()
    }

    /// Lists the offsets of the records that the owner holds.
    pub(super) fn held(&self) -> impl Iterator<Item = usize> {
        let records = self.unsettled.iter();
        let held = records.filter(|(_, record)| matches!(record.stand, RecordState::Held { .. }));
        held.map(|(offset, _)| *offset)
    }
}
