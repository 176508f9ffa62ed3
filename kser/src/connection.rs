use std::fmt;
use std::sync::Arc;

use kser_clock::SystemClock;
use kser_core::log::LogOptions;
use kser_core::{
    Clock, Description, Error, IdSource, Limits, Mode, NotPublished, Record, Registry, StateStore,
    Topic, TopicSpec, Transport,
};

use tokio::sync::{OnceCell, Semaphore};

use crate::consumer::Consumer;
use crate::dead_letters::DeadLetters;
use crate::failures::Failures;
use crate::observer::Observer;
use crate::post::Post;
use crate::producer::Producer;
use crate::routes::Routes;
use crate::runs::Runs;
use crate::stamps::Stamps;
use crate::store_clock::StoreClock;
use crate::system::RandomIds;

/// A transport, perhaps a state store, and what producers and consumers share. Cloning is cheap.
///
/// Set what should differ from the defaults before the first producer or consumer is made: each keeps what it was made
/// with.
#[derive(Clone)]
pub struct Connection(Arc<Shared>);

#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) store: Option<Arc<dyn StateStore>>,
    pub(crate) store_clock: StoreClock,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn IdSource>,
    stamps: Arc<Stamps>,
    pub(crate) log: Arc<LogOptions>,
    pub(crate) post: Post,
    pub(crate) mode: Mode,
    pub(crate) description: Description,
    pub(crate) observer: Arc<Observer>,
    /// The consumers, as the waiters see them.
    pub(crate) failures: Arc<Failures>,
    /// Lets one consumer at a time publish the outputs that their writer did not.
    pub(crate) relaying: Arc<Semaphore>,
    /// Set once the topics that nobody has to make are there.
    ready: Arc<OnceCell<()>>,
}

impl Connection {
    pub(crate) async fn new(
        transport: Arc<dyn Transport>,
        store: Option<Arc<dyn StateStore>>,
    ) -> Result<Self, Error> {
        let description = transport.describe(&[]).await?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let store_clock = StoreClock::new(Arc::clone(&clock));
        let store_id = match &store {
            Some(store) => Some(store_clock.heard(store.id().await?)),
            None => None,
        };
        let routes = Routes::default();
        let mode = match store {
            Some(_) => Mode::Stored,
            None => Mode::AtLeastOnce,
        };
        Ok(Self(Arc::new(Shared {
            store_clock,
            observer: Arc::new(Observer::default()),
            failures: Arc::default(),
            relaying: Arc::new(Semaphore::new(1)),
            ready: Arc::default(),
            log: Arc::new(LogOptions::default()),
            ids: Arc::new(RandomIds),
            stamps: Arc::default(),
            post: Post {
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
        Producer::new(self.clone())
    }

    /// Receives messages and does what the handlers of `registry` can do.
    pub fn consumer(&self, registry: Registry) -> Consumer {
        Consumer::new(self.clone(), registry)
    }

    /// Looks at runs, and repairs them, by their ids.
    #[must_use]
    pub fn runs(&self) -> Runs {
        Runs::new(self.clone())
    }

    /// Opens the dead letters of a topic, given without the prefix.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidTopic`] when the topic cannot have that name, or it is that of the dead letters themselves;
    /// [`Error::MissingTopic`] when there is none, on a transport that does not make topics at their first use.
    pub async fn dead_letters(&self, topic: impl AsRef<str>) -> Result<DeadLetters, Error> {
        DeadLetters::open(self.clone(), topic.as_ref()).await
    }

    /// Routes entrypoints to topics, and topics to groups. The default is [`Routes::new`].
    #[must_use]
    pub fn with_routes(self, routes: Routes) -> Self {
        self.change(|shared| shared.post.routes = routes)
    }

    /// Sets how large things may be. The default is [`Limits::default`].
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        self.change(|shared| shared.post.limits = limits)
    }

    /// Sets what is written to the log. The default shows no params.
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

    /// Creates the topics that the entrypoints of `registry` need and that do not exist: the topics themselves with
    /// this many partitions (`None` for what the backend takes), their dead letters and delays, and the events.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidTopic`] when an entrypoint's topic cannot exist, [`Error::Backend`] when the backend refuses.
    pub async fn ensure_topics(
        &self,
        registry: &Registry,
        partitions: Option<u32>,
    ) -> Result<(), Error> {
        let topics = crate::topics::needed(&self.0.post.routes, registry, partitions)?;
        self.0.transport.ensure_topics(&topics).await
    }

    pub(crate) async fn with_store(
        self,
        store: Option<Arc<dyn StateStore>>,
    ) -> Result<Self, Error> {
        let store_clock = StoreClock::new(Arc::clone(&self.0.clock));
        let id = match &store {
            Some(store) => Some(store_clock.heard(store.id().await?)),
            None => None,
        };
        Ok(self.change(|shared| {
            shared.store_clock = store_clock;
            shared.mode = match store {
                Some(_) => Mode::Stored,
                None => Mode::AtLeastOnce,
            };
            shared.post.store = id;
            shared.store = store;
        }))
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.0
    }

    fn change(self, change: impl FnOnce(&mut Shared)) -> Self {
        let mut shared = Arc::unwrap_or_clone(self.0);
        // What was made before keeps its observer, which knows the old routes.
        shared.observer = Arc::new(Observer::default());
        shared.failures = Arc::default();
        shared.ready = Arc::default();
        change(&mut shared);
        Self(Arc::new(shared))
    }
}

impl Shared {
    /// Returns the store, or the error that says that `verb` needs one.
    pub(crate) fn store(&self, verb: &'static str) -> Result<&Arc<dyn StateStore>, Error> {
        self.store.as_ref().ok_or(Error::NeedsStore { verb })
    }

    /// Returns a stamp for the next write of a run.
    pub(crate) fn next_stamp(&self) -> u64 {
        self.stamps.next(&*self.ids)
    }

    pub(crate) async fn publish(&self, records: Vec<Record>) -> Result<(), NotPublished> {
        if records.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.ready().await {
            return Err(none_of(records.len(), error));
        }
        self.transport.publish(records).await
    }

    /// On a transport that makes topics at their first use, says that nobody but observers wants the events: they would
    /// be kept for ever.
    pub(crate) async fn ready(&self) -> Result<(), Error> {
        if !self.description.forgets {
            return Ok(());
        }
        let ensure = || async {
            let events = TopicSpec::observed(self.post.routes.events()?);
            self.transport.ensure_topics(&[events]).await
        };
        self.ready.get_or_try_init(ensure).await.map(|_| ())
    }

    pub(crate) fn topic_of(&self, entrypoint: &kser_core::Name) -> Result<Topic, Error> {
        self.post.routes.topic(entrypoint)
    }
}

/// None of the records is published, for one reason.
fn none_of(records: usize, error: Error) -> NotPublished {
    if records == 1 {
        return NotPublished::new(vec![(0, error)]);
    }
    let error = Arc::new(error);
    let failed = (0..records).map(|index| {
        let error = Error::Backend {
            backend: "making the topic of the events",
            temporary: error.is_temporary(),
            source: Arc::clone(&error).into(),
        };
        (index, error)
    });
    NotPublished::new(failed.collect())
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("transport", &self.0.transport)
            .field("store", &self.0.store)
            .finish_non_exhaustive()
    }
}
