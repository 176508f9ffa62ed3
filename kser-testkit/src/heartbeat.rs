use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::faults::{Fault, Site};
use crate::plan::Plan;

/// Tells the watchdog that a run makes progress.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heartbeat(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    beats: AtomicU64,
    latest: Mutex<Latest>,
}

/// The latest progress of the run.
#[derive(Debug, Default)]
pub(crate) struct Latest {
    pub(crate) began: String,
    /// The faults that have happened in the run, and its decisions.
    pub(crate) case: Plan,
}

impl Heartbeat {
    pub(crate) fn beat(&self) {
        self.0.beats.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes the start of an action that might not end.
    pub(crate) fn begin(&self, what: &str) {
        self.beat();
        what.clone_into(&mut self.latest().began);
    }

    /// Notes the start of a run, without faults and decisions yet.
    pub(crate) fn begin_run(&self) {
        self.latest().case = Plan::default();
        self.begin("the closure that makes the scenario");
    }

    /// Notes a fault.
    pub(crate) fn went_wrong(&self, site: &Site, fault: Fault) {
        self.latest().case.faults.push((site.clone(), fault));
    }

    /// Notes a decision.
    pub(crate) fn decided(&self, picked: usize) {
        let picked = u32::try_from(picked).unwrap_or(u32::MAX);
        self.latest().case.picks.push(picked);
    }

    /// Counts the beats so far.
    pub(crate) fn beats(&self) -> u64 {
        self.0.beats.load(Ordering::Relaxed)
    }

    pub(crate) fn latest(&self) -> MutexGuard<'_, Latest> {
        self.0.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
