use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use kser_core::{Error, GroupProgress, Topic};
use rdkafka::TopicPartitionList;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::settled::SettledOffsets;
use crate::broker_log::BrokerErrors;
use crate::clock::monotonic;
use crate::commit;
use crate::error::{failed, is_missing};
use crate::offsets::log_bounds;
use crate::offsets::topic_ids::TopicIds;
use crate::progress::TopicMark;

/// The timeout of a request.
const ANSWER: Duration = Duration::from_secs(10);

/// The logs of a topic and the commits of a group, at one time.
pub(super) struct Snapshot {
    /// A client that has not joined the group.
    pub(super) consumer: BaseConsumer<BrokerErrors>,
    pub(super) topic: Topic,
    /// By their numbers.
    pub(super) partitions: Vec<PartitionSnapshot>,
}

/// The log of a partition, and the offsets that the group has settled.
#[derive(Debug)]
pub(super) struct PartitionSnapshot {
    pub(super) partition: i32,
    pub(super) log: Range<i64>,
    pub(super) settled: SettledOffsets,
}

impl Snapshot {
    /// Reads the snapshot for the group of the settings. Blocks the thread.
    pub(super) fn take(settings: &ClientConfig, topic: Topic) -> Result<Self, Error> {
        let broker_errors = BrokerErrors::default();
        let consumer: BaseConsumer<BrokerErrors> = settings
            .create_with_context(broker_errors.clone())
            .map_err(|error| failed("creating a client", None, error))?;
        let partitions = read(&consumer, &topic)?;
        Ok(Self {
            consumer,
            topic,
            partitions,
        })
    }

    pub(super) fn progress(&self) -> Vec<GroupProgress> {
        let progress = |of: &PartitionSnapshot| {
            let (log, below) = (&of.log, of.settled.below(&of.log));
            let unsettled = of.settled.unsettled_in(log);
            GroupProgress::new(of.partition, log.start, log.end, below, unsettled)
        };
        self.partitions.iter().map(progress).collect()
    }
}

fn read(
    consumer: &BaseConsumer<BrokerErrors>,
    topic: &Topic,
) -> Result<Vec<PartitionSnapshot>, Error> {
    let name = topic.as_str();
    let what = |what: &str| format!("reading {what} of topic {name}");
    let numbers = numbers_of(consumer, topic)?;
    let mut list = TopicPartitionList::with_capacity(numbers.len());
    for number in &numbers {
        list.add_partition(name, *number);
    }
    let committed = commit::read(consumer, &list, ANSWER)
        .map_err(|error| failed(what("the committed offsets"), None, error))?;
    let ids = TopicIds::new()
        .read(consumer, &BTreeSet::from([name.to_owned()]), ANSWER)
        .map_err(|error| failed(what("the id"), None, error))?;
    let id = ids.get(name).copied().flatten();
    let mark = id.map(|id| TopicMark::new(id.as_u128()));
    let places = numbers.iter().map(|number| (name.to_owned(), *number));
    let places: Vec<_> = places.collect();
    let bounds = log_bounds::read(consumer, &places, monotonic() + ANSWER);
    let silent = || {
        let error = KafkaError::AdminOp(RDKafkaErrorCode::OperationTimedOut);
        failed(what("the bounds and commits"), None, error)
    };
    let partition = |place: &(String, i32)| {
        let (bounds, committed) = (bounds.get(place)?, committed.get(place)?);
        Some(PartitionSnapshot {
            partition: place.1,
            log: bounds.start..bounds.end,
            settled: SettledOffsets::new(committed, mark),
        })
    };
    let partitions = places
        .iter()
        .map(|place| partition(place).ok_or_else(silent));
    partitions.collect()
}

/// Returns the numbers of the partitions of a topic, in order.
fn numbers_of(consumer: &BaseConsumer<BrokerErrors>, topic: &Topic) -> Result<Vec<i32>, Error> {
    let name = topic.as_str();
    let what = || format!("looking for topic {name}");
    let metadata = consumer.fetch_metadata(Some(name), ANSWER);
    let metadata = metadata.map_err(|error| failed(what(), None, error))?;
    let found = metadata.topics().first();
    let missing = || Error::MissingTopic {
        topic: name.to_owned(),
    };
    match found
        .and_then(|found| found.error())
        .map(RDKafkaErrorCode::from)
    {
        Some(code) if is_missing(code) => return Err(missing()),
        Some(code) => return Err(failed(what(), None, KafkaError::MetadataFetch(code))),
        None => {}
    }
    let partitions = found.map(|found| found.partitions()).unwrap_or_default();
    let mut numbers: Vec<i32> = partitions.iter().map(|partition| partition.id()).collect();
    numbers.sort_unstable();
    match numbers.is_empty() {
        true => Err(missing()),
        false => Ok(numbers),
    }
}
