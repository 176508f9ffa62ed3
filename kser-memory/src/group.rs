use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use kser_core::sequencing::MAX_UNREPORTED;
use kser_core::{Cancellation, Record, Timestamp};
use tokio::sync::Notify;

use crate::queue::{Fixed, Queue, Queued};

/// One who receives.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) number: u64,
    pub(crate) instance: Option<String>,
    pub(crate) wake: Arc<Notify>,
    /// Tells the holders of its deliveries that they are someone else's now.
    pub(crate) revoked: Cancellation,
}

/// The records of one topic that the members of one group share.
#[derive(Debug, Default)]
pub(crate) struct Group {
    members: BTreeMap<u64, Member>,
    queue: Queue,
    held: HashMap<u64, Held, Fixed>,
    tickets: u64,
    /// Members that wait for the end of what they hold.
    closing: usize,
}

#[derive(Debug)]
struct Held {
    queued: Queued,
    member: u64,
    begun: bool,
}

impl Group {
    pub(crate) fn for_observer() -> Self {
        Self {
            queue: Queue::for_observer(),
            ..Self::default()
        }
    }

    /// Takes a member in. One of the same instance is gone with that: it was restarted, or there are two of it.
    pub(crate) fn join(&mut self, member: Member, now: Timestamp) {
        let namesakes = self.members.values();
        let namesakes =
            namesakes.filter(|other| other.instance.is_some() && other.instance == member.instance);
        let namesakes: Vec<u64> = namesakes.map(|other| other.number).collect();
        for number in namesakes {
            self.leave(number, false, now);
        }
        self.members.insert(member.number, member);
    }

    pub(crate) fn is_member(&self, number: u64) -> bool {
        self.members.contains_key(&number)
    }

    pub(crate) fn publish(&mut self, queued: Queued, now: Timestamp) {
        let was_ready = self.queue.is_ready();
        let delayed = queued.record.not_before.is_some();
        self.queue.push(queued, now);
        if !was_ready || delayed {
            self.wake();
        }
    }

    /// Makes what is due ready, and takes the next record with the number by which it is settled.
    pub(crate) fn take(&mut self, member: u64) -> Option<(u64, Queued)> {
        let queued = self.queue.pop()?;
        self.tickets += 1;
        let delivered = queued.clone();
        let held = Held {
            queued,
            member,
            begun: false,
        };
        self.held.insert(self.tickets, held);
        Some((self.tickets, delivered))
    }

    /// Makes what is due ready.
    pub(crate) fn wake_due(&mut self, now: Timestamp) {
        self.queue.wake(now);
    }

    /// Forgets a record that is done; `false` when nobody holds it.
    pub(crate) fn settle(&mut self, ticket: u64) -> bool {
        let Some(held) = self.held.remove(&ticket) else {
            return false;
        };
        let was_ready = self.queue.is_ready();
        self.queue.done(&held.queued);
        if self.closing > 0 || (!was_ready && self.queue.is_ready()) {
            self.wake();
        }
        true
    }

    /// Notes that a held record runs; `false` when nobody holds it.
    pub(crate) fn begin(&mut self, ticket: u64) -> bool {
        let held = self.held.get_mut(&ticket);
        held.map(|held| held.begun = true).is_some()
    }

    pub(crate) fn release(&mut self, ticket: u64, not_before: Option<Timestamp>, now: Timestamp) {
        if let Some(held) = self.held.remove(&ticket) {
            self.queue.put_back(held.queued, not_before, now);
            self.wake();
        }
    }

    /// Gives back all that a member holds. What it did not say goodbye to is counted.
    pub(crate) fn leave(&mut self, member: u64, goodbye: bool, now: Timestamp) {
        let Some(gone) = self.members.remove(&member) else {
            return;
        };
        let held = self.held.iter().filter(|(_, held)| held.member == member);
        let mut tickets: Vec<u64> = held.map(|(ticket, _)| *ticket).collect();
        // The latest first, so that those of one key keep their order.
        tickets.sort_unstable_by_key(|ticket| std::cmp::Reverse(*ticket));
        for ticket in tickets {
            if let Some(Held {
                mut queued, begun, ..
            }) = self.held.remove(&ticket)
            {
                let counts = begun || queued.unreported + 1 < MAX_UNREPORTED;
                queued.unreported += u32::from(counts && !goodbye);
                self.queue.put_back(queued, None, now);
            }
        }
        gone.revoked.cancel();
        gone.wake.notify_one();
        self.wake();
    }

    pub(crate) fn holds(&self, member: u64) -> bool {
        self.held.values().any(|held| held.member == member)
    }

    pub(crate) const fn set_closing(&mut self, closing: bool) {
        match closing {
            true => self.closing += 1,
            false => self.closing -= 1,
        }
    }

    /// Returns when something is due next.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.queue.next_due()
    }

    /// Counts what waits or is held.
    pub(crate) fn lag(&self) -> u64 {
        (self.queue.waiting() + self.held.len()) as u64
    }

    /// Returns since when the oldest has waited.
    pub(crate) fn oldest(&self) -> Option<Timestamp> {
        self.queue.oldest()
    }

    fn wake(&self) {
        self.members
            .values()
            .for_each(|member| member.wake.notify_one());
    }
}

/// A record as it is when it arrives.
pub(crate) const fn arrived(record: Record, offset: i64, now: Timestamp) -> Queued {
    Queued {
        record,
        offset,
        since: now,
        unreported: 0,
    }
}
