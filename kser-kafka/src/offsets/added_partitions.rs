//! Partitions that are added to a topic while a group reads it: they have no committed offset, and no member has read them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;

use crate::commit::{self, Committed};
use crate::consumer::context::MemberContext;
use crate::offsets::log_bounds::TopicPartition;

/// Finds out, for each topic with a partition without a committed offset, whether the group has one in any other partition.
/// Leaves out topics for which the brokers do not tell that now. `limit` is the timeout of one request.
pub(crate) fn topics_with_offsets(
    consumer: &BaseConsumer<MemberContext>,
    committed: &BTreeMap<TopicPartition, Committed>,
    limit: Duration,
) -> BTreeMap<String, bool> {
    let missing = committed.iter().filter(|(_, it)| it.offset.is_none());
    let topics: BTreeSet<_> = missing.map(|((topic, _), _)| topic).collect();
    let mut found = BTreeMap::new();
    for topic in topics {
        match has_offset(consumer, topic, limit) {
            Ok(Some(has_offset)) => drop(found.insert(topic.clone(), has_offset)),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(
                    target: "kser_kafka",
                    group = consumer.context().group, topic, %error,
                    "reading the committed offsets of a topic failed; its partitions without an offset start later",
                );
                // Each of the others could time out, too.
                break;
            }
        }
    }
    found
}

/// Says whether the group has a committed offset in any partition of the topic; `None` if that is not known of all.
fn has_offset(
    consumer: &BaseConsumer<MemberContext>,
    topic: &str,
    limit: Duration,
) -> KafkaResult<Option<bool>> {
    let metadata = consumer.fetch_metadata(Some(topic), limit)?;
    let found = metadata.topics().iter();
    let mut all = TopicPartitionList::new();
    for partition in found.flat_map(|found| found.partitions()) {
        all.add_partition(topic, partition.id());
    }
    let committed = commit::read(consumer, &all, limit)?;
    let has_offset = committed.values().any(|it| it.offset.is_some());
    let is_known = has_offset || committed.len() == all.count() && all.count() > 0;
    Ok(is_known.then_some(has_offset))
}
