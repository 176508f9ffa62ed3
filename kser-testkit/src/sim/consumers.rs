use std::sync::Arc;

use kser::consumer::Consumer;
use kser::operation::IntoOperation;
use kser::task::{IntoTaskWith, RegistryBuilder};
use kser::{IntoTask, Registry};
use kser_core::{StateStore, Transport};

use super::spec::{Configure, ConsumerSpec, Wrap, WrapStore, WrapTransport};
use super::world::World;

/// Consumers of a scenario, as they are described.
#[derive(Debug)]
pub struct Consumers<'w> {
    world: &'w mut World,
    first: usize,
}

impl<'w> Consumers<'w> {
    pub(super) fn add(world: &'w mut World, count: usize) -> Self {
        let first = world.consumers.len();
        let spec = ConsumerSpec {
            registry: Registry::default(),
            configure: Arc::new(|consumer, _| consumer),
            wrap: Wrap::default(),
        };
        world.consumers.extend(vec![spec; count]);
        Self { world, first }
    }

    /// Gives them a task.
    ///
    /// # Panics
    ///
    /// When its entrypoint has a handler.
    #[track_caller]
    pub fn task<By>(self, task: impl IntoTask<By>) -> Self {
        self.register(|registry| registry.task(task))
    }

    /// Gives them a task that is a function whose first argument is `state`. All of them share the state, which lives as long as
    /// the scenario: a crash does not end it.
    ///
    /// # Panics
    ///
    /// When its entrypoint has a handler.
    #[track_caller]
    pub fn task_with<S, By>(self, state: S, task: impl IntoTaskWith<S, By>) -> Self {
        self.register(|registry| registry.task_with(state, task))
    }

    /// Gives them an operation.
    ///
    /// # Panics
    ///
    /// When its entrypoint has a handler.
    #[track_caller]
    pub fn operation<By>(self, operation: impl IntoOperation<By>) -> Self {
        self.register(|registry| registry.operation(operation))
    }

    /// Gives them all the handlers of a registry, in place of those they had.
    pub fn registry(self, registry: Registry) -> Self {
        for spec in &mut self.world.consumers[self.first..] {
            spec.registry = registry.clone();
        }
        self
    }

    /// Sets the options that differ from the defaults. The closure gets the number of the consumer, counted from 1, and is
    /// called at every start of each consumer.
    pub fn configure(
        self,
        configure: impl Fn(Consumer, usize) -> Consumer + Send + Sync + 'static,
    ) -> Self {
        let configure: Configure = Arc::new(configure);
        for spec in &mut self.world.consumers[self.first..] {
            spec.configure = Arc::clone(&configure);
        }
        self
    }

    /// Wraps the transport of each consumer in a transport of yours, such as one that encrypts.
    pub fn wrap_transport(
        self,
        wrap: impl Fn(Arc<dyn Transport>) -> Arc<dyn Transport> + Send + Sync + 'static,
    ) -> Self {
        let wrap: WrapTransport = Arc::new(wrap);
        for spec in &mut self.world.consumers[self.first..] {
            spec.wrap.transport = Some(Arc::clone(&wrap));
        }
        self
    }

    /// Wraps the store of each consumer in a store of yours.
    pub fn wrap_store(
        self,
        wrap: impl Fn(Arc<dyn StateStore>) -> Arc<dyn StateStore> + Send + Sync + 'static,
    ) -> Self {
        let wrap: WrapStore = Arc::new(wrap);
        for spec in &mut self.world.consumers[self.first..] {
            spec.wrap.store = Some(Arc::clone(&wrap));
        }
        self
    }

    #[track_caller]
    fn register(self, register: impl FnOnce(RegistryBuilder) -> RegistryBuilder) -> Self {
        let registry = self.world.consumers.get(self.first);
        let registry = registry
            .map(|spec| spec.registry.clone())
            .unwrap_or_default();
        match register(registry.into_builder()).build() {
            Ok(registry) => self.registry(registry),
            Err(error) => panic!("the scenario cannot be made: {error}"),
        }
    }
}
