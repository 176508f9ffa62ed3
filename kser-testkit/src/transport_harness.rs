use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kser_core::{
    Clock, Delivery, Description, Error, Interest, Room, Subscription, Timestamp, Topic, TopicSpec,
    Transport,
};
use tokio::time::timeout;

use crate::Capabilities;
use crate::names::{self, TestClock};
use crate::records::{record, texts};

/// The number of partitions of a topic: several, so that a backend that shares by partitions has some to share.
const PARTITIONS: u32 = 4;

/// A transport under test, with its capabilities.
#[derive(Debug)]
pub struct TransportHarness {
    transport: Arc<dyn Transport>,
    capabilities: Capabilities,
    clock: Arc<dyn Clock>,
    prefix: String,
    topics: AtomicU64,
    /// The groups that have had a member.
    groups: Mutex<BTreeSet<String>>,
}

impl TransportHarness {
    /// Puts a transport under test, with the default capabilities.
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
            clock: Arc::new(TestClock::new()),
            prefix: names::unique(),
            topics: AtomicU64::new(0),
            groups: Mutex::default(),
        }
    }

    /// Gives delays in the time of this clock. Unless set, it is the machine's time when the harness is made, carried on
    /// by tokio's clock.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Puts this before the names of the topics and groups that the test uses. Unless set, it is one that no other test
    /// has, so that tests share a broker.
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

    /// Returns the capabilities of the transport.
    #[must_use]
    pub const fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// Returns the present moment. Delays are given in it.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Makes a topic that no other test has.
    pub async fn topic(&self) -> Topic {
        self.topic_of(TopicSpec::work).await
    }

    /// Makes a topic that no other test has, for observers only.
    pub async fn observed_topic(&self) -> Topic {
        self.topic_of(TopicSpec::observed).await
    }

    async fn topic_of(&self, spec: fn(Topic) -> TopicSpec) -> Topic {
        let number = self.topics.fetch_add(1, Ordering::Relaxed);
        let topic =
            Topic::new(format!("{}.{number}", self.prefix)).expect("the prefix fits a topic");
        let specs = [spec(topic.clone()).with_partitions(PARTITIONS)];
        let ensured = self.transport.ensure_topics(&specs).await;
        ensured.expect("the topic is made");
        topic
    }

    /// Asks the transport for its description.
    pub async fn describe(&self) -> Description {
        let description = self.transport.describe(&[]).await;
        description.expect("the transport describes itself")
    }

    /// Makes a member of a group.
    pub async fn member(&self, group: &str, topic: &Topic) -> Box<dyn Subscription> {
        let group = self.group_name(group);
        let is_first = {
            let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
            groups.insert(group.clone())
        };
        let interest = Interest::group(group, vec![topic.clone()]);
        let member = self.subscribe(interest).await;
        if !is_first {
            tokio::time::sleep(self.capabilities.joining).await;
        }
        member
    }

    /// Returns the name of a group at the backend.
    #[must_use]
    pub fn group_name(&self, group: &str) -> String {
        format!("{}.{group}", self.prefix)
    }

    /// Makes an observer, which receives every record that is published from now on.
    pub async fn observer(&self, topic: &Topic) -> Box<dyn Subscription> {
        self.subscribe(Interest::everything(vec![topic.clone()]))
            .await
    }

    /// Makes an observer, which first receives the records since `from`; `None` where the backend cannot look back.
    pub async fn observer_since(
        &self,
        topic: &Topic,
        from: Timestamp,
    ) -> Option<Box<dyn Subscription>> {
        let interest = Interest::since(vec![topic.clone()], from);
        match self.try_subscribe(interest).await {
            Err(Error::Unsupported { .. }) => None,
            subscribed => Some(subscribed.expect("an observer may subscribe")),
        }
    }

    async fn subscribe(&self, interest: Interest) -> Box<dyn Subscription> {
        let subscribed = self.try_subscribe(interest).await;
        subscribed.expect("a member may join")
    }

    async fn try_subscribe(&self, interest: Interest) -> Result<Box<dyn Subscription>, Error> {
        let subscribed = timeout(
            self.capabilities.patience,
            self.transport.subscribe(interest),
        );
        subscribed.await.expect("`subscribe` returns in time")
    }

    /// Publishes a record for each text, all with this key, in one call.
    pub async fn publish(&self, topic: &Topic, key: Option<&str>, texts: &[&str]) {
        let records = texts.iter().map(|text| record(topic, key, text));
        let published = self.transport.publish(records.collect()).await;
        published.expect("records are published");
    }

    /// Receives at least one delivery and at most as many as `room` allows.
    pub async fn receive_some(&self, member: &mut dyn Subscription, room: Room) -> Vec<Delivery> {
        let received = timeout(self.capabilities.patience, member.receive(room)).await;
        let Ok(received) = received else {
            panic!("nothing came in {:?}", self.capabilities.patience);
        };
        let received = received.expect("deliveries are received");
        assert!(
            !received.is_empty(),
            "`receive` returned without a delivery"
        );
        received
    }

    /// Receives this many deliveries, in the order in which they come.
    pub async fn receive(&self, member: &mut dyn Subscription, count: usize) -> Vec<Delivery> {
        self.receive_within(member, count, self.capabilities.patience)
            .await
    }

    /// Receives one delivery.
    pub async fn receive_one(&self, member: &mut dyn Subscription) -> Delivery {
        self.receive(member, 1).await.remove(0)
    }

    /// Receives one delivery that may come as late as a delayed record.
    pub async fn receive_due(&self, member: &mut dyn Subscription, due: Timestamp) -> Delivery {
        let wait = due.since(self.now()) + self.capabilities.delay_granularity;
        let wait = wait + self.capabilities.patience;
        self.receive_within(member, 1, wait).await.remove(0)
    }

    async fn receive_within(
        &self,
        member: &mut dyn Subscription,
        count: usize,
        wait: Duration,
    ) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        while deliveries.len() < count {
            let room = Room::records(count - deliveries.len());
            let Ok(received) = timeout(wait, member.receive(room)).await else {
                let came = texts(&deliveries);
                panic!("of {count} deliveries came in {wait:?} only these: {came:?}");
            };
            deliveries.extend(received.expect("deliveries are received"));
        }
        deliveries
    }

    /// Receives at most `records` deliveries from the first of two members that gets some, and says which member that is.
    pub async fn receive_either(
        &self,
        first: &mut dyn Subscription,
        second: &mut dyn Subscription,
        records: usize,
    ) -> (Which, Vec<Delivery>) {
        let room = Room::records(records);
        let either = async {
            tokio::select! {
                biased;
                received = first.receive(room) => (Which::First, received),
                received = second.receive(room) => (Which::Second, received),
            }
        };
        let Ok((which, received)) = timeout(self.capabilities.patience, either).await else {
            panic!("nothing came to either in {:?}", self.capabilities.patience);
        };
        (which, received.expect("deliveries are received"))
    }

    /// Checks that no delivery comes within [`Capabilities::quiet`].
    pub async fn nothing(&self, member: &mut dyn Subscription) {
        let received = timeout(self.capabilities.quiet, member.receive(Room::records(1)));
        match received.await {
            Err(_) => {}
            Ok(Ok(received)) => {
                panic!("nothing should come, and this came: {:?}", texts(&received))
            }
            Ok(Err(error)) => panic!("nothing should come, and this did: {error}"),
        }
    }

    /// Waits until the deliveries of a member that is gone are given to other members: [`Capabilities::takeover`].
    pub async fn takeover(&self) {
        tokio::time::sleep(self.capabilities.takeover).await;
    }

    /// Closes a subscription that holds nothing.
    pub async fn close(&self, member: Box<dyn Subscription>) {
        let closed: Result<Result<(), Error>, _> =
            timeout(self.capabilities.patience, member.close()).await;
        let closed = closed.expect("a member that holds nothing closes in time");
        closed.expect("a member closes");
    }
}

/// The member, of two, that got a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there are two")]
pub enum Which {
    /// The first.
    First,
    /// The second.
    Second,
}
