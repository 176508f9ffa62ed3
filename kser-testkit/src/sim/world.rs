use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use kser::{Client, Entrypoint, Error, Step};
use kser_core::{Handler, Name, RunId, TaskId, Topic, Transport};

use super::asking::{Shareable, until_certain};
use super::consumers::Consumers;
use super::spec::{ClientSpec, ConsumerSpec, Wrap};
use super::state::Shared;
use super::{Guarantee, Setup};
use crate::Effects;

/// The parts of a scenario: consumers, the clients that send them work, and the services that they call. The world is
/// made afresh for every run.
pub struct World {
    pub(crate) shared: Shared,
    pub(crate) consumers: Vec<ConsumerSpec>,
    pub(crate) clients: Vec<ClientSpec>,
    /// The services that may be called twice for one task.
    pub(crate) repeatable: Vec<Arc<str>>,
    pub(crate) setup: Setup,
    /// The wrappers around the transports of clients.
    pub(crate) wrap: Wrap,
}

impl World {
    pub(crate) fn new(shared: Shared, setup: Setup) -> Self {
        Self {
            shared,
            consumers: Vec::new(),
            clients: Vec::new(),
            repeatable: Vec::new(),
            setup,
            wrap: Wrap::default(),
        }
    }

    /// Adds consumers, each a process of its own, all with the same handlers.
    pub fn consumers(&mut self, count: usize) -> Consumers<'_> {
        Consumers::add(self, count)
    }

    /// Makes a service that tasks call, and that records their effects. An effect that a task has twice is a mistake.
    pub fn effects(&mut self, name: &str) -> Effects {
        Effects::new(name, &self.shared)
    }

    /// Makes a service that may be called twice for one task, such as a log.
    pub fn repeatable(&mut self, name: &str) -> Effects {
        self.repeatable.push(name.into());
        Effects::new(name, &self.shared)
    }

    /// Launches an operation, again and again until it is certain that it is launched. Returns the id of the run, such as
    /// `Checkout#1`.
    pub fn launch<P: Entrypoint>(&mut self, params: P) -> RunId {
        let id = self.new_run(&P::PATH.into());
        let (run, params) = (id.clone(), Shareable::new(params));
        self.client_of(id.clone(), move |kser| async move {
            let producer = kser.producer();
            let launch = || {
                let launch = producer.launch(params.clone()).with_id(run.clone());
                async { launch.await.map(|_| ()) }
            };
            until_certain(launch).await
        });
        id
    }

    /// Launches bare steps under a name, as [`launch`](Self::launch) does. Returns the id of the run.
    pub fn launch_steps(&mut self, name: impl Into<Name>, steps: Vec<Step>) -> RunId {
        let name = name.into();
        let id = self.new_run(&name);
        let run = id.clone();
        self.client_of(id.clone(), move |kser| async move {
            let producer = kser.producer();
            let launch = || {
                let launch = producer.launch_steps(name.clone(), steps.clone());
                let launch = launch.with_id(run.clone());
                async { launch.await.map(|_| ()) }
            };
            until_certain(launch).await
        });
        id
    }

    /// Sends a lone task, again and again until it is certain that it is sent. Returns its id, such as `Greet#1`.
    pub fn send<P: Entrypoint>(&mut self, params: P) -> TaskId {
        self.send_keyed(params, None)
    }

    /// Sends a lone task with a key, which orders it with others of the same key.
    pub fn send_with_key<P: Entrypoint>(&mut self, params: P, key: &str) -> TaskId {
        self.send_keyed(params, Some(key.to_owned()))
    }

    fn send_keyed<P: Entrypoint>(&mut self, params: P, key: Option<String>) -> TaskId {
        let id = self
            .shared
            .with(|state| state.labels.new_task(&P::PATH.into()));
        let (task, params) = (id.clone(), Shareable::new(params));
        self.client_of(id.clone().into(), move |kser| async move {
            let producer = kser.producer();
            let send = || {
                let send = producer.send(params.clone()).with_id(task.clone());
                let send = match &key {
                    Some(key) => send.with_key(key.clone()),
                    None => send,
                };
                async { send.await.map(|_| ()) }
            };
            until_certain(send).await
        });
        id
    }

    /// Adds a client whose run or lone task counts as acknowledged once its script has succeeded.
    fn client_of<F, Fut>(&mut self, id: RunId, script: F)
    where
        F: FnOnce(Client) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), Error>> + Send + 'static,
    {
        let shared = self.shared.clone();
        self.client(move |kser| async move {
            script(kser).await?;
            shared.with(|state| state.facts.acknowledged.insert(id));
            Ok(())
        });
    }

    /// Wraps the transport of each client in a transport of yours.
    pub fn wrap_clients(
        &mut self,
        wrap: impl Fn(Arc<dyn Transport>) -> Arc<dyn Transport> + Send + Sync + 'static,
    ) {
        self.wrap.transport = Some(Arc::new(wrap));
    }

    /// Adds a process that runs a script on a client, once. The simulation does not crash it, and notes its result. The
    /// script must come to an end.
    pub fn client<F, Fut>(&mut self, script: F)
    where
        F: FnOnce(Client) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), Error>> + Send + 'static,
    {
        self.clients.push(ClientSpec {
            script: Box::new(move |client| Box::pin(script(client))),
        });
    }

    /// Declares that services outside of the simulation read a topic: messages sent there need no consumer here.
    ///
    /// # Panics
    ///
    /// When no topic can have this name.
    #[track_caller]
    pub fn outside(&mut self, topic: impl AsRef<str>) {
        match Topic::new(topic) {
            Ok(topic) => self.shared.with(|state| state.facts.outside.insert(topic)),
            Err(error) => panic!("the scenario cannot be made: {error}"),
        };
    }

    fn new_run(&mut self, name: &Name) -> RunId {
        self.shared.with(|state| state.labels.new_run(name))
    }

    /// A scenario in which nothing can happen is a mistake.
    #[track_caller]
    pub(crate) fn must_do_something(&self) {
        assert!(
            !self.consumers.is_empty(),
            "nothing can run: the scenario has no consumers. Add some with `world.consumers(2).task(..)`"
        );
        assert!(
            !self.clients.is_empty(),
            "nothing can run: the scenario asks for nothing. Ask with `world.launch(..)`, `world.send(..)` or \
             `world.client(..)`"
        );
    }

    /// Lists the entrypoints that are tasks.
    pub(crate) fn tasks(&self) -> BTreeSet<Name> {
        let registries = self.consumers.iter().map(|spec| &spec.registry);
        let names = registries.flat_map(|registry| {
            let tasks = registry.entrypoints();
            tasks.filter(|name| matches!(registry.get(name), Some(Handler::Task(_))))
        });
        names.cloned().collect()
    }

    /// Returns the guarantee that the simulation checks.
    #[must_use]
    pub const fn guarantee(&self) -> Guarantee {
        self.setup.guarantee
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (consumers, clients) = (self.consumers.len(), self.clients.len());
        let mut shown = f.debug_struct("World");
        let shown = shown
            .field("consumers", &consumers)
            .field("clients", &clients);
        shown.finish_non_exhaustive()
    }
}
