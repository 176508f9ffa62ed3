use std::fmt;
use std::time::Duration;

use crate::error::OpsError;

/// The backends that an operator asks: Kafka, a state store, or both.
#[derive(Clone)]
#[non_exhaustive]
pub struct Access {
    /// The URL of Kafka, as for `kser::connect`.
    pub kafka: Option<String>,
    /// The URL of the state store, as for `kser::connect_with_store`.
    pub store: Option<String>,
    /// The time that a backend has to answer. Defaults to 10 s.
    pub timeout: Duration,
}

impl Access {
    /// Names the backends by their URLs.
    ///
    /// # Errors
    ///
    /// [`OpsError::Invalid`] when neither is named, and for `memory://`, which no other process can see.
    pub fn new(kafka: Option<String>, store: Option<String>) -> Result<Self, OpsError> {
        let invalid = |what: &str, reason: &str| OpsError::Invalid {
            what: what.to_owned(),
            reason: reason.to_owned(),
        };
        if kafka.is_none() && store.is_none() {
            return Err(invalid(
                "nothing to look at",
                "name Kafka (--kafka or KSER_URL), a state store (--store or KSER_STORE), or both",
            ));
        }
        let urls = [&kafka, &store];
        if urls
            .into_iter()
            .flatten()
            .any(|url| url.starts_with("memory:"))
        {
            return Err(invalid(
                "the URL memory://",
                "it lives inside the process that opened it, and no other program can see it; name Kafka, or the store of a file or a database",
            ));
        }
        Ok(Self {
            kafka,
            store,
            timeout: Duration::from_secs(10),
        })
    }

    /// Sets the time that a backend has to answer.
    #[must_use]
    pub const fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

/// Shows no secrets of the URLs.
impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |url: &Option<String>| url.as_deref().map(shown_url);
        f.debug_struct("Access")
            .field("kafka", &shown(&self.kafka))
            .field("store", &shown(&self.store))
            .field("timeout", &self.timeout)
            .finish()
    }
}

/// Returns a URL without its user, password and options, for people.
///
/// ```
/// let shown = kser_ops::shown_url("postgres://kser:hunter2@db/shop?sslmode=require");
/// assert_eq!(shown, "postgres://db/shop");
/// ```
#[must_use]
pub fn shown_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        // A text without a scheme may be a password.
        return "…".to_owned();
    };
    let place = rest.split_once('?').map_or(rest, |(place, _)| place);
    // A password may have any of the characters that end it elsewhere.
    let place = place.rsplit_once('@').map_or(place, |(_, place)| place);
    format!("{scheme}://{place}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_shown() {
        let check = |url: &str, expected: &str| assert_eq!(shown_url(url), expected);
        check(
            "kafka://k1:9092,k2:9092?sasl.password=hunter2",
            "kafka://k1:9092,k2:9092",
        );
        check("postgres://u:hun@ter/2@db/shop", "postgres://db/shop");
        check("sqlite:///srv/shop.db", "sqlite:///srv/shop.db");
        check("hunter2", "…");
        let access = Access::new(Some("kafka://u:hunter2@k".to_owned()), None).unwrap();
        assert!(!format!("{access:?}").contains("hunter2"));
    }

    #[test]
    fn a_backend_that_no_program_can_see_is_refused() {
        let refused = |kafka: Option<&str>, store: Option<&str>| {
            let access = Access::new(kafka.map(str::to_owned), store.map(str::to_owned));
            access.unwrap_err().to_string()
        };
        assert!(refused(Some("memory://"), None).contains("inside the process"));
        assert!(refused(Some("kafka://k"), Some("memory://")).contains("inside the process"));
        assert!(refused(None, None).contains("KSER_URL"));
    }
}
