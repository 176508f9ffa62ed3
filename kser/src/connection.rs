use std::fmt;
use std::sync::Arc;

use kser_clock::SystemClock;
use kser_core::log::LogOptions;
use kser_core::{Clock, Error, IdSource, Limits, Mode, Registry, StateStore, Timestamp, Transport};
use tokio::sync::Semaphore;

use crate::consumer::Consumer;
use crate::dead_letters::DeadLetters;
use crate::engine::event_watcher::EventWatcher;
use crate::engine::records::RecordWriter;
use crate::engine::store_clock::StoreClock;
use crate::events::Events;
use crate::producer::Producer;
use crate::routes::Routes;
use crate::runs::Runs;
use crate::shared::Shared;
use crate::system::RandomIds;

/// A transport, an optional state store, and the settings of the producers and consumers made from it. Cloning is cheap.
///
/// Change the settings before the first producer or consumer is made: each keeps the settings that it was made with.
#[derive(Clone)]
pub struct Connection(Arc<Shared>);

impl Connection {
    pub(crate) async fn new(
        transport: Arc<dyn Transport>,
        store: Option<Arc<dyn StateStore>>,
    ) -> Result<Self, Error> {
        let description = transport.describe(&[]).await?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let store_clock = StoreClock::new(Arc::clone(&clock));
        let store_id = match &store {
            Some(store) => Some(store_clock.observe(store.id().await?)),
            None => None,
        };
        let routes = Routes::default();
        let mode = match store {
            Some(_) => Mode::Stored,
            None => Mode::AtLeastOnce,
        };
        Ok(Self(Arc::new(Shared {
            store_clock,
            event_watcher: Arc::new(EventWatcher::default()),
            failures: Arc::default(),
            relaying: Arc::new(Semaphore::new(1)),
            ready: Arc::default(),
            unread: Arc::default(),
            log: Arc::new(LogOptions::default()),
            ids: Arc::new(RandomIds),
            stamps: Arc::default(),
            writer: RecordWriter {
                routes,
                limits: Limits::default(),
                store: store_id,
            },
            transport,
            store,
            clock,
            mode,
            description,
        })))
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
    /// agree. Kafka keeps events for the retention of the topic `kser.events`, a day where kser creates the topic; `memory://` keeps
    /// the last 1,000.
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

    /// Routes entrypoints to topics, and topics to groups. The default is [`Routes::new`].
    #[must_use]
    pub fn with_routes(self, routes: Routes) -> Self {
        self.change(|shared| shared.writer.routes = routes)
    }

    /// Sets how large things may be. The default is [`Limits::default`].
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        self.change(|shared| shared.writer.limits = limits)
    }

    /// Sets the content of log lines. By default they have no params.
    #[must_use]
    pub fn with_log(self, log: LogOptions) -> Self {
        self.change(|shared| shared.log = Arc::new(log))
    }

    /// Tells the time by `clock`. The default is [`SystemClock`], or that of the transport for `memory://`.
    #[must_use]
    pub fn with_clock(self, clock: impl Clock) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(clock);
        self.change(|shared| {
            shared.store_clock = shared.store_clock.carried_by(Arc::clone(&clock));
            shared.clock = clock;
        })
    }

    /// Names tasks and runs by `ids`. The default is [`RandomIds`].
    #[must_use]
    pub fn with_ids(self, ids: impl IdSource) -> Self {
        self.change(|shared| shared.ids = Arc::new(ids))
    }

    /// Says where the state of a run lives unless its launch says otherwise. The default is [`Mode::Stored`] with a
    /// store, else [`Mode::AtLeastOnce`].
    #[must_use]
    pub fn with_mode(self, mode: Mode) -> Self {
        self.change(|shared| shared.mode = mode)
    }

    /// Creates the missing topics of the entrypoints of `registry`: the topics themselves with this many partitions
    /// (`None` for the backend's default), the topics of their dead letters and delays, and the topic of the events.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidTopic`] when an entrypoint's topic cannot exist, [`Error::Backend`] when the backend refuses.
    pub async fn ensure_topics(
        &self,
        registry: &Registry,
        partitions: Option<u32>,
    ) -> Result<(), Error> {
        let topics = crate::topics::needed(&self.0.writer.routes, registry, partitions)?;
        self.0.transport.ensure_topics(&topics).await
    }

    pub(crate) async fn with_store(
        self,
        store: Option<Arc<dyn StateStore>>,
    ) -> Result<Self, Error> {
        let store_clock = StoreClock::new(Arc::clone(&self.0.clock));
        let id = match &store {
            Some(store) => Some(store_clock.observe(store.id().await?)),
            None => None,
        };
        Ok(self.change(|shared| {
            shared.store_clock = store_clock;
            shared.mode = match store {
                Some(_) => Mode::Stored,
                None => Mode::AtLeastOnce,
            };
            shared.writer.store = id;
            shared.store = store;
        }))
    }

    fn change(self, change: impl FnOnce(&mut Shared)) -> Self {
        let mut shared = Arc::unwrap_or_clone(self.0);
        // Producers and consumers that exist already keep their event watcher, because it knows the old routes.
        shared.event_watcher = Arc::new(EventWatcher::default());
        shared.failures = Arc::default();
        shared.ready = Arc::default();
        shared.unread = Arc::default();
        change(&mut shared);
        Self(Arc::new(shared))
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("transport", &self.0.transport)
            .field("store", &self.0.store)
            .finish_non_exhaustive()
    }
}
