use std::collections::BTreeSet;
use std::time::Duration;

use crate::access::gate::Gate;
use crate::links::Links;
use crate::live::stop::StreamsEnd;

/// The hosts by which a server of this machine is reached.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// The names of params and of fields of outcomes whose values are not shown.
const MASKED: [&str; 14] = [
    "password",
    "Password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "access_token",
    "refresh_token",
    "api_key",
    "apikey",
    "authorization",
    "Authorization",
    "credentials",
    "private_key",
];

/// The settings of the pages: by default they cannot change anything, and answer on this machine's own names alone.
#[derive(Debug, Clone)]
pub struct WebOptions {
    gate: Gate,
    links: Links,
    hosts: BTreeSet<String>,
    has_acts: bool,
    masked: BTreeSet<String>,
    limit: Duration,
    name: String,
    streams_end: StreamsEnd,
}

/// A setting that cannot be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OptionsError {
    /// A path prefix cannot stand in an address.
    #[error(
        "the path prefix {prefix:?} is none: it has the form /ops/kser, of letters, digits, and -._~"
    )]
    Prefix {
        /// The prefix that was given.
        prefix: String,
    },
    /// The name of a host is none.
    #[error("{host:?} is no name of a host: it has neither a scheme nor a port")]
    Host {
        /// The name that was given.
        host: String,
    },
}

impl WebOptions {
    /// Lets those in whom the gate does.
    #[must_use]
    pub fn new(gate: Gate) -> Self {
        Self {
            gate,
            links: Links::default(),
            hosts: LOOPBACK.map(str::to_owned).into(),
            has_acts: false,
            masked: MASKED.map(str::to_owned).into(),
            limit: Duration::from_secs(10),
            name: String::new(),
            streams_end: StreamsEnd::new(),
        }
    }

    /// Adds the acts: resume, retry, skip, report, cancel, fork and purge for runs, replay, renew and discard for dead letters, pause, resume
    /// and drain for consumers. Without this the router has no route that changes anything.
    #[must_use]
    pub const fn with_acts(mut self) -> Self {
        self.has_acts = true;
        self
    }

    /// Sets the path under which the router is reached from outside, such as `/ops/kser`: that of the program that nests it, or of a proxy.
    /// The router itself has its routes at `/`.
    ///
    /// # Errors
    ///
    /// [`OptionsError::Prefix`] for a text that is no such path.
    pub fn with_prefix(mut self, prefix: &str) -> Result<Self, OptionsError> {
        let path = prefix.trim_end_matches('/');
        let is_part = |part: &str| {
            let is_plain = |it: char| it.is_ascii_alphanumeric() || "-._~".contains(it);
            !part.is_empty() && part != "." && part != ".." && part.chars().all(is_plain)
        };
        let is_path = match path.strip_prefix('/') {
            Some(parts) => parts.split('/').all(is_part),
            None => path.is_empty(),
        };
        if !is_path {
            return Err(OptionsError::Prefix {
                prefix: prefix.to_owned(),
            });
        }
        self.links = Links::new(path.to_owned());
        Ok(self)
    }

    /// Answers requests to this host, too, beside `localhost`, `127.0.0.1` and `[::1]`. A request to any other is refused, since a page
    /// of another site may have made its own name that of this machine. The name has no port.
    ///
    /// # Errors
    ///
    /// [`OptionsError::Host`] for a text that is no such name.
    pub fn with_host(mut self, host: &str) -> Result<Self, OptionsError> {
        let is_address = host.starts_with('[') && host.ends_with(']');
        let is_plain = |it: char| it.is_ascii_alphanumeric() || "-._".contains(it);
        let is_name = !host.is_empty() && host.chars().all(is_plain);
        if !(is_name || is_address) {
            return Err(OptionsError::Host {
                host: host.to_owned(),
            });
        }
        self.hosts.insert(host.to_ascii_lowercase());
        Ok(self)
    }

    /// Shows `***` for params and for fields of outcomes of these names, at any depth, beside `password`, `token` and others like them.
    #[must_use]
    pub fn with_masked<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.masked.extend(names.into_iter().map(Into::into));
        self
    }

    /// Sets the time within which a page is answered. Defaults to 10 s.
    #[must_use]
    pub const fn with_limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Sets the name of the installation in the head of each page, such as `prod`.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Ends the streams of browsers with `end`, so that a graceful shutdown does not wait for them.
    #[must_use]
    pub fn with_streams_end(mut self, end: &StreamsEnd) -> Self {
        self.streams_end = end.clone();
        self
    }

    pub(crate) const fn streams_end(&self) -> &StreamsEnd {
        &self.streams_end
    }

    pub(crate) const fn gate(&self) -> &Gate {
        &self.gate
    }

    pub(crate) const fn links(&self) -> &Links {
        &self.links
    }

    pub(crate) const fn has_acts(&self) -> bool {
        self.has_acts
    }

    pub(crate) const fn limit(&self) -> Duration {
        self.limit
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) const fn masked(&self) -> &BTreeSet<String> {
        &self.masked
    }

    /// Says whether a host is one of this server.
    pub(crate) fn names(&self, host: &str) -> bool {
        self.hosts.contains(host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Access;

    fn options() -> WebOptions {
        WebOptions::new(Gate::program(|_| Access::None))
    }

    #[test]
    fn a_prefix_is_a_plain_path() {
        let prefix = |prefix: &str| {
            let options = options().with_prefix(prefix);
            options.map(|options| options.links().root())
        };
        for (given, expected) in [
            ("", "/"),
            ("/", "/"),
            ("/ops", "/ops"),
            ("/ops/kser/", "/ops/kser"),
        ] {
            assert_eq!(prefix(given).unwrap(), expected);
        }
        for wrong in [
            "ops",
            "//evil.example",
            "/a//b",
            "/..",
            "/a\"b",
            "/a b",
            "http://x",
        ] {
            let error = prefix(wrong).unwrap_err().to_string();
            assert!(error.contains(&format!("{wrong:?}")), "{error}");
        }
    }

    #[test]
    fn hosts_are_names_without_ports() {
        let options = options().with_host("Ops.Example.com").unwrap();
        assert!(options.names("ops.example.com") && options.names("[::1]"));
        assert!(!options.names("evil.example"));
        for wrong in ["", "ops:80", "http://ops", "a b"] {
            assert!(options.clone().with_host(wrong).is_err(), "{wrong}");
        }
    }
}
