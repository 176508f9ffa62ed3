use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use kser_core::{
    Error, RecordPlace, Room, Timestamp, Topic, UnsettledQuery, UnsettledRecord, UnsettledView,
};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message, Offset, TopicPartitionList};
use tokio::sync::oneshot;

use super::snapshot::{PartitionSnapshot, Snapshot};
use crate::broker_log::BrokerErrors;
use crate::clock::monotonic;
use crate::delay;
use crate::error::{code, failed, no_thread};
use crate::member::record;

/// The time without an answer after which a view fails.
const ANSWER: Duration = Duration::from_secs(30);
/// The longest wait for a record, after which the time is checked.
const POLL: Duration = Duration::from_millis(100);

type Page = Result<Vec<UnsettledRecord>, Error>;

/// A view of a topic, which a thread of its own reads. Dropping it ends the thread.
#[derive(Debug)]
pub(super) struct KafkaView(Sender<(Room, oneshot::Sender<Page>)>);

impl KafkaView {
    /// Takes the snapshot of the topic, and starts the thread. Blocks the thread of the caller.
    pub(super) fn open(settings: &ClientConfig, query: UnsettledQuery) -> Result<Self, Error> {
        let after = query.after;
        let Snapshot {
            consumer,
            topic,
            partitions,
        } = Snapshot::take(settings, query.topic)?;
        let mut left: VecDeque<_> = partitions.into_iter().map(PartitionLeft::new).collect();
        if let Some(after) = after {
            left.retain(|left| left.partition >= after.partition);
            if let Some(first) = left.front_mut() {
                first.begin_after(after);
            }
        }
        let reader = ViewReader {
            consumer,
            topic,
            left,
            assigned: None,
        };
        let (ask, asked) = channel();
        let thread = thread::Builder::new().name("kser-kafka-view".to_owned());
        let started = thread.spawn(move || reader.run(&asked));
        started.map_err(no_thread)?;
        Ok(Self(ask))
    }
}

#[async_trait]
impl UnsettledView for KafkaView {
    async fn next(&mut self, room: Room) -> Page {
        let (answer, answered) = oneshot::channel();
        let ended = || failed("reading a view", None, KafkaError::Canceled);
        self.0.send((room, answer)).map_err(|_| ended())?;
        answered.await.unwrap_or_else(|_| Err(ended()))
    }
}

/// The rest of a partition.
#[derive(Debug)]
struct PartitionLeft {
    partition: i32,
    /// The next offset.
    next: i64,
    snapshot: PartitionSnapshot,
}

impl PartitionLeft {
    fn new(snapshot: PartitionSnapshot) -> Self {
        let log = &snapshot.log;
        let below = snapshot.settled.below(log).unwrap_or(log.start);
        Self {
            partition: snapshot.partition,
            next: below.max(log.start),
            snapshot,
        }
    }

    fn begin_after(&mut self, place: RecordPlace) {
        if self.partition == place.partition {
            self.next = self.next.max(place.offset.saturating_add(1));
        }
    }

    const fn is_read(&self) -> bool {
        self.next >= self.snapshot.log.end
    }

    /// Takes a record of the log. `None` if the group has settled it, or it came after the view was opened.
    fn take(&mut self, topic: &Topic, message: &BorrowedMessage<'_>) -> Option<UnsettledRecord> {
        let offset = message.offset();
        self.next = offset.saturating_add(1);
        let PartitionSnapshot { log, settled, .. } = &self.snapshot;
        if offset >= log.end || settled.contains(offset) {
            return None;
        }
        let record = record(topic.clone(), message);
        if delay::is_probe(&record) {
            return None;
        }
        let millis = message.timestamp().to_millis();
        let published = millis.and_then(|millis| u64::try_from(millis).ok());
        let place = RecordPlace {
            partition: self.partition,
            offset,
        };
        let published = published.map(Timestamp::from_millis);
        Some(UnsettledRecord::new(place, record, published))
    }
}

/// Reads the partitions of a view one after the other.
struct ViewReader {
    consumer: BaseConsumer<BrokerErrors>,
    topic: Topic,
    left: VecDeque<PartitionLeft>,
    /// The partition that the client reads.
    assigned: Option<i32>,
}

impl ViewReader {
    fn run(mut self, asked: &Receiver<(Room, oneshot::Sender<Page>)>) {
        while let Ok((room, answer)) = asked.recv() {
            let page = self.page(room);
            let has_failed = page.is_err();
            if answer.send(page).is_err() || has_failed {
                return;
            }
        }
    }

    fn page(&mut self, room: Room) -> Page {
        let (mut page, mut bytes) = (Vec::new(), 0);
        let mut until = monotonic() + ANSWER;
        while page.len() < room.records && bytes < room.bytes {
            if !self.assign_next()? {
                break;
            }
            if let Some(shown) = self.read_one(&mut until)? {
                bytes += shown.record.size();
                page.push(shown);
            }
        }
        Ok(page)
    }

    /// Has the client read the first partition that has records left. Returns whether there is one.
    fn assign_next(&mut self) -> Result<bool, Error> {
        while self.left.front().is_some_and(PartitionLeft::is_read) {
            self.left.pop_front();
        }
        let Some(left) = self.left.front() else {
            return Ok(false);
        };
        if self.assigned != Some(left.partition) {
            let mut list = TopicPartitionList::new();
            let name = self.topic.as_str();
            let added = list.add_partition_offset(name, left.partition, Offset::Offset(left.next));
            let assigned = added.and_then(|()| self.consumer.assign(&list));
            assigned.map_err(|error| self.failed(error))?;
            self.assigned = Some(left.partition);
        }
        Ok(true)
    }

    /// Reads one record of the partition at hand. `None` if none came, or it is not shown.
    fn read_one(&mut self, until: &mut Instant) -> Result<Option<UnsettledRecord>, Error> {
        let Some(left) = self.left.front_mut() else {
            return Ok(None);
        };
        let error = match self.consumer.poll(POLL) {
            Some(Ok(message)) if message.partition() == left.partition => {
                *until = monotonic() + ANSWER;
                return Ok(left.take(&self.topic, &message));
            }
            Some(Err(KafkaError::PartitionEOF(partition))) if partition == left.partition => {
                // The end of the log may be a marker of a transaction, which is no record.
                left.next = left.snapshot.log.end;
                return Ok(None);
            }
            Some(Err(error)) => error,
            _ => KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut),
        };
        let is_refused = code(&error) == Some(RDKafkaErrorCode::TopicAuthorizationFailed);
        match is_refused || monotonic() >= *until {
            true => Err(self.failed(error)),
            false => Ok(None),
        }
    }

    fn failed(&self, error: KafkaError) -> Error {
        failed(format!("reading topic {}", self.topic), None, error)
    }
}
