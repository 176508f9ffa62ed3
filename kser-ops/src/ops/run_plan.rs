use kser::message::TaskId;
use kser::run::{RunFilter, RunId, RunVerb, Runs};
use kser::{Error, Outcome};
use serde::Serialize;

use crate::error::OpsError;
use crate::fingerprint::CausePrefix;
use crate::ops::Ops;
use crate::ops::letter_plan::{REASONS, refusal};
use crate::ops::runs::RunLine;

/// The most runs of an act.
const MOST: usize = 100_000;

/// The runs of a page that is read for a plan.
const PAGE: usize = 500;

/// An act on runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "verb")]
#[non_exhaustive]
pub enum RunAct {
    /// Resumes a run at the step at which it failed or was cancelled.
    Resume,
    /// Cancels a run.
    Cancel,
    /// Tries a step again, now.
    Retry {
        /// The step, from 1; 0 is the build. `None` for the one at which the run stands when the plan is made.
        step: Option<u32>,
    },
    /// Counts a step as done with an outcome.
    Skip {
        /// The step, from 1.
        step: u32,
        /// The outcome.
        outcome: Outcome,
    },
    /// Ends an external step with an outcome.
    Report {
        /// The step, from 1.
        step: u32,
        /// The outcome.
        outcome: Outcome,
    },
    /// Forgets a run that has ended.
    Purge,
}

/// The runs of an act.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum RunChoice {
    /// These.
    Ids(Vec<RunId>),
    /// Those that fit a filter, and have failed of a cause if one is named.
    Filter(RunFilter, Option<CausePrefix>),
}

/// The runs that an act would take, and those that it would leave, by the rules that the act itself asks. Nothing is done.
///
/// It has the runs that were there when it was made: an act takes no others.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct RunPlan {
    /// The act.
    pub act: RunAct,
    /// The number of runs that the act takes.
    pub taken: u64,
    /// The number of runs that the rules refuse.
    pub refused: u64,
    /// The runs that are refused, with the reasons, at most a thousand.
    pub left: Vec<LeftRun>,
    /// The first run that the act takes.
    pub sample: Option<RunId>,
    #[serde(skip)]
    pub(crate) targets: Vec<(RunId, Target)>,
}

/// The verb of an act on one run.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    Verb(RunVerb),
    Purge,
}

/// A run that an act leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LeftRun {
    /// The run.
    pub run: RunId,
    /// The reason.
    pub reason: String,
}

impl LeftRun {
    pub(crate) fn new(run: RunId, error: &Error) -> Self {
        let reason = match error {
            Error::Rejected { source, .. } => source.to_string(),
            other => refusal(other),
        };
        Self { run, reason }
    }
}

impl RunAct {
    /// Returns the verb for a run.
    async fn target(&self, runs: &Runs, id: &RunId) -> Result<Target, Error> {
        Ok(Target::Verb(match self {
            Self::Resume => RunVerb::Resume,
            Self::Cancel => RunVerb::Cancel,
            Self::Retry { step } => {
                let step = match step {
                    Some(step) => *step,
                    None => runs.status(id).await?.position,
                };
                RunVerb::RetryStep(step_id(id, step))
            }
            Self::Skip { step, outcome } => RunVerb::SkipStep(step_id(id, *step), outcome.clone()),
            Self::Report { step, outcome } => RunVerb::Report(step_id(id, *step), outcome.clone()),
            Self::Purge => return Ok(Target::Purge),
        }))
    }
}

/// Returns the id of a step of a run. That of the build is the run's.
fn step_id(run: &RunId, step: u32) -> TaskId {
    match step {
        0 => run.as_str().into(),
        step => run.step(step),
    }
}

impl Target {
    async fn check(&self, runs: &Runs, id: &RunId) -> Result<(), Error> {
        match self {
            Self::Verb(verb) => runs.check(id, verb).await.map(drop),
            Self::Purge => runs.check_purge(id).await,
        }
    }
}

impl RunPlan {
    const fn new(act: RunAct) -> Self {
        Self {
            act,
            taken: 0,
            refused: 0,
            left: Vec::new(),
            sample: None,
            targets: Vec::new(),
        }
    }

    /// Asks the rules for a run.
    async fn add(&mut self, runs: &Runs, id: RunId) -> Result<(), OpsError> {
        let target = self.act.target(runs, &id).await;
        let checked = match &target {
            Ok(target) => target.check(runs, &id).await,
            Err(_) => Ok(()),
        };
        match (target, checked) {
            (Ok(target), Ok(())) => {
                self.taken += 1;
                self.sample.get_or_insert_with(|| id.clone());
                self.targets.push((id, target));
            }
            (Err(error), _) | (_, Err(error)) if error.is_temporary() => return Err(error.into()),
            (Err(error), _) | (_, Err(error)) => {
                self.refused += 1;
                if self.left.len() < REASONS {
                    self.left.push(LeftRun::new(id, &error));
                }
            }
        }
        Ok(())
    }
}

impl Ops {
    /// Finds the runs that an act would take, and asks the rules for each.
    ///
    /// # Errors
    ///
    /// [`OpsError::Refused`] when more than 100,000 runs fit the filter. Otherwise as [`runs`](Self::runs).
    pub async fn plan_runs(&self, act: RunAct, choice: RunChoice) -> Result<RunPlan, OpsError> {
        let runs = self.store_runs("an act on runs")?;
        let mut plan = RunPlan::new(act);
        let (filter, cause) = match choice {
            RunChoice::Ids(ids) => {
                for id in ids {
                    plan.add(&runs, id).await?;
                }
                return Ok(plan);
            }
            RunChoice::Filter(filter, cause) => (filter, cause),
        };
        let mut filter = filter.with_limit(PAGE);
        let mut read = 0;
        loop {
            let page = self.runs(&filter).await?;
            read += page.runs.len();
            if read > MOST {
                let reason = format!("more than {MOST} runs fit: narrow the filter");
                return Err(OpsError::Refused { reason });
            }
            for run in page.runs {
                if is_of(&run, cause.as_ref()) {
                    plan.add(&runs, run.id).await?;
                }
            }
            if page.next.is_none() {
                return Ok(plan);
            }
            filter = filter.with_after(page.next);
        }
    }
}

/// Says whether a run has failed of a cause, if one is named.
fn is_of(run: &RunLine, cause: Option<&CausePrefix>) -> bool {
    let failed = run.failure.as_ref();
    cause.is_none_or(|cause| failed.is_some_and(|failure| cause.is_of(failure.cause)))
}
