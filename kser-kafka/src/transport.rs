use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use kser_core::{
    Description, Error, Inspect, Interest, NotPublished, Record, Settling, Subscription, Timestamp,
    Topic, TopicSpec, Transport,
};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;
use tokio::sync::oneshot;

use crate::background_drop::BackgroundDrop;
use crate::broker_log::BrokerErrors;
use crate::broker_versions;
use crate::channel::PollChannel;
use crate::channel::settle::{GrouplessSettler, Settler};
use crate::channel::subscription::KafkaSubscription;
use crate::clock::Time;
use crate::cluster_clients::ClusterClients;
use crate::consumer::broadcast_reader::BroadcastReader;
use crate::consumer::membership::GroupMembership;
use crate::error::{failed, no_thread};
use crate::inspect::KafkaInspect;
use crate::member::Member;
use crate::producer::Publisher;
use crate::progress::WriterId;
use crate::topics::admin::TopicAdmin;
use crate::topics::limits::TopicLimits;
use crate::transaction::{self, TransactionOwner, TransactionSettings};
use crate::{Guarantee, KafkaConfig};

/// The time for which the start of a consumer waits for its transactional producer.
const START: Duration = Duration::from_secs(10);
/// The time after which a call of a transactional producer is taken for hung. The client's calls return within 10 s.
const HUNG: Duration = Duration::from_secs(15);
/// The bytes of commit metadata in a window. Brokers write them as one batch, which is limited by `message.max.bytes` (1 MiB by
/// default).
const WINDOW_METADATA: usize = 256 << 10;

/// The transport over Apache Kafka, with at-least-once delivery, or with exactly-once delivery by
/// [`KafkaConfig::with_delivery`]. Cloning is cheap, and clones share one producer.
///
/// At least once, a record is settled in this order: all in-sync replicas acknowledge the outputs, then the input is marked as done, and its
/// offset is committed within [`KafkaConfig::with_commit_every`]. After a crash, records that were settled and not committed
/// are redelivered. Exactly once, the outputs and the offset become visible by one transaction.
#[derive(Debug, Clone)]
pub struct KafkaTransport(Arc<ClusterClients>);

