use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use kser_core::{
    Delivery, Interest, Record, Room, StateStore, Subscription, Timestamp, Topic, TopicSpec,
    Transport,
};
use tokio::time::Instant;

/// A transport under test, and what it can do.
#[derive(Debug)]
pub struct TransportHarness {
    transport: Arc<dyn Transport>,
    capabilities: Capabilities,
    topics: AtomicU64,
    prefix: String,
    began: Timestamp,
    start: Instant,
}

/// What a backend can do, and how long it takes: a value, so that the suite tests what is declared.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Capabilities {
    /// How long a test waits for something that must come; 10 seconds unless set.
    pub patience: Duration,
    /// How long a test waits to see that nothing comes; 1 second unless set.
    pub quiet: Duration,
    /// How much later than its time a delayed record may come; 100 milliseconds unless set.
    pub delay_granularity: Duration,
    /// How long it takes until what a member held that left without a goodbye is delivered to others; zero unless set.
    pub takeover: Duration,
    /// Whether a group on one topic has records without a key run on all its members at once. Where it has not, they may
    /// all go to one.
    pub shares_freely: bool,
}

impl Default for Capabilities {
    fn default() -> Self {
        Self {
            patience: Duration::from_secs(10),
            quiet: Duration::from_secs(1),
            delay_granularity: Duration::from_millis(100),
            takeover: Duration::ZERO,
            shares_freely: true,
        }
    }
}

impl TransportHarness {
    /// Puts a transport under test that can do everything.
    #[must_use]
    pub fn new(transport: impl Transport) -> Self {
        Self::with_capabilities(transport, Capabilities::default())
    }

    /// Puts a transport under test.
    #[must_use]
    pub fn with_capabilities(transport: impl Transport, capabilities: Capabilities) -> Self {
        Self {
            transport: Arc::new(transport),
            capabilities,
            topics: AtomicU64::new(0),
            prefix: "conformance".to_owned(),
            began: machine_time(),
            start: Instant::now(),
        }
    }

    /// Puts this before the names of the topics that the tests use, so that tests share a broker.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Returns the transport.
    #[must_use]
    pub fn transport(&self) -> &dyn Transport {
        &*self.transport
    }

    /// Returns what it can do.
    #[must_use]
    pub const fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// Makes a topic that no other test has.
    pub async fn topic(&self) -> Topic {
        let number = self.topics.fetch_add(1, Ordering::Relaxed);
        let topic = Topic::new(format!("{}.{number}", self.prefix)).unwrap();
        let specs = [TopicSpec::work(topic.clone())];
        self.transport.ensure_topics(&specs).await.unwrap();
        topic
    }

    /// Makes a member of a group.
    pub async fn member(&self, group: &str, topic: &Topic) -> Box<dyn Subscription> {
        let interest = Interest::group(format!("{}.{group}", self.prefix), vec![topic.clone()]);
        self.transport.subscribe(interest).await.unwrap()
    }

    /// Publishes a record for each text, all with this key.
    pub async fn publish(&self, topic: &Topic, key: Option<&str>, texts: &[&str]) {
        let records = texts.iter().map(|text| record(topic, key, text));
        self.transport.publish(records.collect()).await.unwrap();
    }

    /// Receives this many deliveries, in the order in which they come.
    pub async fn receive(&self, member: &mut dyn Subscription, count: usize) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        while deliveries.len() < count {
            let room = Room::records(count - deliveries.len());
            let received = tokio::time::timeout(self.capabilities.patience, member.receive(room));
            let received = received.await.unwrap_or_else(|_| {
                panic!("{} of {count} deliveries came in time", deliveries.len())
            });
            deliveries.extend(received.unwrap());
        }
        deliveries
    }

    /// Receives one delivery.
    pub async fn receive_one(&self, member: &mut dyn Subscription) -> Delivery {
        self.receive(member, 1).await.remove(0)
    }

    /// Sees that nothing comes for a while.
    pub async fn nothing(&self, member: &mut dyn Subscription) {
        let received = member.receive(Room::records(1));
        if let Ok(received) = tokio::time::timeout(self.capabilities.quiet, received).await {
            panic!("nothing should come, and this came: {received:?}");
        }
    }

    /// Waits as long as it takes until others are given what a member held.
    pub async fn takeover(&self) {
        tokio::time::sleep(self.capabilities.takeover).await;
    }

    /// The present moment: the time of the machine when the harness was made, carried on by tokio's clock, which may be
    /// paused. Delays are given in it.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.began + self.start.elapsed()
    }
}

fn machine_time() -> Timestamp {
    #[expect(
        clippy::disallowed_methods,
        reason = "delays are given in the time of the machine"
    )]
    let wall = std::time::SystemTime::now();
    let since = wall.duration_since(std::time::SystemTime::UNIX_EPOCH);
    Timestamp::default() + since.unwrap()
}

/// A record with a key and a text.
#[must_use]
pub(crate) fn record(topic: &Topic, key: Option<&str>, text: &str) -> Record {
    let payload = Bytes::copy_from_slice(text.as_bytes());
    let record = Record::new(topic.clone(), Some(payload));
    match key {
        Some(key) => record.with_key(key.to_owned()),
        None => record,
    }
}

/// The text of a delivery.
pub(crate) fn text(delivery: &Delivery) -> String {
    let payload = delivery.record.payload.clone().unwrap_or_default();
    String::from_utf8(payload.to_vec()).unwrap()
}

/// The texts of deliveries.
pub(crate) fn texts(deliveries: &[Delivery]) -> Vec<String> {
    deliveries.iter().map(text).collect()
}

/// Settles a delivery, without outputs.
pub(crate) async fn settle(delivery: Delivery) {
    let settled = delivery.ticket.settle(Vec::new()).await.unwrap();
    assert!(!settled.is_lost(), "the delivery is still ours");
}

/// Gives a delivery back.
pub(crate) fn release(delivery: Delivery) {
    let _ = delivery.ticket.release(None);
}

/// A state store under test.
#[derive(Debug)]
pub struct StoreHarness {
    store: Arc<dyn StateStore>,
    prefix: String,
}

impl StoreHarness {
    /// Puts a store under test.
    #[must_use]
    pub fn new(store: impl StateStore) -> Self {
        Self {
            store: Arc::new(store),
            prefix: "conformance".to_owned(),
        }
    }

    /// Puts this before the ids of the runs that the tests use, so that tests share a database.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Returns the store.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn StateStore> {
        &self.store
    }

    /// Names a run.
    #[must_use]
    pub fn id(&self, name: &str) -> kser_core::RunId {
        format!("{}.{name}", self.prefix).into()
    }
}
