use std::fmt::Write as _;

use crate::cluster::Cluster;
use crate::installation::Installation;
use crate::layout::{Layout, Node};
use crate::proxy::Proxy;
use crate::release::Release;

/// The settings of a [`Cluster`]. Defaults to one broker with a fast start, on free ports.
#[derive(Debug, Clone)]
pub struct ClusterBuilder {
    brokers: u16,
    release: Release,
    first_port: Option<u16>,
    sasl_ssl: bool,
    proxy: bool,
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
            proxy: false,
            fast_start: true,
            properties: String::new(),
        }
    }

    /// Sets the number of brokers: one or three. With three, topics have three replicas by default, two of which must be in
    /// sync.
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

    /// Sets a server property of all brokers, such as `offsets.retention.minutes`. It overrides the property of this crate.
    #[must_use]
    pub fn with_property(mut self, key: &str, value: &str) -> Self {
        let _ = writeln!(self.properties, "{key}={value}");
        self
    }

    /// Adds a listener with TLS and SASL, whose address and credentials [`Cluster::access`] returns. Needs `openssl`.
    #[must_use]
    pub fn with_sasl_ssl(mut self) -> Self {
        self.sasl_ssl = true;
        self
    }

    /// Puts a proxy between clients and the broker, which loses requests and answers: [`Cluster::lose`]. There is one broker.
    #[must_use]
    pub fn with_proxy(mut self) -> Self {
        self.proxy = true;
        self
    }

    /// Lets the brokers listen at this port and the following ones.
    #[must_use]
    pub fn with_first_port(mut self, port: u16) -> Self {
        self.first_port = Some(port);
        self
    }

    /// Runs the brokers at full speed, with up to 3 GiB of heap each, as benchmarks need it. They start more slowly.
    #[must_use]
    pub fn with_full_speed(mut self) -> Self {
        self.fast_start = false;
        self
    }

    /// Starts the cluster. Returns when it is ready.
    ///
    /// # Panics
    ///
    /// If the cluster cannot be started, or has neither one broker nor three.
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
        let mut nodes = self.nodes();
        let proxy = match (self.proxy, &mut *nodes) {
            (true, [node]) => {
                let proxy = Proxy::start(node.port)?;
                node.advertised = Some(proxy.port());
                Some(proxy)
            }
            (true, _) => return Err("a cluster with a proxy has one broker".to_owned()),
            (false, _) => None,
        };
        let mut layout = Layout::new(nodes);
        if let Some(secure) = &secure {
            layout.properties = secure.properties();
        }
        layout.properties.push_str(&self.properties);
        let mut cluster = Cluster::launch_all(layout, secure, self.release, self.fast_start)?;
        cluster.proxy = proxy;
        Ok(cluster)
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
