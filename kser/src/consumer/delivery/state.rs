use std::sync::Arc;
use std::time::Duration;

use kser_core::sequencing::Revision;
use kser_core::{
    Cancellation, Clock, Delivery, HeldPartition, Origin, Record, Ticket, Timestamp, headers,
};

use tokio::sync::OwnedSemaphorePermit;

use super::disposition::{Outputs, RefusedRecord};
use crate::consumer::active::ActiveGuard;
use crate::consumer::step::run_waits::Waits;
use crate::engine::stored::RunView;

/// What is known about one delivery while it is worked on; the duty to finish it is apart.
#[derive(Debug)]
pub(crate) struct DeliveryState {
    pub(crate) record: Record,
    /// Where it was found; `None` if it was never sent.
    pub(crate) origin: Option<Origin>,
    pub(crate) revoked: Cancellation,
    /// The attempts that failed, as far as nothing else counts them.
    pub(crate) tries: FailedAttempts,
    /// Since when nobody has understood it.
    pub(crate) waits_since: Option<Timestamp>,
    /// How many deliveries of the record ended in a crash.
    pub(crate) crash_count: u32,
    /// Where the stored run stands, if that was seen since.
    pub(crate) known: Option<RunView>,
    /// The revisions of the writes of a start whose answers did not come: the message may tell an older version than a look at
    /// the store.
    pub(crate) unsure: Vec<Revision>,
    /// Nothing else runs in this process.
    pub(crate) alone: bool,
    /// What waits for runs on behalf of its handler.
    pub(crate) waits: Option<Arc<Waits>>,
    /// The place of its entrypoint, where those are limited.
    pub(crate) place: Option<OwnedSemaphorePermit>,
    /// How many of the failed attempts are counted in memory only.
    pub(crate) counted: u32,
    /// What was decided and could not be settled.
    pub(crate) decided: Option<Outputs>,
    /// What of it its topic does not take.
    pub(crate) refused: Vec<RefusedRecord>,
    /// How often it could not be settled.
    pub(crate) unsettled: u32,
    /// Says why it cannot, as long as it is held for that.
    pub(crate) held: Option<ActiveGuard<HeldPartition>>,
}

/// The failed attempts at a task whose state is carried.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct FailedAttempts {
    pub(crate) failed: u32,
    pub(crate) first: Option<Timestamp>,
    pub(crate) last: Option<Timestamp>,
}

