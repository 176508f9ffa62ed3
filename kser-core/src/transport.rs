mod contract;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::{Delivery, Error, Health, Inspect, NotPublished, Record, Timestamp, Topic};

/// Moves records between processes. Every backend implements it.
///
/// The sections are the contract. Each sentence is a test of the same meaning in `kser-testkit`, which runs them all
/// against every backend; write those tests' one line first when you write a transport. The guide of `kser` has a skeleton
/// (`kser::guide::own_transport`), and the example `own_transport` shows how small one can be.
///
#[doc = crate::__transport_contract!([crate::__contract_text])]
#[async_trait]
pub trait Transport: Debug + Send + Sync + 'static {
    /// Publishes records and returns when they are durable.
    ///
    /// # Errors
    ///
    /// [`NotPublished`] lists the records that may not be durable; the others are. [`Error::TooLarge`] and
    /// [`Error::TooLargeForTopic`] in it mean that the record is certainly not published. [`Error::MissingTopic`] does not:
    /// a topic may be deleted after its record was written and before the answer came.
    async fn publish(&self, records: Vec<Record>) -> Result<(), NotPublished>;

    /// Joins a group, or observes all records from now on. Returns when the start is fixed: records that are published after
    /// that are received.
    ///
    /// # Errors
    ///
    /// [`Error::Backend`] when the backend does not answer, [`Error::MissingTopic`] when a topic does not exist.
    async fn subscribe(&self, interest: Interest) -> Result<Box<dyn Subscription>, Error>;

    /// Creates the topics that do not exist. Those that exist stay as they are.
    ///
    /// # Errors
    ///
    /// [`Error::Backend`] when the backend does not answer or does not allow it.
    async fn ensure_topics(&self, topics: &[TopicSpec]) -> Result<(), Error>;

    /// Describes the backend, with the retention and the readers of these topics.
    ///
    /// # Errors
    ///
    /// [`Error::Backend`] when the backend does not answer.
    async fn describe(&self, topics: &[Topic]) -> Result<Description, Error>;

    /// Returns a view of the backend that takes no part; `None`, as by default, when the backend cannot show its records.
    fn inspect(&self) -> Option<Arc<dyn Inspect>> {
        None
    }
}

/// Receives deliveries. One task holds a subscription; any task may settle the deliveries.
///
/// Dropping a subscription counts as a crash: unlike [`close`](Self::close), it does not leave the group gracefully.
#[async_trait]
pub trait Subscription: Debug + Send {
    /// Waits for at least one delivery and returns at most as many as `room` allows. A member that does not call it receives
    /// no more, which is the backpressure.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] after the transport was closed, [`Error::Superseded`] when a later life of the instance has
    /// joined, [`Error::Backend`] otherwise. After an error that [is temporary](Error::is_temporary) the caller calls
    /// `receive` again; after any other the subscription has ended.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no delivery.
    async fn receive(&mut self, room: Room) -> Result<Vec<Delivery>, Error>;

    /// Returns the state of the member, as the backend knows it.
    fn health(&self) -> Health;

    /// Returns a value that leaves the group at once, from any thread; `None` when the backend cannot. It is for handlers
    /// that do not end, for which [`close`](Self::close) would wait.
    fn leaver(&self) -> Option<Arc<dyn Leave>>;

    /// Waits until all deliveries are settled or released, and leaves the group gracefully.
    ///
    /// # Errors
    ///
    /// [`Error::Backend`] when the backend does not answer. Settled deliveries stay settled.
    async fn close(self: Box<Self>) -> Result<(), Error>;
}

/// Leaves a group at once, while another task or a blocked thread holds the subscription.
#[async_trait]
pub trait Leave: Debug + Send + Sync + 'static {
    /// Releases all deliveries of the member, and leaves the group gracefully: none of them is counted as
    /// [`crash_count`](Delivery::crash_count). The subscription receives nothing more, and a later settle returns
    /// [`Error::Lost`].
    ///
    /// # Errors
    ///
    /// [`Error::Backend`] when the backend does not answer.
    async fn leave(&self) -> Result<(), Error>;
}

/// The topics of a subscription, and the group that it joins.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Interest {
    /// The topics.
    pub topics: Vec<Topic>,
    /// The group, whose members share the records. `None` observes: all records that are published from now on are
    /// delivered.
    pub group: Option<String>,
    /// The name of the member, by which a restart is known as the same member (static membership of Kafka); `None` for a
    /// dynamic member.
    pub instance: Option<String>,
    /// The time of day since which an observer receives the records that the backend still has, before those that are
    /// published from now on; `None` for the latter alone. While it is set, [`Health::lag`] counts the records of the log as it
    /// was at the subscription that were not handed out. A backend that cannot look back returns [`Error::Unsupported`].
    pub from: Option<Timestamp>,
}

impl Interest {
    /// Shares the records of the topics with the other members of a group.
    #[must_use]
    pub fn group(group: impl Into<String>, topics: Vec<Topic>) -> Self {
        Self {
            topics,
            group: Some(group.into()),
            instance: None,
            from: None,
        }
    }

    /// Observes all records that are published to the topics from now on.
    #[must_use]
    pub const fn everything(topics: Vec<Topic>) -> Self {
        Self {
            topics,
            group: None,
            instance: None,
            from: None,
        }
    }

    /// Observes the records that were published to the topics since this time of day, as far as the backend still has them,
    /// and those from now on.
    #[must_use]
    pub const fn since(topics: Vec<Topic>, from: Timestamp) -> Self {
        Self {
            topics,
            group: None,
            instance: None,
            from: Some(from),
        }
    }

