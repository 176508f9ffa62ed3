use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use kser_core::{Error, NotPublished, Record, Topic, TopicSpec, UnfitTopic};

use crate::KafkaConfig;
use crate::broker_log::BrokerErrors;
use crate::health::broker_queries::BrokerQueries;
use crate::producer::Publisher;
use crate::topics::admin::{Creation, TopicAdmin};
use crate::topics::limits::TopicLimits;

/// The number of attempts to read the settings of topics that were just created, and the pause between two of them.
const TRIES: u32 = 10;
const AGAIN: Duration = Duration::from_millis(100);

/// The clients that all subscriptions of a transport share.
#[derive(Debug)]
pub(crate) struct ClusterClients {
    pub(crate) config: KafkaConfig,
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) admin: TopicAdmin,
    pub(crate) limits: TopicLimits,
    /// The queries for the health of the members. Their thread ends with the last member.
    pub(crate) broker_queries: Mutex<Weak<BrokerQueries>>,
}

impl ClusterClients {
    /// Returns the thread that queries the brokers, which the members share. Starts it if it does not run.
    pub(crate) fn broker_queries(&self) -> Result<Arc<BrokerQueries>, Error> {
        let mut broker_queries = self
            .broker_queries
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(broker_queries) = broker_queries.upgrade() {
            return Ok(broker_queries);
        }
        let started = Arc::new(BrokerQueries::start(
            &self.config.query_client(),
            BrokerErrors::default(),
        )?);
        *broker_queries = Arc::downgrade(&started);
        Ok(started)
    }

    /// Publishes records. Creates missing topics if [`KafkaConfig::with_create`] is set. A delayed record is published only if
    /// its delay topics can keep it and its topic can take it afterwards.
    pub(crate) async fn publish(&self, records: &[Record]) -> Result<(), NotPublished> {
        let refused = self.refused_waits(records).await;
        if refused.is_empty() {
            return self.publish_now(records).await;
        }
        let is_refused = |at: usize| refused.iter().any(|(refused, _)| *refused == at);
        let others = records.iter().cloned().enumerate();
        let others = others.filter(|(at, _)| !is_refused(*at));
        let (indices, others): (Vec<_>, Vec<_>) = others.unzip();
        let mut failed = match self.publish_now(&others).await {
            Ok(()) => Vec::new(),
            Err(not) => at(&indices, not.failed),
        };
        failed.extend(refused);
        failed.sort_by_key(|(index, _)| *index);
        Err(NotPublished::new(failed))
    }

    /// Returns the positions of delayed records that could not return from their delay topics, and why.
    async fn refused_waits(&self, records: &[Record]) -> Vec<(usize, Error)> {
        let compresses = self.config.compresses();
        let mut refused = Vec::new();
        for (index, record) in records.iter().enumerate() {
            let Some(wait) = crate::delay::left(record, &self.publisher.time) else {
                continue;
            };
            let asked = self.limits.refuse(&self.admin, record, wait, compresses);
            if let Err(error) = asked.await {
                refused.push((index, error));
            }
        }
        refused
    }

    /// As [`refused_waits`](Self::refused_waits), with the records for topics that take no delay.
    pub(crate) async fn refused_delays(&self, records: &[Record]) -> Vec<(usize, Error)> {
        let time = &self.publisher.time;
        let refused = records.iter().enumerate();
        let refused = refused.filter_map(|(index, record)| {
            let refused = crate::delay::refuse(record, time).err();
            refused.map(|error| (index, error))
        });
        let refused: Vec<_> = refused.collect();
        match refused.is_empty() {
            true => self.refused_waits(records).await,
            false => refused,
        }
    }

