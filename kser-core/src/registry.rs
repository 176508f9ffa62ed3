use std::collections::BTreeMap;

use crate::{Error, IntoOperation, IntoTask, Name, OperationEntry, TaskEntry};

/// Handlers by name: what one consumer can do.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    handlers: BTreeMap<Name, Handler>,
}

/// What a name stands for.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_enums, reason = "a consumer must treat every kind")]
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
    /// [`Error::Duplicate`] when the name is taken.
    pub fn task<By>(self, task: impl IntoTask<By>) -> Result<Self, Error> {
        let entry = task.into_task();
        self.add(entry.entrypoint().clone(), Handler::Task(entry))
    }

    /// Adds an operation.
    ///
    /// # Errors
    ///
    /// [`Error::Duplicate`] when the name is taken.
    pub fn operation<By>(self, operation: impl IntoOperation<By>) -> Result<Self, Error> {
        let entry = operation.into_operation();
        let name = entry.entrypoint().clone();
        let status = Name::from(format!("{name}#status"));
        let mut this = self.add(name, Handler::Operation(entry.clone()))?;
        this.handlers.insert(status, Handler::Status(entry));
        Ok(this)
    }

    /// Returns the handler of a name.
    #[must_use]
    pub fn get(&self, entrypoint: &Name) -> Option<&Handler> {
        self.handlers.get(entrypoint)
    }

    /// Goes through the names, in order.
    pub fn entrypoints(&self) -> impl Iterator<Item = &Name> {
        let handlers = self.handlers.iter();
        let own = handlers.filter(|(_, handler)| !matches!(handler, Handler::Status(_)));
        own.map(|(name, _)| name)
    }

    fn add(mut self, entrypoint: Name, handler: Handler) -> Result<Self, Error> {
        if self.handlers.contains_key(&entrypoint) {
            return Err(Error::Duplicate { entrypoint });
        }
        tracing::info!(%entrypoint, "Operation registry: loaded {entrypoint}");
        self.handlers.insert(entrypoint, handler);
        Ok(self)
    }
}
