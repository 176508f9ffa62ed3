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
use crate::error::{failed, is_missing, no_thread};
use crate::offsets::log_bounds;
use crate::partition_map::PartitionMap;

/// The time that the brokers have for one question.
const ANSWER: Duration = Duration::from_secs(5);
/// The longest time for which the events of the client are not served.
const SERVE: Duration = Duration::from_secs(1);

/// Asks the brokers what the health of members needs, with a client and on a thread of its own: an answer may take
/// seconds, for which the thread that polls a consumer must not wait. Dropping it ends the thread.
#[derive(Debug)]
pub(crate) struct BrokerQueries(Sender<(Query, Sender<Answer>)>);

/// A question of one member; what is empty is not asked.
#[derive(Debug, Default)]
pub(crate) struct Query {
    /// The topics that may be missing.
    pub(crate) topics: Vec<Topic>,
    /// The partitions of which the end of the log is asked.
    pub(crate) ends: Vec<(Topic, i32)>,
    /// The group whose members of the classic protocol are counted.
    pub(crate) group: Option<String>,
}

/// What the brokers say to a question.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// The topics that are not there; `None` when none were asked about.
    pub(crate) topics: Option<Absent>,
    /// Where logs end for a reader of committed records; `None` when the brokers do not tell.
    pub(crate) ends: Option<PartitionMap>,
    /// The number of members of the group by the classic protocol; `None` when the brokers do not tell.
    pub(crate) n_classic: Option<usize>,
    /// When a broker answered last.
    pub(crate) answered_at: Option<Instant>,
}

/// Topics that are not there.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Absent {
    /// The topics that do not exist.
    pub(crate) missing: BTreeSet<Topic>,
    /// The topics of which the brokers do not tell whether they exist.
    pub(crate) unknown: BTreeSet<Topic>,
}

impl BrokerQueries {
    /// Makes the client and starts the thread.
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

    /// Makes one that gets no answers.
    #[cfg(test)]
    pub(crate) fn without_brokers() -> Self {
        Self(channel().0)
    }

    /// Asks without waiting. The channel closes without an answer when the thread has ended.
    pub(crate) fn ask(&self, query: Query) -> Receiver<Answer> {
        let (answer, answered) = channel();
        // A thread that has ended drops the sender, which the receiver sees.
        let _ = self.0.send((query, answer));
        answered
    }
}

fn serve(client: &BaseConsumer<BrokerErrors>, queries: &Receiver<(Query, Sender<Answer>)>) {
    loop {
        match queries.recv_timeout(SERVE) {
            Ok((query, answer)) => drop(answer.send(answer_to(client, &query))),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        // Log lines and errors would pile up in the client. One poll of a millisecond takes all that are there.
        while client.poll(Duration::from_millis(1)).is_some() {}
    }
}

fn answer_to(client: &BaseConsumer<BrokerErrors>, query: &Query) -> Answer {
    let mut answer = Answer::default();
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
                tracing::debug!(target: "kser_kafka", group, %error, "reading the members of a group failed");
            }
        }
    }
    answer
}

fn absent(client: &BaseConsumer<BrokerErrors>, topics: &[Topic]) -> Absent {
    let mut absent = Absent::default();
    for (index, topic) in topics.iter().enumerate() {
        match exists(client, topic) {
            Ok(Some(true)) => {}
            Ok(Some(false)) => drop(absent.missing.insert(topic.clone())),
            Ok(None) => drop(absent.unknown.insert(topic.clone())),
            Err(error) => {
                tracing::debug!(target: "kser_kafka", %topic, %error, "checking whether a topic exists failed");
                // Each of the others would take its time too.
                absent.unknown.extend(topics.iter().skip(index).cloned());
                break;
            }
        }
    }
    absent
}

/// Asks whether a topic exists; `None` when the brokers tell neither, such as without the right to describe it.
fn exists(client: &BaseConsumer<BrokerErrors>, topic: &Topic) -> KafkaResult<Option<bool>> {
    let metadata = client.fetch_metadata(Some(topic.as_str()), ANSWER)?;
    let found = metadata.topics().first();
    let Some(error) = found.and_then(|found| found.error()) else {
        return Ok(Some(found.is_some()));
    };
    let code = RDKafkaErrorCode::from(error);
    Ok(is_missing(code).then_some(false))
}

/// Asks where logs end, a thousand of one broker in one request. Partitions of which that is not told are left out.
fn ends(
    client: &BaseConsumer<BrokerErrors>,
    partitions: &[(Topic, i32)],
) -> KafkaResult<PartitionMap> {
    let mut ends = PartitionMap::default();
    for partitions in partitions.chunks(log_bounds::BATCH) {
        let mut asked = TopicPartitionList::with_capacity(partitions.len());
        for (topic, partition) in partitions {
            // In place of a time: the end that readers of committed records see.
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

/// Counts the members that a group has by the classic protocol. A group of the other protocol has none.
fn n_classic(client: &BaseConsumer<BrokerErrors>, group: &str) -> Result<usize, KafkaError> {
    let found = client.fetch_group_list(Some(group), ANSWER)?;
    let mut found = found.groups().iter();
    let found = found.find(|found| found.name() == group && found.protocol_type() == "consumer");
    Ok(found.map_or(0, |found| found.members().len()))
}
