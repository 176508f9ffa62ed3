use std::sync::Arc;

use kser_core::{Clock, Error, StateStore, Transport};

/// The transport that a URL names, with its store, clock and prefix.
pub(super) struct Backend {
    pub(super) transport: Arc<dyn Transport>,
    pub(super) store: Option<Arc<dyn StateStore>>,
    pub(super) clock: Option<Arc<dyn Clock>>,
    pub(super) prefix: Option<String>,
    /// Whether the transport was made just now, without a record.
    pub(super) is_empty: bool,
}

impl Backend {
    /// Makes a backend of a transport, without a store, a clock and a prefix.
    pub(super) fn new(transport: Arc<dyn Transport>) -> Self {
        Self {
            transport,
            store: None,
            clock: None,
            prefix: None,
            is_empty: false,
        }
    }
}

/// Opens the backend that a URL names. `has_store`: a state store beside it keeps the runs.
pub(super) async fn open(url: &str, has_store: bool) -> Result<Backend, Error> {
    let url = Url::parse(url)?;
    let mut backend = open_scheme(&url, has_store).await?;
    backend.prefix = url.prefix.map(str::to_owned);
    Ok(backend)
}

/// Opens the state store that a URL names.
pub(super) async fn open_store(text: &str) -> Result<Arc<dyn StateStore>, Error> {
    let url = Url::parse(text)?;
    match url.scheme {
        #[cfg(feature = "memory")]
        "memory" => {
            url.without_prefix()?;
            Ok(Arc::new(kser_memory::MemoryStore::new()))
        }
        #[cfg(feature = "sqlite")]
        "sqlite" => {
            let file = url.without_prefix()?.without_options()?.place;
            if file.is_empty() {
                let reason = "it has no path, such as sqlite://shop.db".to_owned();
                return Err(invalid("sqlite://", reason));
            }
            Ok(Arc::new(kser_sql::SqliteStore::open(file).await?))
        }
        #[cfg(feature = "postgres")]
        "postgres" | "postgresql" => {
            url.without_prefix()?;
            Ok(Arc::new(kser_sql::PostgresStore::open(text).await?))
        }
        scheme => Err(no_store(scheme)),
    }
}

fn no_store(scheme: &str) -> Error {
    let hint = match scheme {
        "memory" => "switch on the cargo feature `memory` of kser",
        "sqlite" => "switch on the cargo feature `sqlite` of kser",
        "postgres" | "postgresql" => "switch on the cargo feature `postgres` of kser",
        _ => {
            "there are `memory://`, `sqlite://` and `postgres://`, each with a cargo feature of kser"
        }
    };
    Error::Unsupported {
        what: format!("the scheme {scheme:?} of a state store"),
        hint: hint.to_owned(),
    }
}

#[cfg_attr(
    not(feature = "kafka"),
    expect(clippy::unused_async, reason = "the memory transport opens at once")
)]
#[cfg_attr(
    not(feature = "kafka"),
    expect(
        unused_variables,
        reason = "the memory transport has one guarantee only"
    )
)]
async fn open_scheme(url: &Url<'_>, has_store: bool) -> Result<Backend, Error> {
    match url.scheme {
        #[cfg(feature = "memory")]
        "memory" => {
            let transport = kser_memory::MemoryTransport::new();
            let clock = transport.clock();
            let mut backend = Backend::new(Arc::new(transport));
            backend.store = Some(Arc::new(kser_memory::MemoryStore::with_clock(clock)));
            backend.clock = Some(Arc::new(clock));
            backend.is_empty = true;
            Ok(backend)
        }
        #[cfg(feature = "kafka")]
        "kafka" => {
            let options = url.options.iter().copied();
            let config = kser_kafka::KafkaConfig::from_url_parts(url.place, options)?;
            // A store decides which end of a step counts, and needs no transactions.
            let config = config.with_default_delivery(match has_store {
                true => kser_kafka::Guarantee::AtLeastOnce,
                false => kser_kafka::Guarantee::ExactlyOnce,
            });
            let transport = kser_kafka::KafkaTransport::with_config(config).await?;
            Ok(Backend::new(Arc::new(transport)))
        }
        scheme => Err(unsupported(scheme)),
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
        self.without_options()
    }

    /// Refuses all options but the prefix.
    fn without_options(self) -> Result<Self, Error> {
        if let Some(option) = self.options.first() {
            let name = option.split('=').next().unwrap_or_default();
            let reason = format!("unknown option {name:?}; there is prefix");
            return Err(invalid(&format!("{}://", self.scheme), reason));
        }
        Ok(self)
    }

    /// Refuses a prefix, which topics have and states have not.
    #[cfg(any(feature = "memory", feature = "postgres", feature = "sqlite"))]
    fn without_prefix(self) -> Result<Self, Error> {
        match self.prefix {
            Some(_) => {
                let reason = "the URL of a state store has no prefix".to_owned();
                Err(invalid(&format!("{}://", self.scheme), reason))
            }
            None => Ok(self),
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
