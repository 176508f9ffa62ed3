use std::collections::BTreeSet;
use std::time::Duration;

use crate::{Error, Name, Object, RunId, Step, TaskId, Topic};

/// Names one step of a run: by its uuid and entrypoint, so that a deploy in the middle of a run cannot shift it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the identity of a step is these three"
)]
pub struct StepKey {
    /// Where it stands, counted from 1; 0 is the build.
    pub position: u32,
    /// Its id; that of the run for the build.
    pub uuid: TaskId,
    /// What it runs.
    pub entrypoint: Name,
}

/// One step of a plan: what its message is made of.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct PlannedStep {
    /// Which one it is.
    pub key: StepKey,
    /// What it is given.
    pub params: Object,
    /// Where it is sent, `None` for where the route says.
    pub topic: Option<Topic>,
    /// What orders it, `None` for the run's id.
    pub record_key: Option<String>,
    /// Set for a step that someone else runs.
    pub external: Option<External>,
}

/// How long an external step may take, and how often it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct External {
    /// How long to wait for a report.
    pub limit: Duration,
    /// How many times it is sent in all; 1 unless the step says more.
    pub attempts: u32,
}

impl External {
    /// Waits for a report this long, once.
    #[must_use]
    pub const fn new(limit: Duration) -> Self {
        Self { limit, attempts: 1 }
    }
}

impl PlannedStep {
    /// Makes one that is sent where the route says, ordered with its run, and run by a consumer of ours.
    #[must_use]
    pub const fn new(key: StepKey, params: Object) -> Self {
        Self {
            key,
            params,
            topic: None,
            record_key: None,
            external: None,
        }
    }
}

/// The two steps of a plan that the rules look at, however many steps there are.
#[derive(Debug, Clone, Copy, Default)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the rules need these two and no more"
)]
pub struct StepWindow<'a> {
    /// The step at [`Progress::position`](super::Progress::position); `None` for the build and at the end.
    pub current: Option<&'a PlannedStep>,
    /// The step after it; `None` after the last.
    pub following: Option<&'a PlannedStep>,
}

/// The steps of a run, in order, each with its id. Immutable once the run is built.
#[derive(Debug, Clone)]
pub struct Plan {
    run: RunId,
    name: Name,
    steps: Vec<PlannedStep>,
    /// All ids, from the first step on that was given one: those that are derived from positions differ by themselves.
    ids: Option<BTreeSet<TaskId>>,
}

impl Plan {
    /// Makes the plan of a run without steps.
    #[must_use]
    pub const fn new(run: RunId, name: Name) -> Self {
        Self {
            run,
            name,
            steps: Vec::new(),
            ids: None,
        }
    }

    /// Makes a plan of steps, in order.
    ///
    /// # Errors
    ///
    /// As [`add_task`](Self::add_task).
    pub fn of(run: RunId, name: Name, steps: Vec<Step>) -> Result<Self, Error> {
        let mut plan = Self::new(run, name);
        plan.steps.reserve(steps.len());
        steps.into_iter().try_for_each(|step| plan.add_task(step))?;
        Ok(plan)
    }

    /// Adds a step behind the others. Its id is derived from the run's and its position, unless it has one.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidStep`] when the plan has a step with this id, or the step cannot be sent.
    pub fn add_task(&mut self, step: Step) -> Result<(), Error> {
        let position = u32::try_from(self.steps.len() + 1).unwrap_or(u32::MAX);
        let given = step.has_id();
        let step = step.planned(&self.run, position)?;
        if given && self.ids.is_none() {
            let ids = self.steps.iter().map(|step| step.key.uuid.clone());
            self.ids = Some(ids.collect());
        }
        let ids = self.ids.as_mut();
        if ids.is_some_and(|ids| !ids.insert(step.key.uuid.clone())) {
            return Err(Error::InvalidStep {
                position,
                reason: format!("another step has its uuid {:?}", step.key.uuid),
            });
        }
        self.steps.push(step);
        Ok(())
    }

    /// Returns the step behind `task`, `None` behind the last.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] when the plan has no step of that id.
    pub fn next(&self, task: &TaskId) -> Result<Option<&PlannedStep>, Error> {
        let mut ids = self.steps.iter().map(|step| &step.key.uuid);
        match ids.position(|id| id == task) {
            Some(index) => Ok(self.steps.get(index + 1)),
            None => Err(Error::Invalid {
                what: format!("step {task:?}"),
                reason: format!("operation {} has no such step", self.run),
            }),
        }
    }

    /// Names the run.
    #[must_use]
    pub const fn run(&self) -> &RunId {
        &self.run
    }

    /// Names the operation, such as `dice.DiceLaunch`.
    #[must_use]
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// Returns the steps, in order.
    #[must_use]
    pub fn steps(&self) -> &[PlannedStep] {
        &self.steps
    }

    /// Takes the steps out.
    #[must_use]
    pub fn into_steps(self) -> Vec<PlannedStep> {
        self.steps
    }
}

impl PartialEq for Plan {
    fn eq(&self, other: &Self) -> bool {
        self.run == other.run && self.name == other.name && self.steps == other.steps
    }
}
