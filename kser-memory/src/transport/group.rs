use std::collections::{BTreeMap, VecDeque};

use kser_core::{Timestamp, Topic};

use super::age_index::AgeIndex;
use super::chunked_queue::ChunkedQueue;
use super::entry::Entry;
use super::in_flight::{InFlight, TicketParts};
use super::lanes::Lanes;

/// The suffix of the topics of dead letters.
const DEAD_LETTERS: &str = ".dlt";

/// The records of one topic that the members of one group share.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) topic: Topic,
    pub(super) reader: Reader,
    /// The records that may be delivered now: at most one of each key, if the group has lanes.
    ready: ChunkedQueue<Entry>,
    lanes: Lanes,
    /// The delayed records, in the order in which they will be due.
    timed: BTreeMap<(Timestamp, u64), Timed>,
    turn: u64,
    in_flight: InFlight,
    ages: AgeIndex,
    pub(super) members: Vec<usize>,
    /// The members that wait for a record, the longest wait first.
    pub(super) idle: VecDeque<Idle>,
}

/// The kind of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    /// A group without members yet: it keeps the records of a topic for the first group that joins.
    Nobody,
    /// Members that share the work: one record of a key at a time.
    Members,
    /// An observer, which receives all records in order, for any keys.
    Observer,
}

#[derive(Debug)]
enum Timed {
    /// A record that was published with a time. It does not hold back others of its key.
    Delayed(Entry),
    /// A record that was released until a time. It holds back the others of its key.
    Released(Entry),
}

/// A member that waits, with the time at which it looks again without a wake-up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Idle {
    pub(super) member: usize,
    pub(super) until: Option<Timestamp>,
}

impl Group {
    pub(super) fn new(topic: Topic, reader: Reader) -> Self {
        Self {
            topic,
            reader,
            ready: ChunkedQueue::default(),
            lanes: Lanes::default(),
            timed: BTreeMap::new(),
            turn: 0,
            in_flight: InFlight::default(),
            ages: AgeIndex::default(),
            members: Vec::new(),
            idle: VecDeque::new(),
        }
    }

    /// Adds a record at the end; a delayed record waits apart.
    pub(super) fn publish(&mut self, entry: Entry, due: Option<Timestamp>) {
        match due {
            Some(due) => {
                self.ages.count();
                self.wait_until(due, Timed::Delayed(entry));
            }
            None => {
                self.ages.add(entry.published);
                self.enqueue(entry);
            }
        }
    }

    /// Makes due records ready, at most `most` of them unless none else is ready, so that the lock is not held for long.
    pub(super) fn admit_due(&mut self, now: Timestamp, most: usize) {
        let mut admitted = 0;
        while admitted < most || self.ready.is_empty() {
            let first = self.timed.first_entry();
            let Some(first) = first.filter(|first| first.key().0 <= now) else {
                return;
            };
            let due = first.key().0;
            match first.remove() {
                Timed::Delayed(mut entry) => {
                    // It waits for its turn since then: before, it was delayed on purpose.
                    entry.published = due;
                    self.ages.begin(entry.published);
                    self.enqueue(entry);
                }
                Timed::Released(entry) => self.ready.push_front(entry),
            }
            admitted += 1;
        }
    }

    /// Returns the number of ready records, up to `most`.
    pub(super) fn ready_up_to(&self, most: usize) -> usize {
        self.ready.len_up_to(most)
    }

    /// Takes the next record for a member, and calls `show` with it and its slot.
    pub(super) fn take<T>(
        &mut self,
        serial: u64,
        member: usize,
        show: impl FnOnce(&Topic, &Entry, usize) -> T,
    ) -> Option<T> {
        let entry = self.ready.pop_front()?;
        self.ages.remove(entry.published);
        let slot = self.in_flight.next_slot();
        let shown = show(&self.topic, &entry, slot);
        self.in_flight.put(serial, member, entry);
        Some(shown)
    }

    /// Removes a settled record, and returns it with its member; `None` when the delivery was reassigned.
    pub(super) fn settle(&mut self, ticket: TicketParts) -> Option<(usize, Entry)> {
        let (member, entry) = self.in_flight.take(ticket)?;
        if let Some(lane) = entry.lane().filter(|_| self.has_lanes())
            && let Some(next) = self.lanes.leave(lane)
        {
            self.ready.push_back(next);
        }
        Some((member, entry))
    }

    /// Takes a released record back, to be the next of its key, not before a time. Returns its member.
    pub(super) fn release(
        &mut self,
        ticket: TicketParts,
        not_before: Option<Timestamp>,
        failed: u32,
    ) -> Option<usize> {
        let (member, mut entry) = self.in_flight.take(ticket)?;
        entry.set_failed(failed);
        self.ages.add(entry.published);
        match not_before {
            Some(due) => self.wait_until(due, Timed::Released(entry)),
            None => self.ready.push_front(entry),
        }
        Some(member)
    }

    /// Records that a delivery is about to run. Returns `false` when it was reassigned.
    pub(super) fn begin(&mut self, ticket: TicketParts) -> bool {
        self.in_flight.begin(ticket)
    }

    /// Takes back all deliveries of a member, counted as crashes if `counted`. Returns whether there were any.
    pub(super) fn take_back(&mut self, member: usize, counted: bool) -> bool {
        let entries = self.in_flight.take_all(member, counted);
        let any = !entries.is_empty();
        // The latest first, so that the earliest is in front.
        for entry in entries.into_iter().rev() {
            self.ages.add(entry.published);
            self.ready.push_front(entry);
        }
        any
    }

    /// Returns the time at which the next delayed record is due.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.timed.keys().next().map(|(due, _)| *due)
    }

    /// Says whether an idle member should be woken: a record is ready, or no idle member wakes by the time of the next due
    /// record.
    pub(super) fn wants_a_member(&self) -> bool {
        if !self.ready.is_empty() {
            return true;
        }
        let wakes_for = |due| move |idle: &Idle| idle.until.is_some_and(|until| until <= due);
        let due = self.next_due();
        due.is_some_and(|due| !self.idle.iter().any(wakes_for(due)))
    }

    /// Returns the number of waiting records.
    pub(super) const fn waiting(&self) -> u64 {
        self.ages.total()
    }

    /// Returns the records that are not settled, each with the time until which it is delayed, in no order.
    pub(super) fn unsettled(&self) -> impl Iterator<Item = (&Entry, Option<Timestamp>)> {
        let timed = self.timed.iter().map(|((due, _), timed)| match timed {
            Timed::Delayed(entry) => (entry, Some(*due)),
            Timed::Released(entry) => (entry, None),
        });
        let others = self.ready.iter().chain(self.lanes.iter());
        let others = others.chain(self.in_flight.iter());
        others.map(|entry| (entry, None)).chain(timed)
    }

    /// Returns the time since which the oldest record waits.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.ages.oldest()
    }

    /// Says whether a record waits for the record of the same key before it. The records of an observer do not, and
    /// neither do dead letters, which are handled side by side.
    fn has_lanes(&self) -> bool {
        self.reader != Reader::Observer && !self.topic.as_str().ends_with(DEAD_LETTERS)
    }

    fn enqueue(&mut self, entry: Entry) {
        let free = match entry.lane().filter(|_| self.has_lanes()) {
            Some(lane) => self.lanes.enter(lane, entry),
            None => Some(entry),
        };
        if let Some(entry) = free {
            self.ready.push_back(entry);
        }
    }

    fn wait_until(&mut self, due: Timestamp, timed: Timed) {
        self.turn += 1;
        self.timed.insert((due, self.turn), timed);
    }
}
