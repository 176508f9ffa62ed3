use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kser_clock::SystemClock;
use kser_core::{Clock, Error, Topic, TopicSpec};
use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewPartitions, NewTopic, OwnedResourceSpecifier,
    ResourceSpecifier, TopicReplication,
};
use rdkafka::client::Client;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::sync::oneshot;

use crate::KafkaConfig;
use crate::background_drop::BackgroundDrop;
use crate::broker_log::BrokerErrors;
use crate::error::{failed, is_missing, is_silence, no_thread};
use crate::reach::reach;
use crate::topics::readiness;

/// The timeout of a request.
const ANSWER: Duration = Duration::from_secs(10);

/// The timeout of a request that creates topics. Brokers that are opening many logs answer late.
const CHANGE: Duration = Duration::from_secs(60);

/// The explanation of a timeout without an error about the brokers.
const SILENT: &str = "no answer; a listener that wants TLS does not answer a client without it, see `security.protocol`";

/// Creates topics, and reads their metadata and settings.
pub(crate) struct TopicAdmin {
    client: Arc<BackgroundDrop<AdminClient<BrokerErrors>>>,
    /// The settings of a client that reads the ends of logs.
    reader: rdkafka::ClientConfig,
    broker_errors: BrokerErrors,
}

impl TopicAdmin {
    pub(crate) fn new(config: &KafkaConfig, broker_errors: BrokerErrors) -> Result<Self, Error> {
        let client = config.admin().create_with_context(broker_errors.clone());
        let client = client.map_err(|error| failed("creating a client", None, error))?;
        Ok(Self {
            client: Arc::new(BackgroundDrop::new(client)),
            reader: config.query_client(),
            broker_errors,
        })
    }

    /// Waits until a broker answers.
    pub(crate) async fn reach(&self) -> Result<(), Error> {
        let ask = |client: &Client<BrokerErrors>| reach(client, ANSWER);
        self.ask("reaching the brokers", ask).await
    }

    /// Returns those of the topics that do not exist.
    pub(crate) async fn missing(&self, topics: &[Topic]) -> Result<Vec<Topic>, Error> {
        let names = topics.to_vec();
        let ask = move |client: &Client<BrokerErrors>| {
            let mut missing = Vec::new();
            for topic in names {
                let metadata = client.fetch_metadata(Some(topic.as_str()), ANSWER)?;
                let found = metadata.topics().first();
                match found
                    .and_then(|found| found.error())
                    .map(RDKafkaErrorCode::from)
                {
                    // A topic that the client may not describe is not known to be missing.
                    Some(code @ RDKafkaErrorCode::TopicAuthorizationFailed) => {
                        return Err(KafkaError::MetadataFetch(code));
                    }
                    Some(code) if !is_missing(code) => {}
                    None if found.is_some_and(|found| !found.partitions().is_empty()) => {}
                    _ => missing.push(topic),
                }
            }
            Ok(missing)
        };
        self.ask("checking whether topics exist", ask).await
    }

    /// Lists all topics but those of the brokers.
    pub(crate) async fn all_topics(&self) -> Result<Vec<Topic>, Error> {
        let ask = move |client: &Client<BrokerErrors>| {
            let metadata = client.fetch_metadata(None, ANSWER)?;
            let names = metadata.topics().iter().map(|topic| topic.name());
            let names = names.filter(|name| !name.starts_with("__"));
            Ok(names.filter_map(|name| Topic::new(name).ok()).collect())
        };
        let mut topics: Vec<Topic> = self.ask("listing topics", ask).await?;
        topics.sort();
        Ok(topics)
    }

    /// Lists all groups by name.
    pub(crate) async fn all_groups(&self) -> Result<Vec<String>, Error> {
        let ask = move |client: &Client<BrokerErrors>| {
            let list = client.fetch_group_list(None, ANSWER)?;
            let names = list.groups().iter().map(|group| group.name().to_owned());
            Ok(names.collect())
        };
        let mut groups: Vec<String> = self.ask("listing groups", ask).await?;
        groups.sort();
        groups.dedup();
        Ok(groups)
    }

