use std::collections::BTreeMap;

use crate::{Error, IntoOperation, IntoTask, Name, OperationEntry, TaskEntry};

/// Handlers by name: what one consumer can do.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    handlers: BTreeMap<Name, Handler>,
}

/// What a name stands for.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Handler {
    /// A task, to be run.
    Task(TaskEntry),
    /// An operation, to be built.
    Operation(OperationEntry),
    /// An operation, to be told of a change of status.
    Status(OperationEntry),
}

impl Registry {
    /// Makes an empty registry.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a task.
    ///
    /// # Errors
    ///
    /// [`Error::Duplicate`] when the name is taken, [`Error::Invalid`] when it is empty.
    pub fn task<By>(self, task: impl IntoTask<By>) -> Result<Self, Error> {
        let entry = task.into_task();
        self.add(entry.entrypoint().clone(), Handler::Task(entry))
    }

    /// Adds an operation.
    ///
    /// # Errors
    ///
    /// [`Error::Duplicate`] when the name is taken, or that of its [status hook](Name::status_hook) is; [`Error::Invalid`]
    /// when it is empty.
    pub fn operation<By>(self, operation: impl IntoOperation<By>) -> Result<Self, Error> {
        let entry = operation.into_operation();
        let name = entry.entrypoint().clone();
        let hook = name.status_hook();
        if entry.has_status_hook() {
            self.must_be_free(&hook)?;
        }
        let mut this = self.add(name, Handler::Operation(entry.clone()))?;
        if entry.has_status_hook() {
            this.handlers.insert(hook, Handler::Status(entry));
        }
        Ok(this)
    }

    /// Adds what `load` adds, so that a module can offer all its tasks in one function.
    ///
    /// ```
    /// # use kser_core::{Entrypoint, Error, Registry};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct Roll {}
    /// # impl Entrypoint for Roll { const PATH: &'static str = "dice.Roll"; }
    /// # async fn roll(_: Roll) {}
    /// fn dice(registry: Registry) -> Result<Registry, Error> {
    ///     registry.task(roll)
    /// }
    ///
    /// let registry = Registry::new().load_tasks(dice)?;
    /// assert!(registry.get(&"dice.Roll".into()).is_some());
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// What `load` returns.
    pub fn load_tasks(self, load: impl FnOnce(Self) -> Result<Self, Error>) -> Result<Self, Error> {
        load(self)
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

    fn add(mut self, name: Name, handler: Handler) -> Result<Self, Error> {
        if name.as_str().is_empty() {
            return Err(Error::Invalid {
                what: "an entrypoint".to_owned(),
                reason: "its PATH is empty".to_owned(),
            });
        }
        self.must_be_free(&name)?;
        crate::log::loaded(&name);
        self.handlers.insert(name, handler);
        Ok(self)
    }

    fn must_be_free(&self, name: &Name) -> Result<(), Error> {
        match self.handlers.get_key_value(name) {
            Some((taken, _)) => Err(Error::Duplicate {
                entrypoint: taken.clone(),
            }),
            None => Ok(()),
        }
    }
}
