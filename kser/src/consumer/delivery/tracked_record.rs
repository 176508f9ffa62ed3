use std::time::Duration;

use bytes::Bytes;
use kser_core::{Clock, Origin, Record, Timestamp, headers};

use crate::engine::failed_attempts::{FailedAttempts, earlier};
use crate::shared::Shared;

/// A record that was received, or that follows from such a record, and the content of its headers.
#[derive(Debug)]
pub(crate) struct TrackedRecord {
    pub(crate) record: Record,
    /// The text in the payload, once it is opened; `None` where payloads are not encrypted.
    pub(crate) opened: Option<Bytes>,
    /// The partition and offset of the record; `None` if it was never sent.
    pub(crate) origin: Option<Origin>,
    pub(crate) attempts: FailedAttempts,
    /// Since when no consumer has understood the record.
    pub(crate) waits_since: Option<Timestamp>,
}

impl TrackedRecord {
    /// Reads the headers of a record that was received.
    pub(crate) fn received(record: Record, origin: Origin, clock: &dyn Clock) -> Self {
        Self::of(record, Some(origin), clock)
    }

    /// Reads the headers of a record that follows from `self` and that its topic refuses. One that is the delivery again has
    /// its origin.
    pub(crate) fn unsent(&self, record: Record, clock: &dyn Clock) -> Self {
        let is_same = record.topic == self.record.topic && record.payload == self.record.payload;
        Self::of(record, self.origin.filter(|_| is_same), clock)
    }

    /// Reads the headers of a record that follows from no delivery at hand.
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
        let attempts = FailedAttempts {
            failed: headers::attempts(&record).unwrap_or_default(),
            in_memory: 0,
            first: headers::since(&record, headers::FAILING_MS, headers::FIRST_FAILED, now),
            // For people only, so that the writer's clock need not agree with this one.
            last: headers::passed(&record, headers::LAST_FAILED, ever),
        };
        Self {
            waits_since: headers::since(&record, headers::WAITED_MS, headers::WAITS_SINCE, now),
            record,
            opened: None,
            origin,
            attempts,
        }
    }

    /// Returns the text of the message, if the record has one.
    pub(crate) fn text(&self) -> Option<&Bytes> {
        self.opened.as_ref().or(self.record.payload.as_ref())
    }

    /// Says whether a message that no consumer understands may still wait, for at most `longest` in all. One that is as large as
    /// a record may be cannot: no header would fit beside it.
    pub(crate) fn may_wait(&mut self, longest: Duration, shared: &Shared) -> bool {
        let now = shared.clock.now();
        let since = *self.waits_since.get_or_insert(now);
        let is_over = now.since(since) >= longest;
        let largest = shared.description.largest_record;
        !is_over && self.delayed_within(Duration::ZERO, shared).size() <= largest
    }

    /// Makes the same record for a later delivery, with headers for its failures and its first topic, partition and offset.
    ///
    /// The times since its first failure, and since no consumer understands it, are written as durations until it is due,
    /// because the clock of the next member may differ. The timestamps are for people.
    pub(crate) fn delayed(&self, wait: Duration, clock: &dyn Clock) -> Record {
        let mut record = self.record.clone();
        self.note_origin(&mut record);
        let (now, wall) = (clock.now(), clock.wall());
        let due = now + wait;
        headers::remove(&mut record, headers::ATTEMPTS);
        if self.attempts.failed > 0 {
            headers::set(
                &mut record,
                headers::ATTEMPTS,
                self.attempts.failed.to_string(),
            );
        }
        let moments = [
            (
                headers::FIRST_FAILED,
                headers::FAILING_MS,
                self.attempts.first,
            ),
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
        if let Some(last) = self.attempts.last {
            let shown = earlier(wall, now.since(last)).as_millis().to_string();
            headers::set(&mut record, headers::LAST_FAILED, shown);
        }
        record.with_not_before(Some(due))
    }

    /// As [`delayed`](Self::delayed), without the headers that may be left out if it would be larger than the transport takes.
    pub(crate) fn delayed_within(&self, wait: Duration, shared: &Shared) -> Record {
        let largest = shared.description.largest_record;
        let mut record = self.delayed(wait, &*shared.clock);
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
        let mut tracked = TrackedRecord::alone(record, &clock);
        tracked
            .attempts
            .add(Timestamp::from_millis(now - 2 * MINUTE));
        tracked.attempts.add(Timestamp::from_millis(now));
        tracked.waits_since = Some(Timestamp::from_millis(now - MINUTE));
        let delayed = tracked.delayed(Duration::from_millis(MINUTE), &clock);
        for ahead in [0, 5 * MINUTE, 60 * MINUTE] {
            for now in [now + MINUTE + ahead, now + MINUTE - ahead] {
                let clock = Stands { now, wall: 0 };
                let there = TrackedRecord::alone(delayed.clone(), &clock);
                let since = |moment: Option<Timestamp>| {
                    let passed = Timestamp::from_millis(now).since(moment.unwrap());
                    u64::try_from(passed.as_millis()).unwrap() / MINUTE
                };
                assert_eq!(since(there.attempts.first), 3);
                assert_eq!(since(there.waits_since), 2);
                assert_eq!(there.attempts.failed, 2);
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
        let mut tracked = TrackedRecord::alone(record, &clock);
        tracked.attempts.add(Timestamp::from_millis(998 * MINUTE));
        let delayed = tracked.delayed(Duration::ZERO, &clock);
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
        let tracked = TrackedRecord::alone(record, &Stands { now: 9, wall: 9 });
        assert_eq!(tracked.attempts.first, Some(Timestamp::from_millis(7)));
        assert_eq!(tracked.waits_since, Some(Timestamp::from_millis(8)));
    }
}
