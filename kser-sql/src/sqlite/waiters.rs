use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use kser_core::RunId;
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

use crate::encoding::ProgressText;

/// The callers in this process that wait for a change: of a run, or of the time at which something is due.
#[derive(Debug, Default)]
pub(super) struct Waiters(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    /// The callers that wait for a change of a run, and those that wait for its end. Looked up by id only, so that their order has
    /// no effect.
    changes: HashMap<RunId, Arc<Notify>>,
    ends: HashMap<RunId, Arc<AwaitedEnd>>,
    /// The due time until which callers sleep; `None` when none of them sleeps.
    awaited: Option<i64>,
    earlier: Arc<Notify>,
}

/// The end of a run that callers wait for.
#[derive(Debug, Default)]
pub(super) struct AwaitedEnd {
    pub(super) came: Notify,
    /// The progress at the end; none if the run was removed, or has kept its outcomes.
    pub(super) progress: OnceLock<ProgressText>,
}

/// The changes of one write that callers may wait for.
#[derive(Debug, Default)]
pub(super) struct Wake {
    /// The run that has changed.
    pub(super) run: Option<RunId>,
    /// The end of the run by the write, with its progress.
    pub(super) end: Option<End>,
    /// The earliest time at which a run or an output of the write is due.
    pub(super) due: Option<i64>,
}

/// The end of a run.
#[derive(Debug)]
pub(super) enum End {
    Ended(ProgressText),
    Removed,
}

impl Waiters {
    /// Returns a future that is ready after the next change of a run.
    pub(super) fn change_of(&self, id: &RunId) -> OwnedNotified {
        let mut waiting = self.waiting();
        Arc::clone(waiting.changes.entry(id.clone()).or_default()).notified_owned()
    }

    /// Returns the next end of a run by this process.
    pub(super) fn end_of(&self, id: &RunId) -> Arc<AwaitedEnd> {
        let mut waiting = self.waiting();
        Arc::clone(waiting.ends.entry(id.clone()).or_default())
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
        if let Some(run) = &wake.run {
            if let Some(changed) = waiting.changes.remove(run) {
                changed.notify_waiters();
            }
            if let Some(end) = &wake.end
                && let Some(awaited) = waiting.ends.remove(run)
            {
                if let End::Ended(progress) = end
                    && progress.outcomes.is_some()
                {
                    let _ = awaited.progress.set(progress.clone());
                }
                awaited.came.notify_waiters();
            }
        }
        if let (Some(due), Some(awaited)) = (wake.due, waiting.awaited)
            && due < awaited
        {
            waiting.awaited = None;
            waiting.earlier.notify_waiters();
        }
    }

    /// Drops the entries of a run, for which no other caller waits, when the value is dropped.
    pub(super) const fn forget_later<'a>(&'a self, id: &'a RunId) -> Forgets<'a> {
        Forgets(self, id)
    }

    /// Drops the entries of a run for which no other caller waits.
    pub(super) fn forget(&self, id: &RunId) {
        let mut waiting = self.waiting();
        // One reference is that of the map; each caller that waits has another.
        if waiting
            .changes
            .get(id)
            .is_some_and(|one| Arc::strong_count(one) == 1)
        {
            waiting.changes.remove(id);
        }
        if waiting
            .ends
            .get(id)
            .is_some_and(|one| Arc::strong_count(one) == 1)
        {
            waiting.ends.remove(id);
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Drops the entries of a run for which no other caller waits.
pub(super) struct Forgets<'a>(&'a Waiters, &'a RunId);

impl Drop for Forgets<'_> {
    fn drop(&mut self) {
        self.0.forget(self.1);
    }
}
