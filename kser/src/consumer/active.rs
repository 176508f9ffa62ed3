use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use kser_core::presence::RunningTask;
use kser_core::{Context, RunId, Timestamp};

/// An attempt that runs at this moment, with the context of its handler.
#[derive(Debug, Clone)]
pub(crate) struct RunningAttempt {
    pub(super) ctx: Context,
    pub(super) run: Option<RunId>,
    pub(super) since: Timestamp,
}

impl RunningAttempt {
    /// Describes the attempt, with the progress that its handler has reported last.
    pub(crate) fn task(&self) -> RunningTask {
        let (entrypoint, uuid) = (self.ctx.entrypoint().clone(), self.ctx.uuid().clone());
        let mut task = RunningTask::new(entrypoint, uuid, self.since);
        task.run.clone_from(&self.run);
        task.step = self.ctx.step();
        task.attempt = self.ctx.attempt();
        task.progress = self.ctx.latest_progress();
        task
    }
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