impl KafkaTransport {
    /// Connects to the cluster at a URL: see [`KafkaConfig::from_url`].
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for a wrong URL or setting, and for exactly-once delivery on brokers before Kafka 2.5;
    /// [`Error::Backend`] if no broker answers within 10 s.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        Self::with_config(KafkaConfig::from_url(url)?).await
    }

    /// Connects to a cluster with these settings.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn with_config(config: KafkaConfig) -> Result<Self, Error> {
        let broker_errors = BrokerErrors::default();
        let admin = TopicAdmin::new(&config, broker_errors.clone())?;
        let time = Time::new(Arc::clone(&config.clock));
        let publisher = Arc::new(Publisher::new(config.producer(), broker_errors, time)?);
        // Wrong settings of consumers are found here rather than by the first subscription.
        BackgroundDrop::new(make_consumer(
            &config.consumer("kser-check", None, 1),
            BrokerErrors::default(),
        )?);
        admin.reach().await?;
        if config.delivery() == Guarantee::ExactlyOnce {
            broker_versions::check(&config).await?;
        }
        Ok(Self(Arc::new(ClusterClients {
            config,
            publisher,
            admin,
            limits: TopicLimits::default(),
            broker_queries: Mutex::default(),
        })))
    }

    /// Joins the group, and a second group for its delayed records. In one group the assignor would balance the partitions of
    /// all topics together, so that one member could get all partitions with work.
    async fn join(
        &self,
        group: String,
        interest: Interest,
    ) -> Result<Box<dyn Subscription>, Error> {
        let retention = self.0.admin.retention(&interest.topics).await;
        let retention = retention.unwrap_or_default().into_values().min();
        let unfit = self.0.unfit(&interest.topics).await;
        let (topics, instance) = (interest.topics, interest.instance.as_deref());
        let (channel, waiting) = (
            Arc::new(PollChannel::default()),
            Arc::new(PollChannel::default()),
        );
        if self.0.config.delivery() == Guarantee::AtLeastOnce {
            tracing::info!(target: "kser_kafka", group, "group {group}: delivery is at least once");
        }
        let transactions = self.begin_transactions(&group, instance, &channel).await?;
        let settle = Arc::new(Settler {
            channel: Arc::clone(&channel),
            cluster: Arc::clone(&self.0),
            transactions: transactions.as_ref().map(|owner| Arc::clone(&owner.0)),
        });
        // Dropping the subscription ends the first thread if the second cannot be started.
        let mut subscription = Box::new(KafkaSubscription {
            channel: Arc::clone(&channel),
            waits: None,
            settle,
            retention,
            unfit,
            readers_wait: self.0.config.readers_wait(instance),
        });
        let make =
            |channel: &Arc<PollChannel>,
             new: fn(Arc<PollChannel>, Arc<Publisher>, &[Topic]) -> Member| {
                let (channel, publisher) = (Arc::clone(channel), Arc::clone(&self.0.publisher));
                let topics = topics.clone();
                move || new(Arc::clone(&channel), Arc::clone(&publisher), &topics)
            };
        let waits = make(&waiting, Member::of_waits);
        let delay_topics: Vec<_> = waits().topics().into_iter().map(str::to_owned).collect();
        if !delay_topics.is_empty() {
            let group = format!("{group}.delay");
            let partitions = self.0.admin.n_partitions(delay_topics).await?;
            subscription.waits = Some(Arc::clone(&waiting));
            let transactions = self.begin_transactions(&group, instance, &waiting).await?;
            self.begin(GroupMembership {
                cluster: Arc::clone(&self.0),
                settings: self.0.config.delays(&group, instance, partitions),
                group,
                channel: waiting,
                member: Box::new(waits),
                topics: Vec::new(),
                transactions,
                partitions,
            })?;
        }
        let names = topics.iter().map(|topic| topic.as_str().to_owned());
        let partitions = self.0.admin.n_partitions(names.collect()).await?;
        self.begin(GroupMembership {
            cluster: Arc::clone(&self.0),
            settings: self.0.config.consumer(&group, instance, partitions),
            group,
            member: Box::new(make(&channel, Member::new)),
            channel,
            topics: topics.clone(),
            transactions,
            partitions,
        })?;
        Ok(subscription)
    }

    /// Starts the transaction thread of a member, with exactly-once delivery, and checks the right to its transactional id.
    async fn begin_transactions(
        &self,
        group: &str,
        instance: Option<&str>,
        channel: &Arc<PollChannel>,
    ) -> Result<Option<TransactionOwner>, Error> {
        if self.0.config.delivery() != Guarantee::ExactlyOnce {
            return Ok(None);
        }
        let id = match instance {
            Some(instance) => format!("{group}.{instance}"),
            None => format!("{group}.{}", WriterId::new()),
        };
        // Brokers write the offsets of a window as one batch of this topic, which exists once a group has committed.
        let limit = self.0.admin.largest_record("__consumer_offsets").await;
        let metadata = limit.map_or(WINDOW_METADATA, |limit| WINDOW_METADATA.min(limit / 2));
        let settings = TransactionSettings {
            client: self.0.config.transactional_producer(&id),
            group: group.to_owned(),
            partitions: self.0.config.metadata.partitions_in(metadata),
            hung: HUNG,
        };
        let time = self.0.publisher.time.clone();
        let (owner, started) = transaction::start(settings, channel, time)?;
        // A start that takes longer goes on, and shows in the health.
        if let Ok(Ok(Err(error))) = tokio::time::timeout(START, started).await {
            return Err(Error::Invalid {
                what: format!("`delivery=exactly-once` with the transactional id {id}"),
                reason: format!(
                    "the brokers refuse it ({}); it needs the rights `Write` and `Describe` on transactional ids that begin \
                     with {group}, or `delivery=at-least-once`",
                    error.report()
                ),
            });
        }
        match instance {
            Some(_) => tracing::info!(
                target: "kser_kafka",
                group, id, "group {group}: delivery is exactly once; the transactional id is {id}",
            ),
            None => tracing::info!(
                target: "kser_kafka",
                group, id,
                "group {group}: delivery is exactly once; the consumer has no instance name, so that after a kill readers of \
                 its outputs wait until its open transaction times out (`transaction.timeout.ms`)",
            ),
        }
        Ok(Some(owner))
    }

    /// Starts the poll thread of a member.
    fn begin(&self, membership: GroupMembership) -> Result<(), Error> {
        let poll = membership.poll()?;
        let thread = thread::Builder::new().name("kser-kafka-poll".to_owned());
        let started = thread.spawn(move || membership.run(poll));
        started.map(drop).map_err(no_thread)
    }

    async fn observe(
        &self,
        topics: Vec<Topic>,
        from: Option<Timestamp>,
    ) -> Result<Box<dyn Subscription>, Error> {
        let channel = Arc::new(PollChannel::default());
        // A client without a group gets no assignment from the brokers, and commits no offsets.
        let mut settings = self.0.config.consumer("kser-observer", None, 1);
        settings.set("auto.offset.reset", "earliest");
        // The end of a log may be a marker of a transaction, which is no record.
        settings.set("enable.partition.eof", "true");
        let mut consumer = make_consumer(&settings, BrokerErrors::default())?;
        let woken = Arc::clone(&channel);
        consumer.set_nonempty_callback(move || woken.wakeup.wake());
        let (started, starting) = oneshot::channel();
        let of_thread = Arc::clone(&channel);
        let thread = thread::Builder::new().name("kser-kafka-observe".to_owned());
        let run =
            move || match BroadcastReader::start(consumer, Arc::clone(&of_thread), topics, from) {
                Ok(reader) => {
                    // The caller may have dropped its future meanwhile.
                    if started.send(Ok(())).is_ok() {
                        of_thread.guard("reading without a group", || reader.run());
                    }
                }
                Err(error) => drop(started.send(Err(error))),
            };
        thread.spawn(run).map_err(no_thread)?;
        let started = starting.await.unwrap_or(Err(KafkaError::Canceled));
        started.map_err(|error| failed("starting to read without a group", None, error))?;
        let settle = Arc::new(GrouplessSettler(Arc::clone(&self.0)));
        Ok(Box::new(KafkaSubscription {
            channel,
            waits: None,
            settle,
            retention: None,
            unfit: Vec::new(),
            readers_wait: None,
        }))
    }
}

