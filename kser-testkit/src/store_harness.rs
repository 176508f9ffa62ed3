use std::sync::Arc;

use kser_core::{Name, RunId, StateStore, Topic};

use crate::names;

/// A state store under test.
#[derive(Debug)]
pub struct StoreHarness {
    store: Arc<dyn StateStore>,
    prefix: String,
}

impl StoreHarness {
    /// Puts a store under test.
    #[must_use]
    pub fn new(store: impl StateStore) -> Self {
        Self {
            store: Arc::new(store),
            prefix: names::unique(),
        }
    }

    /// Puts this before the ids of the runs that the test uses. Unless set, it is one that no other test has, so that
    /// tests share a database.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Returns the store.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn StateStore> {
        &self.store
    }

    /// Names a run.
    #[must_use]
    pub fn id(&self, name: &str) -> RunId {
        format!("{}.{name}", self.prefix).into()
    }

    /// The topic that the runs wait for.
    ///
    /// # Panics
    ///
    /// If the prefix is no name of a topic.
    #[must_use]
    pub fn topic(&self) -> Topic {
        Topic::new(format!("{}.topic", self.prefix)).expect("a prefix that a topic may have")
    }

    /// The name of the operation of the runs.
    #[must_use]
    pub fn operation(&self) -> Name {
        format!("{}.Run", self.prefix).into()
    }
}
