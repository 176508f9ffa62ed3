use std::sync::Arc;
use std::time::Duration;

use super::facts::Facts;
use super::sites::ReachedSite;
use super::state::{RunView, Shared};
use crate::choices::DecisionTape;
use crate::faults::{Fault, Site};
use crate::plan::Plan;

/// How a run came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// All that was asked for is done.
    Done,
    /// The time is over, and not all that was asked for is done.
    Late,
    /// The run made too many calls within an hour.
    Endless,
    /// The run broke an invariant.
    Broken,
    /// A process panicked.
    Panicked(String),
}

/// A run that has come to its end.
pub(crate) struct Finished<S> {
    pub(crate) state: S,
    pub(crate) shared: Shared,
    pub(crate) seen: Vec<ReachedSite>,
    pub(crate) fired: Vec<(Site, Fault)>,
    pub(crate) end: End,
    pub(crate) tape: DecisionTape,
    pub(crate) steps: usize,
    pub(crate) elapsed: Duration,
    pub(crate) repeatable: Vec<Arc<str>>,
    /// How many tasks outlive their consumers.
    pub(crate) leaked: usize,
}

impl<S> Finished<S> {
    /// Calls a closure with the facts of the run, and the view of its end.
    pub(crate) fn observe<T>(&self, f: impl FnOnce(&mut Facts, RunView<'_>) -> T) -> T {
        self.shared.with(|state| {
            let (facts, view) = state.observe();
            f(facts, view)
        })
    }

    /// Returns the run as a plan: the faults that were injected, and the decisions of the driver.
    pub(crate) fn case(&self) -> Plan {
        Plan {
            faults: self.fired.clone(),
            picks: self.tape.picks(),
        }
    }
}
