use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::net::ToSocketAddrs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use kser::client::Client;
use kser::message::Name;
use kser::observer::{ClientObserver, ConsumerInfo, Observation, Observer};
use kser::task::Handler;

use crate::consumers::Consumers;
use crate::counters::{Counters, EntrypointCounts};
use crate::exposition::{self, MetricsFormat, Scrape};
use crate::probes::{Limits, ProbeReport};
use crate::server::{self, Server, ServerError};
use crate::watched::{Watched, Watching};

/// Counts the events of the clients of a process, exports the counts as metrics, and answers probes.
///
/// Give a clone to [`ClientBuilder::observer`](kser::client::ClientBuilder::observer) of each client, then
/// [`serve`](Self::serve). Clones share their counts. The settings are those of the value that serves: set them first.
#[derive(Debug, Clone)]
pub struct Monitor {
    state: Arc<State>,
    limits: Limits,
    hostname: Arc<str>,
    python_names: bool,
}

/// The parts of a monitor that its clones share.
#[derive(Debug, Default)]
struct State {
    counters: Arc<Counters>,
    consumers: Consumers,
    has_started: AtomicBool,
    watched: Arc<Watched>,
}

impl Monitor {
    /// Makes a monitor without counts. The host name, a label of one metric, is that of the environment variable `KSER_HOSTNAME`
    /// if it is set and not empty, otherwise that of the host.
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: Arc::default(),
            limits: Limits::default(),
            hostname: exposition::hostname().into(),
            python_names: true,
        }
    }

    /// Sets the value of the label `hostname` of `kser_task_result_total`. In Kubernetes, where each pod is a host, a constant
    /// keeps the number of series small.
    #[must_use]
    pub fn with_hostname(mut self, hostname: impl Into<String>) -> Self {
        self.hostname = hostname.into().into();
        self
    }

    /// Leaves out the two metrics of the Python library, `kser_task_count` and `kser_task_result_total`.
    #[must_use]
    pub const fn without_python_names(mut self) -> Self {
        self.python_names = false;
        self
    }

    /// Counts these entrypoints under their names, although no consumer of this process registers them: those that it only
    /// launches. Other entrypoints share the label `other`.
    #[must_use]
    pub fn with_entrypoints<N: Into<Name>>(self, names: impl IntoIterator<Item = N>) -> Self {
        for name in names {
            self.state.counters.register(&name.into()).show_runs();
        }
        self
    }

    /// Sets how many consumers are to run before the process counts as started and ready. Defaults to 1; 0 is right for a
    /// program that only sends.
    #[must_use]
    pub const fn with_expected_consumers(mut self, consumers: usize) -> Self {
        self.limits.consumers = consumers;
        self
    }

    /// Sets the time without a sign of life from a consumer that runs, from which on the process is not live. Defaults to 30 s. A
    /// consumer gives a sign each second.
    #[must_use]
    pub const fn with_stuck_after(mut self, time: Duration) -> Self {
        self.limits.stuck_after = time;
        self
    }

    /// Sets the time without an answer of a broker from which on the process is not ready. Defaults to 15 s.
    #[must_use]
    pub const fn with_silent_after(mut self, time: Duration) -> Self {
        self.limits.silent_after = time;
        self
    }

    /// Lets a paused consumer be ready, as for a process that also serves other requests. By default it is not.
    #[must_use]
    pub const fn with_ready_while_paused(mut self) -> Self {
        self.limits.ready_while_paused = true;
        self
    }

    /// Writes the metrics as text.
    #[must_use]
    pub fn metrics(&self, format: MetricsFormat) -> String {
        let scrape = Scrape {
            counters: Arc::clone(&self.state.counters),
            consumers: self.state.consumers.health(),
            running: self.state.consumers.running(),
            look: self.state.watched.latest(),
            hostname: Arc::clone(&self.hostname),
            python_names: self.python_names,
        };
        scrape.write(format)
    }

    /// Looks at the dead letters of all topics of a client, and at the consumers of all processes that announce themselves, at once and
    /// then every minute, on the current tokio runtime: for the metrics of dead letters that are about to be deleted, and of consumers
    /// that are silent. Looking takes nothing: no group gets a member. One process of a service is enough, as one that also lives
    /// when all consumers are gone.
    ///
    /// The looks end when the returned value is dropped. Where another client is watched, too, the latest look counts.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn watch(&self, client: &Client) -> Watching {
        Arc::clone(&self.state.watched).watch(client.clone())
    }

    /// Answers the probes.
    #[must_use]
    pub fn probes(&self) -> ProbeReport {
        let state = &self.state;
        let started = state.has_started.load(Ordering::Relaxed);
        let report = ProbeReport::new(state.consumers.health(), &self.limits, started);
        if report.started {
            state.has_started.store(true, Ordering::Relaxed);
        }
        report
    }

    /// Makes routes for a server of the program's own: `/metrics`, `/livez`, `/readyz`, `/startupz` and `/healthz`.
    ///
    /// A probe that is answered by the runtime of the handlers gets no answer when these block it, which a prober takes for a
    /// failure, too.
    pub fn router(&self) -> Router {
        server::router(self.clone())
    }

    /// Serves the routes of [`router`](Self::router) over HTTP, on a thread of its own, so that handlers that block their runtime do not
    /// keep a probe from its answer. The server ends when the returned value is dropped.
    ///
    /// ```
    /// # fn main() -> Result<(), kser_observe::ServerError> {
    /// let monitor = kser_observe::Monitor::new();
    /// let server = monitor.serve("127.0.0.1:0")?;
    /// println!("metrics at http://{}/metrics", server.address());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ServerError::Bind`] when the address cannot be listened on, [`ServerError::Start`] when the thread cannot be started.
    pub fn serve(&self, address: impl ToSocketAddrs) -> Result<Server, ServerError> {
        Server::start(address, self.router())
    }

    /// Serves as the environment variables of the Python library say: only if `KSER_METRICS_ENABLED` is `yes`, at the address
    /// `KSER_METRICS_ADDRESS` and the port `KSER_METRICS_PORT`. The address defaults to 127.0.0.1, unlike that of the Python
    /// library, and the port to 8888. `None` if it is not enabled.
    ///
    /// # Errors
    ///
    /// As [`serve`](Self::serve), and [`ServerError::Invalid`] for a port that is no port.
    pub fn serve_from_env(&self) -> Result<Option<Server>, ServerError> {
        let address = server::address_of(|name| std::env::var(name).ok())?;
        address.map(|address| self.serve(address)).transpose()
    }
}

