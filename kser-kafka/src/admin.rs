use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kser_core::{Clock, Error, Topic, TopicSpec};
use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewTopic, OwnedResourceSpecifier, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::client::Client;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::sync::oneshot;

use crate::aside::Aside;
use crate::clock::{SystemClock, monotonic};
use crate::error::{failed, no_thread};
use crate::heard::Heard;

/// How long the brokers are waited for.
const ANSWER: Duration = Duration::from_secs(10);
/// How long it may take until all brokers know of a new topic.
const SPREAD: Duration = Duration::from_secs(10);

/// What is said where nothing was heard.
const SILENT: &str = "they say nothing; a listener that wants TLS is silent to a client without it, see `security.protocol`";

/// Asks the brokers about topics, and makes them.
pub(crate) struct Admin {
    client: Arc<Aside<AdminClient<Heard>>>,
    heard: Heard,
}

impl Admin {
    pub(crate) fn new(config: &rdkafka::ClientConfig, heard: Heard) -> Result<Self, Error> {
        let client = config.create_with_context(heard.clone());
        let client = client.map_err(|error| failed("making a client", None, error))?;
        Ok(Self {
            client: Arc::new(Aside::new(client)),
            heard,
        })
    }

    /// Waits until a broker answers.
    pub(crate) async fn reach(&self) -> Result<(), Error> {
        let ask = |client: &Client<Heard>| client.fetch_metadata(Some("kser"), ANSWER).map(drop);
        self.ask("reaching the brokers", ask).await
    }

    /// Returns those of the topics that do not exist.
    pub(crate) async fn missing(&self, topics: &[Topic]) -> Result<Vec<Topic>, Error> {
        let names = topics.to_vec();
        let ask = move |client: &Client<Heard>| {
            let mut missing = Vec::new();
            for topic in names {
                let metadata = client.fetch_metadata(Some(topic.as_str()), ANSWER)?;
                let found = metadata.topics().first();
                if found
                    .is_none_or(|found| found.error().is_some() || found.partitions().is_empty())
                {
                    missing.push(topic);
                }
            }
            Ok(missing)
        };
        self.ask("looking for topics", ask).await
    }

    /// Creates topics that do not exist, and waits until they can be used.
    pub(crate) async fn create(&self, new: &[Creation]) -> Result<(), Error> {
        if new.is_empty() {
            return Ok(());
        }
        let topics: Vec<_> = new.iter().map(Creation::to_client).collect();
        let options = AdminOptions::new()
            .operation_timeout(Some(ANSWER))
            .request_timeout(Some(ANSWER));
        let began = SystemClock.now();
        let made = self.client.create_topics(&topics, &options).await;
        let made = made.map_err(|error| failed("making topics", self.heard.since(began), error))?;
        for made in made {
            match made {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((topic, code)) => {
                    let what = format!("making topic {topic}");
                    return Err(failed(what, None, KafkaError::AdminOp(code)));
                }
            }
        }
        self.spread(new.iter().map(|new| new.spec.topic.clone()).collect())
            .await
    }

    /// Waits until every partition has a leader.
    async fn spread(&self, mut topics: Vec<Topic>) -> Result<(), Error> {
        let ask = move |client: &Client<Heard>| {
            let until = monotonic() + SPREAD;
            while let Some(topic) = topics.last() {
                let metadata = client.fetch_metadata(Some(topic.as_str()), ANSWER)?;
                let led = metadata.topics().first().is_some_and(|found| {
                    let partitions = found.partitions();
                    found.error().is_none()
                        && !partitions.is_empty()
                        && partitions.iter().all(|partition| partition.leader() >= 0)
                });
                match led {
                    true => drop(topics.pop()),
                    false if monotonic() >= until => {
                        return Err(KafkaError::AdminOp(RDKafkaErrorCode::OperationTimedOut));
                    }
                    false => std::thread::sleep(Duration::from_millis(20)),
                }
            }
            Ok(())
        };
        self.ask("waiting for new topics", ask).await
    }

