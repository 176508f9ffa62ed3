//! Consumers: receiving messages, running their handlers, and acknowledging them.
//!
//! [`Client::consumer`](crate::Client::consumer) makes a [`Consumer`] of a registry. [`Consumer::run`] runs it to its end,
//! [`Consumer::spawn`] in the background. A [`ConsumerHandle`] stops, pauses and inspects it.
//!
//! ```
//! use kser::consumer::ConsumerState;
//! # use kser::{Entrypoint, Registry};
//! # use serde::{Deserialize, Serialize};
//! # #[derive(Serialize, Deserialize, Entrypoint)]
//! # #[entrypoint("image.Resize")]
//! # struct Resize {}
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), kser::Error> {
//! # let registry = Registry::new().task(|_: Resize| async {}).build()?;
//! let kser = kser::connect("memory://").await?;
//! let consumer = kser.consumer(registry).with_concurrency(8).with_signals();
//! let handle = consumer.handle();
//! assert_eq!(handle.health().state, ConsumerState::Created);
//! # handle.request_stop();
//! consumer.run().await // Until SIGTERM or SIGINT.
//! # }
//! ```

mod active;
mod announcer;
mod delivery;
mod dispatcher;
mod exclusive;
mod graceful_leave;
mod handed_in;
mod handle;
mod lanes;
mod lifecycle;
mod lost_records;
mod options;
mod parked;
mod paused;
mod pending_topic;
mod places;
mod presence_health;
mod processor;
mod queues;
mod remote_control;
mod signals;
mod state_guard;
pub(crate) mod step;
mod sweeper;
mod work_queue;
mod workers;

use std::sync::Arc;
use std::time::Duration;

pub use kser_core::store::StoreHealth;
use kser_core::{Entrypoint, Error, Outcome, Registry, Topic};
pub use kser_core::{Health, HeldPartition, Instance, NotInGroup, UnfitTopic};
use tower::{Layer, Service};

pub use self::active::RunningTask;
pub use self::handle::{ConsumerHandle, ConsumerHealth, ConsumerState, RunningConsumer};
use self::lifecycle::serve;
use self::options::{LEAST_LEASE, MOST_TASKS, Options, within};
pub use self::presence_health::PresenceHealth;
use self::state_guard::topics;
use self::step::layers::Layers;
use self::step::layers::TaskRequest;
use self::step::layers::TaskService;
pub use crate::encryption_health::{EncryptionHealth, UsedKey};
use crate::observer::{ConsumerInfo, Observer};
use crate::shared::Shared;

/// A consumer: receives messages and runs their handlers.
///
/// One task at a time runs for each topic, partition and key, in order; different keys, and records without a key, run
/// side by side up to a limit. A message is acknowledged once the records and the state that follow from it are durable:
/// the next step, the end of the run, a retry or a dead letter.
///
/// ```
/// # use kser::{Entrypoint, Registry};
/// # use serde::{Deserialize, Serialize};
/// #[derive(Serialize, Deserialize, Entrypoint)]
/// #[entrypoint("hall.Greet")]
/// struct Greet { name: String }
///
/// async fn greet(greet: Greet) -> String { format!("hello, {}", greet.name) }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), kser::Error> {
/// let kser = kser::connect("memory://").await?;
/// let consumer = kser.consumer(Registry::new().task(greet).build()?).with_concurrency(8).spawn();
/// kser.producer().send(Greet { name: "Zo\u{eb}".into() }).await?;
/// consumer.stop().await
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a consumer does nothing until it is run or spawned"]
pub struct Consumer {
    shared: Arc<Shared>,
    registry: Registry,
    options: Options,
    layers: Layers,
    handle: ConsumerHandle,
    /// The observer of this consumer, once it starts.
    observer: Option<Arc<dyn Observer>>,
}

impl Consumer {
    pub(crate) fn new(shared: Arc<Shared>, registry: Registry) -> Self {
        Self {
            shared,
            registry,
            options: Options::default(),
            layers: Layers::default(),
            handle: ConsumerHandle::new(),
            observer: None,
        }
    }

    /// Receives from these topics, given without the prefix, instead of those to which the registry's entrypoints are
    /// routed.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidTopic`] when a topic cannot have that name.
    pub fn with_topics<T: AsRef<str>>(
        mut self,
        topics: impl IntoIterator<Item = T>,
    ) -> Result<Self, Error> {
        let topics: Result<Vec<_>, _> = topics.into_iter().map(Topic::new).collect();
        self.options.topics = Some(topics?);
        Ok(self)
    }

    /// Runs at most this many tasks at once, from 1 to 1,000,000. Defaults to 64. A number outside of that is replaced by the
    /// nearest, with a warning in the log.
    pub fn with_concurrency(mut self, tasks: usize) -> Self {
        self.options.concurrency = within("with_concurrency", tasks, MOST_TASKS);
        self
    }

    /// Runs at most this many tasks of the entrypoint `P` at once, so that a slow entrypoint leaves places to the others. The
    /// range is that of [`with_concurrency`](Self::with_concurrency), which is the default and limits all of them together.
    pub fn with_concurrency_of<P: Entrypoint>(mut self, tasks: usize) -> Self {
        let tasks = within("with_concurrency_of", tasks, MOST_TASKS);
        self.options.concurrency_of.insert(P::PATH.into(), tasks);
        self
    }

    /// Holds at most this many records that run or wait for a place, and receives no more once they have this many bytes.
    /// Defaults to 1,024 records and 16 MiB; both are at least 1, and 0 is replaced by 1, with a warning in the log.
    ///
    /// A quarter of the records may have one key; the consumer gives back more of that key for up to a second. Retries that wait
    /// in memory are not counted, as long as they are no more than 16 times as many records, and as many bytes. Records that have
    /// ended and whose outputs are on the way to the transport have limits of their own: 4 times as many records, and as many
    /// bytes again.
    #[doc(alias = "with_held")]
    pub fn with_buffer(mut self, records: usize, bytes: usize) -> Self {
        self.options.held_records = within("with_buffer: records", records, 1..=usize::MAX);
        self.options.held_bytes = within("with_buffer: bytes", bytes, 1..=usize::MAX);
        self
    }

    /// Leases steps of stored runs for this long at a time, and renews the leases while the steps run. Defaults to 30 seconds;
    /// less than 100 ms is replaced by that, with a warning in the log. After a crash, a step runs again when its lease is over,
    /// or at once if the consumer is an instance by the same name. The same holds for a consumer that loses a message after it
    /// wrote the start of the step and before the store answered.
    #[doc(alias = "with_lease")]
    pub fn with_lease_duration(mut self, lease: Duration) -> Self {
        self.options.lease = within("with_lease_duration", lease, LEAST_LEASE..=Duration::MAX);
        self
    }

    /// Keeps a record that waits for a retry in memory if the wait is at most this long, and later records of its key behind
    /// it. A longer wait goes through a delayed record, which loses its place among those of its key. Defaults to 10 seconds;
    /// any duration is in range.
    ///
    /// A stop or a rebalance gives the waiting records back in their place. Where the state is carried, a transport that does
    /// not keep the count of attempts then begins the count again.
    #[doc(alias = "with_longest_park")]
    pub fn with_max_in_memory_delay(mut self, longest: Duration) -> Self {
        self.options.longest_park = longest;
        self
    }

    /// Lets messages of unknown entrypoints wait this long for a consumer that knows them, as in a rolling deploy, before they
    /// become dead letters. They wait in delayed records, and lose their place among those of their key. Defaults to 10 minutes;
    /// any duration is in range, and zero makes dead letters at once.
    /// Encrypted messages whose key is missing wait as long.
    #[doc(alias = "with_unknown_wait")]
    pub fn with_unknown_entrypoint_ttl(mut self, ttl: Duration) -> Self {
        self.options.unknown_wait = ttl;
        self
    }

    /// Lets running tasks go on for this long after the request to stop. Then they are cancelled, and dropped a second later.
    /// Records that are given back so count no attempt. Defaults to 25 seconds; any duration is in range.
    #[doc(alias = "with_deadline")]
    pub fn with_shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.options.deadline = timeout;
        self
    }

    /// Names the consumer over its restarts: a new one takes over the leases of its predecessor at once, and the
    /// predecessor, if it lives, stops with [`Error::Superseded`]. Two consumers that live must not share a name.
    /// Without a name, a crash costs the length of a lease.
    ///
    /// On Kafka a named consumer that stops does not leave its group, which keeps its partitions for the restart: they stand
    /// still for `session.timeout.ms` (20 seconds). The README of kser-kafka has the command that removes it at once.
    pub fn with_instance(mut self, name: impl Into<Instance>) -> Self {
        self.options.instance = Some(name.into());
        self
    }

    /// Names the consumer as the environment variable `KSER_INSTANCE` says, if it is set and not empty.
    pub fn with_instance_from_env(mut self) -> Self {
        let name = std::env::var("KSER_INSTANCE").ok();
        if let Some(name) = name.filter(|name| !name.is_empty()) {
            self.options.instance = Some(name.into());
        }
        self
    }

    /// Tells operators the version of the program, such as `1.4.2`, in the announcements of the consumer.
    pub fn with_version(mut self, version: impl Into<String>) -> Self {
        self.options.version = Some(version.into());
        self
    }

    /// Does not announce the consumer to operators. By default it announces itself every five seconds, as
    /// [`Client::announced_consumers`](crate::Client::announced_consumers) lists it: in the state store, or, without a store, in the
    /// topic `kser.consumers`, if that exists.
    pub fn without_presence(mut self) -> Self {
        self.options.announces = false;
        self
    }

    /// Lets operators pause, resume and drain the consumer, as `kser consumers pause` does. By default they may not.
    ///
    /// Commands are kept beside the announcements of consumers, in the state store or in the topic `kser.consumers`: any program that can
    /// write there can give them. A consumer that is paused keeps its partitions; the pause ends at its time. It holds over restarts
    /// of a consumer that has a name, unless the consumer is away for more than seven minutes. A drain is a graceful shutdown.
    ///
    /// It has no effect on a consumer that does not announce itself ([`without_presence`](Self::without_presence)).
    pub fn with_remote_control(mut self) -> Self {
        self.options.obeys = true;
        self
    }

    /// Stops on SIGINT and SIGTERM, which mean the same. A second signal, at least a second later, ends the process at
    /// once with an exit code that is not zero, also when the consumer has ended and the program goes on; so does the
    /// deadline plus five seconds, if tasks are left that did not end when they were asked to. The default is to
    /// leave signals alone.
    ///
    /// After a consumer that ended without a signal, such as by [`ConsumerHandle::request_stop`], signals are ignored until
    /// another consumer is run with this option, unless the program handles them itself.
    pub fn with_signals(mut self) -> Self {
        self.options.signals = true;
        self
    }

    /// Puts a `tower` layer around the handlers of tasks, outside those that were put before.
    ///
    /// The consumer clones the service of a layer. Put a layer whose service is not `Clone`, such as tower's rate limit, behind a
    /// buffer:
    /// `ServiceBuilder::new().buffer(64).rate_limit(10, Duration::from_secs(1))`.
    pub fn with_layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<TaskService>,
        L::Service: Service<TaskRequest, Response = Outcome> + Clone + Send + Sync + 'static,
        <L::Service as Service<TaskRequest>>::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
        <L::Service as Service<TaskRequest>>::Future: Send + 'static,
    {
        self.layers.add(layer);
        self
    }

    /// Returns how many tasks it runs at once at most.
    #[must_use]
    pub const fn concurrency(&self) -> usize {
        self.options.concurrency
    }

    /// Returns how many records the consumer holds at most.
    #[must_use]
    #[doc(alias = "held_records")]
    pub const fn buffer_records(&self) -> usize {
        self.options.held_records
    }

    /// Returns a handle that stops, pauses and inspects the consumer, also while it runs.
    #[must_use]
    pub fn handle(&self) -> ConsumerHandle {
        self.handle.clone()
    }

    /// Runs the consumer until it is asked to stop, then finishes the running tasks. The future owns all running tasks. A topic
    /// that does not exist while others do is read within 5 seconds of its creation, and until then the health names it.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] when it has no topics, [`Error::MissingTopic`] when none of them exists, [`Error::InvalidTopic`] when
    /// one cannot exist, [`Error::Superseded`] when the instance was started again elsewhere, [`Error::Backend`] when a backend
    /// fails for good.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future is a crash: the held records are redelivered.
    pub async fn run(self) -> Result<(), Error> {
        serve(self.observed()).await
    }

    /// Runs the consumer in the background, on the current tokio runtime. Dropping the returned value is a crash.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn spawn(self) -> RunningConsumer {
        let handle = self.handle();
        RunningConsumer::new(handle, tokio::spawn(serve(self.observed())))
    }

    /// Has the observer of the client make that of the consumer, before the consumer is run.
    fn observed(mut self) -> Self {
        let observer = self.shared.observer.as_ref();
        self.observer = observer.map(|observer| {
            let topics = topics(&self).unwrap_or_default();
            observer.of_consumer(&ConsumerInfo {
                handle: &self.handle,
                topics: &topics,
                registry: &self.registry,
                clock: &self.shared.clock,
            })
        });
        self
    }
}
