use std::fmt;
use std::sync::Arc;

use kser_clock::SystemClock;
use kser_core::log::LogOptions;
use kser_core::{Clock, Error, IdSource, Limits, Mode, StateStore, Transport};

use super::Client;
use super::url::{Backend, open, open_store};
#[cfg(feature = "encryption")]
use crate::encryption::Encryption;
use crate::engine::event_watcher::EventWatcher;
use crate::engine::records::RecordWriter;
use crate::engine::store_clock::StoreClock;
use crate::lost_records::LostRecords;
use crate::observed_store::ObservedStore;
use crate::observer::ClientObserver;
use crate::payloads::Payloads;
use crate::presence::{PresencePlace, TopicPresence};
use crate::routes::Routes;
use crate::sealed_store::SealedStore;
use crate::shared::Shared;
use crate::system::RandomIds;
use crate::traces::Tracer;

/// The settings of a [`Client`], from [`Client::builder`] or [`Client::builder_from_url`]. They are fixed once it is built.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), kser::Error> {
/// use kser::client::Routes;
/// use kser::memory::MemoryStore;
/// use kser::Client;
///
/// let kser = Client::builder_from_url("memory://?prefix=test.")
///     .store(MemoryStore::new())
///     .routes(Routes::new().with_topic("dice.DiceRoll", "casino")?)
///     .build()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "no client is made until it is built"]
pub struct ClientBuilder {
    source: Source,
    store: Store,
    routes: Option<Routes>,
    limits: Limits,
    log: LogOptions,
    clock: Option<Arc<dyn Clock>>,
    ids: Arc<dyn IdSource>,
    mode: Option<Mode>,
    observer: Option<Arc<dyn ClientObserver>>,
    tracer: Option<Arc<dyn Tracer>>,
    #[cfg(feature = "encryption")]
    encryption: Option<Encryption>,
}

/// The source of the transport.
enum Source {
    Transport(Arc<dyn Transport>),
    Url(String),
}

/// The choice of a state store.
enum Store {
    /// The store that the URL implies, if it implies one.
    Implied,
    None,
    Some(Arc<dyn StateStore>),
    Url(String),
}

impl ClientBuilder {
    pub(super) fn from_transport(transport: impl Transport) -> Self {
        Self::new(Source::Transport(Arc::new(transport)))
    }

    pub(super) fn from_url(url: impl Into<String>) -> Self {
        Self::new(Source::Url(url.into()))
    }

    fn new(source: Source) -> Self {
        Self {
            source,
            store: Store::Implied,
            routes: None,
            limits: Limits::default(),
            log: LogOptions::default(),
            clock: None,
            ids: Arc::new(RandomIds),
            mode: None,
            observer: None,
            tracer: None,
            #[cfg(feature = "encryption")]
            encryption: None,
        }
    }

    /// Keeps the states of operations in `store`. Defaults to a store in this process for the URL `memory://`, else to none.
    ///
    /// Only the process that made a memory store knows it. Beside Kafka, the consumers of a run must be in the process that
    /// launches it, and use this client. A consumer in another process cannot read such a run: it logs an error, the messages
    /// of the run become dead letters after ten minutes, and the run does not end.
    ///
    /// The store keeps the messages that a task sends, and the next step, until they are published; they are published again when
    /// it is unknown whether they were. One consumer of a client does that at a time; the consumers of two clients over one store, as in
    /// two processes, may each publish a message that a crash left behind.
    pub fn store(mut self, store: impl StateStore) -> Self {
        self.store = Store::Some(Arc::new(store));
        self
    }

    /// Keeps the states of operations in the store that a URL names.
    ///
    /// | URL | state store |
    /// |---|---|
    /// | `memory://` | in this process, feature `memory` |
    /// | `sqlite://shop.db`, `sqlite:///var/lib/shop.db` | a file of SQLite, feature `sqlite`: the path stands behind the two slashes as it is |
    /// | `postgres://user:password@host/database` | PostgreSQL, feature `postgres`, with `?schema=kser` and other options: see the guide page `stores` |
    ///
    /// The file is made if it is missing. All processes of a machine that name it share the runs in it.
    ///
    /// Beside the URL `memory://`, whose records end with their process, the first consumer of a client publishes the pending
    /// steps of the runs of earlier processes when it starts, so that they go on at once.
    pub fn store_from_url(mut self, url: impl Into<String>) -> Self {
        self.store = Store::Url(url.into());
        self
    }

    /// Carries the states of operations in their messages, also for the URL `memory://`.
    pub fn without_store(mut self) -> Self {
        self.store = Store::None;
        self
    }

    /// Routes entrypoints to topics, and topics to groups. Defaults to [`Routes::new`]. The prefix of a URL is put before them.
    pub fn routes(mut self, routes: Routes) -> Self {
        self.routes = Some(routes);
        self
    }

    /// Sets the largest sizes of messages, outcomes and operations. Defaults to [`Limits::default`].
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets the content of log lines. By default they have no params.
    pub fn log(mut self, log: LogOptions) -> Self {
        self.log = log;
        self
    }

