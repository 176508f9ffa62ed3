use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kser_core::{Name, RunId, TaskId, Timestamp};
use serde::Serialize;

/// One attempt that runs at this moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RunningTask {
    /// What runs.
    pub entrypoint: Name,
    /// Which task.
    pub uuid: TaskId,
    /// The run of which it is a step.
    pub run: Option<RunId>,
    /// Which attempt, counted from 1.
    pub attempt: u32,
    /// Since when.
    pub since: Timestamp,
}

/// What is so at this moment, the oldest first.
#[derive(Debug)]
pub(crate) struct Now<T>(Arc<Mutex<Table<T>>>);

/// By a number that grows.
#[derive(Debug)]
struct Table<T> {
    all: BTreeMap<u64, T>,
    begun: u64,
}

impl<T> Now<T> {
    /// Notes what is so, until what is returned is dropped.
    pub(crate) fn begin(&self, what: T) -> Entry<T> {
        let mut table = self.table();
        table.begun += 1;
        let number = table.begun;
        table.all.insert(number, what);
        Entry {
            of: self.clone(),
            number,
        }
    }

    /// Lists it.
    pub(crate) fn list(&self) -> Vec<T>
    where
        T: Clone,
    {
        self.table().all.values().cloned().collect()
    }

    fn table(&self) -> MutexGuard<'_, Table<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Clone for Now<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for Now<T> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Table {
            all: BTreeMap::new(),
            begun: 0,
        })))
    }
}

/// One thing that is so.
#[derive(Debug)]
#[must_use = "it is so until this is dropped"]
pub(crate) struct Entry<T> {
    of: Now<T>,
    number: u64,
}

impl<T> Drop for Entry<T> {
    fn drop(&mut self) {
        let ended = self.of.table().all.remove(&self.number);
        drop(ended);
    }
}
