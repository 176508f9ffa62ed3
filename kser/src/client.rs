//! The client: connecting, sending tasks, launching operations, and the settings that all of it shares.
//!
//! [`connect`] makes a [`Client`] from a URL, [`Client::builder`] from a transport and a store. A client makes a [`Producer`],
//! which sends and launches, and a [`Consumer`], which runs the handlers.
//!
//! ```
//! use kser::client::{Client, Limits, Routes};
//! use kser::task::Entrypoint;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize, Entrypoint)]
//! #[entrypoint("image.Resize")]
//! struct Resize { width: u32 }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), kser::Error> {
//! let mut limits = Limits::default();
//! limits.steps = 1000;
//! let kser = Client::builder_from_url("memory://")
//!     .routes(Routes::new().with_topic("image", "pictures")?)
//!     .limits(limits)
//!     .build()
//!     .await?;
//! kser.producer().send(Resize { width: 64 }).with_key("cat.png").await?;
//! # Ok(())
//! # }
//! ```

mod builder;
mod url;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use kser_clock::SystemClock;
pub use kser_core::log::LogOptions;
use kser_core::presence::{Command, CommandVerb, Presence, PresenceStore};
pub use kser_core::{Clock, IdSource, Limits, Mode};
use kser_core::{Error, Inspect, Record, Registry, Timestamp, Topic, TopicSpec, Transport};

pub use self::builder::ClientBuilder;
use crate::consumer::Consumer;
use crate::dead_letter::check_replay;
use crate::dead_letters::DeadLetters;
use crate::events::Events;
pub use crate::launch::Launch;
use crate::presence::{AnnouncedConsumer, PresencePlace};
pub use crate::producer::Producer;
pub use crate::routes::Routes;
use crate::runs::Runs;
pub use crate::send_task::SendTask;
use crate::shared::Shared;
pub use crate::system::RandomIds;

/// Connects to the transport that `url` names, with the default settings. [`Client::builder_from_url`] has others.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), kser::Error> {
/// let kser = kser::connect("memory://?prefix=test.").await?;
/// assert!(kser::connect("smoke-signals://").await.is_err());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`Error::Invalid`] for a URL that is none, [`Error::Unsupported`] for a backend that does not exist or is not compiled in,
/// [`Error::Backend`] when the backend does not answer.
pub async fn connect(url: &str) -> Result<Client, Error> {
    Client::builder_from_url(url).build().await
}

/// Connects to the transport that `url` names, with the state store that `store_url` names. [`Client::builder_from_url`] has
/// other settings, and [`ClientBuilder::store_from_url`] the URLs of stores.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), kser::Error> {
/// let file = std::env::temp_dir().join(format!("shop-{}.db", std::process::id()));
/// let kser = kser::connect_with_store("memory://", &format!("sqlite://{}", file.display())).await?;
/// # std::fs::remove_file(file).ok();
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// As [`connect`], of the transport and of the store.
pub async fn connect_with_store(url: &str, store_url: &str) -> Result<Client, Error> {
    let builder = Client::builder_from_url(url).store_from_url(store_url);
    builder.build().await
}

/// A transport, an optional state store, and the settings of the producers and consumers made from it. Cloning is cheap.
#[derive(Clone)]
pub struct Client(Arc<Shared>);

