//! Delays: a record that is not due goes through delay topics, each with a fixed time, until it is due.

pub(crate) mod forward_failures;
pub(crate) mod wait;

use std::time::Duration;

use bytes::Bytes;
use kser_core::headers::{DUE, WAIT_MS};
use kser_core::{Error, Record, Timestamp, Topic};

use crate::clock::Time;

/// The header of a record that measures the brokers' clock.
const PROBE: &str = "kser-clock";

/// The shortest time that a record stays in a delay topic, unless its delay is shorter. It bounds the rate of forwarding even
/// if a clock is wrong.
const LEAST: Duration = Duration::from_secs(1);

/// The suffixes of delay topics, and the longest time that a record stays in each.
pub(crate) const STEPS: [(&str, Duration); 5] = [
    (".delay.1s", Duration::from_secs(1)),
    (".delay.10s", Duration::from_secs(10)),
    (".delay.1m", Duration::from_secs(60)),
    (".delay.10m", Duration::from_secs(600)),
    (".delay.1h", Duration::from_secs(3600)),
];

/// The greatest size of the header of a delayed record in a batch, in bytes.
pub(crate) const HEADER_BYTES: usize = 36;

/// The suffix of topics of dead letters.
const DEAD_LETTERS: &str = ".dlt";

/// The margin after the due time of a record, since clocks are read in whole milliseconds, and their differences may be off by
/// as much.
pub(crate) const SLACK: Duration = Duration::from_millis(3);

/// The delay topic to which a record goes next, and the rest of its delay.
#[derive(Debug)]
pub(crate) struct DelayTarget {
    pub(crate) topic: String,
    left: Duration,
}

impl DelayTarget {
    /// Returns the delay topic with the longest time within the rest of the delay. `None` if the record is due.
    pub(crate) fn of(record: &Record, time: &Time) -> Option<Self> {
        let left = left(record, time)?;
        let fits = STEPS.iter().rev().find(|(_, length)| *length <= left);
        let (suffix, _) = fits.unwrap_or(&STEPS[0]);
        let topic = format!("{}{suffix}", record.topic);
        Some(Self { topic, left })
    }

    /// Returns the header with the rest of the delay, in milliseconds.
    pub(crate) fn header(&self) -> (&'static str, String) {
        (WAIT_MS, self.left.as_millis().to_string())
    }
}

/// Returns the rest of the delay of a record; `None` if it is due.
pub(crate) fn left(record: &Record, time: &Time) -> Option<Duration> {
    let left = record.not_before?.since(time.now());
    (!left.is_zero()).then_some(left)
}

/// Refuses a delay for a topic without delay topics.
pub(crate) fn refuse(record: &Record, time: &Time) -> Result<(), Error> {
    match left(record, time) {
        Some(_) if has_none(&record.topic) => Err(Error::Unsupported {
            what: format!("a delay for topic {}", record.topic),
            hint: "dead letters and delayed records cannot be delayed; set the delay on a record for the topic that runs it"
                .to_owned(),
        }),
        _ => Ok(()),
    }
}

/// Returns the delay topics of `topic`.
pub(crate) fn topics(topic: &Topic) -> impl Iterator<Item = (Topic, Duration)> + '_ {
    let steps = STEPS.into_iter();
    steps.filter_map(|(suffix, length)| Some((topic.with_suffix(suffix).ok()?, length)))
}

/// Returns the shortest retention of a delay topic, with which a consumer that is down for a day loses no record.
pub(crate) fn least_retention(length: Duration) -> Duration {
    length * 2 + Duration::from_secs(24 * 3600)
}

/// Returns the topic of a companion topic, with the longest time that records stay in the companion; that is `None` for dead
/// letters. `None` for a topic that is no companion.
pub(crate) fn parent(topic: &Topic) -> Option<(Topic, Option<Duration>)> {
    let steps = STEPS.map(|(suffix, length)| (suffix, Some(length)));
    let mut all = steps.into_iter().chain([(DEAD_LETTERS, None)]);
    all.find_map(|(suffix, length)| {
        let parent = topic.as_str().strip_suffix(suffix)?;
        Some((Topic::new(parent).ok()?, length))
    })
}

/// Returns the delay topics through which a record with this delay goes, and the longest time in each.
pub(crate) fn on_the_way(topic: &Topic, wait: Duration) -> impl Iterator<Item = (Topic, Duration)> {
    // The record goes through the longest that fits, and through shorter ones for the rest; the shortest is used for any rest.
    topics(topic)
        .enumerate()
        .filter(move |(n, (_, length))| *n == 0 || *length <= wait)
        .map(|(_, step)| step)
}

/// Says whether a topic is a delay topic or one of dead letters: those have no delay topics.
pub(crate) fn has_none(topic: &Topic) -> bool {
    let name = topic.as_str();
    name.ends_with(DEAD_LETTERS) || STEPS.iter().any(|(suffix, _)| name.ends_with(suffix))
}

/// The delay of a record in a delay topic, by its headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WaitHeader {
    /// The record is due this long after its timestamp.
    Wait(Duration),
    /// The record is due at this time of day, by the clock of its producer. Earlier versions wrote this.
    Due(Timestamp),
    /// The record has no such header: it is due.
    Nothing,
    /// The record has measured the brokers' clock, and is not forwarded.
    Probe,
}

/// Removes the delay of a record from its headers.
pub(crate) fn take_wait_header(
    headers: &mut Vec<(String, Option<Bytes>)>,
    time: &Time,
) -> WaitHeader {
    let mut take = |name| {
        let found = headers.iter().rposition(|(key, _)| key == name)?;
        Some(headers.remove(found).1.unwrap_or_default())
    };
    if take(PROBE).is_some() {
        return WaitHeader::Probe;
    }
    let (due, wait) = (take(DUE), take(WAIT_MS));
    let due = due.and_then(|value| kser_core::headers::due(&value, time.wall()));
    let wait = wait.and_then(|value| kser_core::headers::wait(&value));
    match (wait, due) {
        (Some(wait), _) => WaitHeader::Wait(wait),
        (None, Some(due)) => WaitHeader::Due(due),
        (None, None) => WaitHeader::Nothing,
    }
}

/// Makes a record for a delay topic that measures the brokers' clock.
pub(crate) fn probe(topic: Topic) -> Record {
    Record::new(topic, None).with_header(PROBE, Bytes::new())
}

/// Says whether a record measures the brokers' clock.
pub(crate) fn is_probe(record: &Record) -> bool {
    record.header(PROBE).is_some()
}

/// The due time of a delayed record, and the time until which it stays in its topic, by our clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WaitPlan {
    pub(crate) due: Timestamp,
    pub(crate) until: Timestamp,
}

impl WaitPlan {
    /// Plans the delay of a record of this age that has arrived in a delay topic with the time `length`.
    pub(crate) fn new(
        told: WaitHeader,
        age: Duration,
        arrived: Timestamp,
        length: Duration,
        time: &Time,
    ) -> Self {
        let due = match told {
            WaitHeader::Wait(wait) => arrived + wait.saturating_sub(age),
            WaitHeader::Due(due) => arrived + due.since(time.wall()),
            WaitHeader::Nothing | WaitHeader::Probe => arrived,
        };
        let until = (due + SLACK).min(arrived + length.saturating_sub(age));
        let least = match told {
            WaitHeader::Wait(wait) => arrived + wait.min(LEAST),
            _ => arrived,
        };
        Self {
            due,
            until: until.max(least),
        }
    }
}

#[cfg(test)]
mod tests;
