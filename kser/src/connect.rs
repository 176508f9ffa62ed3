use std::sync::Arc;

use kser_core::{Error, StateStore, Transport};

use crate::{Connection, Routes};

/// Connects to the transport that `url` names.
///
/// | URL | transport | state store |
/// |---|---|---|
/// | `memory://` | in this process, feature `memory` | in this process |
///
/// `?prefix=` puts a text before the names of topics and groups, to keep tenants or stages apart.
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
    let url = Url::parse(url, &["prefix"])?;
    match url.scheme {
        #[cfg(feature = "memory")]
        "memory" => {
            let transport = kser_memory::MemoryTransport::new();
            let clock = transport.clock();
            let store = kser_memory::MemoryStore::with_clock(clock);
            let connection = connect_with(transport, store).await?;
            Ok(connection.with_clock(clock).with_routes(url.routes()?))
        }
        scheme => Err(unsupported(scheme)),
    }
}

/// Connects to a transport, and keeps the states of operations in the store that `store_url` names: `memory://`, or
/// `none` to let them ride in the messages.
///
/// # Errors
///
/// As [`connect`].
pub async fn connect_with_store(url: &str, store_url: &str) -> Result<Connection, Error> {
    let store = match store_url {
        "none" => None,
        url => Some(Url::parse(url, &[])?),
    };
    let connection = connect(url).await?;
    match store.map(|store| store.scheme) {
        None => connection.with_store(None).await,
        #[cfg(feature = "memory")]
        Some("memory") => {
            let store: Arc<dyn StateStore> = Arc::new(kser_memory::MemoryStore::new());
            connection.with_store(Some(store)).await
        }
        Some(scheme) => Err(unsupported(scheme)),
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

fn unsupported(scheme: &str) -> Error {
    let hint = match scheme {
        "memory" => "switch on the cargo feature `memory` of kser",
        _ if cfg!(feature = "memory") => "this build knows `memory://`",
        _ => "this build knows no backend by its URL",
    };
    Error::Unsupported {
        what: format!("the scheme {scheme:?}"),
        hint: hint.to_owned(),
    }
}

/// A URL, as far as kser reads it.
#[derive(Debug)]
struct Url<'a> {
    scheme: &'a str,
    prefix: Option<&'a str>,
}

impl<'a> Url<'a> {
    /// Reads a URL with these options.
    fn parse(url: &'a str, known: &[&str]) -> Result<Self, Error> {
        let invalid = |reason: String| Error::Invalid {
            what: format!("the URL {url:?}"),
            reason,
        };
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(invalid("it has no scheme, such as memory://".to_owned()));
        };
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        if scheme == "memory" && !place.is_empty() {
            let reason = format!("nothing may stand before the options, and {place:?} does");
            return Err(invalid(reason));
        }
        let mut prefix = None;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if !known.contains(&name) {
                let there = match known {
                    [] => "none".to_owned(),
                    known => known.join(", "),
                };
                return Err(invalid(format!(
                    "unknown option {name:?}; there is {there}"
                )));
            }
            prefix = Some(value);
        }
        Ok(Self { scheme, prefix })
    }

    #[cfg_attr(
        not(feature = "memory"),
        expect(dead_code, reason = "no backend is compiled in")
    )]
    fn routes(&self) -> Result<Routes, Error> {
        match self.prefix {
            Some(prefix) => Routes::new().with_prefix(prefix),
            None => Ok(Routes::new()),
        }
    }
}
