//! What a group knows of one part of a topic.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use kser_core::{Cancellation, Record, Timestamp};

#[derive(Debug, Default)]
pub(crate) struct Part {
    pub(crate) owner: Option<u64>,
    pub(crate) revoked: Cancellation,
    /// The offset from which on nothing was delivered yet.
    next: usize,
    settled: BTreeSet<usize>,
    /// By offset: the ticket.
    held: BTreeMap<usize, u64>,
    begun: BTreeSet<usize>,
    /// By offset: not before when.
    released: BTreeMap<usize, Option<Timestamp>>,
    unreported: BTreeMap<usize, u32>,
    /// By offset: the attempts that failed before it was given back.
    failed: BTreeMap<usize, u32>,
}

impl Part {
    /// Leaves out what is there already.
    pub(crate) fn skip(&mut self, next: usize) {
        self.next = next;
    }

    /// Gives the part to another: what is held is delivered again.
    pub(crate) fn pass(&mut self, owner: Option<u64>) {
        if self.owner != owner {
            self.owner = owner;
            std::mem::take(&mut self.revoked).cancel();
            self.begun.clear();
            let held = std::mem::take(&mut self.held).into_keys();
            self.released.extend(held.map(|offset| (offset, None)));
        }
    }

    /// Counts what is held as ended without a report.
    pub(crate) fn count_dead(&mut self) {
        for offset in self.held.keys() {
            let count = self.unreported.entry(*offset).or_default();
            *count += u32::from(*count < 2 || self.begun.contains(offset));
        }
    }

    /// Takes the next record that may be delivered: those of a key may go out together, but never one before another.
    pub(crate) fn take(&mut self, log: &[Record], ticket: u64, now: Timestamp) -> Option<usize> {
        let mut blocked: BTreeSet<&Bytes> = BTreeSet::new();
        let offset = (0..log.len()).find(|offset| {
            let key = log[*offset].key.as_ref();
            let free = key.is_none_or(|key| !blocked.contains(key));
            let open = match self.released.get(offset) {
                Some(due) if due.is_none_or(|due| due <= now) => true,
                Some(_) => {
                    blocked.extend(key);
                    false
                }
                None => *offset >= self.next,
            };
            open && free
        })?;
        self.next = self.next.max(offset + 1);
        self.released.remove(&offset);
        self.held.insert(offset, ticket);
        Some(offset)
    }

    pub(crate) fn unreported(&self, offset: usize) -> u32 {
        self.unreported.get(&offset).copied().unwrap_or_default()
    }

    pub(crate) fn failed(&self, offset: usize) -> u32 {
        self.failed.get(&offset).copied().unwrap_or_default()
    }

    pub(crate) fn find(&self, ticket: u64) -> Option<usize> {
        let found = self.held.iter().find(|(_, held)| **held == ticket);
        found.map(|(offset, _)| *offset)
    }

    pub(crate) fn holds_any(&self) -> bool {
        !self.held.is_empty()
    }

    pub(crate) fn settle(&mut self, offset: usize) {
        self.held.remove(&offset);
        self.settled.insert(offset);
    }

    pub(crate) fn begin(&mut self, offset: usize) {
        self.begun.insert(offset);
    }

    pub(crate) fn release(&mut self, offset: usize, not_before: Option<Timestamp>, failed: u32) {
        self.held.remove(&offset);
        self.failed.insert(offset, failed);
        self.released.insert(offset, not_before);
    }
}
