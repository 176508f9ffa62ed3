use std::sync::Arc;

use kser_core::{Error, StateStore, Transport};

use crate::Connection;
#[cfg(any(feature = "memory", feature = "kafka"))]
use crate::Routes;

/// Connects to the transport that `url` names.
///
/// | URL | transport | state store |
/// |---|---|---|
/// | `memory://` | in this process, feature `memory` | in this process |
/// | `kafka://host:port,host:port` | Apache Kafka, feature `kafka` | none: runs are carried in their messages |
///
/// Behind the `?` of a Kafka URL may stand any setting of its client, such as `?security.protocol=SASL_SSL`, and
/// `create=6`, which makes topics with 6 partitions where they are missing: see `KafkaConfig`. `?prefix=` puts a text before
/// the names of topics and groups, to keep tenants or stages apart.
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
/// [`Error::Invalid`] for a URL that is none, [`Error::Unsupported`] for a backend that is not there or not compiled in,
/// [`Error::Backend`] when the backend does not answer.
pub async fn connect(url: &str) -> Result<Connection, Error> {
    let url = Url::parse(url)?;
    match url.scheme {
        #[cfg(feature = "memory")]
        "memory" => {
            let transport = kser_memory::MemoryTransport::new();
            let clock = transport.clock();
            let store = kser_memory::MemoryStore::with_clock(clock);
            let connection = connect_with(transport, store).await?;
            Ok(connection.with_clock(clock).with_routes(url.routes()?))
        }
        #[cfg(feature = "kafka")]
        "kafka" => {
            let options = url.options.iter().copied();
            let config = kser_kafka::KafkaConfig::from_url_parts(url.place, options)?;
            let transport = kser_kafka::KafkaTransport::with_config(config).await?;
            let connection = connect_with(transport, NoStore).await?;
            Ok(connection.with_routes(url.routes()?))
        }
        scheme => Err(unsupported(scheme)),
    }
}

/// Connects to a transport, and keeps the states of operations in the store that `store_url` names: `memory://`, or
/// `none` to carry them in the messages.
///
/// Only the process that made a memory store knows it. Beside `kafka://`, the consumers of a run must be in the process that
/// launches it, and use this connection. A consumer in another process cannot read such a run: it logs an error, the messages
/// of the run become dead letters after ten minutes, and the run does not end.
///
/// # Errors
///
/// As [`connect`].
pub async fn connect_with_store(url: &str, store_url: &str) -> Result<Connection, Error> {
    let store = match store_url {
        "none" => None,
        url if !url.contains("://") => {
            return Err(Error::Invalid {
                what: "the URL of the state store".to_owned(),
                reason: "it has no scheme: there are `memory://` and `none`".to_owned(),
            });
        }
        url => Some(Url::parse(url)?.without_options()?),
    };
    let connection = connect(url).await?;
    match store.map(|store| store.scheme) {
        None => connection.with_store(None).await,
        #[cfg(feature = "memory")]
        Some("memory") => {
            let store: Arc<dyn StateStore> = Arc::new(kser_memory::MemoryStore::new());
            connection.with_store(Some(store)).await
        }
        #[cfg(not(feature = "memory"))]
        Some("memory") => Err(unsupported("memory")),
        Some(scheme) => Err(no_store(&format!("{scheme}://"))),
    }
}

/// Takes a transport and a state store, or [`NoStore`], as values.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), kser::Error> {
/// use kser::{MemoryTransport, NoStore};
///
/// let transport = MemoryTransport::new();
/// let shop = kser::connect_with(transport.clone(), NoStore).await?;
/// let warehouse = kser::connect_with(transport, NoStore).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`Error::Backend`] when the transport or the store does not answer.
pub async fn connect_with(
    transport: impl Transport,
    store: impl IntoStateStore,
) -> Result<Connection, Error> {
    Connection::new(Arc::new(transport), store.into_state_store()).await
}

/// A state store, or [`NoStore`].
pub trait IntoStateStore {
    /// Returns the store, if it is one.
    fn into_state_store(self) -> Option<Arc<dyn StateStore>>;
}

/// No state store: the states of operations ride in their messages.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "it has nothing")]
pub struct NoStore;

impl IntoStateStore for NoStore {
    fn into_state_store(self) -> Option<Arc<dyn StateStore>> {
        None
    }
}

impl<S: StateStore> IntoStateStore for S {
    fn into_state_store(self) -> Option<Arc<dyn StateStore>> {
        Some(Arc::new(self))
    }
}

fn no_store(name: &str) -> Error {
    Error::Unsupported {
        what: format!("the state store {name:?}"),
        hint: "there are `memory://`, with the cargo feature of kser, and `none`".to_owned(),
    }
}

fn unsupported(scheme: &str) -> Error {
    let hint = match scheme {
        "memory" => "switch on the cargo feature `memory` of kser",
        "kafka" => "switch on the cargo feature `kafka` of kser",
        _ => "there are `memory://` and `kafka://`, each with a cargo feature of kser",
    };
    Error::Unsupported {
        what: format!("the scheme {scheme:?}"),
        hint: hint.to_owned(),
    }
}

/// A URL, as far as kser reads it: the rest is the backend's.
#[derive(Debug)]
struct Url<'a> {
    scheme: &'a str,
    place: &'a str,
    prefix: Option<&'a str>,
    options: Vec<&'a str>,
}

impl<'a> Url<'a> {
    fn parse(url: &'a str) -> Result<Self, Error> {
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(invalid(
                url,
                "it has no scheme, such as memory://".to_owned(),
            ));
        };
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let options = query.split('&').filter(|option| !option.is_empty());
        let (prefixes, options): (Vec<_>, Vec<_>) =
            options.partition(|option| option.starts_with("prefix="));
        let url = Self {
            scheme,
            place,
            prefix: prefixes
                .last()
                .and_then(|option| option.strip_prefix("prefix=")),
            options,
        };
        match scheme {
            "memory" => url.only_scheme(),
            _ => Ok(url),
        }
    }

    /// Refuses all that could stand behind `memory://`, but for the prefix.
    fn only_scheme(self) -> Result<Self, Error> {
        let scheme = self.scheme;
        if !self.place.is_empty() {
            let reason = "nothing may stand before the options".to_owned();
            return Err(invalid(&format!("{scheme}://"), reason));
        }
        if let Some(option) = self.options.first() {
            let name = option.split('=').next().unwrap_or_default();
            let reason = format!("unknown option {name:?}; there is prefix");
            return Err(invalid(&format!("{scheme}://"), reason));
        }
        Ok(self)
    }

    /// Refuses options.
    fn without_options(self) -> Result<Self, Error> {
        match self.prefix {
            None => Ok(self),
            Some(_) => {
                let reason = "unknown option \"prefix\"; there is none".to_owned();
                Err(invalid(&format!("{}://", self.scheme), reason))
            }
        }
    }

    #[cfg(any(feature = "memory", feature = "kafka"))]
    fn routes(&self) -> Result<Routes, Error> {
        match self.prefix {
            Some(prefix) => Routes::new().with_prefix(prefix),
            None => Ok(Routes::new()),
        }
    }
}

/// All but the scheme may hold a secret, and is not shown.
fn invalid(url: &str, reason: String) -> Error {
    let what = match url.split_once("://") {
        Some((scheme, _)) => format!("the URL {:?}", format!("{scheme}://…")),
        None => "the URL".to_owned(),
    };
    Error::Invalid { what, reason }
}
