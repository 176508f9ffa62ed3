use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::admin::Admin;
use crate::broker::Broker;
use crate::builder::ClusterBuilder;
use crate::coordinators;
use crate::deadline::retry;
use crate::installation::Installation;
use crate::layout::Layout;
use crate::metadata::ClusterMetadata;
use crate::proxy::{Loss, Place, Proxy};
use crate::release::Release;
use crate::secure::{Access, Secure};
use crate::watchdog::Watchdog;
use crate::wire::BrokerConnection;

/// A cluster for a single test that kills brokers or needs other settings.
#[derive(Debug)]
pub struct Cluster {
    layout: Layout,
    secure: Option<Secure>,
    release: Release,
    /// Whether brokers start fast, rather than run fast.
    fast_start: bool,
    /// The proxy between clients and the only broker.
    pub(crate) proxy: Option<Proxy>,
    /// The brokers by id, from 1 on. Dropped before the folder.
    brokers: Mutex<Vec<Option<Broker>>>,
    watchdog: Watchdog,
}

impl Cluster {
    /// Starts a cluster of one or three brokers. Returns when it is ready.
    ///
    /// # Panics
    ///
    /// If the cluster cannot be started, or the number is another one.
    #[must_use]
    pub fn start(brokers: u16) -> Self {
        Self::builder().with_brokers(brokers).start()
    }

    /// Returns a builder with further settings.
    #[must_use]
    pub fn builder() -> ClusterBuilder {
        ClusterBuilder::new()
    }

    /// Creates the folders of the brokers, starts all, and waits.
    pub(crate) fn launch_all(
        layout: Layout,
        secure: Option<Secure>,
        release: Release,
        fast_start: bool,
    ) -> Result<Self, String> {
        let watchdog = Watchdog::new()?;
        let template = secure
            .as_ref()
            .map_or_else(|| Installation::get(release).template(), Secure::template);
        for node in &layout.nodes {
            let folder = watchdog.folder().join(node.id.to_string());
            layout
                .write(node.id, &folder, &template)
                .map_err(|error| format!("{}: {error}", folder.display()))?;
        }
        let brokers = Mutex::new(layout.nodes.iter().map(|_| None).collect());
        let cluster = Self {
            layout,
            secure,
            release,
            fast_start,
            proxy: None,
            brokers,
            watchdog,
        };
        for node in &cluster.layout.nodes {
            cluster.launch(node.id)?;
        }
        cluster.wait_until_ready()?;
        Ok(cluster)
    }

    /// Returns the address and the credentials of the listener with TLS and SASL.
    ///
    /// # Panics
    ///
    /// Without [`ClusterBuilder::with_sasl_ssl`].
    #[must_use]
    pub fn access(&self) -> Access {
        let secure = self
            .secure
            .as_ref()
            .expect("the cluster was built with_sasl_ssl");
        let ports = self.layout.nodes.iter().filter_map(|node| node.secure);
        let addresses: Vec<_> = ports.map(|port| format!("127.0.0.1:{port}")).collect();
        secure.access(addresses.join(","))
    }

