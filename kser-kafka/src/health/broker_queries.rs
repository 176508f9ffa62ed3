use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use kser_core::{Error, Topic};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use crate::broker_log::BrokerErrors;
use crate::clock::monotonic;
use crate::error::{failed, is_missing, is_silence, no_thread};
use crate::offsets::log_bounds;
use crate::partition_map::PartitionMap;

/// The timeout of a request.
const ANSWER: Duration = Duration::from_secs(5);
/// The longest interval at which the events of the client are served.
const SERVE: Duration = Duration::from_secs(1);

/// Queries the brokers for the health of members, with a client and a thread of its own: an answer may take seconds, for which
/// a poll thread must not wait. Dropping it ends the thread.
#[derive(Debug)]
pub(crate) struct BrokerQueries(Sender<(Query, Sender<QueryAnswer>)>);

/// A query of one member. Empty parts are left out.
#[derive(Debug, Default)]
pub(crate) struct Query {
    /// The topics to look for.
    pub(crate) topics: Vec<Topic>,
    /// The partitions whose log ends are read.
    pub(crate) ends: Vec<(Topic, i32)>,
    /// The group whose members with the classic protocol are counted.
    pub(crate) group: Option<String>,
}

/// The answer to a query.
#[derive(Debug, Default)]
pub(crate) struct QueryAnswer {
    /// The absent topics; `None` if the query has no topics.
    pub(crate) topics: Option<Absent>,
    /// The ends of logs for a reader of committed records; `None` if the brokers do not tell them.
    pub(crate) ends: Option<PartitionMap>,
    /// The number of members of the group with the classic protocol; `None` if the brokers do not tell it.
    pub(crate) n_classic: Option<usize>,
    /// The time of the last answer of a broker.
    pub(crate) answered_at: Option<Instant>,
}

/// Topics that do not exist, or may not exist.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Absent {
    /// The topics that do not exist.
    pub(crate) missing: BTreeSet<Topic>,
    /// The topics whose existence the brokers do not tell.
    pub(crate) unknown: BTreeSet<Topic>,
}

impl BrokerQueries {
    /// Creates the client and starts the thread.
    pub(crate) fn start(
        settings: &ClientConfig,
        broker_errors: BrokerErrors,
    ) -> Result<Self, Error> {
        let client: KafkaResult<BaseConsumer<BrokerErrors>> =
            settings.create_with_context(broker_errors);
        let client = client.map_err(|error| failed("creating a client", None, error))?;
        let (broker_queries, queries) = channel();
        let thread = thread::Builder::new().name("kser-kafka-health".to_owned());
        let started = thread.spawn(move || serve(&client, &queries));
        started.map_err(no_thread)?;
        Ok(Self(broker_queries))
    }

    /// Makes a value that gets no answers.
    #[cfg(test)]
    pub(crate) fn without_brokers() -> Self {
        Self(channel().0)
    }

    /// Sends a query without waiting. If the thread has ended, the channel closes without an answer.
    pub(crate) fn ask(&self, query: Query) -> Receiver<QueryAnswer> {
        let (answer, answered) = channel();
        // If the thread has ended, the sender of the answer is dropped.
        let _ = self.0.send((query, answer));
        answered
    }
}

