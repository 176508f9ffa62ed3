//! Waits: a record that is not due goes to a topic whose records all wait equally long, from one to the next until it is.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use kser_core::{Clock, Error, Record, Timestamp, Topic};

use crate::clock::SystemClock;

/// When a waiting record is due. Gone when it is delivered.
pub(crate) const DUE: &str = kser_core::headers::DUE;

/// What is behind the name of a topic where its records wait, and how long each waits there at most.
pub(crate) const STEPS: [(&str, Duration); 5] = [
    (".delay.1s", Duration::from_secs(1)),
    (".delay.10s", Duration::from_secs(10)),
    (".delay.1m", Duration::from_secs(60)),
    (".delay.10m", Duration::from_secs(600)),
    (".delay.1h", Duration::from_secs(3600)),
];

/// How many bytes of a batch the header of a waiting record takes.
pub(crate) const HEADER_BYTES: usize = 32;

/// What is behind the name of a topic of dead letters.
const DEAD_LETTERS: &str = ".dlt";

/// How much later than its time a record is given out. Who gave the time reads its own clock in whole milliseconds, and may
/// be this much behind.
pub(crate) const SLACK: Duration = Duration::from_millis(2);

/// Returns the topic that a record is sent to now: its own, or that of the longest wait that is not too long.
pub(crate) fn topic(record: &Record) -> Cow<'_, str> {
    match wait(record) {
        None => Cow::Borrowed(record.topic.as_str()),
        Some((suffix, _)) => Cow::Owned(format!("{}{suffix}", record.topic)),
    }
}

/// Refuses a record that would wait where nobody reads.
pub(crate) fn refuse(record: &Record) -> Result<(), Error> {
    match wait(record) {
        Some(_) if has_none(&record.topic) => Err(Error::Unsupported {
            what: format!("a delay for topic {}", record.topic),
            hint: "records of dead letters and of waits do not wait; give it to the topic that runs it"
                .to_owned(),
        }),
        _ => Ok(()),
    }
}

/// Returns the header that says when a record that waits is due.
pub(crate) fn header(record: &Record) -> Option<(&'static str, String)> {
    let due = record.not_before?;
    (due > SystemClock.now()).then(|| (DUE, due.as_millis().to_string()))
}

/// Returns how long a record is to wait; `None` if it is due.
pub(crate) fn left(record: &Record) -> Option<Duration> {
    let left = record.not_before?.since(SystemClock.now());
    (!left.is_zero()).then_some(left)
}

fn wait(record: &Record) -> Option<(&'static str, Duration)> {
    let left = left(record)?;
    let fits = STEPS.iter().rev().find(|(_, length)| *length <= left);
    Some(*fits.unwrap_or(&STEPS[0]))
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

/// Takes the time at which a record is due out of its headers.
pub(crate) fn take_due(headers: &mut Vec<(String, Option<Bytes>)>) -> Option<Timestamp> {
    let found = headers.iter().rposition(|(name, _)| name == DUE)?;
    let (_, value) = headers.remove(found);
    kser_core::headers::due(&value?, SystemClock.now())
}
