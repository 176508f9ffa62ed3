mod execute;

use std::collections::{BTreeMap, BTreeSet};

use crate::{Error, IntoOperation, IntoTask, IntoTaskWith, Name, OperationEntry, TaskEntry};

/// The handlers of one consumer, by name.
///
/// ```
/// # use kser_core::{Entrypoint, Registry, Step, TaskError};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Clone, Serialize, Deserialize)] struct Roll {}
/// # impl Entrypoint for Roll { const PATH: &'static str = "dice.Roll"; }
/// # #[derive(Serialize, Deserialize)] struct Game {}
/// # impl Entrypoint for Game { const PATH: &'static str = "dice.Game"; }
/// async fn roll(_: Roll) -> &'static str { "You made a 4" }
/// async fn game(_: Game) -> Result<Vec<Step>, TaskError> { Ok(vec![Step::new(Roll {}); 3]) }
///
/// let registry = Registry::new().task(roll).operation(game).build()?;
/// assert_eq!(registry.entrypoints().count(), 2);
/// # Ok::<(), kser_core::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Registry {
    handlers: BTreeMap<Name, Handler>,
}

/// A handler that is registered under a name.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Handler {
    /// A task.
    Task(TaskEntry),
    /// An operation, for its launches.
    Operation(OperationEntry),
    /// An operation, for its changes of status.
    Status(OperationEntry),
}

impl Registry {
    /// Begins an empty registry. [`RegistryBuilder::build`] ends it.
    #[expect(
        clippy::new_ret_no_self,
        reason = "handlers are added before there is a registry"
    )]
    pub fn new() -> RegistryBuilder {
        RegistryBuilder::default()
    }

    /// Begins a registry that has the handlers of this one.
    pub fn into_builder(self) -> RegistryBuilder {
        RegistryBuilder {
            handlers: self.handlers,
            ..RegistryBuilder::default()
        }
    }

    /// Returns the handler of a name.
    #[must_use]
    pub fn get(&self, entrypoint: &Name) -> Option<&Handler> {
        self.handlers.get(entrypoint)
    }

    /// Goes through the names of tasks and operations, in alphabetical order.
    pub fn entrypoints(&self) -> impl Iterator<Item = &Name> {
        let handlers = self.handlers.iter();
        let asked = handlers.filter(|(_, handler)| !matches!(handler, Handler::Status(_)));
        asked.map(|(name, _)| name)
    }
}

/// A registry to which handlers are added. Mistakes are kept until [`build`](Self::build), which returns all of them.
#[derive(Debug, Clone, Default)]
#[must_use = "a registry is made by `build`"]
pub struct RegistryBuilder {
    handlers: BTreeMap<Name, Handler>,
    duplicates: BTreeSet<Name>,
    has_nameless: bool,
}

impl RegistryBuilder {
    /// Adds a task.
    pub fn task<By>(mut self, task: impl IntoTask<By>) -> Self {
        let entry = task.into_task();
        self.add(entry.entrypoint().clone(), Handler::Task(entry));
        self
    }

    /// Adds a task that is a function whose first argument is `state`. Each attempt gets a clone of it, which should be cheap,
    /// as those of connection pools and of `Arc` are.
    ///
    /// ```
    /// # use kser_core::{Context, Entrypoint, Registry};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct Charge { cents: u32 }
    /// # impl Entrypoint for Charge { const PATH: &'static str = "shop.Charge"; }
    /// # #[derive(Clone)] struct Database;
    /// async fn charge(db: Database, ctx: Context, charge: Charge) -> String {
    ///     format!("{} cents are charged", charge.cents)
    /// }
    ///
    /// let registry = Registry::new().task_with(Database, charge).build()?;
    /// # Ok::<(), kser_core::Error>(())
    /// ```
    ///
    /// [`IntoTaskWith::with_state`] makes the entry alone, for a retry policy or a time limit.
    pub fn task_with<S, By>(self, state: S, task: impl IntoTaskWith<S, By>) -> Self {
        self.task(task.with_state(state))
    }

    /// Adds an operation, and its [status hook](Name::status_hook) if it has one.
    pub fn operation<By>(mut self, operation: impl IntoOperation<By>) -> Self {
        let entry = operation.into_operation();
        let name = entry.entrypoint().clone();
        if entry.has_status_hook() {
            let hook = name.status_hook();
            if self.is_free(&hook) {
                self.handlers.insert(hook, Handler::Status(entry.clone()));
            }
        }
        self.add(name, Handler::Operation(entry));
        self
    }

    /// Adds the handlers that `load` adds, so that a module can offer all its tasks in one function.
    ///
    /// ```
    /// # use kser_core::{Entrypoint, Registry, RegistryBuilder};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct Roll {}
    /// # impl Entrypoint for Roll { const PATH: &'static str = "dice.Roll"; }
    /// # async fn roll(_: Roll) {}
    /// fn dice(registry: RegistryBuilder) -> RegistryBuilder {
    ///     registry.task(roll)
    /// }
    ///
    /// let registry = Registry::new().load_tasks(dice).build()?;
    /// assert!(registry.get(&"dice.Roll".into()).is_some());
    /// # Ok::<(), kser_core::Error>(())
    /// ```
    pub fn load_tasks(self, load: impl FnOnce(Self) -> Self) -> Self {
        load(self)
    }

    /// Makes the registry.
    ///
    /// # Errors
    ///
    /// [`Error::Duplicate`] with all names that were added twice, or that of a status hook among them; else
    /// [`Error::Invalid`] when a name is empty.
    pub fn build(self) -> Result<Registry, Error> {
        if !self.duplicates.is_empty() {
            return Err(Error::Duplicate {
                entrypoints: self.duplicates.into_iter().collect(),
            });
        }
        if self.has_nameless {
            return Err(Error::Invalid {
                what: "an entrypoint".to_owned(),
                reason: "its PATH is empty".to_owned(),
            });
        }
        let handlers = self.handlers;
        Ok(Registry { handlers })
    }

    fn add(&mut self, name: Name, handler: Handler) {
        self.has_nameless |= name.as_str().is_empty();
        if self.is_free(&name) {
            crate::log::loaded(&name);
            self.handlers.insert(name, handler);
        }
    }

    /// Says whether a name has no handler yet. One that has is noted as a duplicate.
    fn is_free(&mut self, name: &Name) -> bool {
        let is_taken = self.handlers.contains_key(name);
        if is_taken {
            self.duplicates.insert(name.clone());
        }
        !is_taken
    }
}
