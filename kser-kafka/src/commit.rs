//! Commits: written without waiting, and confirmed by reading back. The client's own call that waits has no limit, and with
//! a broker that is frozen it does not return.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};

use crate::context::Context;
use crate::member::Member;
use crate::progress::Commit;

/// What a group has written about a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) offset: Option<i64>,
    pub(crate) metadata: String,
}

/// What is to be written about a partition.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) assignment: u64,
    topic: String,
    partition: i32,
    pub(crate) commit: Commit,
}

/// Collects what the partitions have to say that no commit says.
pub(crate) fn news(member: &mut Member) -> Vec<Entry> {
    let changed = member.assignments().filter_map(|assignment| {
        let progress = assignment.progress.as_mut()?;
        let commit = (progress.changed()).then(|| progress.commit())??;
        Some(Entry {
            assignment: assignment.id,
            topic: assignment.topic.as_str().to_owned(),
            partition: assignment.partition,
            commit,
        })
    });
    changed.collect()
}

/// Collects the last words about partitions.
pub(crate) fn goodbye(member: &mut Member, partitions: &[(String, i32)]) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (topic, partition) in partitions {
        let Some(assignment) = member.of(topic, *partition) else {
            continue;
        };
        let commit = assignment
            .progress
            .as_mut()
            .and_then(|progress| progress.goodbye());
        entries.extend(commit.map(|commit| Entry {
            assignment: assignment.id,
            topic: topic.clone(),
            partition: *partition,
            commit,
        }));
    }
    entries
}

/// Writes commits and reads them back. Returns which are durable.
pub(crate) fn write(
    consumer: &BaseConsumer<Context>,
    entries: &[Entry],
    limit: Duration,
) -> KafkaResult<Vec<bool>> {
    if entries.is_empty() {
        return Ok(Vec::new());
    }
    let mut list = TopicPartitionList::with_capacity(entries.len());
    for entry in entries {
        let mut element = list.add_partition(&entry.topic, entry.partition);
        element.set_offset(Offset::Offset(entry.commit.offset))?;
        element.set_metadata(&entry.commit.metadata);
    }
    consumer.commit(&list, CommitMode::Async)?;
    let found = read(consumer, &list, limit)?;
    let confirmed = entries.iter().map(|entry| {
        let found = found.get(&(entry.topic.clone(), entry.partition));
        found.is_some_and(|found| {
            found.offset == Some(entry.commit.offset) && found.metadata == entry.commit.metadata
        })
    });
    Ok(confirmed.collect())
}

/// Reads what the group has written about partitions, within a limit. Partitions of which that cannot be told now are left
/// out, unless it can be told of none.
pub(crate) fn read<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: &TopicPartitionList,
    limit: Duration,
) -> KafkaResult<BTreeMap<(String, i32), Committed>> {
    let mut asked = TopicPartitionList::with_capacity(partitions.count());
    for element in partitions.elements() {
        asked.add_partition(element.topic(), element.partition());
    }
    let found = consumer.committed_offsets(asked, limit)?;
    let (mut committed, mut failed) = (BTreeMap::new(), None);
    for element in found.elements() {
        if let Err(error) = element.error() {
            let (topic, partition) = (element.topic(), element.partition());
            tracing::warn!(target: "kser_kafka", topic, partition, %error, "a committed offset cannot be read");
            failed = Some(error);
            continue;
        }
        let offset = match element.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        };
        // The client panics at metadata that is no UTF-8. Ours is: that is somebody else's.
        let metadata = catch_unwind(AssertUnwindSafe(|| element.metadata().to_owned()));
        let place = (element.topic().to_owned(), element.partition());
        let metadata = metadata.unwrap_or_default();
        committed.insert(place, Committed { offset, metadata });
    }
    match failed {
        Some(error) if committed.is_empty() => Err(error),
        _ => Ok(committed),
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::config::ClientConfig;
    use rdkafka::mocking::MockCluster;

    use super::*;

    /// Reads the offsets of partition 0 of these topics from a broker that has one of the name `t`.
    fn read_of(topics: &[&str]) -> KafkaResult<Vec<(String, i32)>> {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("t", 1, 1).unwrap();
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", cluster.bootstrap_servers());
        let consumer: BaseConsumer = config.set("group.id", "g").create().unwrap();
        let mut list = TopicPartitionList::new();
        for topic in topics {
            list.add_partition(topic, 0);
        }
        let read = read(&consumer, &list, Duration::from_secs(10));
        read.map(|found| found.into_keys().collect())
    }

    #[test]
    fn a_partition_that_errs_is_left_out() {
        let found = read_of(&["a", "t", "z"]).unwrap();
        assert_eq!(found, [("t".to_owned(), 0)]);
        assert!(read_of(&["a"]).is_err());
    }
}
