//! The bounds of logs, read for many partitions in one request.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::{Offset, TopicPartitionList};

use crate::clock::monotonic;
use crate::error::code;

/// The name of a topic, and the number of a partition.
pub(crate) type TopicPartition = (String, i32);

/// The number of partitions in one request. The client searches its list for each, so that twice as many take four times as
/// long.
pub(crate) const BATCH: usize = 1000;

/// The first offset of a log, and the offset after the last record that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogBounds {
    pub(crate) start: i64,
    pub(crate) end: i64,
    /// The latest leader epoch of the log; `None` if the broker does not tell it.
    pub(crate) epoch: Option<i32>,
}

/// Reads the bounds of the logs of partitions. Each 1,000 partitions cost two requests to each of their leaders. Leaves out
/// partitions for which no broker answers in time.
pub(crate) fn read<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: &[TopicPartition],
    until: Instant,
) -> BTreeMap<TopicPartition, LogBounds> {
    let mut bounds = BTreeMap::new();
    for partitions in partitions.chunks(BATCH) {
        let starts = ask(consumer, partitions, Offset::Beginning, until);
        let mut ends = ask(consumer, partitions, Offset::End, until);
        for (place, (start, _)) in starts {
            if let Some((end, epoch)) = ends.remove(&place) {
                bounds.insert(place, LogBounds { start, end, epoch });
            }
        }
    }
    bounds
}

/// Says whether the brokers tell the ends of the logs of all partitions. They do once they have opened the logs.
pub(crate) fn are_readable<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: &[TopicPartition],
    limit: Duration,
) -> bool {
    let asked = list(partitions, Offset::End);
    let found = asked.and_then(|list| consumer.offsets_for_times(list, limit));
    let is_readable = |entry: &kser_librdkafka::Partition<'_>| {
        entry.error.is_none() && matches!(entry.offset, Offset::Offset(_))
    };
    found.is_ok_and(|found| kser_librdkafka::partitions(&found).iter().all(is_readable))
}

/// Reads one bound. If one partition fails, the client returns none at all: then each half is read again.
fn ask<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: &[TopicPartition],
    bound: Offset,
    until: Instant,
) -> BTreeMap<TopicPartition, (i64, Option<i32>)> {
    let left = until.saturating_duration_since(monotonic());
    if left.is_zero() || partitions.is_empty() {
        return BTreeMap::new();
    }
    // The special offset of a bound is passed in place of a timestamp.
    let asked = list(partitions, bound).and_then(|list| consumer.offsets_for_times(list, left));
    match asked {
        Ok(found) => kser_librdkafka::partitions(&found)
            .iter()
            .filter(|entry| entry.error.is_none())
            .filter_map(|entry| match entry.offset {
                Offset::Offset(offset) => {
                    let place = (entry.topic.to_owned(), entry.partition);
                    Some((place, (offset, entry.leader_epoch)))
                }
                _ => None,
            })
            .collect(),
        Err(error) if partitions.len() > 1 && is_of_a_partition(&error) => {
            let (first, second) = partitions.split_at(partitions.len() / 2);
            let mut found = ask(consumer, first, bound, until);
            found.append(&mut ask(consumer, second, bound, until));
            found
        }
        Err(error) => {
            let (topic, partition) = &partitions[0];
            tracing::warn!(
                target: "kser_kafka",
                %error, topic, partition, partitions = partitions.len(),
                "reading the start or end of logs failed: this partition and others; retrying",
            );
            BTreeMap::new()
        }
    }
}

fn list(partitions: &[TopicPartition], bound: Offset) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for (topic, partition) in partitions {
        list.add_partition_offset(topic, *partition, bound)?;
    }
    Ok(list)
}

/// Says whether the error is the answer of a broker about a partition.
fn is_of_a_partition(error: &KafkaError) -> bool {
    code(error).is_some_and(|code| code as i32 > 0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rdkafka::config::ClientConfig;
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    #[test]
    fn the_bounds_of_many_partitions_are_asked_at_once() {
        let cluster = MockCluster::new(3).unwrap();
        cluster.create_topic("t", 1100, 1).unwrap();
        cluster.create_topic("u", 1, 1).unwrap();
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", cluster.bootstrap_servers());
        let producer: BaseProducer = config.create().unwrap();
        for (topic, partition) in [("t", 7), ("t", 7), ("t", 1050), ("u", 0)] {
            let record = BaseRecord::<(), str>::to(topic).partition(partition);
            producer.send(record.payload("x")).unwrap();
        }
        producer.flush(LIMIT).unwrap();
        let consumer: BaseConsumer = config.set("group.id", "g").create().unwrap();
        let mut places: Vec<_> = (0..1100).map(|n| ("t".to_owned(), n)).collect();
        places.extend([("u".to_owned(), 0), ("missing".to_owned(), 0)]);
        let found = read(&consumer, &places, monotonic() + LIMIT);
        assert_eq!(found.len(), 1101);
        let end = |topic: &str, partition| found[&(topic.to_owned(), partition)].end;
        assert_eq!(end("t", 0), 0);
        assert_eq!(end("t", 7), 2);
        assert_eq!(end("t", 1050), 1);
        assert_eq!(end("u", 0), 1);
        assert!(found.values().all(|bounds| bounds.start == 0));
    }
}
