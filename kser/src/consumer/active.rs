use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kser_core::{Name, RunId, TaskId, Timestamp};
use serde::Serialize;

/// An attempt that runs at this moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RunningTask {
    /// The name of the entrypoint.
    pub entrypoint: Name,
    /// The id of the task.
    pub uuid: TaskId,
    /// The run of which it is a step.
    pub run: Option<RunId>,
    /// The number of the attempt, counted from 1.
    pub attempt: u32,
    /// The start of the attempt.
    pub since: Timestamp,
}

/// A registry of the items that are active at this moment, the oldest first.
#[derive(Debug)]
pub(crate) struct ActiveSet<T>(Arc<Mutex<Table<T>>>);

/// The items, by a number that grows.
#[derive(Debug)]
struct Table<T> {
    all: BTreeMap<u64, T>,
    begun: u64,
}

impl<T> ActiveSet<T> {
    /// Inserts an item, which is removed when the guard is dropped.
    pub(crate) fn insert(&self, item: T) -> ActiveGuard<T> {
        let mut table = self.table();
        table.begun += 1;
        let number = table.begun;
        table.all.insert(number, item);
        ActiveGuard {
            of: self.clone(),
            number,
        }
    }

    /// Lists the items.
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

impl<T> Clone for ActiveSet<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for ActiveSet<T> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Table {
            all: BTreeMap::new(),
            begun: 0,
        })))
    }
}

/// Removes an item of an [`ActiveSet`] when it is dropped.
#[derive(Debug)]
#[must_use = "the item is removed when this is dropped"]
pub(crate) struct ActiveGuard<T> {
    of: ActiveSet<T>,
    number: u64,
}

impl<T> Drop for ActiveGuard<T> {
    fn drop(&mut self) {
        let ended = self.of.table().all.remove(&self.number);
        drop(ended);
    }
}