    /// Tells the time by `clock`. Defaults to [`SystemClock`], or to the clock of the transport for the URL `memory://`.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// Names tasks and runs by `ids`. Defaults to [`RandomIds`].
    pub fn ids(mut self, ids: impl IdSource) -> Self {
        self.ids = Arc::new(ids);
        self
    }

    /// Sets where the state of a run lives unless its launch says otherwise. Defaults to [`Mode::Stored`] with a store, else to
    /// [`Mode::AtLeastOnce`].
    pub const fn mode(mut self, mode: Mode) -> Self {
        self.mode = Some(mode);
        self
    }

    /// Has `observer` observe the client and its consumers, such as the `Monitor` of the crate `kser-observe`. Defaults to none,
    /// which costs nothing.
    pub fn observer(mut self, observer: impl ClientObserver) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// Has `tracer` connect the spans of the client with traces, such as the `OtelTracer` of the crate `kser-observe`: see
    /// [`traces`](crate::traces). Defaults to none, which costs nothing.
    pub fn tracer(mut self, tracer: impl Tracer) -> Self {
        self.tracer = Some(Arc::new(tracer));
        self
    }

    /// Encrypts the messages and events of the client, and the values that its store keeps. By default nothing is encrypted.
    ///
    /// Topics, headers and, unless they are hashed, the keys of records stay readable. With encryption, log lines and the headers of dead
    /// letters show no text of a message, such as the error of a task.
    #[cfg(feature = "encryption")]
    pub fn encryption(mut self, encryption: Encryption) -> Self {
        self.encryption = Some(encryption);
        self
    }

    /// Connects to the transport, and makes the client.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for a URL that is none, also that of a store, and when the routes have another prefix than the URL;
    /// [`Error::Unsupported`] for a backend that does not exist or is not compiled in; [`Error::NeedsStore`] for
    /// [`Mode::Stored`] without a store; [`Error::Backend`] when the transport, the store or the provider of keys does not answer.
    pub async fn build(self) -> Result<Client, Error> {
        let backend = match self.source {
            Source::Transport(transport) => Backend::new(transport),
            Source::Url(url) => {
                let has_store = matches!(self.store, Store::Some(_) | Store::Url(_));
                open(&url, has_store).await?
            }
        };
        let store = match self.store {
            Store::Implied => backend.store,
            Store::None => None,
            Store::Some(store) => Some(store),
            Store::Url(url) => Some(open_store(&url).await?),
        };
        let routes = self.routes.unwrap_or_default();
        let routes = match backend.prefix {
            Some(prefix) => routes.with_prefix_of_url(prefix)?,
            None => routes,
        };
        let mode = match (self.mode, &store) {
            (Some(Mode::Stored), None) => {
                return Err(Error::NeedsStore {
                    verb: "Mode::Stored",
                });
            }
            (Some(mode), _) => mode,
            (None, Some(_)) => Mode::Stored,
            (None, None) => Mode::AtLeastOnce,
        };
        let clock = self.clock.or(backend.clock);
        let clock = clock.unwrap_or_else(|| Arc::new(SystemClock::new()));
        #[cfg(feature = "encryption")]
        let payloads = match self.encryption {
            Some(encryption) => {
                Payloads::encrypted(Arc::new(encryption.into_cipher(Arc::clone(&clock)).await?))
            }
            None => Payloads::default(),
        };
        #[cfg(not(feature = "encryption"))]
        let payloads = Payloads::default();
        let observed = |store| ObservedStore::around(store, self.observer.as_ref(), &clock);
        let store = store.map(observed);
        let store = store.map(|store| SealedStore::around(store, &payloads));
        let description = backend.transport.describe(&[]).await?;
        let presence = match store.as_ref().and_then(|store| store.presence()) {
            Some(store) => Some(PresencePlace::of_store(store)),
            None => {
                let (transport, topic) = (&backend.transport, routes.consumers()?);
                TopicPresence::place(transport, topic, &clock, description.creates_topics)
            }
        };
        let store_clock = StoreClock::new(Arc::clone(&clock));
        let store_id = match &store {
            Some(store) => Some(store_clock.observe(store.id().await?)),
            None => None,
        };
        let lost_records = match backend.is_empty && store.is_some() {
            true => LostRecords::before(store_clock.now()),
            false => LostRecords::default(),
        };
        Ok(Client(Arc::new(Shared {
            lost_records: Arc::new(lost_records),
            store_clock,
            event_watcher: Arc::new(EventWatcher::default()),
            failures: Arc::default(),
            ready: Arc::default(),
            unread: Arc::default(),
            log: Arc::new(payloads.log_options(self.log)),
            ids: self.ids,
            stamps: Arc::default(),
            writer: RecordWriter {
                routes,
                limits: self.limits,
                store: store_id,
                payloads,
                has_trace_header: self.tracer.is_some(),
            },
            transport: backend.transport,
            store,
            clock,
            mode,
            observer: self.observer,
            tracer: self.tracer,
            description,
            presence,
        })))
    }
}

/// Shows neither the URL nor the records of a transport, which may have secrets.
impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("routes", &self.routes)
            .field("limits", &self.limits)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "memory"))]