    /// Reads the limits of the topics of records on a thread of its own, for callers that must not wait.
    pub(crate) fn read_limits(self: &Arc<Self>, records: &[Record]) {
        let topics: BTreeSet<_> = records.iter().map(|record| record.topic.clone()).collect();
        let cluster = Arc::clone(self);
        let thread = thread::Builder::new().name("kser-kafka-ask".to_owned());
        // Without the thread a later record tries again.
        let _ = thread.spawn(move || {
            for topic in &topics {
                let _ = block_on(cluster.limits.of(&cluster.admin, topic));
            }
        });
    }

    /// Creates the topics that were missing, if [`KafkaConfig::with_create`] is set. Returns whether there are some.
    pub(crate) async fn create_missing(&self, not: &NotPublished) -> bool {
        let missing = not.failed.iter().filter_map(|(_, error)| match error {
            Error::MissingTopic { topic } => Topic::new(topic).ok(),
            _ => None,
        });
        let missing: BTreeSet<_> = missing.collect();
        self.config.create.is_some()
            && !missing.is_empty()
            && self.create(missing.into_iter().collect()).await.is_ok()
    }

    async fn publish_now(&self, records: &[Record]) -> Result<(), NotPublished> {
        let Err(mut not) = self.publisher.publish(records).await else {
            return Ok(());
        };
        if self.config.create.is_some() {
            match self.publish_again(records, not).await {
                Ok(()) => return Ok(()),
                Err(still) => not = still,
            }
        }
        Err(self.with_limits(not).await)
    }

    /// Adds the size limits of topics to the errors of records that are too large, as far as the brokers tell them.
    pub(crate) async fn with_limits(&self, mut not: NotPublished) -> NotPublished {
        for (_, error) in &mut not.failed {
            if let Error::TooLargeForTopic { topic, limit, .. } = error {
                *limit = self.admin.largest_record(topic).await;
            }
        }
        not
    }

    /// Creates the topics that do not exist, and the delay topics of each topic that keeps work.
    pub(crate) async fn ensure_topics(&self, topics: &[TopicSpec]) -> Result<(), Error> {
        let mut specs = topics.to_vec();
        for spec in topics
            .iter()
            .filter(|spec| spec.kept && !crate::delay::has_none(&spec.topic))
        {
            for (topic, _) in crate::delay::topics(&spec.topic) {
                let mut waits = TopicSpec::work(topic);
                waits.partitions = spec.partitions;
                if !specs.iter().any(|spec| spec.topic == waits.topic) {
                    specs.push(waits);
                }
            }
        }
        let names: Vec<_> = specs.iter().map(|spec| spec.topic.clone()).collect();
        let missing: BTreeSet<_> = self.admin.missing(&names).await?.into_iter().collect();
        specs.retain(|spec| missing.contains(&spec.topic));
        // The settings of companion topics depend on those of their topic, which are known once it exists.
        let (beside, own): (Vec<_>, Vec<_>) = specs
            .into_iter()
            .partition(|spec| crate::delay::parent(&spec.topic).is_some());
        let own = own.into_iter().map(|spec| Creation {
            spec,
            settings: Vec::new(),
        });
        self.admin.create(&own.collect::<Vec<_>>()).await?;
        let beside = self.with_settings(beside).await;
        self.admin.create(&beside).await
    }

    /// Computes the settings of delay and dead-letter topics from those of their topics. If these cannot be read, the brokers'
    /// defaults stay, but for the retention of delay topics.
    async fn with_settings(&self, beside: Vec<TopicSpec>) -> Vec<Creation> {
        let parents = beside
            .iter()
            .filter_map(|spec| crate::delay::parent(&spec.topic));
        let parents: BTreeSet<_> = parents.map(|(parent, _)| parent).collect();
        let parents: Vec<_> = parents.into_iter().collect();
        let mut found = Vec::new();
        for tries in 0..TRIES {
            if tries > 0 {
                // A broker that does not know a new topic yet has no settings of it.
                tokio::time::sleep(AGAIN).await;
            }
            found = self.admin.settings(&parents).await.unwrap_or_default();
            if !found.is_empty() && found.iter().all(Option::is_some) {
                break;
            }
        }
        let found: BTreeMap<_, _> = parents.into_iter().zip(found).collect();
        let create = |spec: TopicSpec| {
            let settings = crate::delay::parent(&spec.topic).map(|(parent, length)| {
                let parent = found.get(&parent).and_then(Option::as_ref);
                crate::topics::companion_settings::settings(parent, length)
            });
            let settings = settings.unwrap_or_default();
            Creation { spec, settings }
        };
        beside.into_iter().map(create).collect()
    }

