use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use kser_core::{Error, Settling, StateStore};

use super::clock::SimClock;
use super::envelopes::Envelopes;
use super::given_store::GivenStore;

/// The simulated surroundings of the consumers: where states live, how the transport settles, and how long things take.
///
/// Each constructor is a guarantee of kser, and the simulation checks the invariants of that guarantee.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Setup {
    /// The guarantee that the simulation checks.
    pub guarantee: Guarantee,
    /// How many partitions a topic has; 2 unless set.
    pub partitions: u32,
    /// The time after which the broker takes a silent consumer for dead. Defaults to 10 seconds.
    pub session: Duration,
    /// The time after which a consumer that crashed is started again. Defaults to 1 second.
    pub restart: Duration,
    /// The largest record; 1,048,576 bytes unless set.
    pub largest_record: usize,
    /// Breaks the broker on purpose, to see that it is noticed.
    #[doc(hidden)]
    pub broken: Option<InjectedBug>,
    pub(crate) envelopes: Envelopes,
    /// Members of both kinds share the groups.
    is_mixed: bool,
    opener: Option<Opener>,
}

type Opening = Pin<Box<dyn Future<Output = Result<GivenStore, Error>> + Send>>;

/// Opens the store of a simulated run.
#[derive(Clone)]
struct Opener(Arc<dyn Fn(SimClock) -> Opening + Send + Sync>);

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opener")
    }
}

/// A bug of the simulated broker, which the invariants have to find.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum InjectedBug {
    /// A member that had a delivery may settle it for ever, also after a rebalance.
    NoFencing,
    /// A delivery that is taken back from a member is lost, and not redelivered.
    NoRedelivery,
    /// A commit marks all that is before it in its partition as done.
    CommitsPast,
    /// A commit marks a record that was done long ago as not done.
    CommitsBack,
}

/// A guarantee of kser: where the states of runs live, and how the transport settles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Guarantee {
    /// States in a store, on a transport that settles in order: each step is accepted once.
    Stored,
    /// States in the messages, on a transport that settles together, as Kafka does with transactions: each step is
    /// accepted once.
    ExactlyOnce,
    /// States in the messages, on a transport that settles in order: a redelivery can run a step, and all after it, twice.
    AtLeastOnce,
}

impl Setup {
    const fn new(guarantee: Guarantee) -> Self {
        Self {
            guarantee,
            partitions: 2,
            session: Duration::from_secs(10),
            restart: Duration::from_secs(1),
            largest_record: 1_048_576,
            broken: None,
            envelopes: Envelopes::none(),
            is_mixed: false,
            opener: None,
        }
    }

    /// States in a store beside an at-least-once transport, as with a store beside Kafka. This is the default.
    #[must_use]
    pub const fn stored() -> Self {
        Self::new(Guarantee::Stored)
    }

    /// States in a store of the test, such as a `SqliteStore` on a new file: each simulated run opens one, whose time has to be
    /// that of the clock. The simulation stands still until the store has answered, so that it must not wait for a timer. A store with a
    /// clock of its own, as a server has, is not for simulations.
    ///
    /// # Panics
    ///
    /// The simulated run panics when the store cannot be opened.
    #[must_use]
    pub fn stored_in<S, F>(open: impl Fn(SimClock) -> F + Send + Sync + 'static) -> Self
    where
        S: StateStore,
        F: Future<Output = Result<S, Error>> + Send + 'static,
    {
        let opener = move |clock| -> Opening {
            let opening = open(clock);
            Box::pin(async move { Ok(GivenStore::new(opening.await?)) })
        };
        Self {
            opener: Some(Opener(Arc::new(opener))),
            ..Self::stored()
        }
    }

    /// Opens the store of a run; `None` where the setup gives none.
    pub(crate) async fn open_store(&self, clock: SimClock) -> Option<Arc<dyn StateStore>> {
        let Opener(open) = self.opener.as_ref()?;
        match open(clock).await {
            Ok(store) => Some(Arc::new(store)),
            Err(error) => panic!(
                "the store of the simulation cannot be opened: {}",
                error.report()
            ),
        }
    }

    /// States in the messages, settled by transactions, as `kser::connect("kafka://...")` gives it.
    #[must_use]
    pub const fn exactly_once() -> Self {
        Self::new(Guarantee::ExactlyOnce)
    }

    /// Members of both kinds in one group, as while its members are moved over from one delivery to the other: every other process
    /// settles by transactions, and one that is started again is of either kind. The promise is that of at-least-once delivery.
    #[must_use]
    pub const fn moving_over() -> Self {
        let mut setup = Self::at_least_once();
        setup.is_mixed = true;
        setup
    }

    /// States in the messages, on an at-least-once transport, as `kser::connect("kafka://...?delivery=at-least-once")` gives it.
    #[must_use]
    pub const fn at_least_once() -> Self {
        Self::new(Guarantee::AtLeastOnce)
    }

    /// Has all clients encrypt their messages, and the values in the store. The broker that the invariants look at has the texts.
    #[cfg(feature = "encryption")]
    #[must_use]
    pub fn encrypted(mut self) -> Self {
        self.envelopes = Envelopes::encrypted();
        self
    }

    /// Gives topics this many partitions, at least 1.
    #[must_use]
    pub fn with_partitions(mut self, partitions: u32) -> Self {
        self.partitions = partitions.max(1);
        self
    }

    /// Takes consumers for dead after this time.
    #[must_use]
    pub const fn with_session(mut self, session: Duration) -> Self {
        self.session = session;
        self
    }

    /// Starts consumers again this long after a crash.
    #[must_use]
    pub const fn with_restart(mut self, restart: Duration) -> Self {
        self.restart = restart;
        self
    }

    /// How outputs and the mark on the input go together in a life of a process.
    pub(crate) const fn settling(&self, life: usize) -> Settling {
        match self.guarantee {
            // A consumer that is started again is often of the other kind.
            _ if self.is_mixed && matches!(life % 4, 1 | 2) => Settling::Together,
            Guarantee::ExactlyOnce => Settling::Together,
            Guarantee::Stored | Guarantee::AtLeastOnce => Settling::InOrder,
        }
    }
}

impl Default for Setup {
    fn default() -> Self {
        Self::stored()
    }
}