impl DeliveryState {
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
            crash_count: unreported,
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
        let ever = Timestamp::from_millis(u64::MAX);
        let tries = FailedAttempts {
            failed: headers::attempts(&record).unwrap_or_default(),
            first: headers::since(&record, headers::FAILING_MS, headers::FIRST_FAILED, now),
            // For people only, whatever the clock of the writer showed.
            last: headers::passed(&record, headers::LAST_FAILED, ever),
        };
        let waits_since = headers::since(&record, headers::WAITED_MS, headers::WAITS_SINCE, now);
        Self {
            waits_since,
            record,
            origin,
            revoked: Cancellation::default(),
            tries,
            crash_count: 0,
            known: None,
            unsure: Vec::new(),
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
    ///
    /// The times since its first failure, and since no consumer understands it, go with it as durations until it is due:
    /// the clock of the next member may differ. The moments are for people.
    pub(crate) fn delayed(&self, wait: Duration, clock: &dyn Clock) -> Record {
        let mut record = self.record.clone();
        self.note_origin(&mut record);
        let (now, wall) = (clock.now(), clock.wall());
        let due = now + wait;
        headers::remove(&mut record, headers::ATTEMPTS);
        if self.tries.failed > 0 {
            headers::set(
                &mut record,
                headers::ATTEMPTS,
                self.tries.failed.to_string(),
            );
        }
        let moments = [
            (headers::FIRST_FAILED, headers::FAILING_MS, self.tries.first),
            (headers::WAITS_SINCE, headers::WAITED_MS, self.waits_since),
        ];
        for (name, passed, moment) in moments {
            headers::remove(&mut record, name);
            headers::remove(&mut record, passed);
            if let Some(moment) = moment {
                let shown = earlier(wall, now.since(moment)).as_millis().to_string();
                headers::set(&mut record, name, shown);
                let until_due = due.since(moment).as_millis().to_string();
                headers::set(&mut record, passed, until_due);
            }
        }
        headers::remove(&mut record, headers::LAST_FAILED);
        if let Some(last) = self.tries.last {
            let shown = earlier(wall, now.since(last)).as_millis().to_string();
            headers::set(&mut record, headers::LAST_FAILED, shown);
        }
        record.with_not_before(Some(due))
    }

    /// As [`delayed`](Self::delayed), without the headers that may be left out if it would be larger than `largest`.
    pub(crate) fn delayed_within(
        &self,
        wait: Duration,
        clock: &dyn Clock,
        largest: usize,
    ) -> Record {
        let mut record = self.delayed(wait, clock);
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

/// Returns the moment that is so long before another.
pub(crate) fn earlier(moment: Timestamp, by: Duration) -> Timestamp {
    let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
    Timestamp::from_millis(moment.as_millis().saturating_sub(by))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use kser_core::Topic;

    use super::*;

    /// A clock that stands at these times.
    #[derive(Debug)]
    struct Stands {
        now: u64,
        wall: u64,
    }

    impl Clock for Stands {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(self.now)
        }

        fn wall(&self) -> Timestamp {
            Timestamp::from_millis(self.wall)
        }
    }

    const MINUTE: u64 = 60_000;

    #[test]
    fn what_passed_is_handed_on_whatever_the_clocks_of_members_show() {
        let now = 1_000 * MINUTE;
        let clock = Stands { now, wall: now };
        let record = Record::new(Topic::new("t").unwrap(), None);
        let mut work = DeliveryState::alone(record, &clock);
        work.failed(Timestamp::from_millis(now - 2 * MINUTE));
        work.failed(Timestamp::from_millis(now));
        work.waits_since = Some(Timestamp::from_millis(now - MINUTE));
        let delayed = work.delayed(Duration::from_millis(MINUTE), &clock);
        for ahead in [0, 5 * MINUTE, 60 * MINUTE] {
            for now in [now + MINUTE + ahead, now + MINUTE - ahead] {
                let clock = Stands { now, wall: 0 };
                let there = DeliveryState::alone(delayed.clone(), &clock);
                let since = |moment: Option<Timestamp>| {
                    let passed = Timestamp::from_millis(now).since(moment.unwrap());
                    u64::try_from(passed.as_millis()).unwrap() / MINUTE
                };
                assert_eq!(since(there.tries.first), 3);
                assert_eq!(since(there.waits_since), 2);
                assert_eq!(there.tries.failed, 2);
            }
        }
    }

    #[test]
    fn people_read_the_time_of_day() {
        let clock = Stands {
            now: 1_000 * MINUTE,
            wall: 9_000 * MINUTE,
        };
        let record = Record::new(Topic::new("t").unwrap(), None);
        let mut work = DeliveryState::alone(record, &clock);
        work.failed(Timestamp::from_millis(998 * MINUTE));
        let delayed = work.delayed(Duration::ZERO, &clock);
        let shown = Bytes::from((8_998 * MINUTE).to_string());
        for name in [headers::FIRST_FAILED, headers::LAST_FAILED] {
            assert_eq!(delayed.header(name), Some(&shown));
        }
    }

    #[test]
    fn moments_of_earlier_versions_are_read() {
        let record = Record::new(Topic::new("t").unwrap(), None);
        let record = record.with_header(headers::FIRST_FAILED, "7");
        let record = record.with_header(headers::WAITS_SINCE, "8");
        let work = DeliveryState::alone(record, &Stands { now: 9, wall: 9 });
        assert_eq!(work.tries.first, Some(Timestamp::from_millis(7)));
        assert_eq!(work.waits_since, Some(Timestamp::from_millis(8)));
    }
}