    /// Returns the delay topics of these topics whose settings put records at risk, and logs a warning for each.
    pub(crate) async fn unfit(&self, topics: &[Topic]) -> Vec<UnfitTopic> {
        let delays = topics.iter().filter(|topic| !crate::delay::has_none(topic));
        let delays: Vec<_> = delays.flat_map(crate::delay::topics).collect();
        let names: Vec<_> = delays.iter().map(|(topic, _)| topic.clone()).collect();
        let found = self.admin.settings(&names).await.unwrap_or_default();
        let mut unfit = Vec::new();
        for ((topic, length), found) in delays.into_iter().zip(found) {
            if let Some(reason) =
                found.and_then(|found| crate::topics::companion_settings::unfit(&found, length))
            {
                tracing::warn!(target: "kser_kafka", %topic, "the settings of delay topic {topic} put delayed records at risk: {reason}");
                unfit.push(UnfitTopic::new(topic, reason));
            }
        }
        unfit
    }

    /// Creates missing topics if [`KafkaConfig::with_create`] is set.
    ///
    /// # Errors
    ///
    /// [`Error::MissingTopic`] if it is not set and a topic is missing.
    pub(crate) async fn create(&self, missing: Vec<Topic>) -> Result<(), Error> {
        let Some(partitions) = self.config.create else {
            let topic = missing.into_iter().next();
            return topic.map_or(Ok(()), |topic| {
                Err(Error::MissingTopic {
                    topic: topic.as_str().to_owned(),
                })
            });
        };
        let specs = missing
            .into_iter()
            .map(|topic| TopicSpec::work(topic).with_partitions(partitions));
        let specs: Vec<_> = specs.collect();
        self.ensure_topics(&specs).await
    }

    async fn publish_again(
        &self,
        records: &[Record],
        not: NotPublished,
    ) -> Result<(), NotPublished> {
        let (missing, mut failed): (Vec<_>, Vec<_>) = not
            .failed
            .into_iter()
            .partition(|(_, error)| matches!(error, Error::MissingTopic { .. }));
        let mut again = Vec::new();
        for (index, error) in missing {
            let topic = match &error {
                Error::MissingTopic { topic } => Topic::new(topic).map_err(Error::from),
                _ => continue,
            };
            let made = match topic {
                Ok(topic) => self.create(vec![topic]).await,
                Err(error) => Err(error),
            };
            match (made, records.get(index)) {
                (Ok(()), Some(record)) => again.push((index, record.clone())),
                _ => failed.push((index, error)),
            }
        }
        let (indices, records): (Vec<_>, Vec<_>) = again.into_iter().unzip();
        self.publisher
            .learn(records.iter().map(|record| &record.topic))
            .await;
        if let Err(not) = self.publisher.publish(&records).await {
            failed.extend(at(&indices, not.failed));
        }
        failed.sort_by_key(|(index, _)| *index);
        match failed.is_empty() {
            true => Ok(()),
            false => Err(NotPublished::new(failed)),
        }
    }
}

/// Wakes a thread that waits for a future.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a future on this thread.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(done) => return done,
            Poll::Pending => thread::park(),
        }
    }
}

/// Maps the positions of failures back to the positions before some records were left out.
fn at(indices: &[usize], failed: Vec<(usize, Error)>) -> Vec<(usize, Error)> {
    let at = |(position, error): (usize, Error)| Some((*indices.get(position)?, error));
    failed.into_iter().filter_map(at).collect()
}
