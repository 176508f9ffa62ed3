use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use kser_librdkafka::{TopicId, topic_ids};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};

use crate::clock::monotonic;

/// Reads topic ids from a broker that answers. A recreated topic has another id, and its offsets are those of other records.
#[derive(Debug)]
pub(crate) struct TopicIds {
    /// The id of the broker that answered last; -1 for none.
    broker: AtomicI32,
}

impl TopicIds {
    pub(crate) fn new() -> Self {
        Self {
            broker: AtomicI32::new(-1),
        }
    }

    /// Reads the ids of topics within a limit. Leaves out a topic whose id is unknown now. The id is `None` if the brokers have
    /// no topic ids (before Kafka 2.8).
    pub(crate) fn read<C: ConsumerContext>(
        &self,
        consumer: &BaseConsumer<C>,
        topics: &BTreeSet<String>,
        limit: Duration,
    ) -> KafkaResult<BTreeMap<String, Option<TopicId>>> {
        let Some(first) = topics.first() else {
            return Ok(BTreeMap::new());
        };
        let until = monotonic() + limit;
        let broker = match self.broker.swap(-1, Ordering::Relaxed) {
            known @ 0.. => known,
            _ => any_broker(consumer, first, limit)?,
        };
        let names: Vec<_> = topics.iter().map(String::as_str).collect();
        let left = until.saturating_duration_since(monotonic());
        let found = topic_ids(consumer.client(), Some(broker), &names, left)?;
        self.broker.store(broker, Ordering::Relaxed);
        let told = found.into_iter().filter_map(|(topic, id)| match id {
            Ok(id) => Some((topic, Some(id))),
            Err(RDKafkaErrorCode::UnsupportedFeature) => Some((topic, None)),
            Err(code) => {
                tracing::debug!(target: "kser_kafka", topic, %code, "reading the id of a topic failed");
                None
            }
        });
        Ok(told.collect())
    }
}

/// Finds a broker that answers. The controller may not answer.
fn any_broker<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    limit: Duration,
) -> KafkaResult<i32> {
    let metadata = consumer.fetch_metadata(Some(topic), limit)?;
    let answered = metadata.orig_broker_id();
    let others = metadata.brokers().iter().map(|broker| broker.id());
    let mut all = [answered].into_iter().chain(others);
    // The id of a bootstrap broker may not be known yet.
    let found = all.find(|id| *id >= 0);
    found.ok_or(KafkaError::MetadataFetch(
        RDKafkaErrorCode::BrokerNotAvailable,
    ))
}