fn serve(client: &BaseConsumer<BrokerErrors>, queries: &Receiver<(Query, Sender<QueryAnswer>)>) {
    loop {
        match queries.recv_timeout(SERVE) {
            Ok((query, answer)) => drop(answer.send(answer_to(client, &query))),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        // Log lines and errors would pile up in the client. One poll of a millisecond takes all of them.
        while client.poll(Duration::from_millis(1)).is_some() {}
        client.context().rebootstrap.start_if_due(client.client());
    }
}

fn answer_to(client: &BaseConsumer<BrokerErrors>, query: &Query) -> QueryAnswer {
    let mut answer = QueryAnswer::default();
    if !query.topics.is_empty() {
        let absent = absent(client, &query.topics);
        if absent.unknown.len() < query.topics.len() {
            answer.answered_at = Some(monotonic());
        }
        answer.topics = Some(absent);
    }
    if !query.ends.is_empty() {
        match ends(client, &query.ends) {
            Ok(ends) => {
                answer.answered_at = Some(monotonic());
                answer.ends = Some(ends);
            }
            Err(error) => {
                note_silence(client, &error);
                tracing::debug!(target: "kser_kafka", %error, "reading the ends of logs failed");
            }
        }
    }
    if let Some(group) = &query.group {
        match n_classic(client, group) {
            Ok(count) => {
                answer.answered_at = Some(monotonic());
                answer.n_classic = Some(count);
            }
            Err(error) => {
                note_silence(client, &error);
                tracing::debug!(target: "kser_kafka", group, %error, "reading the members of a group failed");
            }
        }
    }
    answer
}

/// Has the client start again after a request without an answer: it may know no broker any more.
fn note_silence(client: &BaseConsumer<BrokerErrors>, error: &KafkaError) {
    if is_silence(error) {
        client.context().rebootstrap.note_outage();
    }
}

fn absent(client: &BaseConsumer<BrokerErrors>, topics: &[Topic]) -> Absent {
    let mut absent = Absent::default();
    for (index, topic) in topics.iter().enumerate() {
        match exists(client, topic) {
            Ok(Some(true)) => {}
            Ok(Some(false)) => drop(absent.missing.insert(topic.clone())),
            Ok(None) => drop(absent.unknown.insert(topic.clone())),
            Err(error) => {
                note_silence(client, &error);
                tracing::debug!(target: "kser_kafka", %topic, %error, "checking whether a topic exists failed");
                // Each of the others could time out, too.
                absent.unknown.extend(topics.iter().skip(index).cloned());
                break;
            }
        }
    }
    absent
}

/// Checks whether a topic exists; `None` if the brokers do not tell, such as without the right to describe it.
fn exists(client: &BaseConsumer<BrokerErrors>, topic: &Topic) -> KafkaResult<Option<bool>> {
    let metadata = client.fetch_metadata(Some(topic.as_str()), ANSWER)?;
    let found = metadata.topics().first();
    let Some(error) = found.and_then(|found| found.error()) else {
        return Ok(Some(found.is_some()));
    };
    let code = RDKafkaErrorCode::from(error);
    Ok(is_missing(code).then_some(false))
}

/// Reads the ends of logs, 1,000 in a request to each broker. Leaves out partitions whose end the brokers do not tell.
fn ends(
    client: &BaseConsumer<BrokerErrors>,
    partitions: &[(Topic, i32)],
) -> KafkaResult<PartitionMap> {
    let mut ends = PartitionMap::default();
    for partitions in partitions.chunks(log_bounds::BATCH) {
        let mut asked = TopicPartitionList::with_capacity(partitions.len());
        for (topic, partition) in partitions {
            // In place of a timestamp: the end for readers of committed records.
            asked.add_partition_offset(topic.as_str(), *partition, Offset::End)?;
        }
        let found = client.offsets_for_times(asked, ANSWER)?;
        for entry in kser_librdkafka::partitions(&found) {
            if let (None, Offset::Offset(end)) = (entry.error, entry.offset) {
                ends.insert(entry.topic, entry.partition, end);
            }
        }
    }
    Ok(ends)
}

/// Counts the members of a group with the classic protocol. A group with the other protocol has none.
fn n_classic(client: &BaseConsumer<BrokerErrors>, group: &str) -> Result<usize, KafkaError> {
    let found = client.fetch_group_list(Some(group), ANSWER)?;
    let mut found = found.groups().iter();
    let found = found.find(|found| found.name() == group && found.protocol_type() == "consumer");
    Ok(found.map_or(0, |found| found.members().len()))
}
