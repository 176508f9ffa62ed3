use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kser_core::{Error, Health, Record, Timestamp, Topic};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message, Offset, TopicPartitionList};

use crate::broker_log::BrokerErrors;
use crate::channel::{PollChannel, QueuedRecord, RecordId};
use crate::clock::monotonic;
use crate::error::{code, failed, is_missing, is_silence};

/// The interval at which new partitions are looked for.
const LOOK: Duration = Duration::from_secs(10);
/// The timeout of a request.
const ANSWER: Duration = Duration::from_secs(5);
const SLEEP: Duration = Duration::from_millis(20);

/// A reader without a group, which receives all records that are published after its start, and on request earlier ones.
pub(crate) struct BroadcastReader {
    consumer: BaseConsumer<BrokerErrors>,
    channel: Arc<PollChannel>,
    topics: Vec<Topic>,
    seen: BTreeSet<(Topic, i32)>,
    next_look: Instant,
    is_paused: bool,
    /// The time of day since which earlier records are read.
    from: Option<Timestamp>,
    /// The partitions with earlier records that were not read yet: their next offset, and the end of their log at the start.
    behind: BTreeMap<(Topic, i32), Range<i64>>,
}

fn is_passing(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::NotLeaderForPartition
                | RDKafkaErrorCode::LeaderNotAvailable
                | RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownPartition
        )
    )
}

