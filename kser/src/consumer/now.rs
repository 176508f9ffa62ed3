use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kser_core::{Name, RunId, TaskId, Timestamp};

/// One attempt that runs at this moment.
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// What runs now, by a number that grows.
#[derive(Debug, Clone, Default)]
pub(crate) struct RunningTasks(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    tasks: BTreeMap<u64, RunningTask>,
    begun: u64,
}

impl RunningTasks {
    /// Notes that a task runs, until what is returned is dropped.
    pub(crate) fn begin(&self, task: RunningTask) -> Entry<'_> {
        let mut table = self.table();
        table.begun += 1;
        let number = table.begun;
        table.tasks.insert(number, task);
        Entry {
            tasks: self,
            number,
        }
    }

    /// Lists them, the oldest first.
    pub(crate) fn list(&self) -> Vec<RunningTask> {
        self.table().tasks.values().cloned().collect()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task that runs.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    tasks: &'a RunningTasks,
    number: u64,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.tasks.table().tasks.remove(&self.number);
    }
}