    /// Counts the partitions of topics. A topic that does not exist has none.
    pub(crate) async fn n_partitions(&self, topics: Vec<String>) -> Result<usize, Error> {
        let ask = move |client: &Client<BrokerErrors>| {
            let mut partitions = 0;
            for topic in topics {
                let metadata = client.fetch_metadata(Some(&topic), ANSWER)?;
                let found = metadata.topics().iter();
                partitions += found.map(|topic| topic.partitions().len()).sum::<usize>();
            }
            Ok(partitions)
        };
        self.ask("counting partitions", ask).await
    }

    /// Creates topics that do not exist, in as many requests as the brokers require, and waits until they are ready.
    pub(crate) async fn create(&self, new: &[Creation]) -> Result<(), Error> {
        for request in requests(new) {
            self.create_at_once(request).await?;
        }
        for new in new {
            for partitions in growth(new.spec.partitions.unwrap_or_default()) {
                self.grow(&new.spec, partitions).await?;
            }
        }
        match new.is_empty() {
            true => Ok(()),
            false => self.wait_until_ready(new).await,
        }
    }

    async fn create_at_once(&self, new: &[Creation]) -> Result<(), Error> {
        let topics: Vec<_> = new.iter().map(Creation::to_client).collect();
        let options = changes();
        let began = SystemClock.now();
        let made = self.client.create_topics(&topics, &options).await;
        let made = made.map_err(|error| {
            failed(
                "creating topics",
                self.broker_errors.last_since(began),
                error,
            )
        })?;
        for (new, made) in new.iter().zip(made) {
            match made {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((topic, code)) => {
                    let what = match new.spec.partitions {
                        Some(partitions) => {
                            format!("creating topic {topic} with {partitions} partitions")
                        }
                        None => format!("creating topic {topic}"),
                    };
                    return Err(failed(what, None, KafkaError::AdminOp(code)));
                }
            }
        }
        Ok(())
    }

    /// Adds partitions to a topic that was just created.
    async fn grow(&self, spec: &TopicSpec, partitions: usize) -> Result<(), Error> {
        let topic = spec.topic.as_str();
        let options = changes();
        let new = NewPartitions::new(topic, partitions);
        let grown = self.client.create_partitions(&[new], &options).await;
        let wanted = spec.partitions.unwrap_or_default();
        let what = || {
            format!(
                "adding partitions to topic {topic}, which was created with fewer than {wanted} of them: the brokers do \
                 not create so many at once"
            )
        };
        let grown = grown.map_err(|error| failed(what(), None, error))?;
        match grown.into_iter().next() {
            Some(Err((_, code))) => Err(failed(what(), None, KafkaError::AdminOp(code))),
            _ => Ok(()),
        }
    }

    /// Waits until new topics are ready.
    async fn wait_until_ready(&self, new: &[Creation]) -> Result<(), Error> {
        let (answer, answered) = oneshot::channel();
        let settings = self.reader.clone();
        let topics = new
            .iter()
            .map(|new| (new.spec.topic.clone(), new.partitions()));
        let topics: Vec<_> = topics.collect();
        let thread = std::thread::Builder::new().name("kser-kafka-ask".to_owned());
        let started = thread.spawn(move || {
            let partitions = topics.iter().map(|(_, partitions)| partitions).sum();
            let limit = readiness::limit(partitions);
            drop(answer.send(readiness::wait(&settings, &topics, limit)));
        });
        started.map_err(no_thread)?;
        let canceled = |_| Err(failed("waiting for new topics", None, KafkaError::Canceled));
        answered.await.unwrap_or_else(canceled)
    }

    /// Returns the retention of topics. A topic that keeps its records for ever is absent, and so is a topic whose settings the
    /// brokers do not tell.
    pub(crate) async fn retention(
        &self,
        topics: &[Topic],
    ) -> Result<BTreeMap<Topic, Duration>, Error> {
        let found = self.settings(topics).await?;
        let kept = topics.iter().zip(found);
        let kept = kept.filter_map(|(topic, settings)| Some((topic.clone(), settings?.retention?)));
        Ok(kept.collect())
    }

