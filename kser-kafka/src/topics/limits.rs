//! The limits of topics, checked before a record is delayed, since a record that its delay topics do not keep, or that its topic does
//! not take afterwards, would be lost; and before a record is sent in a transaction, which a refusal would abort.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kser_core::{Error, Record, Topic};

use crate::clock::monotonic;
use crate::delay;
use crate::topics::admin::{TopicAdmin, TopicSettings};

/// The time for which the settings of a topic are cached.
const CACHED_FOR: Duration = Duration::from_secs(60);

/// The time for which cached settings refuse records, so that one is sent soon after its topic takes it.
const REFUSES_FOR: Duration = Duration::from_secs(1);

/// The cached settings of topics and of their delay topics.
#[derive(Debug, Default)]
pub(crate) struct TopicLimits(Mutex<BTreeMap<Topic, CachedSettings>>);

type SettingsByTopic = BTreeMap<Topic, TopicSettings>;

/// The settings of a topic and of its delay topics, and when they were read.
#[derive(Debug, Default)]
struct CachedSettings {
    read: Option<(Instant, Arc<SettingsByTopic>)>,
    /// A caller was told to read them, and when.
    asked: Option<Instant>,
}

impl CachedSettings {
    fn is_fresh(&self, now: Instant) -> bool {
        let read = self.read.as_ref();
        read.is_some_and(|(at, _)| now.duration_since(*at) < CACHED_FOR)
    }
}

/// The result of a look at the cached limits of the topics of some records.
#[derive(Debug, Default)]
pub(crate) struct CachedLimits {
    /// The positions and errors of the records that are too large for their topics.
    pub(crate) too_large: Vec<(usize, Error)>,
    /// The smallest of the limits, in bytes.
    pub(crate) smallest: Option<usize>,
}

impl TopicLimits {
    /// Compares records with the limits of their topics, without asking the brokers. `None` if this caller has to
    /// [read](Self::read) them: one caller for each topic and minute is told so, and the others go on with those that are
    /// known.
    pub(crate) fn check_cached(&self, records: &[Record]) -> Option<CachedLimits> {
        let now = monotonic();
        let mut cached = self.lock();
        let mut limits = CachedLimits::default();
        for (index, record) in records.iter().enumerate() {
            if !cached.contains_key(&record.topic) {
                cached.insert(record.topic.clone(), CachedSettings::default());
            }
            let Some(of_topic) = cached.get_mut(&record.topic) else {
                continue;
            };
            let is_asked = |at: Instant| now.duration_since(at) < CACHED_FOR;
            if !of_topic.is_fresh(now) && !of_topic.asked.is_some_and(is_asked) {
                of_topic.asked = Some(now);
                return None;
            }
            let found = of_topic.read.as_ref();
            let largest = found.and_then(|(_, found)| found.get(&record.topic)?.largest);
            if let Some(limit) = largest {
                limits.smallest = Some(limits.smallest.map_or(limit, |least| least.min(limit)));
                if batch_bytes(record) > limit {
                    limits.too_large.push((index, too_large(record, limit)));
                }
            }
        }
        Some(limits)
    }

    /// Reads the limits of the topics of records that are not cached, or that refuse one and are a second old, and compares the
    /// records with them.
    pub(crate) async fn read(&self, admin: &TopicAdmin, records: &[Record]) -> CachedLimits {
        let topics: BTreeSet<_> = records.iter().map(|record| &record.topic).collect();
        for topic in &topics {
            let _ = self.of(admin, topic).await;
        }
        let limits = self.check_cached(records).unwrap_or_default();
        let refused = limits.too_large.iter();
        let refused = refused.filter_map(|(index, _)| Some(&records.get(*index)?.topic));
        if !self.forget_older(refused, REFUSES_FOR) {
            return limits;
        }
        for topic in &topics {
            let _ = self.of(admin, topic).await;
        }
        self.check_cached(records).unwrap_or_default()
    }

