use std::sync::{Arc, OnceLock};

use kser::Client;
use kser::consumer::ConsumerHandle;
use kser_core::{Error, StateStore};
use tokio::task::JoinHandle;

use super::Guarantee;
use super::clock::{ProcessClock, SimIds};
use super::port::Port;
use super::spec::{ClientSpec, ConsumerSpec, Wrap};
use super::state::{Limits, Shared};
use super::store::SimStore;
use super::transport::SimTransport;
use super::watch::Watch;

/// A process of a simulated run.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) port: Port,
    pub(crate) task: JoinHandle<Result<(), Error>>,
    /// Set once a consumer runs.
    handle: Arc<OnceLock<ConsumerHandle>>,
}

/// Where the processes of a run live.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    pub(crate) shared: Shared,
    pub(crate) rows: Arc<dyn StateStore>,
    pub(crate) guarantee: Guarantee,
}

impl Host {
    /// Starts a consumer.
    pub(crate) fn consumer(&self, number: usize, life: u32, spec: &ConsumerSpec) -> Process {
        let name = format!("c{}", number + 1);
        let port = Port::open(&self.shared, &name, Some(number));
        let (place, spec, port_of) = (self.clone(), spec.clone(), port.clone());
        let handle = Arc::new(OnceLock::new());
        let told = Arc::clone(&handle);
        let task = tokio::spawn(async move {
            let client = place
                .connect(&port_of, &format!("{name}.{life}"), &spec.wrap)
                .await?;
            let consumer = client.consumer(spec.registry);
            let consumer = consumer.with_layer(Watch(port_of.clone()));
            let consumer = (spec.configure)(consumer, number + 1);
            let limits = Limits {
                running: consumer.concurrency(),
                held: consumer.buffer_records(),
            };
            port_of
                .shared
                .with(|state| state.lives[port_of.life].limits = Some(limits));
            let _ = told.set(consumer.handle());
            // The future is large: moved to its place once.
            Box::pin(consumer.run()).await
        });
        Process { port, task, handle }
    }

    /// Starts a client.
    pub(crate) fn client(&self, number: usize, spec: ClientSpec, wrap: &Wrap) -> Process {
        let name = format!("client{}", number + 1);
        let port = Port::open(&self.shared, &name, None);
        let (place, port_of, wrap) = (self.clone(), port.clone(), wrap.clone());
        let task = tokio::spawn(async move {
            let client = place.connect(&port_of, &name, &wrap).await?;
            (spec.script)(client).await
        });
        let handle = Arc::default();
        Process { port, task, handle }
    }

    async fn connect(&self, port: &Port, ids: &str, wrap: &Wrap) -> Result<Client, Error> {
        let transport = wrap.transport(Arc::new(SimTransport::with_port(port.clone())));
        let ahead = self.shared.with(|state| state.lives[port.life].ahead);
        let clock = ProcessClock::new(*self.shared.clock(), ahead);
        let builder = Client::builder(transport)
            .clock(clock)
            .ids(SimIds::new(ids));
        let builder = match self.guarantee {
            Guarantee::Stored => {
                let store = SimStore::with_port(port.clone(), Arc::clone(&self.rows));
                builder.store(wrap.store(Arc::new(store)))
            }
            Guarantee::ExactlyOnce | Guarantee::AtLeastOnce => builder,
        };
        #[cfg(feature = "encryption")]
        let builder = match self.shared.envelopes().encryption() {
            Some(encryption) => builder.encryption(encryption),
            None => builder,
        };
        builder.build().await
    }
}

impl Process {
    /// Asks a consumer to stop.
    pub(crate) fn request_stop(&self) {
        if let Some(handle) = self.handle.get() {
            handle.request_stop();
        }
    }

    pub(crate) fn name(&self) -> Arc<str> {
        Arc::clone(&self.port.name)
    }
}
