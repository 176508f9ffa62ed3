use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kser_core::{Outcome, RunId, Status, TaskId};
use tokio::runtime::{Builder, Runtime};

use super::by_hand::ByHand;
use super::driver::{Driver, End};
use super::facts::Facts;
use super::idle::Idle;
use super::process::Place;
use super::sites::{Seen, Trouble};
use super::state::Shared;
use super::store::rows;
use super::trace::Trace;
use super::{Setup, World};
use crate::choices::{Choices, Tape};
use crate::faults::{Fault, Site};
use crate::plan::Plan;
use crate::watchdog::Pulse;

/// A scenario, and what is the same in all runs of it.
pub(crate) struct Scenario<'s, S> {
    pub(crate) make: &'s dyn Fn(&mut World) -> S,
    pub(crate) setup: Setup,
    pub(crate) heal_within: Duration,
    pub(crate) pulse: Pulse,
}

/// One run that has come to its end.
pub(crate) struct Finished<S> {
    pub(crate) state: S,
    pub(crate) shared: Shared,
    pub(crate) seen: Vec<Seen>,
    pub(crate) fired: Vec<(Site, Fault)>,
    pub(crate) end: End,
    pub(crate) tape: Tape,
    pub(crate) steps: usize,
    pub(crate) elapsed: Duration,
    pub(crate) repeatable: Vec<Arc<str>>,
    /// How many tasks outlive their consumers.
    pub(crate) leaked: usize,
}

impl<S> Scenario<'_, S> {
    /// Makes one run, on a runtime of its own.
    pub(crate) fn run(&self, trouble: Trouble, choices: Choices) -> Finished<S> {
        let (runtime, idle) = runtime();
        runtime.block_on(self.run_here(idle, trouble, choices))
    }

    /// Makes one run that somebody leads by hand.
    pub(crate) fn by_hand(&self) -> ByHand<S> {
        let (runtime, idle) = runtime();
        let begun = {
            let _inside = runtime.enter();
            self.begin(idle, Trouble::Nothing, Choices::boring())
        };
        let Begun {
            shared,
            state,
            mut driver,
            ..
        } = begun;
        driver.restart = None;
        ByHand {
            runtime,
            driver,
            state,
            shared,
            end: None,
        }
    }

    fn begin(&self, idle: Idle, trouble: Trouble, choices: Choices) -> Begun<S> {
        self.pulse.begin_run();
        let shared = Shared::new(self.setup.clone(), idle, true);
        let mut world = World::new(shared.clone(), self.setup.clone());
        let state = (self.make)(&mut world);
        let repeatable = world.repeatable.clone();
        world.must_do_something();
        let tasks = world.tasks();
        shared.with(|state| {
            state.sites.trouble(trouble);
            state.facts.watched = tasks;
            state.pulse = self.pulse.clone();
        });
        let place = Place {
            shared: shared.clone(),
            rows: rows(&shared),
            row: self.setup.row,
        };
        let driver = Driver::new(place, world, Tape::new(choices), self.heal_within);
        Begun {
            shared,
            state,
            driver,
            repeatable,
        }
    }

    #[expect(
        clippy::future_not_send,
        reason = "a run stays on the thread of its test"
    )]
    async fn run_here(&self, idle: Idle, trouble: Trouble, choices: Choices) -> Finished<S> {
        let begun = self.begin(idle, trouble, choices);
        let (shared, mut driver) = (begun.shared, begun.driver);
        let end = driver.drive().await;
        let leaked = driver.end().await;
        let elapsed = shared.clock().elapsed();
        let (seen, fired) = shared.with(|state| {
            let sites = &mut state.sites;
            (sites.take_seen(), sites.fired().to_vec())
        });
        Finished {
            state: begun.state,
            shared,
            seen,
            fired,
            end,
            tape: driver.tape,
            steps: driver.steps,
            elapsed,
            repeatable: begun.repeatable,
            leaked,
        }
    }
}

/// A run that has begun.
struct Begun<S> {
    shared: Shared,
    state: S,
    driver: Driver,
    repeatable: Vec<Arc<str>>,
}

/// A runtime on paused time, which says when nothing in it can run. It has no I/O: that has no place in a simulation.
fn runtime() -> (Runtime, Idle) {
    let idle = Idle::default();
    let parking = idle.clone();
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .on_thread_park(move || parking.parking())
        .build();
    (runtime.expect("a runtime can be made"), idle)
}

impl<S> Finished<S> {
    /// The run as a value: what went wrong, and what was decided.
    pub(crate) fn case(&self) -> Plan {
        Plan {
            faults: self.fired.clone(),
            picks: self.tape.picks(),
        }
    }
}

/// One run of a scenario, as a check sees it.
///
/// The methods that take an id take that of a run of an operation or of a lone task.
pub struct Run<'r, S> {
    /// What the closure that made the scenario returned.
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

    /// Returns what happened. Its text is the same for the same run, whenever it is made.
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