    /// Returns the `max.message.bytes` of a topic: the largest batch, in bytes. `None` if it cannot be read.
    pub(crate) async fn largest_record(&self, topic: &str) -> Option<usize> {
        let topic = Topic::new(topic).ok()?;
        self.settings(&[topic]).await.ok()?.pop()??.largest
    }

    /// Returns the settings of topics in their order; `None` for a topic whose settings the brokers do not tell.
    pub(crate) async fn settings(
        &self,
        topics: &[Topic],
    ) -> Result<Vec<Option<TopicSettings>>, Error> {
        if topics.is_empty() {
            return Ok(Vec::new());
        }
        let asked = topics.iter();
        let asked: Vec<_> = asked
            .map(|topic| ResourceSpecifier::Topic(topic.as_str()))
            .collect();
        let options = AdminOptions::new().request_timeout(Some(ANSWER));
        let began = SystemClock.now();
        let found = self.client.describe_configs(&asked, &options).await;
        let what = "reading the settings of topics";
        let found =
            found.map_err(|error| failed(what, self.broker_errors.last_since(began), error))?;
        let mut settings: BTreeMap<_, _> = found.into_iter().filter_map(named).collect();
        Ok(topics
            .iter()
            .map(|topic| settings.remove(topic.as_str()))
            .collect())
    }

    /// Calls the client on a thread of its own, since its calls block.
    async fn ask<T: Send + 'static>(
        &self,
        what: &'static str,
        ask: impl FnOnce(&Client<BrokerErrors>) -> Result<T, KafkaError> + Send + 'static,
    ) -> Result<T, Error> {
        let (answer, answered) = oneshot::channel();
        let client = Arc::clone(&self.client);
        let began = SystemClock.now();
        let thread = std::thread::Builder::new().name("kser-kafka-ask".to_owned());
        let rebootstrap = self.broker_errors.rebootstrap.clone();
        let started = thread.spawn(move || {
            rebootstrap.start_if_due(client.inner());
            let answered = ask(client.inner());
            // The queue on which a client reports that its brokers are down is not polled for an admin client.
            if answered.as_ref().is_err_and(is_silence) {
                rebootstrap.note_outage();
            }
            drop(answer.send(answered));
        });
        started.map_err(no_thread)?;
        let answered = answered.await.unwrap_or(Err(KafkaError::Canceled));
        let broker_error = || {
            self.broker_errors
                .last_since(began)
                .or_else(|| Some(SILENT.to_owned()))
        };
        answered.map_err(|error| failed(what, broker_error(), error))
    }
}

/// Returns the timeouts of a request that changes topics.
fn changes() -> AdminOptions {
    AdminOptions::new()
        .operation_timeout(Some(CHANGE))
        .request_timeout(Some(CHANGE))
}

/// A topic to create, with settings that differ from the defaults of the brokers.
#[derive(Debug)]
pub(crate) struct Creation {
    pub(crate) spec: TopicSpec,
    pub(crate) settings: Vec<(&'static str, String)>,
}

/// The greatest number of partitions in one request. Brokers refuse a whole request with more than 10,000 partitions and
/// settings.
const AT_ONCE: usize = 4000;

/// The assumed number of partitions of a topic whose number is the brokers' default.
const UNKNOWN: usize = 100;

/// Divides the topics into requests.
fn requests(new: &[Creation]) -> Vec<&[Creation]> {
    let (mut requests, mut rest, mut partitions) = (Vec::new(), new, 0);
    let mut taken = 0;
    for creation in new {
        let more = creation.at_once().unwrap_or(UNKNOWN);
        if taken > 0 && partitions + more > AT_ONCE {
            let (request, others) = rest.split_at(taken);
            requests.push(request);
            (rest, taken, partitions) = (others, 0, 0);
        }
        taken += 1;
        partitions += more;
    }
    if !rest.is_empty() {
        requests.push(rest);
    }
    requests
}

/// Returns the numbers of partitions to which a topic is raised step by step after its creation.
fn growth(partitions: u32) -> impl Iterator<Item = usize> {
    let partitions = usize::try_from(partitions).unwrap_or(usize::MAX);
    let steps = (2..).map(move |step| partitions.min(step * AT_ONCE));
    steps.take(partitions.div_ceil(AT_ONCE).saturating_sub(1))
}

impl Creation {
    /// Returns the number of partitions of the topic; 0 for the brokers' default.
    fn partitions(&self) -> usize {
        let partitions = self.spec.partitions.unwrap_or_default();
        usize::try_from(partitions).unwrap_or(usize::MAX)
    }

