//! Waits: a record that is not due goes to a topic whose records all wait equally long, from one to the next until it is.

pub(crate) mod forward_failures;
pub(crate) mod wait;

use std::time::Duration;

use bytes::Bytes;
use kser_core::headers::{DUE, WAIT_MS};
use kser_core::{Error, Record, Timestamp, Topic};

use crate::clock::Time;

/// Marks a record that measures the brokers' clock.
const PROBE: &str = "kser-clock";

/// How long a record that has to wait stays in a topic at least, if it has to wait as long. However wrong a clock is, no
/// record goes round without end.
const LEAST: Duration = Duration::from_secs(1);

/// What is behind the name of a topic where its records wait, and how long each waits there at most.
pub(crate) const STEPS: [(&str, Duration); 5] = [
    (".delay.1s", Duration::from_secs(1)),
    (".delay.10s", Duration::from_secs(10)),
    (".delay.1m", Duration::from_secs(60)),
    (".delay.10m", Duration::from_secs(600)),
    (".delay.1h", Duration::from_secs(3600)),
];

/// How many bytes of a batch the header of a waiting record takes.
pub(crate) const HEADER_BYTES: usize = 36;

/// What is behind the name of a topic of dead letters.
const DEAD_LETTERS: &str = ".dlt";

/// How much later than its time a record is given out: clocks are read in whole milliseconds, and their differences may be
/// off by as much.
pub(crate) const SLACK: Duration = Duration::from_millis(3);

/// Where a record goes that has to wait, and for how long it still has to.
#[derive(Debug)]
pub(crate) struct DelayTarget {
    pub(crate) topic: String,
    left: Duration,
}

impl DelayTarget {
    /// Returns the hop of a record: to the topic of the longest wait that is not too long. `None` if the record is due.
    pub(crate) fn of(record: &Record, time: &Time) -> Option<Self> {
        let left = left(record, time)?;
        let fits = STEPS.iter().rev().find(|(_, length)| *length <= left);
        let (suffix, _) = fits.unwrap_or(&STEPS[0]);
        let topic = format!("{}{suffix}", record.topic);
        Some(Self { topic, left })
    }

    /// Returns the header that says how long the record still has to wait.
    pub(crate) fn header(&self) -> (&'static str, String) {
        (WAIT_MS, self.left.as_millis().to_string())
    }
}

/// Returns how long a record is to wait; `None` if it is due.
pub(crate) fn left(record: &Record, time: &Time) -> Option<Duration> {
    let left = record.not_before?.since(time.now());
    (!left.is_zero()).then_some(left)
}

/// Refuses a record that would wait where no member reads.
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

/// Returns the topics where the records of `topic` wait.
pub(crate) fn topics(topic: &Topic) -> impl Iterator<Item = (Topic, Duration)> + '_ {
    let steps = STEPS.into_iter();
    steps.filter_map(|(suffix, length)| Some((topic.with_suffix(suffix).ok()?, length)))
}

/// The least time for which a topic of waits of this length has to keep its records: a consumer that is away for a day
/// loses none.
pub(crate) fn least_retention(length: Duration) -> Duration {
    length * 2 + Duration::from_secs(24 * 3600)
}

/// Returns the topic beside which another stands, and how long records wait in the other; `None` for dead letters. `None`
/// for a topic that stands beside none.
pub(crate) fn parent(topic: &Topic) -> Option<(Topic, Option<Duration>)> {
    let steps = STEPS.map(|(suffix, length)| (suffix, Some(length)));
    let mut all = steps.into_iter().chain([(DEAD_LETTERS, None)]);
    all.find_map(|(suffix, length)| {
        let parent = topic.as_str().strip_suffix(suffix)?;
        Some((Topic::new(parent).ok()?, length))
    })
}

/// Returns the topics in which a record for `topic` waits on its way, and how long it does in each at most.
pub(crate) fn on_the_way(topic: &Topic, wait: Duration) -> impl Iterator<Item = (Topic, Duration)> {
    // It waits in the longest that fits, and in shorter ones for the rest. The shortest takes the rest of a second.
    topics(topic)
        .enumerate()
        .filter(move |(n, (_, length))| *n == 0 || *length <= wait)
        .map(|(_, step)| step)
}

/// Says whether a topic is one where records wait, or one of dead letters: those have no waits of their own.
pub(crate) fn has_none(topic: &Topic) -> bool {
    let name = topic.as_str();
    name.ends_with(DEAD_LETTERS) || STEPS.iter().any(|(suffix, _)| name.ends_with(suffix))
}

/// What a record in a topic of waits says about its wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WaitHeader {
    /// So long from its stamp on.
    Wait(Duration),
    /// Until this time of day, by the clock of its producer: earlier versions wrote so.
    Due(Timestamp),
    /// Nothing: it is due.
    Nothing,
    /// It waits for nothing: it measured the brokers' clock.
    Probe,
}

/// Takes what a record says about its wait out of its headers.
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

/// Makes a record for a topic of waits whose stamp measures the brokers' clock.
pub(crate) fn probe(topic: Topic) -> Record {
    Record::new(topic, None).with_header(PROBE, Bytes::new())
}

/// Says whether a record measures the brokers' clock.
pub(crate) fn is_probe(record: &Record) -> bool {
    record.header(PROBE).is_some()
}

/// When a waiting record is due, and until when it stays in its topic, by our clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WaitPlan {
    pub(crate) due: Timestamp,
    pub(crate) until: Timestamp,
}

impl WaitPlan {
    /// Plans the wait of a record of this age that arrived at a moment, in a topic whose records wait at most so long.
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
