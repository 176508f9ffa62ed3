use std::fmt::{self, Debug};
use std::time::Duration;

use kser_core::Error;
use tokio_postgres::Config;

use super::tls::Tls;

/// The schema of the tables, unless another one is set.
const SCHEMA: &str = "kser";
/// The longest name that PostgreSQL keeps whole.
const LONGEST_NAME: usize = 63;
/// The time for a connection to be made.
const CONNECT: Duration = Duration::from_secs(10);
/// The silence after which the system asks whether the server is still there.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// The time within which the server's system has to confirm data that was sent.
const CONFIRM: Duration = Duration::from_secs(20);

/// The settings of a connection to PostgreSQL.
///
/// Its `Debug` shows neither the password nor the other options.
#[derive(Clone)]
pub struct PostgresConfig {
    pub(super) client: Config,
    pub(super) schema: String,
    #[cfg_attr(
        not(feature = "postgres-tls"),
        expect(
            dead_code,
            reason = "it is as unless set: `from_url` refuses the others"
        )
    )]
    pub(super) tls: Tls,
}

impl PostgresConfig {
    /// Reads a URL: `postgres://user:password@host:5432/database`.
    ///
    /// The options behind `?` are those of `libpq` that `tokio-postgres` knows, among them `connect_timeout` in seconds (10 by
    /// default), `application_name` and `target_session_attrs=read-write`, and `schema`, the schema of the tables (`kser` by
    /// default).
    ///
    /// | option | meaning, as in `libpq` |
    /// |---|---|
    /// | `sslmode=disable`, `prefer` | no TLS; TLS if the server has it, the default |
    /// | `sslmode=require` | TLS, and no check of the server |
    /// | `sslmode=verify-ca`, `verify-full` | TLS with a certificate of a root, which names the host, too |
    /// | `sslrootcert=/path/ca.pem` | the roots, in place of those of the system |
    /// | `sslcert=/path/client.pem`, `sslkey=/path/client.key` | the certificate of the client |
    ///
    /// They need the cargo feature `postgres-tls`. A password belongs behind `verify-full`: `prefer` and `require` do not tell the
    /// server from another that has come in between.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if it is no such URL. The error does not show it, because it may hold a password.
    pub fn from_url(url: &str) -> Result<Self, Error> {
        let mut schema = SCHEMA.to_owned();
        let (place, query) = split_options(url);
        let (mut options, mut of_tls) = (Vec::new(), Vec::new());
        for option in query.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("schema", name)) => schema = name.to_owned(),
                Some((name, value)) if name.starts_with("ssl") => of_tls.push((name, value)),
                _ => options.push(option),
            }
        }
        let rest = match options.is_empty() {
            true => place.to_owned(),
            false => format!("{place}?{}", options.join("&")),
        };
        let mut client: Config = rest.parse().map_err(|error: tokio_postgres::Error| {
            // The cause names options and parts, never their values.
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            invalid(cause.unwrap_or_else(|| error.to_string()))
        })?;
        let mut tls = Tls::default();
        for (name, value) in of_tls {
            if !tls.take(&mut client, name, value).map_err(invalid)? {
                return Err(invalid(format!("there is no option `{name}`")));
            }
        }
        if let Some(reason) = tls.refusal(&client) {
            return Err(invalid(reason.to_owned()));
        }
        let config = Self {
            tls,
            ..Self::with_client(client)
        };
        config.with_schema(schema)
    }

    /// Makes the settings from those of the client.
    ///
    /// Settings that are absent get defaults: 10 s to connect, keepalives after 10 s, and `kser` as the name of the application.
    #[must_use]
    pub fn with_client(mut client: Config) -> Self {
        if client.get_application_name().is_none() {
            client.application_name("kser");
        }
        if client.get_connect_timeout().is_none() {
            client.connect_timeout(CONNECT);
        }
        if client.get_tcp_user_timeout().is_none() {
            client.tcp_user_timeout(CONFIRM);
        }
        client.keepalives_idle(client.get_keepalives_idle().min(KEEPALIVE));
        Self {
            client,
            schema: SCHEMA.to_owned(),
            tls: Tls::default(),
        }
    }

    /// Sets the schema of the tables. Defaults to `kser`.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] unless the name has 1 to 63 lower-case letters, digits and underscores, and begins with no digit.
    pub fn with_schema(mut self, schema: impl Into<String>) -> Result<Self, Error> {
        self.schema = schema.into();
        if is_schema(&self.schema) {
            return Ok(self);
        }
        let reason = "a schema has 1 to 63 lower-case letters, digits and underscores, and begins with no digit";
        Err(invalid(reason.to_owned()))
    }
}

impl Debug for PostgresConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresConfig")
            .field("hosts", &self.client.get_hosts())
            .field("database", &self.client.get_dbname())
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}

/// Says whether a store may have this schema.
pub(super) fn is_schema(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    let begins = name.bytes().next().is_some_and(is_letter);
    let fits = |byte: u8| is_letter(byte) || byte.is_ascii_digit();
    begins && name.len() <= LONGEST_NAME && name.bytes().all(fits)
}

/// Splits a URL at its options. A password may contain a question mark, too.
fn split_options(url: &str) -> (&str, &str) {
    let host = url.rfind('@').unwrap_or_default();
    match url[host..].find('?') {
        Some(mark) => (&url[..host + mark], &url[host + mark + 1..]),
        None => (url, ""),
    }
}

fn invalid(reason: String) -> Error {
    Error::Invalid {
        what: "the URL \"postgres://…\"".to_owned(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> PostgresConfig {
        PostgresConfig::from_url(url).unwrap()
    }

    #[test]
    fn the_url_names_database_and_schema() {
        let config = read("postgres://u:p@db:5433/shop?schema=orders&connect_timeout=3");
        assert_eq!(config.schema, "orders");
        assert_eq!(config.client.get_dbname(), Some("shop"));
        let three = Duration::from_secs(3);
        assert_eq!(config.client.get_connect_timeout(), Some(&three));
        assert_eq!(read("postgres://db/shop").schema, "kser");
    }

    #[test]
    fn no_text_shows_the_password() {
        for password in ["hunter2", "hunter2?", "hunter2&x=y", "hunter2?schema=A"] {
            for rest in [
                "db/shop",
                "db:port/shop",
                "db/shop?colour=blue",
                "db/shop?schema=A-b",
            ] {
                let url = format!("postgres://user:{password}@{rest}");
                let text = match PostgresConfig::from_url(&url) {
                    Ok(config) => format!("{config:?}"),
                    Err(error) => format!("{error:?} {}", error.report()),
                };
                assert!(!text.contains("hunter2"), "{text}");
            }
        }
    }

    #[test]
    fn a_schema_that_would_need_quotes_is_refused() {
        for schema in ["", "A", "1a", "a-b", "a\"b", "a b", &"a".repeat(64)] {
            let error = PostgresConfig::from_url(&format!("postgres://db/shop?schema={schema}"));
            assert!(error.is_err(), "{schema}");
        }
        assert_eq!(
            read(&format!("postgres://db?schema={}", "a".repeat(63)))
                .schema
                .len(),
            63
        );
    }
}