    /// Returns the number of partitions at creation; `None` for the brokers' default.
    fn at_once(&self) -> Option<usize> {
        let partitions = usize::try_from(self.spec.partitions?).ok()?;
        Some(partitions.min(AT_ONCE))
    }

    fn to_client(&self) -> NewTopic<'_> {
        let spec = &self.spec;
        let partitions = self.at_once().and_then(|count| i32::try_from(count).ok());
        // -1 stands for the brokers' default.
        let replication = TopicReplication::Fixed(-1);
        let mut topic = NewTopic::new(spec.topic.as_str(), partitions.unwrap_or(-1), replication)
            .set("cleanup.policy", "delete");
        if spec.latest_only {
            // Records are removed a segment at a time.
            topic = topic
                .set("cleanup.policy", "compact,delete")
                .set("retention.ms", "3600000")
                .set("segment.ms", "600000");
        } else if !spec.kept {
            // Readers without a group read a record when it is written, or look back for a while.
            topic = topic.set("retention.ms", "86400000");
        }
        for (key, value) in &self.settings {
            topic = topic.set(key, value);
        }
        topic
    }
}

/// The settings of a topic that matter for delays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TopicSettings {
    /// The retention; `None` if records are kept for ever.
    pub(crate) retention: Option<Duration>,
    /// `max.message.bytes`; `None` if the brokers do not tell it.
    pub(crate) largest: Option<usize>,
    /// Whether brokers stamp the records; otherwise their producers do.
    pub(crate) stamps: bool,
}

/// Reads the settings of a topic, with its name.
fn named(found: Result<ConfigResource, RDKafkaErrorCode>) -> Option<(String, TopicSettings)> {
    let found = found.ok()?;
    let OwnedResourceSpecifier::Topic(name) = &found.specifier else {
        return None;
    };
    let value = |key| found.get(key)?.value.as_deref();
    let settings = TopicSettings {
        // -1 stands for no limit, and is no `u64`.
        retention: value("retention.ms")
            .and_then(|millis| millis.parse().ok())
            .map(Duration::from_millis),
        largest: value("max.message.bytes").and_then(|bytes| bytes.parse().ok()),
        stamps: value("message.timestamp.type") == Some("LogAppendTime"),
    };
    Some((name.clone(), settings))
}

impl std::fmt::Debug for TopicAdmin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TopicAdmin").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn creation(partitions: Option<u32>) -> Creation {
        let mut spec = TopicSpec::work(Topic::new("t").unwrap());
        spec.partitions = partitions;
        Creation {
            spec,
            settings: Vec::new(),
        }
    }

    fn sizes(partitions: &[u32]) -> Vec<usize> {
        let new: Vec<_> = partitions.iter().map(|n| creation(Some(*n))).collect();
        requests(&new).iter().map(|request| request.len()).collect()
    }

    #[test]
    fn topics_are_created_in_requests_that_brokers_take() {
        assert_eq!(sizes(&[]), [0; 0]);
        assert_eq!(sizes(&[6; 7]), [7]);
        assert_eq!(sizes(&[2000; 7]), [2, 2, 2, 1]);
        assert_eq!(sizes(&[1, 10_000, 1]), [1, 1, 1]);
        assert_eq!(requests(&[creation(None)]).len(), 1);
    }

    #[test]
    fn a_topic_that_is_too_large_for_a_request_grows() {
        assert_eq!(creation(Some(10_000)).at_once(), Some(4000));
        assert_eq!(growth(10_000).collect::<Vec<_>>(), [8000, 10_000]);
        assert_eq!(growth(8001).collect::<Vec<_>>(), [8000, 8001]);
        for partitions in [0, 6, 4000] {
            assert_eq!(growth(partitions).count(), 0);
        }
    }
}
