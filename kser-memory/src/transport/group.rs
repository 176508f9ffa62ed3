use std::collections::{BTreeMap, VecDeque};

use kser_core::{Timestamp, Topic};

use super::age_index::AgeIndex;
use super::chunked_queue::ChunkedQueue;
use super::entry::Entry;
use super::in_flight::{InFlight, TicketParts};
use super::lanes::Lanes;

/// What is behind the name of a topic whose records are dead letters.
const DEAD_LETTERS: &str = ".dlt";

/// The records of one topic that the members of one group share.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) topic: Topic,
    pub(super) reader: Reader,
    /// May be delivered now. Of one key there is one at most, if the group has lanes.
    ready: ChunkedQueue<Entry>,
    lanes: Lanes,
    /// What is not due, in the order in which it will be.
    timed: BTreeMap<(Timestamp, u64), Timed>,
    turn: u64,
    in_flight: InFlight,
    ages: AgeIndex,
    pub(super) members: Vec<usize>,
    /// The members that wait for a record, longest first.
    pub(super) idle: VecDeque<Idle>,
}

/// Who reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    /// A group that nobody has joined yet: it keeps what is published for the first that comes.
    Nobody,
    /// Members that share the work: one record of a key at a time.
    Members,
    /// One who sees everything in order, whatever the keys.
    Observer,
}

#[derive(Debug)]
enum Timed {
    /// Published with a time. It holds back nobody.
    Delayed(Entry),
    /// Released until a time. It holds back those of its key.
    Released(Entry),
}

/// A member that waits, and when it looks again by itself.
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

    /// Takes a record in, behind the others; one that is not due waits apart.
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

    /// Makes what is due ready: no more than `most` if that is something, so that nobody holds the lock for long.
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
                    // It has waited for its turn since then: before, it was not meant to have one.
                    entry.published = due;
                    self.ages.begin(entry.published);
                    self.enqueue(entry);
                }
                Timed::Released(entry) => self.ready.push_front(entry),
            }
            admitted += 1;
        }
    }

    /// Counts what is ready, up to `most`.
    pub(super) fn ready_up_to(&self, most: usize) -> usize {
        self.ready.len_up_to(most)
    }

    /// Takes the next record for a member, and shows it with where it is held.
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

    /// Forgets a record that is done. Gives it and who held it, `None` when the delivery is not theirs any more.
    pub(super) fn settle(&mut self, ticket: TicketParts) -> Option<(usize, Entry)> {
        let (member, entry) = self.in_flight.take(ticket)?;
        if let Some(lane) = entry.lane().filter(|_| self.has_lanes())
            && let Some(next) = self.lanes.leave(lane)
        {
            self.ready.push_back(next);
        }
        Some((member, entry))
    }

    /// Takes a record back, to be the next of its key, not before a time. Says who held it.
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

    /// Notes that a delivery is about to run. `false` when it is someone else's.
    pub(super) fn begin(&mut self, ticket: TicketParts) -> bool {
        self.in_flight.begin(ticket)
    }

    /// Takes back all that a member holds, and counts it as unreported if there was no goodbye. Says whether it was anything.
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

    /// Returns when something is due next.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.timed.keys().next().map(|(due, _)| *due)
    }

    /// Says whether an idle member should look: something is ready, or nobody would wake for what is due next.
    pub(super) fn wants_a_member(&self) -> bool {
        if !self.ready.is_empty() {
            return true;
        }
        let wakes_for = |due| move |idle: &Idle| idle.until.is_some_and(|until| until <= due);
        let due = self.next_due();
        due.is_some_and(|due| !self.idle.iter().any(wakes_for(due)))
    }

    /// Counts what waits.
    pub(super) const fn waiting(&self) -> u64 {
        self.ages.total()
    }

    /// Returns since when the oldest waits.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.ages.oldest()
    }

    /// Says whether a record waits for the one before it of its key. An observer does not hold others up, and dead letters
    /// are looked at side by side.
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