impl Client {
    /// Begins with a transport, to which a state store and other settings can be added.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), kser::Error> {
    /// use kser::memory::MemoryTransport;
    /// use kser::Client;
    ///
    /// let transport = MemoryTransport::new();
    /// let shop = Client::builder(transport.clone()).build().await?;
    /// let warehouse = Client::builder(transport).build().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder(transport: impl Transport) -> ClientBuilder {
        ClientBuilder::from_transport(transport)
    }

    /// Begins with the transport that `url` names.
    ///
    /// | URL | transport | state store |
    /// |---|---|---|
    /// | `memory://` | in this process, feature `memory` | in this process |
    /// | `kafka://host:port,host:port` | Apache Kafka, feature `kafka` | none: runs are carried in their messages |
    ///
    /// Behind the `?` of a Kafka URL may stand any setting of its client, such as `?security.protocol=SASL_SSL`, and
    /// `create=6`, which makes topics with 6 partitions where they are missing: see `KafkaConfig`. `delivery=exactly-once` is the
    /// default, and `delivery=at-least-once` is it beside a state store, which decides by itself which end of a step counts.
    /// `?prefix=` puts a text before the names of topics and groups, to keep tenants or stages apart.
    pub fn builder_from_url(url: impl Into<String>) -> ClientBuilder {
        ClientBuilder::from_url(url)
    }

    /// Sends messages and launches operations.
    #[must_use]
    pub fn producer(&self) -> Producer {
        Producer::new(Arc::clone(&self.0))
    }

    /// Makes a consumer that receives messages and runs the handlers of `registry`.
    pub fn consumer(&self, registry: Registry) -> Consumer {
        Consumer::new(Arc::clone(&self.0), registry)
    }

    /// Looks at runs, and repairs them, by their ids.
    #[must_use]
    pub fn runs(&self) -> Runs {
        Runs::new(Arc::clone(&self.0))
    }

    /// Opens the events of all runs: those that were published since `from`, a time of day, as far as the backend still has
    /// them, and those to come. It needs no store.
    ///
    /// The time is that of the stamp that the backend keeps with each event; between machines it is as exact as their clocks
    /// agree. Kafka keeps events for the retention of the topic `kser.events`, a day where kser creates the topic;
    /// `memory://` keeps the last 1,000.
    ///
    /// ```
    /// # use std::time::SystemTime;
    /// # use kser::{Registry, Step};
    /// # #[derive(serde::Serialize, serde::Deserialize, kser::Entrypoint)]
    /// # #[entrypoint("hall.Greet")]
    /// # struct Greet { name: String }
    /// # async fn greet(greet: Greet) -> String { greet.name }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), kser::Error> {
    /// let kser = kser::connect("memory://").await?;
    /// # let _consumer = kser.consumer(Registry::new().task(greet).build()?).spawn();
    /// let began = SystemTime::now();
    /// let steps = vec![Step::new(Greet { name: "Zo\u{eb}".into() })];
    /// let run = kser.producer().launch_steps("hall.Visit", steps).await?;
    /// run.wait().await?;
    /// // Here, or in another process:
    /// let mut events = kser.events(began).await?;
    /// while let Some(event) = events.next_past().await? {
    ///     println!("{} {} -> {}", event.run, event.from, event.status);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::MissingTopic`] when the topic of the events does not exist, [`Error::Unsupported`] on a transport that cannot
    /// look back, [`Error::Backend`] when the backend does not answer.
    pub async fn events(&self, from: impl Into<Timestamp> + Send) -> Result<Events, Error> {
        Events::open(&self.0, from.into()).await
    }

    /// Opens the dead letters of a topic, given without the prefix.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidTopic`] when the topic cannot have that name, or it is that of the dead letters themselves;
    /// [`Error::MissingTopic`] when there is none, on a transport that does not make topics at their first use.
    pub async fn dead_letters(&self, topic: impl AsRef<str>) -> Result<DeadLetters, Error> {
        DeadLetters::open(Arc::clone(&self.0), topic.as_ref()).await
    }

    /// Says whether the replay of a dead letter, as a view of [`inspect`](Self::inspect) shows it, would be refused now. It asks the
    /// rules that [`DeadLetter::replay`](crate::dead_letter::DeadLetter::replay) asks, and changes nothing.
    ///
    /// # Errors
    ///
    /// Those of the replay: [`Error::Rejected`] when the stored run does not stand at this step, [`Error::UnknownRun`] when the
    /// store has no such run, [`Error::NeedsStore`] for a stored run without a store, [`Error::Backend`] when that does not answer.
    pub async fn check_replay(&self, letter: &Record) -> Result<(), Error> {
        check_replay(&self.0, letter).await
    }

    /// Returns a view of the topics and groups that takes no part in them: dead letters and waiting records are looked at while
    /// consumers go on. `None` on a transport that cannot show its records. Topics have their whole names there, with the prefix.
    ///
    /// ```
    /// # use kser::backend::{Room, UnsettledQuery};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let kser = kser::connect("memory://").await?;
    /// # kser.ensure_topics(&kser::Registry::new().build()?, None).await?;
    /// let inspect = kser.inspect().ok_or("the transport shows nothing")?;
    /// for topic in inspect.topics().await? {
    ///     let group = format!("kser.{topic}");
    ///     let mut view = inspect.unsettled(UnsettledQuery::new(group, topic)).await?;
    ///     for shown in view.next(Room::records(100)).await? {
    ///         println!("{:?}: {} bytes", shown.place, shown.record.size());
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn inspect(&self) -> Option<Arc<dyn Inspect>> {
        self.0.transport.inspect()
    }

    /// Lists the consumers that are alive, as they announce themselves every five seconds: those of all processes that share the
    /// store, or, without a store, the cluster and the prefix. Looking takes nothing: no group gets a member, and no offset is
    /// committed.
    ///
    /// A consumer that stops gracefully is not listed any more. One that crashed is silent after 20 seconds, and forgotten after
    /// ten minutes.
    ///
    /// ```
    /// # #[derive(serde::Serialize, serde::Deserialize, kser::Entrypoint)]
    /// # #[entrypoint("hall.Greet")]
    /// # struct Greet { name: String }
    /// # async fn greet(greet: Greet) -> String { greet.name }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), kser::Error> {
    /// # let kser = kser::connect("memory://").await?;
    /// # let registry = kser::Registry::new().task(greet).build()?;
    /// let consumer = kser.consumer(registry).with_instance("hall-0").with_version("1.4.2").spawn();
    /// # while kser.announced_consumers().await?.is_empty() { tokio::task::yield_now().await }
    /// for consumer in kser.announced_consumers().await? {
    ///     println!("{} {:?}", consumer.presence.id, consumer.presence.state);
    /// }
    /// consumer.stop().await?;
    /// assert_eq!(kser.announced_consumers().await?, []);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] where neither the store nor the transport keeps announcements, [`Error::MissingTopic`] when the topic
    /// of the announcements does not exist, [`Error::Backend`] when the backend does not answer.
    pub async fn announced_consumers(&self) -> Result<Vec<AnnouncedConsumer>, Error> {
        self.presence_place()?.list().await
    }

    /// Gives a command of an operator to a consumer that allows it ([`Consumer::with_remote_control`]),
    /// and returns it as it is kept: the consumer obeys within about five seconds, if it lives. `until` is the end of a pause, and the
    /// time after which no consumer obeys a drain.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] for a consumer that does not allow it, otherwise as
    /// [`announced_consumers`](Self::announced_consumers).
    pub async fn command_consumer(
        &self,
        consumer: &Presence,
        verb: CommandVerb,
        (actor, reason): (&str, &str),
        until: Timestamp,
    ) -> Result<Command, Error> {
        if !consumer.remote_control {
            return Err(Error::Unsupported {
                what: format!("a command to the consumer {}", consumer.id),
                hint: "its program allows it by `Consumer::with_remote_control`".to_owned(),
            });
        }
        let times = (self.0.clock.wall(), until);
        let command = Command::new(consumer.id.clone(), consumer.started, verb, times);
        let nonce = self.0.ids.next_id();
        let place = self.presence_place()?;
        place.command(command.by(actor, reason), &nonce).await
    }

    /// Returns the store of the announcements of consumers, such as for the tests of a backend.
    #[doc(hidden)]
    pub fn presence_store(&self) -> Result<Arc<dyn PresenceStore>, Error> {
        Ok(Arc::clone(&self.presence_place()?.store))
    }

    fn presence_place(&self) -> Result<&PresencePlace, Error> {
        self.0.presence.as_ref().ok_or_else(|| Error::Unsupported {
            what: "looking at consumers".to_owned(),
            hint: "neither the store nor the transport keeps their announcements".to_owned(),
        })
    }

    /// Returns the routes, with the prefix of the URL.
    #[must_use]
    pub fn routes(&self) -> &Routes {
        &self.0.writer.routes
    }

    /// Returns the retention of topics, given with the prefix. A topic that keeps its records for ever is absent, as is one that the
    /// backend does not know.
    ///
    /// # Errors
    ///
    /// [`Error::Backend`] when the transport does not answer.
    pub async fn retention(&self, topics: &[Topic]) -> Result<BTreeMap<Topic, Duration>, Error> {
        Ok(self.0.transport.describe(topics).await?.retention)
    }

    /// Creates the missing topics of the entrypoints of `registry`: the topics themselves with this many partitions
    /// (`None` for the backend's default), the topics of their dead letters and delays, the topic of the events, and, without a store,
    /// that of the announcements of consumers.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidTopic`] when an entrypoint's topic cannot exist, [`Error::Backend`] when the backend refuses.
    pub async fn ensure_topics(
        &self,
        registry: &Registry,
        partitions: Option<u32>,
    ) -> Result<(), Error> {
        let mut topics = crate::topics::needed(&self.0.writer.routes, registry, partitions)?;
        let presence = self.0.presence.as_ref();
        let of_consumers = presence.and_then(|place| place.topic.clone());
        topics.extend(of_consumers.map(TopicSpec::latest));
        self.0.transport.ensure_topics(&topics).await
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("transport", &self.0.transport)
            .field("store", &self.0.store)
            .finish_non_exhaustive()
    }
}
