use kser_core::sequencing::MAX_UNREPORTED;
use slab::Slab;

use super::entry::Entry;

/// The records of a group that were delivered and are not settled.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    slots: Slab<Hold>,
}

#[derive(Debug)]
struct Hold {
    /// Never given twice, so that an old ticket does not fit a new delivery.
    serial: u64,
    member: usize,
    /// Whether it was said to run.
    begun: bool,
    entry: Entry,
}

/// A ticket in its parts: which group, where in it, and which delivery.
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
    /// Returns where the next record will be kept.
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

    /// Notes that a delivery is about to run. `false` when it is over.
    pub(super) fn begin(&mut self, ticket: TicketParts) -> bool {
        let hold = self.slots.get_mut(ticket.slot);
        let hold = hold.filter(|hold| hold.serial == ticket.serial);
        hold.map(|hold| hold.begun = true).is_some()
    }

    /// Gives a record and who held it, `None` when that delivery is over.
    pub(super) fn take(&mut self, ticket: TicketParts) -> Option<(usize, Entry)> {
        let hold = self.slots.get(ticket.slot)?;
        if hold.serial != ticket.serial {
            return None;
        }
        let hold = self.slots.try_remove(ticket.slot)?;
        Some((hold.member, hold.entry))
    }

    /// Gives all that a member held, in the order of publication, and counts it as unreported if there was no goodbye. A
    /// suspect that was not begun did not do it.
    pub(super) fn take_all(&mut self, member: usize, counted: bool) -> Vec<Entry> {
        let holds = self.slots.iter();
        let his = holds.filter(|(_, hold)| hold.member == member);
        let his: Vec<usize> = his.map(|(slot, _)| slot).collect();
        let holds = his
            .into_iter()
            .filter_map(|slot| self.slots.try_remove(slot));
        let counted = holds.map(|mut hold| {
            if counted && (hold.begun || hold.entry.unreported() + 1 < MAX_UNREPORTED) {
                hold.entry.count_unreported();
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