    /// Refuses a start in the past, on behalf of a backend that cannot look back.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] when [`from`](Self::from) is set.
    pub fn must_start_now(&self) -> Result<(), Error> {
        match self.from {
            None => Ok(()),
            Some(_) => Err(Error::Unsupported {
                what: "reading records that were published before".to_owned(),
                hint: "subscribe before they are published".to_owned(),
            }),
        }
    }

    /// Sets the name of the member.
    #[must_use]
    pub fn with_instance(mut self, instance: Option<String>) -> Self {
        self.instance = instance;
        self
    }
}

/// The most that one [`Subscription::receive`] may return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Room {
    /// The number of records, 1 or more.
    pub records: usize,
    /// The number of bytes, as [`Record::size`] counts them. The record that reaches it is the last one.
    pub bytes: usize,
}

impl Room {
    /// Room for this many records, and for records until they have this many bytes.
    #[must_use]
    pub const fn new(records: usize, bytes: usize) -> Self {
        Self { records, bytes }
    }

    /// Room for this many records of any size.
    #[must_use]
    pub const fn records(records: usize) -> Self {
        Self {
            records,
            bytes: usize::MAX,
        }
    }
}

/// A topic that should exist.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicSpec {
    /// The name.
    pub topic: Topic,
    /// The number of partitions; `None` for the default of the backend.
    pub partitions: Option<u32>,
    /// Whether records are kept for groups that join later. A topic that is not kept is for observers only.
    pub kept: bool,
    /// Whether only the latest record of each key matters, and that for an hour at most. A record without a payload removes its key.
    pub latest_only: bool,
}

impl TopicSpec {
    /// Makes the spec of a topic whose records wait for their group.
    #[must_use]
    pub const fn work(topic: Topic) -> Self {
        Self {
            topic,
            partitions: None,
            kept: true,
            latest_only: false,
        }
    }

    /// Makes the spec of a topic that only observers read, such as that of the events.
    #[must_use]
    pub const fn observed(topic: Topic) -> Self {
        Self {
            topic,
            partitions: None,
            kept: false,
            latest_only: false,
        }
    }

    /// Makes the spec of a topic of which only observers read the latest record of each key, such as that of the announcements of
    /// consumers: one partition.
    #[must_use]
    pub const fn latest(topic: Topic) -> Self {
        Self {
            topic,
            partitions: Some(1),
            kept: false,
            latest_only: true,
        }
    }

    /// Sets the number of partitions.
    #[must_use]
    pub const fn with_partitions(mut self, partitions: u32) -> Self {
        self.partitions = Some(partitions);
        self
    }
}

/// The properties of a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Description {
    /// The atomicity of a settle.
    pub settling: Settling,
    /// Whether records are lost when the process ends.
    pub forgets: bool,
    /// Whether deliveries may be handed in ([`Ticket::hand_in`](crate::Ticket::hand_in)). It tells people, and kser does not
    /// depend on it: each ticket knows whether its delivery can be.
    pub hand_ins: bool,
    /// Whether a topic is created at its first use.
    pub creates_topics: bool,
    /// The largest record that a topic takes by default, as [`Record::size`] counts it. kser creates no larger record. A
    /// received record may be larger, where its topic takes it, and is passed on as it is.
    pub largest_record: usize,
    /// The retention of the topics in the call; a topic that keeps its records for ever is absent.
    pub retention: BTreeMap<Topic, Duration>,
    /// The topics of the call that have records and that no group has read yet; `None` where the backend does not know all of
    /// its readers.
    pub unread: Option<Vec<Topic>>,
}

impl Description {
    /// Describes a backend whose records outlive the process, and are kept for ever.
    #[must_use]
    pub const fn new(settling: Settling, largest_record: usize) -> Self {
        Self {
            settling,
            forgets: false,
            hand_ins: false,
            creates_topics: false,
            largest_record,
            retention: BTreeMap::new(),
            unread: None,
        }
    }

    /// Marks the backend as one whose records are lost when the process ends.
    #[must_use]
    pub const fn forgetting(mut self) -> Self {
        self.forgets = true;
        self
    }

    /// Says whether the backend creates a topic at its first use.
    #[must_use]
    pub const fn with_creates_topics(mut self, creates_topics: bool) -> Self {
        self.creates_topics = creates_topics;
        self
    }

    /// Marks the backend as one that takes deliveries that are handed in.
    #[must_use]
    pub const fn taking_hand_ins(mut self) -> Self {
        self.hand_ins = true;
        self
    }
}

/// The atomicity of a settle: of its outputs, and of the acknowledgement of its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is no third way")]
pub enum Settling {
    /// Both are durable, or neither.
    Together,
    /// The outputs are published first, then the input is acknowledged. A crash in between redelivers the input.
    InOrder,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: Transport + ?Sized> Transport for Arc<T> {
    async fn publish(&self, records: Vec<Record>) -> Result<(), NotPublished> {
        (**self).publish(records).await
    }

    async fn subscribe(&self, interest: Interest) -> Result<Box<dyn Subscription>, Error> {
        (**self).subscribe(interest).await
    }

    async fn ensure_topics(&self, topics: &[TopicSpec]) -> Result<(), Error> {
        (**self).ensure_topics(topics).await
    }

    async fn describe(&self, topics: &[Topic]) -> Result<Description, Error> {
        (**self).describe(topics).await
    }

    fn inspect(&self) -> Option<Arc<dyn Inspect>> {
        (**self).inspect()
    }
}

// The traits must stay usable as trait objects.
const _: Option<&dyn Transport> = None;
const _: Option<&dyn Subscription> = None;