mod tests {
    use kser_memory::{MemoryStore, MemoryTransport};

    use super::*;

    async fn topics(builder: ClientBuilder) -> Result<String, Error> {
        let client = builder.build().await?;
        Ok(client.0.topic_of(&"dice.DiceRoll".into())?.to_string())
    }

    #[tokio::test]
    async fn routes_and_the_prefix_of_the_url_go_together() {
        let casino = || Routes::new().with_topic("dice", "casino").unwrap();
        let url = || Client::builder_from_url("memory://?prefix=test.");
        assert_eq!(topics(url()).await.unwrap(), "test.dice");
        assert_eq!(topics(url().routes(casino())).await.unwrap(), "test.casino");
        let same = casino().with_prefix("test.").unwrap();
        assert_eq!(topics(url().routes(same)).await.unwrap(), "test.casino");
        let other = casino().with_prefix("stage.").unwrap();
        let error = topics(url().routes(other)).await.unwrap_err().to_string();
        assert!(
            error.contains("\"test.\"") && error.contains("\"stage.\""),
            "{error}"
        );
    }

    #[tokio::test]
    async fn the_mode_follows_the_store() {
        let over = || Client::builder(MemoryTransport::new());
        let mode = |client: Client| client.0.mode;
        assert_eq!(mode(over().build().await.unwrap()), Mode::AtLeastOnce);
        let stored = over().store(MemoryStore::new());
        assert_eq!(mode(stored.build().await.unwrap()), Mode::Stored);
        let url = || Client::builder_from_url("memory://");
        assert_eq!(mode(url().build().await.unwrap()), Mode::Stored);
        let carried = url().without_store().build().await.unwrap();
        assert_eq!(mode(carried), Mode::AtLeastOnce);
        let refused = over().mode(Mode::Stored).build().await;
        assert!(matches!(refused, Err(Error::NeedsStore { .. })));
    }

    /// A store in place of the implied one.
    #[tokio::test]
    async fn a_store_may_stand_beside_any_url() {
        let store = MemoryStore::new();
        let id = store.id().await.unwrap().value;
        let client = Client::builder_from_url("memory://").store(store);
        assert_eq!(client.build().await.unwrap().0.writer.store, Some(id));
    }

    #[tokio::test]
    async fn a_store_url_names_a_store() {
        let over = |url: &str| Client::builder(MemoryTransport::new()).store_from_url(url);
        let stored = over("memory://").build().await.unwrap();
        assert_eq!(stored.0.mode, Mode::Stored);
        for (url, text) in [
            ("shop.db", "it has no scheme"),
            ("memory://?prefix=a.", "has no prefix"),
            ("memory://here", "nothing may stand before"),
            (
                "kafka://host",
                "there are `memory://`, `sqlite://` and `postgres://`",
            ),
        ] {
            let refused = over(url).build().await.map(drop).unwrap_err();
            assert!(refused.to_string().contains(text), "{url}: {refused}");
        }
    }

    #[cfg(feature = "postgres")]
    #[tokio::test]
    async fn an_error_of_a_store_url_shows_no_password() {
        let urls = [
            ("postgres://u:hunter2@127.0.0.1:1/shop", "error connecting"),
            ("postgres://u:hunter2@db/shop?schema=A-b", "a schema has"),
            ("postgresql://u:hunter2@db:port/shop", "invalid value"),
            ("postgres://u:hunter2@db/shop?prefix=a", "has no prefix"),
        ];
        for (url, expected) in urls {
            let builder = Client::builder_from_url("memory://").store_from_url(url);
            let error = builder.build().await.unwrap_err();
            let text = format!("{error:?} {}", error.report());
            assert!(
                text.contains(expected) && !text.contains("hunter2"),
                "{text}"
            );
        }
    }

    #[cfg(feature = "sqlite")]
    #[tokio::test]
    async fn a_store_url_names_a_file_of_sqlite() {
        let over = |url: String| Client::builder(MemoryTransport::new()).store_from_url(url);
        let file = std::env::temp_dir().join(format!("kser-url-{}.db", std::process::id()));
        let open = || over(format!("sqlite://{}", file.display())).build();
        let ids = [open().await.unwrap(), open().await.unwrap()];
        let [first, second] = ids.map(|client| client.0.writer.store.clone().unwrap());
        assert_eq!(first, second, "the file is the store");
        for (url, text) in [
            ("sqlite://", "it has no path"),
            ("sqlite://shop.db?mode=ro", "unknown option \"mode\""),
            (
                "sqlite:///no/such/folder/shop.db",
                "sqlite failed: unable to open",
            ),
        ] {
            let refused = over(url.to_owned()).build().await.map(drop).unwrap_err();
            assert!(
                refused.report().contains(text),
                "{url}: {}",
                refused.report()
            );
        }
        for end in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{end}", file.display()));
        }
    }

    #[test]
    fn a_builder_does_not_show_its_url() {
        let builder = Client::builder_from_url("kafka://broker?sasl.password=hunter2");
        assert!(!format!("{builder:?}").contains("hunter2"));
    }
}