    /// Returns how long the topics keep their records; a topic that keeps them for ever, or that the brokers do not tell
    /// about, is absent.
    pub(crate) async fn retention(
        &self,
        topics: &[Topic],
    ) -> Result<BTreeMap<Topic, Duration>, Error> {
        let found = self.settings(topics).await?;
        let kept = topics.iter().zip(found);
        let kept = kept.filter_map(|(topic, settings)| Some((topic.clone(), settings?.retention?)));
        Ok(kept.collect())
    }

    /// Returns how large a record of a topic may be, with what the client adds to it. `None` when that cannot be told.
    pub(crate) async fn largest_record(&self, topic: &str) -> Option<usize> {
        let topic = Topic::new(topic).ok()?;
        self.settings(&[topic]).await.ok()?.pop()??.largest
    }

    /// Returns the settings of topics in their order; `None` for a topic about which the brokers do not tell.
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
        let what = "asking for the settings of topics";
        let found = found.map_err(|error| failed(what, self.heard.since(began), error))?;
        let mut settings: BTreeMap<_, _> = found.into_iter().filter_map(named).collect();
        Ok(topics
            .iter()
            .map(|topic| settings.remove(topic.as_str()))
            .collect())
    }

    /// Asks on a thread of its own, since the client's calls block.
    async fn ask<T: Send + 'static>(
        &self,
        what: &'static str,
        ask: impl FnOnce(&Client<Heard>) -> Result<T, KafkaError> + Send + 'static,
    ) -> Result<T, Error> {
        let (answer, answered) = oneshot::channel();
        let client = Arc::clone(&self.client);
        let began = SystemClock.now();
        let thread = std::thread::Builder::new().name("kser-kafka-ask".to_owned());
        let started = thread.spawn(move || drop(answer.send(ask(client.inner()))));
        started.map_err(no_thread)?;
        let answered = answered.await.unwrap_or(Err(KafkaError::Canceled));
        let heard = || self.heard.since(began).or_else(|| Some(SILENT.to_owned()));
        answered.map_err(|error| failed(what, heard(), error))
    }
}

/// A topic to create, with settings that it does not take from the brokers.
#[derive(Debug)]
pub(crate) struct Creation {
    pub(crate) spec: TopicSpec,
    pub(crate) settings: Vec<(&'static str, String)>,
}

impl Creation {
    fn to_client(&self) -> NewTopic<'_> {
        let spec = &self.spec;
        let partitions = spec.partitions.and_then(|count| i32::try_from(count).ok());
        // -1 asks for what the brokers take.
        let replication = TopicReplication::Fixed(-1);
        let mut topic = NewTopic::new(spec.topic.as_str(), partitions.unwrap_or(-1), replication)
            .set("cleanup.policy", "delete");
        if !spec.kept {
            // Observers read a record when it is written, or never.
            topic = topic.set("retention.ms", "86400000");
        }
        for (key, value) in &self.settings {
            topic = topic.set(key, value);
        }
        topic
    }
}

/// The settings of a topic on which waits depend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TopicSettings {
    /// How long it keeps its records; `None` for ever.
    pub(crate) retention: Option<Duration>,
    /// `max.message.bytes`; `None` when the brokers do not tell.
    pub(crate) largest: Option<usize>,
}

/// Reads the settings of a topic, with its name.
fn named(found: Result<ConfigResource, RDKafkaErrorCode>) -> Option<(String, TopicSettings)> {
    let found = found.ok()?;
    let OwnedResourceSpecifier::Topic(name) = &found.specifier else {
        return None;
    };
    let value = |key| found.get(key)?.value.as_deref();
    let settings = TopicSettings {
        // It is -1 where records are kept for ever.
        retention: value("retention.ms")
            .and_then(|millis| millis.parse().ok())
            .map(Duration::from_millis),
        largest: value("max.message.bytes").and_then(|bytes| bytes.parse().ok()),
    };
    Some((name.clone(), settings))
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin").finish_non_exhaustive()
    }
}
