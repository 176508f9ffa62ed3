use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasherDefault, DefaultHasher};

use bytes::Bytes;
use kser_core::{Record, Timestamp};

/// The same order in every process, unlike the default.
pub(crate) type Fixed = BuildHasherDefault<DefaultHasher>;

/// A record that waits.
#[derive(Debug, Clone)]
pub(crate) struct Queued {
    pub(crate) record: Record,
    pub(crate) offset: i64,
    pub(crate) since: Timestamp,
    pub(crate) unreported: u32,
}

/// Records in the order in which they may be delivered: those of one key one at a time, those without a key freely.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// What may be delivered now. A key is in it once, for the first of its lane.
    ready: VecDeque<Ready>,
    /// The records of the keys that have any, waiting or delivered.
    lanes: HashMap<Bytes, VecDeque<Queued>, Fixed>,
    delayed: BTreeMap<(Timestamp, u64), Queued>,
    /// Keys whose first record was released until a time.
    parked: BTreeMap<(Timestamp, u64), Bytes>,
    waiting: usize,
    order: u64,
    /// Observers get everything in order, keys or not.
    keyless: bool,
}

#[derive(Debug)]
enum Ready {
    Free(Queued),
    Lane(Bytes),
}

impl Queue {
    pub(crate) fn for_observer() -> Self {
        Self {
            keyless: true,
            ..Self::default()
        }
    }

    /// Counts what waits.
    pub(crate) const fn waiting(&self) -> usize {
        self.waiting
    }

    /// Says whether something may be delivered now.
    pub(crate) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Returns since when the oldest has waited, as far as one can tell without looking at all of them.
    pub(crate) fn oldest(&self) -> Option<Timestamp> {
        let ready = self.ready.front().and_then(|ready| match ready {
            Ready::Free(queued) => Some(queued.since),
            Ready::Lane(key) => self.lanes.get(key)?.front().map(|queued| queued.since),
        });
        let delayed = self.delayed.values().map(|queued| queued.since).min();
        ready.into_iter().chain(delayed).min()
    }

    /// Takes a record in, at the end.
    pub(crate) fn push(&mut self, queued: Queued, now: Timestamp) {
        self.waiting += 1;
        match queued.record.not_before.filter(|due| *due > now) {
            Some(due) => {
                let order = self.next_order();
                self.delayed.insert((due, order), queued);
            }
            None => self.enqueue(queued),
        }
    }

    /// Takes the next that may be delivered.
    pub(crate) fn pop(&mut self) -> Option<Queued> {
        loop {
            let queued = match self.ready.pop_front()? {
                Ready::Free(queued) => Some(queued),
                Ready::Lane(key) => self.lanes.get_mut(&key).and_then(VecDeque::pop_front),
            };
            if queued.is_some() {
                self.waiting -= 1;
                return queued;
            }
        }
    }

    /// Notes that a delivered record is done: the next of its key may follow.
    pub(crate) fn done(&mut self, queued: &Queued) {
        let Some(key) = self.lane_of(queued) else {
            return;
        };
        match self.lanes.get(&key).is_some_and(VecDeque::is_empty) {
            true => {
                self.lanes.remove(&key);
            }
            false => self.ready.push_back(Ready::Lane(key)),
        }
    }

    /// Takes a delivered record back, to be the next of its key, not before a time.
    pub(crate) fn put_back(
        &mut self,
        queued: Queued,
        not_before: Option<Timestamp>,
        now: Timestamp,
    ) {
        self.waiting += 1;
        let due = not_before.filter(|due| *due > now);
        match (self.lane_of(&queued), due) {
            (None, None) => self.ready.push_front(Ready::Free(queued)),
            (None, Some(due)) => {
                let order = self.next_order();
                self.delayed.insert((due, order), queued);
            }
            (Some(key), due) => {
                self.lanes
                    .entry(key.clone())
                    .or_default()
                    .push_front(queued);
                match due {
                    None => self.ready.push_front(Ready::Lane(key)),
                    Some(due) => {
                        let order = self.next_order();
                        self.parked.insert((due, order), key);
                    }
                }
            }
        }
    }

    /// Makes what is due ready.
    pub(crate) fn wake(&mut self, now: Timestamp) {
        while let Some(entry) = self.delayed.first_entry().filter(|e| e.key().0 <= now) {
            let queued = entry.remove();
            self.enqueue(queued);
        }
        while let Some(entry) = self.parked.first_entry().filter(|e| e.key().0 <= now) {
            self.ready.push_front(Ready::Lane(entry.remove()));
        }
    }

    /// Returns when something is due next.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        let delayed = self.delayed.keys().next();
        let parked = self.parked.keys().next();
        delayed.into_iter().chain(parked).map(|(due, _)| *due).min()
    }

    fn enqueue(&mut self, queued: Queued) {
        let Some(key) = self.lane_of(&queued) else {
            self.ready.push_back(Ready::Free(queued));
            return;
        };
        match self.lanes.get_mut(&key) {
            Some(lane) => lane.push_back(queued),
            None => {
                self.lanes.insert(key.clone(), VecDeque::from([queued]));
                self.ready.push_back(Ready::Lane(key));
            }
        }
    }

    fn lane_of(&self, queued: &Queued) -> Option<Bytes> {
        match self.keyless {
            true => None,
            false => queued.record.key.clone(),
        }
    }

    const fn next_order(&mut self) -> u64 {
        self.order += 1;
        self.order
    }
}
