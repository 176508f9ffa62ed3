pub(crate) mod act_report;
pub(crate) mod brake;
pub(crate) mod chain;
pub(crate) mod consumer_act;
pub(crate) mod diagnosis;
pub(crate) mod groups;
pub(crate) mod letter_act;
pub(crate) mod letter_export;
pub(crate) mod letter_plan;
pub(crate) mod letters;
pub(crate) mod pace;
pub(crate) mod run_act;
pub(crate) mod run_causes;
pub(crate) mod run_handles;
pub(crate) mod run_plan;
pub(crate) mod runs;
pub(crate) mod status;
pub(crate) mod topics;
pub(crate) mod waiting;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use kser::Error;
use kser::backend::Inspect;
use kser::client::{Client, Clock, SystemClock};
use kser::run::Timestamp;
use serde::Serialize;
use tokio::time::timeout;

use crate::absent::AbsentTransport;
use crate::access::{Access, shown_url};
use crate::error::OpsError;

/// The questions and acts of an operator, over one client. Cloning is cheap.
///
/// Looking takes no part: no group gets a member, and no offset is committed.
#[derive(Clone)]
pub struct Ops {
    pub(crate) client: Client,
    clock: Arc<dyn Clock>,
    kafka: Part,
    store: Part,
    /// The time for an answer.
    pub(crate) limit: Option<Duration>,
}

/// Kafka, or the state store, as it was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
#[non_exhaustive]
pub enum Part {
    /// It answers.
    Open {
        /// Its URL, without secrets.
        url: String,
    },
    /// It was not named.
    Absent,
    /// It does not answer, or refuses.
    Failed {
        /// Its URL, without secrets.
        url: String,
        /// The reason.
        reason: String,
        /// Whether a retry may succeed.
        temporary: bool,
    },
}

impl Part {
    fn open(url: Option<&String>) -> Self {
        url.map_or(Self::Absent, |url| Self::Open {
            url: shown_url(url),
        })
    }

    fn failed(url: Option<&String>, error: &OpsError) -> Self {
        Self::Failed {
            url: url.map(|url| shown_url(url)).unwrap_or_default(),
            reason: error.to_string(),
            temporary: error.is_temporary(),
        }
    }

    /// Refuses a question that needs this part, unless it is open.
    fn must_be_open(&self, what: &'static str, part: &'static str) -> Result<(), OpsError> {
        let (reason, temporary) = match self {
            Self::Open { .. } => return Ok(()),
            Self::Absent => ("it is not named".to_owned(), false),
            Self::Failed {
                reason, temporary, ..
            } => (reason.clone(), *temporary),
        };
        Err(OpsError::Needs {
            what,
            part,
            reason,
            temporary,
        })
    }
}

impl Ops {
    /// Asks over the client of a program.
    #[must_use]
    pub fn new(client: Client) -> Self {
        let open = |what: &str| Part::Open {
            url: what.to_owned(),
        };
        Self {
            client,
            clock: Arc::new(SystemClock::new()),
            kafka: open("this program"),
            store: open("this program"),
            limit: None,
        }
    }

