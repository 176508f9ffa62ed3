use std::fmt::Write as _;

use crate::cluster::Cluster;
use crate::installation::Installation;
use crate::layout::{Layout, Node};
use crate::release::Release;

/// What a [`Cluster`] is to be. Unless said otherwise: one broker, quick to start, on ports that are free.
#[derive(Debug, Clone)]
pub struct ClusterBuilder {
    brokers: u16,
    release: Release,
    first_port: Option<u16>,
    sasl_ssl: bool,
    fast_start: bool,
    properties: String,
}

impl ClusterBuilder {
    pub(crate) fn new() -> Self {
        Self {
            brokers: 1,
            release: Release::default(),
            first_port: None,
            sasl_ssl: false,
            fast_start: true,
            properties: String::new(),
        }
    }

    /// Has it consist of one broker or of three. Topics of three have three replicas unless they say otherwise, of which
    /// two must be in sync.
    #[must_use]
    pub fn with_brokers(mut self, n: u16) -> Self {
        self.brokers = n;
        self
    }

    /// Starts brokers of this release. Defaults to 4.4.0.
    #[must_use]
    pub fn with_release(mut self, release: Release) -> Self {
        self.release = release;
        self
    }

    /// Sets a server property of all brokers, such as `offsets.retention.minutes`. It overrules ours.
    #[must_use]
    pub fn with_property(mut self, key: &str, value: &str) -> Self {
        let _ = writeln!(self.properties, "{key}={value}");
        self
    }

    /// Adds a listener that wants TLS and a password: [`Cluster::access`] tells how to reach it. Needs `openssl`.
    #[must_use]
    pub fn with_sasl_ssl(mut self) -> Self {
        self.sasl_ssl = true;
        self
    }

    /// Has the brokers listen at this port and those that follow it.
    #[must_use]
    pub fn with_first_port(mut self, port: u16) -> Self {
        self.first_port = Some(port);
        self
    }

    /// Runs the brokers at full speed, with up to 3 GiB of heap each, as benchmarks want it; they start more slowly.
    #[must_use]
    pub fn with_full_speed(mut self) -> Self {
        self.fast_start = false;
        self
    }

    /// Starts the cluster, and returns when it can be used.
    ///
    /// # Panics
    ///
    /// If it cannot be started, or is neither of one broker nor of three.
    #[must_use]
    pub fn start(self) -> Cluster {
        assert!(
            [1, 3].contains(&self.brokers),
            "a cluster is of one broker or of three"
        );
        self.try_start().unwrap_or_else(|error| panic!("{error}"))
    }

    fn try_start(self) -> Result<Cluster, String> {
        let secure = self
            .sasl_ssl
            .then(|| Installation::get(self.release).secure())
            .transpose()?;
        let mut layout = Layout::new(self.nodes());
        if let Some(secure) = &secure {
            layout.properties = secure.properties();
        }
        layout.properties.push_str(&self.properties);
        Cluster::launch_all(layout, secure, self.release, self.fast_start)
    }

    fn nodes(&self) -> Vec<Node> {
        (1..=self.brokers)
            .map(|id| {
                let mut node = Node::new(id, self.sasl_ssl);
                if let Some(first) = self.first_port {
                    node.port = first + id - 1;
                }
                node
            })
            .collect()
    }
}
