use std::collections::BTreeSet;
use std::time::Duration;

use crate::{Error, Name, Object, RunId, Step, TaskId, Topic};

/// The identity of one step of a run. It includes the uuid and the entrypoint, so that a deployment in the middle of a run
/// cannot shift the steps.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the identity of a step is these three"
)]
pub struct StepKey {
    /// The position of the step, counted from 1; 0 is the build.
    pub position: u32,
    /// The id of the step; that of the run for the build.
    pub uuid: TaskId,
    /// The name of the task.
    pub entrypoint: Name,
}

/// A step of a plan, from which its message is made.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct PlannedStep {
    /// The identity of the step.
    pub key: StepKey,
    /// The params.
    pub params: Object,
    /// The topic; `None` for that of the route.
    pub topic: Option<Topic>,
    /// The ordering key; `None` for the id of the run.
    pub record_key: Option<String>,
    /// The limits of an external step; `None` for a step that a consumer of kser runs.
    pub external: Option<External>,
}

/// The limits of an external step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct External {
    /// The time within which the report must come.
    pub limit: Duration,
    /// The number of times that the step is sent in all. Defaults to 1.
    pub attempts: u32,
}

impl External {
    /// Makes limits with this time and one attempt.
    #[must_use]
    pub const fn new(limit: Duration) -> Self {
        Self { limit, attempts: 1 }
    }
}

impl PlannedStep {
    /// Makes a step with the topic of its route and the ordering key of its run, for a consumer of kser.
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
    /// All ids, since the first step that was given an id. Ids that are derived from positions differ anyway.
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

    /// Adds a step at the end. Its id is derived from that of the run and the position, unless the step was given one.
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

    /// Returns the step after `task`; `None` after the last.
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

    /// Returns the id of the run.
    #[must_use]
    pub const fn run(&self) -> &RunId {
        &self.run
    }

    /// Returns the name of the operation, such as `dice.DiceLaunch`.
    #[must_use]
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// Returns the steps, in order.
    #[must_use]
    pub fn steps(&self) -> &[PlannedStep] {
        &self.steps
    }

    /// Converts the plan into its steps.
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
