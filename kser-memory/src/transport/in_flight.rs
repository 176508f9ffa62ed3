use kser_core::sequencing::MAX_CRASHES;
use slab::Slab;

use super::entry::Entry;

/// The records of a group that were delivered and are not settled.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    slots: Slab<Hold>,
}

#[derive(Debug)]
struct Hold {
    /// The number of the delivery, never used twice, so that an old ticket does not match a new delivery.
    serial: u64,
    member: usize,
    /// Whether the delivery was recorded as about to run.
    begun: bool,
    entry: Entry,
}

/// The parts of a ticket: the group, the slot in it, and the number of the delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TicketParts {
    pub(super) group: usize,
    pub(super) slot: usize,
    pub(super) serial: u64,
}

impl TicketParts {
    pub(super) const fn pack(self) -> u128 {
        ((self.serial as u128) << 64)
            | ((self.group as u128 & u32::MAX as u128) << 32)
            | (self.slot as u128 & u32::MAX as u128)
    }

    pub(super) const fn unpack(ticket: u128) -> Self {
        Self {
            group: (ticket >> 32) as u32 as usize,
            slot: ticket as u32 as usize,
            serial: (ticket >> 64) as u64,
        }
    }
}

impl InFlight {
    /// Returns the slot of the next record.
    pub(super) fn next_slot(&self) -> usize {
        self.slots.vacant_key()
    }

    pub(super) fn put(&mut self, serial: u64, member: usize, entry: Entry) {
        self.slots.insert(Hold {
            serial,
            member,
            begun: false,
            entry,
        });
    }

    /// Returns the records, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.slots.iter().map(|(_, hold)| &hold.entry)
    }

    /// Records that a delivery is about to run. Returns `false` when it is over.
    pub(super) fn begin(&mut self, ticket: TicketParts) -> bool {
        let hold = self.slots.get_mut(ticket.slot);
        let hold = hold.filter(|hold| hold.serial == ticket.serial);
        hold.map(|hold| hold.begun = true).is_some()
    }

    /// Removes a record, and returns it with its member; `None` when the delivery is over.
    pub(super) fn take(&mut self, ticket: TicketParts) -> Option<(usize, Entry)> {
        let hold = self.slots.get(ticket.slot)?;
        if hold.serial != ticket.serial {
            return None;
        }
        let hold = self.slots.try_remove(ticket.slot)?;
        Some((hold.member, hold.entry))
    }

    /// Removes all records of a member, in the order of publication, and counts them as crashes if `counted`. A suspected
    /// poison message that was not begun does not count.
    pub(super) fn take_all(&mut self, member: usize, counted: bool) -> Vec<Entry> {
        let holds = self.slots.iter();
        let his = holds.filter(|(_, hold)| hold.member == member);
        let his: Vec<usize> = his.map(|(slot, _)| slot).collect();
        let holds = his
            .into_iter()
            .filter_map(|slot| self.slots.try_remove(slot));
        let counted = holds.map(|mut hold| {
            if counted && (hold.begun || hold.entry.crash_count() + 1 < MAX_CRASHES) {
                hold.entry.count_crash();
            }
            hold.entry
        });
        let mut entries: Vec<Entry> = counted.collect();
        entries.sort_unstable_by_key(|entry| entry.offset);
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_keeps_its_parts() {
        let parts = TicketParts {
            group: u32::MAX as usize,
            slot: 7,
            serial: u64::MAX - 1,
        };
        assert_eq!(TicketParts::unpack(parts.pack()), parts);
    }
}