    /// Forgets the settings of these topics that were read so long ago. Returns whether there are any.
    fn forget_older<'a>(&self, topics: impl Iterator<Item = &'a Topic>, age: Duration) -> bool {
        let now = monotonic();
        let mut cached = self.lock();
        let is_old = |settings: &CachedSettings| {
            let read = settings.read.as_ref();
            read.is_some_and(|(at, _)| now.duration_since(*at) >= age)
        };
        let mut has_forgotten = false;
        for topic in topics {
            if cached.get(topic).is_some_and(is_old) {
                cached.remove(topic);
                has_forgotten = true;
            }
        }
        has_forgotten
    }

    /// Refuses a delayed record if a topic on its way does not take it, or does not keep it for long enough. If the brokers do
    /// not tell the settings, nothing is refused.
    ///
    /// With compression the size of a batch is unknown here: then sizes are not checked.
    pub(crate) async fn refuse(
        &self,
        admin: &TopicAdmin,
        record: &Record,
        wait: Duration,
        compresses: bool,
    ) -> Result<(), Error> {
        let found = self.of(admin, &record.topic).await;
        refuse(&found, record, wait, compresses)
    }

    /// Returns the settings of a topic and of its delay topics, which are read if they are not cached.
    pub(crate) async fn of(&self, admin: &TopicAdmin, topic: &Topic) -> Arc<SettingsByTopic> {
        let now = monotonic();
        if let Some(found) = self.cached(topic, now) {
            return found;
        }
        let steps = delay::topics(topic).map(|(step, _)| step);
        let topics: Vec<_> = [topic.clone()].into_iter().chain(steps).collect();
        let told = match admin.settings(&topics).await {
            Ok(told) => told,
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(target: "kser_kafka", %topic, error, "reading the settings of a topic and its delay topics failed; records go there unchecked");
                Vec::new()
            }
        };
        let told = topics.into_iter().zip(told);
        let found = told.filter_map(|(topic, told)| Some((topic, told?)));
        let found = Arc::new(found.collect::<SettingsByTopic>());
        let read = Some((now, Arc::clone(&found)));
        let settings = CachedSettings { read, asked: None };
        self.lock().insert(topic.clone(), settings);
        found
    }

    fn cached(&self, topic: &Topic, now: Instant) -> Option<Arc<SettingsByTopic>> {
        let cached = self.lock();
        let of_topic = cached.get(topic)?;
        let (_, found) = of_topic.read.as_ref()?;
        of_topic.is_fresh(now).then(|| Arc::clone(found))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Topic, CachedSettings>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn too_large(record: &Record, limit: usize) -> Error {
    Error::TooLargeForTopic {
        topic: record.topic.to_string(),
        size: record.size(),
        limit: Some(limit),
    }
}

fn refuse(
    found: &SettingsByTopic,
    record: &Record,
    wait: Duration,
    compresses: bool,
) -> Result<(), Error> {
    let fits = |topic: &Topic, added: usize| {
        let limit = found.get(topic).and_then(|found| found.largest);
        match limit {
            Some(limit) if !compresses && batch_bytes(record) + added > limit => {
                Err(Error::TooLargeForTopic {
                    topic: topic.to_string(),
                    size: record.size(),
                    limit: Some(limit),
                })
            }
            _ => Ok(()),
        }
    };
    fits(&record.topic, 0)?;
    for (topic, length) in delay::on_the_way(&record.topic, wait) {
        fits(&topic, delay::HEADER_BYTES)?;
        let kept = found.get(&topic).and_then(|found| found.retention);
        if let Some(kept) = kept.filter(|kept| *kept <= length) {
            return Err(Error::NotKept {
                topic: topic.to_string(),
                wait: length,
                kept,
            });
        }
    }
    Ok(())
}

/// Returns the size of a batch with this record alone, without compression, in bytes. `max.message.bytes` limits it.
fn batch_bytes(record: &Record) -> usize {
    /// The size of the header of a batch.
    const BATCH: usize = 61;
    let bytes = |part: Option<usize>| part.map_or(varint(1), |len| varint(len) + len);
    let len = |part: &Option<bytes::Bytes>| part.as_ref().map(bytes::Bytes::len);
    let headers = record.headers.iter();
    let headers = headers.map(|(name, value)| bytes(Some(name.len())) + bytes(len(value)));
    let headers: usize = headers.sum();
    // One byte each for the attributes, the difference of time and that of offset.
    let body = 3 + bytes(len(&record.key)) + bytes(len(&record.payload));
    let body = body + varint(record.headers.len()) + headers;
    BATCH + varint(body) + body
}

/// Returns the size of a number in the encoding of records (zigzag varint), in bytes.
const fn varint(number: usize) -> usize {
    let bits = usize::BITS - number.leading_zeros() + 1;
    (bits as usize).div_ceil(7)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str) -> Topic {
        Topic::new(name).unwrap()
    }

    fn found(topics: &[(&str, Option<u64>, Option<usize>)]) -> SettingsByTopic {
        let settings = topics.iter().map(|(name, seconds, largest)| {
            let retention = seconds.map(Duration::from_secs);
            let largest = *largest;
            let settings = TopicSettings {
                retention,
                largest,
                stamps: true,
            };
            (topic(name), settings)
        });
        settings.collect()
    }

    fn record(bytes: usize) -> Record {
        Record::new(topic("t"), Some(vec![b'x'; bytes].into()))
    }

    #[test]
    fn a_batch_of_one_record_is_as_long_as_in_the_protocol() {
        let cases = [(record(0), 68), (record(63), 132), (record(64), 134)];
        for (record, expected) in cases {
            assert_eq!(batch_bytes(&record), expected, "{record:?}");
        }
        // A test on a broker has the same number: with a limit of 2000, 1930 bytes are the most.
        assert_eq!(batch_bytes(&record(1930)), 2000);
        let with_header = record(0).with_header("name", "value");
        assert_eq!(batch_bytes(&with_header), 68 + 5 + 6);
    }

    #[test]
    fn a_record_that_could_not_come_back_does_not_wait() {
        let found = found(&[("t", None, Some(2000)), ("t.delay.1s", None, Some(10_000))]);
        let wait = Duration::from_secs(1);
        assert!(refuse(&found, &record(1500), wait, false).is_ok());
        let refused = refuse(&found, &record(2000), wait, false);
        let Err(Error::TooLargeForTopic { topic, size, limit }) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!((topic.as_str(), size, limit), ("t", 2000, Some(2000)));
        assert!(refuse(&found, &record(2000), wait, true).is_ok());
    }

    #[test]
    fn a_record_does_not_wait_where_it_cannot_be_published() {
        let found = found(&[("t.delay.1s", None, Some(2000))]);
        let wait = Duration::from_secs(12);
        let refused = refuse(&found, &record(2000), wait, false);
        let Err(Error::TooLargeForTopic { topic, .. }) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!(topic, "t.delay.1s");
    }

    #[test]
    fn a_record_does_not_wait_where_it_is_deleted() {
        let short = found(&[
            ("t.delay.10s", Some(6), None),
            ("t.delay.1m", Some(6), None),
        ]);
        let refused = refuse(&short, &record(1), Duration::from_secs(40), false);
        let Err(Error::NotKept { topic, wait, kept }) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!(topic, "t.delay.10s");
        assert_eq!((wait.as_secs(), kept.as_secs()), (10, 6));
        // A record of 9 s does not go through these topics.
        assert!(refuse(&short, &record(1), Duration::from_secs(9), false).is_ok());
        let enough = found(&[("t.delay.10s", Some(11), None)]);
        assert!(refuse(&enough, &record(1), Duration::from_secs(40), false).is_ok());
    }

    #[test]
    fn a_limit_that_refuses_a_record_is_forgotten_after_a_second() {
        let limits = TopicLimits::default();
        let read = |ago| {
            let settings = CachedSettings {
                read: Some((monotonic() - ago, Arc::new(found(&[("t", None, Some(9))])))),
                asked: None,
            };
            limits.lock().insert(topic("t"), settings);
            limits.forget_older([topic("t")].iter(), REFUSES_FOR)
        };
        assert!(!read(REFUSES_FOR / 2));
        assert!(limits.lock().contains_key(&topic("t")));
        assert!(read(REFUSES_FOR));
        assert!(!limits.lock().contains_key(&topic("t")));
    }

    #[test]
    fn one_caller_reads_the_limits_and_the_others_go_on() {
        let limits = TopicLimits::default();
        let records = [record(10), record(5000)];
        assert!(limits.check_cached(&records).is_none());
        let unknown = limits.check_cached(&records).unwrap();
        assert!(unknown.too_large.is_empty() && unknown.smallest.is_none());
        let found = Arc::new(found(&[("t", None, Some(2000))]));
        let settings = CachedSettings {
            read: Some((monotonic(), found)),
            asked: None,
        };
        limits.lock().insert(topic("t"), settings);
        let known = limits.check_cached(&records).unwrap();
        assert_eq!(known.smallest, Some(2000));
        let positions: Vec<_> = known.too_large.iter().map(|(at, _)| *at).collect();
        assert_eq!(positions, [1]);
    }
}
