use std::sync::Arc;

use kser_core::{
    Cancellation, Clock, Delivery, HeldPartition, Origin, Record, Ticket, Timestamp, headers,
};

use tokio::sync::OwnedSemaphorePermit;

use super::decision::Done;
use super::instead::Refused;
use super::now::Entry;
use super::waits::Waits;
use crate::stored::Known;

/// What is known about one delivery while it is worked on; the duty to finish it is apart.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) record: Record,
    /// Where it was found; `None` if it was never sent.
    pub(crate) origin: Option<Origin>,
    pub(crate) revoked: Cancellation,
    /// The attempts that failed, as far as nothing else counts them.
    pub(crate) tries: Tries,
    /// Since when nobody has understood it.
    pub(crate) waits_since: Option<Timestamp>,
    /// The deliveries that ended without a goodbye.
    pub(crate) unreported: u32,
    /// Where the stored run stands, if that was seen since.
    pub(crate) known: Option<Known>,
    /// Nothing else runs in this process.
    pub(crate) alone: bool,
    /// What waits for runs on behalf of its handler.
    pub(crate) waits: Option<Arc<Waits>>,
    /// The place of its entrypoint, where those are limited.
    pub(crate) place: Option<OwnedSemaphorePermit>,
    /// How many of the failed attempts are counted in memory only.
    pub(crate) counted: u32,
    /// What was decided and could not be settled.
    pub(crate) decided: Option<Done>,
    /// What of it its topic does not take.
    pub(crate) refused: Vec<Refused>,
    /// How often it could not be settled.
    pub(crate) unsettled: u32,
    /// Says why it cannot, as long as it is held for that.
    pub(crate) held: Option<Entry<HeldPartition>>,
}

/// The failed attempts at a task whose state is carried.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tries {
    pub(crate) failed: u32,
    pub(crate) first: Option<Timestamp>,
    pub(crate) last: Option<Timestamp>,
}

impl Work {
    /// Takes a delivery apart.
    pub(crate) fn new(delivery: Delivery, clock: &dyn Clock) -> (Self, Ticket) {
        let Delivery {
            record,
            origin,
            unreported,
            failed,
            ticket,
            revoked,
            ..
        } = delivery;
        let mut work = Self {
            revoked,
            unreported,
            counted: failed,
            ..Self::of(record, Some(origin), clock)
        };
        work.tries.failed = work.tries.failed.saturating_add(failed);
        (work, ticket)
    }

    /// A record that follows from `from`, and that its topic refuses. One that is the delivery again was where that is.
    pub(crate) fn unsent(record: Record, from: &Self, clock: &dyn Clock) -> Self {
        let is_same = record.topic == from.record.topic && record.payload == from.record.payload;
        Self::of(record, from.origin.filter(|_| is_same), clock)
    }

    /// A record that follows from nothing that is known.
    pub(crate) fn alone(record: Record, clock: &dyn Clock) -> Self {
        Self::of(record, None, clock)
    }

    fn of(record: Record, origin: Option<Origin>, clock: &dyn Clock) -> Self {
        // Most records have no headers, and need no time.
        let now = match record.headers.is_empty() {
            true => Timestamp::default(),
            false => clock.now(),
        };
        let tries = Tries {
            failed: headers::attempts(&record).unwrap_or_default(),
            first: headers::passed(&record, headers::FIRST_FAILED, now),
            last: headers::passed(&record, headers::LAST_FAILED, now),
        };
        let waits_since = headers::passed(&record, headers::WAITS_SINCE, now);
        Self {
            waits_since,
            record,
            origin,
            revoked: Cancellation::default(),
            tries,
            unreported: 0,
            known: None,
            alone: false,
            waits: None,
            place: None,
            counted: 0,
            decided: None,
            refused: Vec::new(),
            unsettled: 0,
            held: None,
        }
    }

    /// Notes that an attempt failed.
    pub(crate) fn failed(&mut self, now: Timestamp) {
        self.counted += 1;
        self.tries.failed = self.tries.failed.saturating_add(1);
        self.tries.first.get_or_insert(now);
        self.tries.last = Some(now);
    }

    /// The same record, to be delivered later, with what is known of its failures and where it was at first.
    pub(crate) fn delayed(&self, not_before: Timestamp) -> Record {
        let mut record = self.record.clone();
        self.note_origin(&mut record);
        headers::remove(&mut record, headers::ATTEMPTS);
        if self.tries.failed > 0 {
            headers::set(
                &mut record,
                headers::ATTEMPTS,
                self.tries.failed.to_string(),
            );
        }
        let moments = [
            (headers::FIRST_FAILED, self.tries.first),
            (headers::LAST_FAILED, self.tries.last),
            (headers::WAITS_SINCE, self.waits_since),
        ];
        for (name, moment) in moments {
            headers::remove(&mut record, name);
            if let Some(moment) = moment {
                headers::set(&mut record, name, moment.as_millis().to_string());
            }
        }
        record.with_not_before(Some(not_before))
    }
    /// As [`delayed`](Self::delayed), without the headers that may be left out if it would be larger than `largest`.
    pub(crate) fn delayed_within(&self, not_before: Timestamp, largest: usize) -> Record {
        let mut record = self.delayed(not_before);
        let optional = [headers::ORIGIN, headers::LAST_FAILED, headers::FIRST_FAILED];
        for name in optional {
            if record.size() > largest && self.record.header(name).is_none() {
                headers::remove(&mut record, name);
            }
        }
        record
    }

    /// Writes where the record was at first, unless it says so.
    pub(crate) fn note_origin(&self, record: &mut Record) {
        if let (None, Some(origin)) = (headers::origin(record), self.origin) {
            headers::set_origin(record, &self.record.topic, origin);
        }
    }
}
