use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kser_core::RunId;
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

/// The callers in this process that wait for a change: of a run, or of the time at which something is due.
#[derive(Debug, Default)]
pub(super) struct Waiters(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    /// Looked up by id only, so that its order has no effect.
    runs: HashMap<RunId, Arc<Notify>>,
    /// The due time until which callers sleep; `None` when none of them sleeps.
    awaited: Option<i64>,
    earlier: Arc<Notify>,
}

/// The changes of one write that callers may wait for.
#[derive(Debug, Default)]
pub(super) struct Wake {
    /// The run that has changed.
    pub(super) run: Option<RunId>,
    /// The earliest time at which a run or an output of the write is due.
    pub(super) due: Option<i64>,
}

impl Waiters {
    /// Returns a future that is ready after the next change of a run.
    pub(super) fn change_of(&self, id: &RunId) -> OwnedNotified {
        let mut waiting = self.waiting();
        Arc::clone(waiting.runs.entry(id.clone()).or_default()).notified_owned()
    }

    /// Returns a future that is ready once a run or an output is written that is due before the time that
    /// [`sleep_until`](Self::sleep_until) says, or any at all until then.
    pub(super) fn earlier_due(&self) -> OwnedNotified {
        let mut waiting = self.waiting();
        waiting.awaited = Some(i64::MAX);
        Arc::clone(&waiting.earlier).notified_owned()
    }

    /// Notes the time until which callers sleep: that of the earliest run or output that is due.
    pub(super) fn sleep_until(&self, due: i64) {
        self.waiting().awaited = Some(due);
    }

    /// Wakes the callers that a write concerns.
    pub(super) fn wake(&self, wake: &Wake) {
        let mut waiting = self.waiting();
        if let Some(changed) = wake.run.as_ref().and_then(|run| waiting.runs.remove(run)) {
            changed.notify_waiters();
        }
        if let (Some(due), Some(awaited)) = (wake.due, waiting.awaited)
            && due < awaited
        {
            waiting.awaited = None;
            waiting.earlier.notify_waiters();
        }
    }

    /// Drops the entry of a run for which no other caller waits.
    pub(super) fn forget(&self, id: &RunId) {
        let mut waiting = self.waiting();
        // One reference is that of the map; each caller that waits has another.
        if waiting
            .runs
            .get(id)
            .is_some_and(|one| Arc::strong_count(one) == 1)
        {
            waiting.runs.remove(id);
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