impl BroadcastReader {
    /// Determines the start offsets: all records that are published afterwards are received, and those since `from`.
    pub(crate) fn start(
        consumer: BaseConsumer<BrokerErrors>,
        channel: Arc<PollChannel>,
        topics: Vec<Topic>,
        from: Option<Timestamp>,
    ) -> KafkaResult<Self> {
        let mut reader = Self {
            consumer,
            channel,
            topics,
            seen: BTreeSet::new(),
            next_look: monotonic() + LOOK,
            is_paused: false,
            from,
            behind: BTreeMap::new(),
        };
        let until = monotonic() + ANSWER;
        loop {
            match reader.look_for_partitions(true) {
                Ok(()) => return Ok(reader),
                // Not all brokers know a new topic yet.
                Err(error) if monotonic() >= until || !is_passing(&error) => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    pub(crate) fn run(mut self) {
        loop {
            let commands = self.channel.take_commands();
            if let Some(answer) = commands.close {
                self.channel.finish(Error::Closed);
                let _ = answer.send(Ok(()));
                return;
            }
            if commands.dropped {
                return;
            }
            let rebootstrap = &self.consumer.context().rebootstrap;
            rebootstrap.start_if_due(self.consumer.client());
            if monotonic() >= self.next_look {
                self.next_look = monotonic() + LOOK;
                if let Err(error) = self.look_for_partitions(false) {
                    if is_silence(&error) {
                        self.consumer.context().rebootstrap.note_outage();
                    }
                    tracing::debug!(target: "kser_kafka", %error, "looking for new partitions failed; retrying in 10s");
                }
            }
            match self.fetch() {
                Ok(true) => {}
                Ok(false) => self.channel.wakeup.wait(SLEEP),
                Err(error) => return self.channel.finish(error),
            }
        }
    }

    /// Adds new partitions. At the start they are read from their ends, or from the time that was asked for; later from the
    /// beginning, since they were empty at the start.
    fn look_for_partitions(&mut self, at_start: bool) -> KafkaResult<()> {
        let mut new = TopicPartitionList::new();
        for topic in &self.topics.clone() {
            let metadata = self.consumer.fetch_metadata(Some(topic.as_str()), ANSWER)?;
            let found = metadata.topics().first();
            if let Some(error) = found.and_then(|found| found.error()) {
                let code = RDKafkaErrorCode::from(error);
                // A missing topic is read from its beginning once it exists. A topic that is only unknown now could have old
                // records, which would be received then.
                if at_start && !is_missing(code) {
                    return Err(KafkaError::MetadataFetch(code));
                }
                continue;
            }
            let partitions = found.map(|found| found.partitions()).unwrap_or_default();
            for partition in partitions.iter().map(|partition| partition.id()) {
                if self.seen.contains(&(topic.clone(), partition)) {
                    continue;
                }
                let offset = match at_start {
                    true => Offset::Offset(self.start_of(topic, partition)?),
                    false => Offset::Beginning,
                };
                new.add_partition_offset(topic.as_str(), partition, offset)?;
            }
        }
        if new.count() == 0 {
            return Ok(());
        }
        self.consumer.incremental_assign(&new)?;
        let added = new.elements();
        let added = added.iter().filter_map(|element| {
            let topic = Topic::new(element.topic()).ok()?;
            Some((topic, element.partition()))
        });
        self.seen.extend(added);
        self.tell();
        Ok(())
    }

    /// Returns the offset at which a partition is read at the start, and notes the records that are behind it.
    fn start_of(&mut self, topic: &Topic, partition: i32) -> KafkaResult<i64> {
        let name = topic.as_str();
        let (_, end) = self.consumer.fetch_watermarks(name, partition, ANSWER)?;
        let Some(from) = self.from else {
            return Ok(end);
        };
        let mut asked = TopicPartitionList::new();
        let millis = i64::try_from(from.as_millis()).unwrap_or(i64::MAX);
        asked.add_partition_offset(name, partition, Offset::Offset(millis))?;
        let found = self.consumer.offsets_for_times(asked, ANSWER)?;
        let found = found.elements().first().map(|found| found.offset());
        let start = match found {
            Some(Offset::Offset(start)) if start < end => start,
            _ => return Ok(end),
        };
        self.behind.insert((topic.clone(), partition), start..end);
        Ok(start)
    }

    fn tell(&self) {
        let mut health = Health::default();
        health.assigned = self.seen.iter().cloned().collect();
        let behind = self.behind.values().map(|left| left.end - left.start);
        let behind = u64::try_from(behind.sum::<i64>()).unwrap_or_default();
        health.lag = self.from.map(|_| behind);
        self.channel.set_health(health);
    }

    /// Fetches records. Returns whether there were any.
    ///
    /// # Errors
    ///
    /// An error after which no records can arrive any more.
    fn fetch(&mut self) -> Result<bool, Error> {
        self.pause(self.channel.room() == 0);
        let (mut fetched, mut ended, mut nothing) = (Vec::new(), Vec::new(), 0);
        while fetched.len() < 512 && nothing < 2 {
            match self.consumer.poll(Duration::ZERO) {
                Some(Ok(message)) => fetched.extend(self.queued_record(&message)),
                Some(Err(KafkaError::PartitionEOF(partition))) => ended.push(partition),
                Some(Err(error)) => match code(&error) {
                    Some(RDKafkaErrorCode::TopicAuthorizationFailed) => {
                        return Err(failed("reading without a group", None, error));
                    }
                    _ => {
                        tracing::debug!(target: "kser_kafka", %error, "the client of a broadcast reader reports an error");
                    }
                },
                None => nothing += 1,
            }
        }
        let any = !fetched.is_empty();
        let received: Vec<_> = match self.behind.is_empty() {
            true => Vec::new(),
            false => fetched.iter().map(place_of).collect(),
        };
        if any {
            self.channel.deliver(fetched.into_iter());
        }
        if !self.behind.is_empty() {
            self.catch_up(received, &ended);
        }
        Ok(any)
    }

    /// Notes which records of the logs as they were at the start were handed out. A partition at its end has none left; the
    /// client does not name the topic of that partition, so that this needs a reader of one topic.
    fn catch_up(&mut self, received: Vec<((Topic, i32), i64)>, ended: &[i32]) {
        for (place, offset) in received {
            if let Some(left) = self.behind.get_mut(&place) {
                left.start = offset + 1;
            }
        }
        let is_one_topic = self.topics.len() == 1;
        self.behind.retain(|(_, partition), left| {
            left.start < left.end && !(is_one_topic && ended.contains(partition))
        });
        self.tell();
    }

    /// Pauses all partitions while the inbox is full, and resumes them. It pauses at once: without a group no rebalance follows
    /// from it.
    fn pause(&mut self, is_crowded: bool) {
        if self.is_paused == is_crowded {
            return;
        }
        if self.is_paused && !self.channel.has_room() {
            return;
        }
        let mut all = TopicPartitionList::new();
        for (topic, partition) in &self.seen {
            all.add_partition(topic.as_str(), *partition);
        }
        let done = match is_crowded {
            true => self.consumer.pause(&all),
            false => self.consumer.resume(&all),
        };
        match done {
            Ok(()) => self.is_paused = is_crowded,
            Err(error) => {
                tracing::error!(target: "kser_kafka", %error, "pausing or resuming the partitions of a broadcast reader failed; retrying")
            }
        }
    }

    fn queued_record(&self, message: &BorrowedMessage<'_>) -> Option<QueuedRecord> {
        let topic = self
            .topics
            .iter()
            .find(|topic| topic.as_str() == message.topic())?;
        let record: Record = crate::member::record(topic.clone(), message);
        Some(QueuedRecord {
            id: RecordId {
                assignment: 0,
                offset: message.offset(),
            },
            record,
            partition: message.partition(),
            published: None,
            crash_count: 0,
            failed: 0,
            revoked: kser_core::Cancellation::default(),
        })
    }
}

fn place_of(queued: &QueuedRecord) -> ((Topic, i32), i64) {
    let place = (queued.record.topic.clone(), queued.partition);
    (place, queued.id.offset)
}