fn make_consumer(
    settings: &ClientConfig,
    broker_errors: BrokerErrors,
) -> Result<BaseConsumer<BrokerErrors>, Error> {
    let made = settings.create_with_context(broker_errors);
    made.map_err(|error| failed("creating a consumer", None, error))
}

#[async_trait]
impl Transport for KafkaTransport {
    async fn publish(&self, records: Vec<Record>) -> Result<(), NotPublished> {
        self.0.publish(&records).await
    }

    async fn subscribe(&self, interest: Interest) -> Result<Box<dyn Subscription>, Error> {
        let missing = self.0.admin.missing(&interest.topics).await?;
        // Missing topics may be created later: until then the others are read, and the health names the missing ones.
        if self.0.config.create.is_some() || missing.len() == interest.topics.len() {
            self.0.create(missing).await?;
        }
        match interest.group.clone() {
            Some(group) => self.join(group, interest).await,
            None => self.observe(interest.topics, interest.from).await,
        }
    }

    async fn ensure_topics(&self, topics: &[TopicSpec]) -> Result<(), Error> {
        self.0.ensure_topics(topics).await
    }

    async fn describe(&self, topics: &[Topic]) -> Result<Description, Error> {
        let settling = match self.0.config.delivery() {
            Guarantee::AtLeastOnce => Settling::InOrder,
            Guarantee::ExactlyOnce => Settling::Together,
        };
        let description = Description::new(settling, Record::LARGEST);
        let creates = self.0.config.create.is_some();
        let mut description = description.taking_hand_ins().with_creates_topics(creates);
        description.retention = self.0.admin.retention(topics).await?;
        Ok(description)
    }

    fn inspect(&self) -> Option<Arc<dyn Inspect>> {
        Some(Arc::new(KafkaInspect(Arc::clone(&self.0))))
    }
}