    /// Returns the addresses of all brokers: `host:port`, separated by commas.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        let addresses: Vec<_> = self
            .layout
            .nodes
            .iter()
            .map(|node| self.layout.client_address(node.id))
            .collect();
        addresses.join(",")
    }

    /// Has the proxy lose a request that a client will make, or its answer, and cut the connection.
    ///
    /// # Panics
    ///
    /// Without [`ClusterBuilder::with_proxy`], as for the next five.
    pub fn lose(&self, place: Place, loss: Loss) {
        self.proxy().lose(place, loss);
    }

    /// Says whether the proxy has lost a request or its answer.
    #[must_use]
    pub fn has_lost(&self, place: &Place) -> bool {
        self.proxy().has_lost(place)
    }

    /// Holds up the answers to the requests of a client to an API from now on, for at most eight seconds each.
    pub fn hold(&self, client: &str, api: i16) {
        self.proxy().hold(client, api);
    }

    /// Lets held answers go on.
    pub fn release(&self, client: &str, api: i16) {
        self.proxy().release(client, api);
    }

    /// Has the brokers seem to offer an API up to a version, as older ones do, to a client that connects from now on.
    pub fn limit_version(&self, client: &str, api: i16, greatest: i16) {
        self.proxy().limit_version(client, api, greatest);
    }

    /// Counts the requests of a client that have come to the proxy so far, by the number of their API.
    #[must_use]
    pub fn requests(&self, client: &str) -> BTreeMap<i16, usize> {
        self.proxy().requests(client)
    }

    fn proxy(&self) -> &Proxy {
        let proxy = self.proxy.as_ref();
        proxy.expect("the cluster was built with_proxy")
    }

    /// Returns an admin client for topics, groups and console tools.
    #[must_use]
    pub fn admin(&self) -> Admin {
        Admin::new(self.bootstrap())
    }

    /// Kills a broker (`kill -9`). Ids count from 1. Returns when the broker has ended. Does nothing if it does not run.
    pub fn kill(&self, id: u16) {
        drop(self.slot(id, &mut self.brokers()).take());
    }

    /// Stops a broker gracefully: it hands over the leadership of its partitions first.
    ///
    /// # Panics
    ///
    /// If the broker does not run, or does not end.
    pub fn stop(&self, id: u16) {
        let broker = self.slot(id, &mut self.brokers()).take();
        let broker = broker.unwrap_or_else(|| panic!("broker {id} does not run"));
        broker.stop().unwrap_or_else(|error| panic!("{error}"));
    }

    /// Starts a broker that was killed or stopped, with its data. A running broker is killed first.
    ///
    /// Returns when all running brokers know it and, if all brokers run, groups and transactions have their coordinators. If
    /// too few run for that (one of three), it returns at once.
    ///
    /// # Panics
    ///
    /// If the cluster is not ready after three minutes.
    pub fn restart(&self, id: u16) {
        self.kill(id);
        self.launch(id)
            .and_then(|()| self.wait_until_ready())
            .unwrap_or_else(|error| panic!("{error}"));
    }

    /// Freezes a broker: it keeps its connections and does not answer.
    ///
    /// # Panics
    ///
    /// If the broker does not run.
    pub fn freeze(&self, id: u16) {
        self.with_running(id, Broker::freeze);
    }

    /// Resumes a frozen broker. Returns when it is ready, as after [`restart`](Self::restart).
    ///
    /// # Panics
    ///
    /// If the broker does not run, or is not ready after three minutes.
    pub fn thaw(&self, id: u16) {
        self.with_running(id, Broker::thaw);
        self.wait_until_ready()
            .unwrap_or_else(|error| panic!("{error}"));
    }

    /// Waits until each partition of each topic has all its replicas in sync.
    ///
    /// # Panics
    ///
    /// If a replica is not in sync after three minutes.
    pub fn wait_until_in_sync(&self) {
        let done = retry(|| {
            let metadata =
                ClusterMetadata::read(&mut BrokerConnection::open_any(&self.bootstrap())?)?;
            match metadata.topics.iter().find(|topic| !topic.is_complete()) {
                Some(topic) => Err(format!("not in sync: {topic:?}")),
                None => Ok(()),
            }
        });
        done.unwrap_or_else(|error| panic!("{error}"));
    }

    fn launch(&self, id: u16) -> Result<(), String> {
        let mut java = Installation::get(self.release).java(self.fast_start);
        java.arg(if self.fast_start {
            "-Xmx512m"
        } else {
            "-Xmx3g"
        });
        let broker = Broker::start(java, &self.watchdog.folder().join(id.to_string()))?;
        *self.slot(id, &mut self.brokers()) = Some(broker);
        Ok(())
    }

    /// Waits until each running broker answers, and knows all of them as live.
    fn wait_until_ready(&self) -> Result<(), String> {
        let mut brokers = self.brokers();
        let mut running: Vec<_> = (1..)
            .zip(brokers.iter_mut())
            .filter_map(|(id, broker)| Some((id, broker.as_mut()?)))
            .filter(|(_, broker)| !broker.is_frozen())
            .collect();
        if running.len() * 2 <= self.layout.nodes.len() {
            return Ok(());
        }
        let all = running.len() == self.layout.nodes.len();
        let ids: Vec<_> = running.iter().map(|(id, _)| *id).collect();
        for (id, broker) in &mut running {
            let address = self.layout.address(*id);
            broker.wait_until(|| {
                let mut connection = BrokerConnection::open(&address)?;
                let seen = ClusterMetadata::read(&mut connection)?;
                if let Some(missing) = ids.iter().find(|id| !seen.has_broker(**id)) {
                    return Err(format!("broker {id} does not see {missing}"));
                }
                // A partition may have to wait for the broker that was its last leader.
                if all {
                    coordinators::are_ready(&mut connection)
                } else {
                    Ok(())
                }
            })?;
        }
        Ok(())
    }

    fn with_running(&self, id: u16, act: impl FnOnce(&mut Broker) -> Result<(), String>) {
        let mut brokers = self.brokers();
        let broker = self.slot(id, &mut brokers).as_mut();
        let broker = broker.unwrap_or_else(|| panic!("broker {id} does not run"));
        act(broker).unwrap_or_else(|error| panic!("{error}"));
    }

    fn slot<'a>(&self, id: u16, brokers: &'a mut [Option<Broker>]) -> &'a mut Option<Broker> {
        let n = self.layout.nodes.len();
        let index = usize::from(id).checked_sub(1);
        let slot = index.and_then(|index| brokers.get_mut(index));
        slot.unwrap_or_else(|| panic!("there is no broker {id}: they count from 1 to {n}"))
    }

    fn brokers(&self) -> MutexGuard<'_, Vec<Option<Broker>>> {
        // A test that failed in another thread has reported its own panic.
        self.brokers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