    /// Tells the time by `clock`. Defaults to the clock of the system.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Sets the time that a backend has for an answer, in [`within_limit`](Self::within_limit) and for each page of dead letters. By
    /// default there is no limit; [`connect`](Self::connect) sets that of the access.
    #[must_use]
    pub const fn with_limit(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Waits for the answer to a question, within the time that a backend has.
    ///
    /// # Errors
    ///
    /// [`OpsError::TimedOut`] after that time, otherwise those of the question.
    pub async fn within_limit<T>(
        &self,
        question: impl Future<Output = Result<T, OpsError>> + Send,
    ) -> Result<T, OpsError> {
        limited(self.limit, question).await
    }

    /// Sets Kafka and the store as they are shown.
    #[must_use]
    pub fn with_parts(mut self, kafka: Part, store: Part) -> Self {
        (self.kafka, self.store) = (kafka, store);
        self
    }

    /// Connects to the backends. When one of two does not answer, the questions to the other are answered all the same, and
    /// [`kafka`](Self::kafka) and [`store`](Self::store) tell the reason.
    ///
    /// # Errors
    ///
    /// The error of the one that is named, or that of the store when neither of two answers.
    pub async fn connect(access: &Access) -> Result<Self, OpsError> {
        let (kafka, store) = (access.kafka.as_ref(), access.store.as_ref());
        let limit = access.timeout;
        let ops = |client, kafka, store| Self {
            client,
            clock: Arc::new(SystemClock::new()),
            kafka,
            store,
            limit: Some(limit),
        };
        // The time for both, and then for one alone.
        let each = match (kafka, store) {
            (Some(_), Some(_)) => limit / 2,
            _ => limit,
        };
        let both = within(each, "Kafka or the store", client_of(kafka, store)).await;
        let error = match both {
            Ok(client) => return Ok(ops(client, Part::open(kafka), Part::open(store))),
            Err(error) if kafka.is_none() || store.is_none() => return Err(error),
            Err(error) => error,
        };
        match within(each, "the store", client_of(None, store)).await {
            Ok(client) => {
                let failed = Part::failed(kafka, &named("Kafka", error, each));
                Ok(ops(client, failed, Part::open(store)))
            }
            Err(of_store) => match within(each, "Kafka", client_of(kafka, None)).await {
                Ok(client) => Ok(ops(
                    client,
                    Part::open(kafka),
                    Part::failed(store, &of_store),
                )),
                Err(_) => Err(of_store),
            },
        }
    }

    /// Returns Kafka as it was found.
    #[must_use]
    pub const fn kafka(&self) -> &Part {
        &self.kafka
    }

    /// Returns the state store as it was found.
    #[must_use]
    pub const fn store(&self) -> &Part {
        &self.store
    }

    /// Returns the present time of day.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.wall()
    }

    /// Says whether there is a state store that answers.
    pub(crate) const fn has_store(&self) -> bool {
        matches!(self.store, Part::Open { .. })
    }

    pub(crate) fn needs_kafka(&self, what: &'static str) -> Result<(), OpsError> {
        self.kafka.must_be_open(what, "Kafka")
    }

    pub(crate) fn needs_store(&self, what: &'static str) -> Result<(), OpsError> {
        self.store.must_be_open(what, "a state store")
    }

    /// Returns the view of topics and groups.
    pub(crate) fn inspect(&self, what: &'static str) -> Result<Arc<dyn Inspect>, OpsError> {
        self.needs_kafka(what)?;
        self.client.inspect().ok_or(OpsError::Needs {
            what,
            part: "a transport that shows its records",
            reason: "this one does not".to_owned(),
            temporary: false,
        })
    }
}

/// Waits for an answer within a limit.
pub(crate) async fn limited<T>(
    limit: Option<Duration>,
    question: impl Future<Output = Result<T, OpsError>> + Send,
) -> Result<T, OpsError> {
    let Some(limit) = limit else {
        return question.await;
    };
    match timeout(limit, question).await {
        Ok(answer) => answer,
        Err(_) => Err(OpsError::TimedOut {
            what: "the backend",
            limit,
        }),
    }
}

/// Makes the client of the URLs.
async fn client_of(kafka: Option<&String>, store: Option<&String>) -> Result<Client, Error> {
    let builder = match kafka {
        Some(url) => Client::builder_from_url(url),
        None => Client::builder(AbsentTransport),
    };
    match store {
        Some(url) => builder.store_from_url(url).build().await,
        None => builder.build().await,
    }
}

async fn within(
    limit: Duration,
    what: &'static str,
    client: impl Future<Output = Result<Client, Error>> + Send,
) -> Result<Client, OpsError> {
    match timeout(limit, client).await {
        Ok(client) => Ok(client?),
        Err(_) => Err(OpsError::TimedOut { what, limit }),
    }
}

/// Names the backend that was found not to answer.
fn named(what: &'static str, error: OpsError, limit: Duration) -> OpsError {
    match error {
        OpsError::TimedOut { .. } => OpsError::TimedOut { what, limit },
        other => other,
    }
}

impl fmt::Debug for Ops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ops")
            .field("kafka", &self.kafka)
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}