impl Default for Monitor {
    fn default() -> Self {
        Self::new()
    }
}

impl ClientObserver for Monitor {
    fn of_consumer(&self, consumer: &ConsumerInfo<'_>) -> Arc<dyn Observer> {
        let state = Arc::clone(&self.state);
        state.consumers.add(consumer);
        for topic in consumer.topics {
            state.counters.register_topic(topic);
        }
        let names = consumer.registry.entrypoints();
        let counters = &state.counters;
        let entrypoints = names.map(|name| {
            let counts = counters.register(name);
            if let Some(Handler::Operation(_)) = consumer.registry.get(name) {
                counts.show_runs();
            }
            (name.clone(), counts)
        });
        Arc::new(ConsumerObserver {
            entrypoints: entrypoints.collect(),
            state,
        })
    }
}

impl Observer for Monitor {
    fn observe(&self, observation: &Observation<'_>) {
        self.state.counters.count(observation);
    }
}

/// The observer of one consumer, which finds the counts of its entrypoints without a lock.
#[derive(Debug)]
struct ConsumerObserver {
    entrypoints: HashMap<Name, Arc<EntrypointCounts>, BuildHasherDefault<DefaultHasher>>,
    state: Arc<State>,
}

impl ConsumerObserver {
    fn entrypoint(&self, name: &Name) -> &EntrypointCounts {
        let counts = self.entrypoints.get(name);
        counts.unwrap_or_else(|| self.state.counters.other())
    }
}

impl Observer for ConsumerObserver {
    fn observe(&self, observation: &Observation<'_>) {
        let counters = &self.state.counters;
        match observation {
            Observation::AttemptStarted { .. } => counters.count_start(),
            Observation::AttemptEnded {
                entrypoint,
                result,
                duration,
                waited,
                ..
            } => {
                let counts = self.entrypoint(entrypoint);
                counts.count_end(*result, *duration);
                counts.count_wait(*waited);
            }
            other => counters.count(other),
        }
    }
}
