use std::fmt;
use std::time::Duration;

use kser_core::{Outcome, RunId, Status, TaskId};

use super::facts::Facts;
use super::state::Shared;
use super::trace::Trace;

/// A run of a scenario, as a check sees it.
///
/// The methods that take an id take that of a run of an operation or of a lone task.
pub struct Run<'r, S> {
    /// The value that the closure of the scenario returned.
    pub state: &'r S,
    pub(crate) shared: &'r Shared,
    pub(crate) elapsed: Duration,
}

impl<S> Run<'_, S> {
    /// Returns the status of a run of an operation, or of a lone task; `None` if nothing was ever seen of it. A lone task is
    /// FAILED once it is a dead letter.
    #[must_use]
    pub fn status(&self, id: impl AsRef<str>) -> Option<Status> {
        let id = id.as_ref();
        self.facts(|facts| {
            facts.asked.insert(id.to_owned());
            facts.end_of(id).and_then(|(status, _)| status)
        })
    }

    /// Returns the outcome of a run of an operation, or of a lone task; an empty one if it has not ended.
    #[must_use]
    pub fn outcome(&self, id: impl AsRef<str>) -> Outcome {
        let id = id.as_ref();
        self.facts(|facts| {
            facts.asked.insert(id.to_owned());
            facts.end_of(id).map(|(_, outcome)| outcome)
        })
        .unwrap_or_default()
    }

    /// Lists the runs of operations that were launched, and their statuses, also those that handlers launched.
    #[must_use]
    pub fn runs(&self) -> Vec<(RunId, Option<Status>)> {
        self.facts(|facts| {
            let launched = facts.runs.iter().filter(|(_, run)| run.launched);
            let launched: Vec<_> = launched.map(|(id, run)| (id.clone(), run.status)).collect();
            let asked = launched.iter().map(|(id, _)| id.to_string());
            facts.asked.extend(asked);
            launched
        })
    }

    /// Lists the lone tasks that were sent, and their statuses, also those that handlers sent.
    #[must_use]
    pub fn tasks(&self) -> Vec<(TaskId, Status)> {
        self.facts(|facts| {
            let sent = facts.tasks.iter().filter(|(_, task)| task.is_alone());
            let sent: Vec<_> = sent.map(|(id, task)| (id.clone(), task.status())).collect();
            let asked = sent.iter().map(|(id, _)| id.to_string());
            facts.asked.extend(asked);
            sent
        })
    }

    /// Asserts that a run of an operation, or a lone task, succeeded.
    ///
    /// # Panics
    ///
    /// If it did not.
    #[track_caller]
    pub fn assert_succeeded(&self, id: impl AsRef<str>) {
        self.assert_is(id.as_ref(), Status::Success);
    }

    /// Asserts that a run of an operation, or a lone task, failed: a lone task is a dead letter then.
    ///
    /// # Panics
    ///
    /// If it did not.
    #[track_caller]
    pub fn assert_failed(&self, id: impl AsRef<str>) {
        self.assert_is(id.as_ref(), Status::Failed);
    }

    #[track_caller]
    fn assert_is(&self, id: &str, wanted: Status) {
        let Some(status) = self.status(id) else {
            let runs = self.runs().into_iter().map(|(id, _)| id.to_string());
            let tasks = self.tasks().into_iter().map(|(id, _)| id.to_string());
            let known: Vec<String> = runs.chain(tasks).collect();
            panic!("there is no {id}; there is {}", known.join(", "));
        };
        let outcome = self.outcome(id);
        let said = match outcome.shown() {
            "" => String::new(),
            said => format!(": {said}"),
        };
        assert!(status == wanted, "{id} is {status}, and not {wanted}{said}");
    }

    /// Returns the trace of the run. Its text is the same for the same run, at any time that the run is made.
    #[must_use]
    pub fn trace(&self) -> Trace {
        self.shared.with(|state| state.trace.clone())
    }

    /// Returns how much time passed in the run.
    #[must_use]
    pub const fn virtual_elapsed(&self) -> Duration {
        self.elapsed
    }

    fn facts<T>(&self, f: impl FnOnce(&mut Facts) -> T) -> T {
        self.shared.with(|state| f(&mut state.facts))
    }
}

impl<S: fmt::Debug> fmt::Debug for Run<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}
