use std::collections::BTreeMap;
use std::time::Duration;

use kser::Error;
use kser::operation::PlannedStep;
use kser::run::{Attempt, Cursor, RunId, RunSummary, Runs, Status, Timestamp};
use serde::Serialize;

use crate::error::OpsError;
use crate::ops::Ops;
use crate::ops::runs::{AttemptLine, RunLine};

/// The steps of a window.
const WINDOW: u32 = 200;

/// The steps of a window that come after the one that is looked at.
const AHEAD: u32 = 50;

/// The most attempts of a window.
const MOST_ATTEMPTS: usize = 1000;

/// The attempts that are read at once: each may have a large outcome.
const PAGE: usize = 200;

/// A run as its chain: its steps in their order, with the attempts at each, and the times that these waited and ran. Of a long run it
/// has the 200 steps around one.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RunChain {
    /// The run.
    #[serde(flatten)]
    pub run: RunLine,
    /// The present time, by the clock of the store.
    #[serde(serialize_with = "crate::json::at")]
    pub now: Timestamp,
    /// The steps, by their positions; 0 is the build.
    pub chain: Vec<ChainStep>,
    /// Whether the window has more attempts than are shown.
    pub has_more_attempts: bool,
}

/// A step of a chain.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ChainStep {
    /// The position of the step, from 1; 0 is the build.
    pub position: u32,
    /// The name of the task.
    pub entrypoint: String,
    /// The state of the step.
    pub state: StepState,
    /// Whether no consumer of kser runs the step.
    pub is_external: bool,
    /// The attempts, in the order in which they ended, and the verbs of people among them.
    pub attempts: Vec<ChainAttempt>,
    /// The params, as JSON, if they are asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub params: Option<String>,
}

/// The state of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StepState {
    /// The step is done.
    Done,
    /// The run stands at the step, and an attempt runs.
    Running,
    /// The run stands at the step, and no attempt runs.
    Waiting,
    /// The run has failed at the step.
    Failed,
    /// The run was cancelled at the step.
    Cancelled,
    /// The step has not begun.
    NotBegun,
}

/// An attempt at a step, with the time that it waited.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ChainAttempt {
    /// The attempt.
    #[serde(flatten)]
    pub attempt: AttemptLine,
    /// The time at which the step could have begun, or begun again: the end of the attempt before, or the launch.
    #[serde(serialize_with = "crate::json::at")]
    pub ready: Timestamp,
    /// The time from then to the start of the attempt; `None` for one that did not start.
    #[serde(serialize_with = "crate::json::seconds", rename = "waited_seconds")]
    pub waited: Option<Duration>,
}

impl Ops {
    /// Reads a run as its chain: the 200 steps around the one at `around`, or around the one at which the run stands. A run of any length
    /// costs the same.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub async fn chain(
        &self,
        id: &RunId,
        around: Option<u32>,
        with_payloads: bool,
    ) -> Result<RunChain, OpsError> {
        let runs = self.store_runs("a look at a run")?;
        let place = runs.place(id).await?;
        let info = runs.info(id).await?;
        let run = RunLine::read(&runs, RunSummary::from(&info)).await?;
        let last = run.steps.max(run.position.min(run.steps));
        let around = around.unwrap_or(run.position).min(last);
        // A window at the end of a run is as wide as the others.
        let to = around.saturating_add(AHEAD).min(last);
        let from = to.saturating_sub(WINDOW - 1);
        let to = from.saturating_add(WINDOW - 1).min(last);
        let most = place.progress.version();
        let (rows, ready, has_more_attempts) = window(&runs, id, (from, to), most).await?;
        let planned = runs.planned_steps(id, from.max(1)..=to).await?;
        let mut chain = Chain {
            run: &run,
            is_started: place.progress.is_started(),
            with_payloads,
            ready: ready.unwrap_or(run.launched),
        };
        let steps = chain.steps((from, to), rows, planned);
        Ok(RunChain {
            chain: steps,
            now: place.now,
            has_more_attempts,
            run,
        })
    }
}

/// Reads the attempts at the steps of a window, and the end of the attempt before them.
async fn window(
    runs: &Runs,
    id: &RunId,
    (from, to): (u32, u32),
    most: u64,
) -> Result<(Vec<Attempt>, Option<Timestamp>, bool), OpsError> {
    let first = first_of(runs, id, from, most).await?;
    let ready = match first {
        0 => None,
        first => {
            let before = Cursor::after_attempt(id, first - 1);
            let before = read(runs, id, Some(&before), 1).await?.0;
            before.first().map(|row| row.ended)
        }
    };
    let mut after = Some(Cursor::after_attempt(id, first));
    let mut rows = Vec::new();
    loop {
        let (page, next) = read(runs, id, after.as_ref(), PAGE).await?;
        let is_last = page.last().is_none_or(|row| row.position > to);
        rows.extend(page.into_iter().filter(|row| row.position <= to));
        after = next;
        if is_last || after.is_none() {
            return Ok((rows, ready, false));
        }
        if rows.len() >= MOST_ATTEMPTS {
            return Ok((rows, ready, true));
        }
    }
}

/// Finds the number of the last attempt before those at the steps from `from` on, by halves: the numbers ascend with the positions, and
/// the version of the run is no smaller than any of them.
async fn first_of(runs: &Runs, id: &RunId, from: u32, most: u64) -> Result<u64, OpsError> {
    let (mut low, mut high) = (0, most);
    while from > 0 && low < high {
        let middle = low + (high - low) / 2;
        let cursor = Cursor::after_attempt(id, middle);
        let next = read(runs, id, Some(&cursor), 1).await?.0;
        match next.first() {
            Some(row) if row.position < from => low = middle + 1,
            _ => high = middle,
        }
    }
    Ok(low)
}

/// Reads a page of attempts. A run that is purged meanwhile has none.
async fn read(
    runs: &Runs,
    id: &RunId,
    after: Option<&Cursor>,
    limit: usize,
) -> Result<(Vec<Attempt>, Option<Cursor>), OpsError> {
    match runs.attempts(id, after, limit).await {
        Ok(page) => Ok((page.rows, page.next)),
        Err(Error::UnknownRun { .. }) => Ok((Vec::new(), None)),
        Err(error) => Err(error.into()),
    }
}

/// A chain that is being put together.
struct Chain<'a> {
    run: &'a RunLine,
    is_started: bool,
    with_payloads: bool,
    /// The end of the attempt before.
    ready: Timestamp,
}

impl Chain<'_> {
    fn steps(
        &mut self,
        (from, to): (u32, u32),
        rows: Vec<Attempt>,
        planned: Vec<PlannedStep>,
    ) -> Vec<ChainStep> {
        let mut attempts: BTreeMap<u32, Vec<ChainAttempt>> = BTreeMap::new();
        for row in rows {
            attempts
                .entry(row.position)
                .or_default()
                .push(self.attempt(row));
        }
        let planned = planned.into_iter().map(|step| (step.key.position, step));
        let mut planned: BTreeMap<_, _> = planned.collect();
        let all = (from..=to).filter_map(|position| {
            let attempts = attempts.remove(&position).unwrap_or_default();
            let step = planned.remove(&position);
            let entrypoint = match (&step, attempts.first(), position) {
                (Some(step), ..) => step.key.entrypoint.to_string(),
                (None, Some(first), _) => first.attempt.entrypoint.to_string(),
                // A run that was launched with its steps has no build.
                (None, None, 0) if self.run.position > 0 => return None,
                (None, None, 0) => self.run.operation.to_string(),
                (None, None, _) => String::new(),
            };
            let is_external = step.as_ref().is_some_and(|step| step.external.is_some());
            let params = step.filter(|_| self.with_payloads);
            Some(ChainStep {
                position,
                entrypoint,
                state: self.state(position),
                is_external,
                attempts,
                params: params.map(|step| step.params.as_str().to_owned()),
            })
        });
        all.collect()
    }

    fn attempt(&mut self, row: Attempt) -> ChainAttempt {
        let ready = std::mem::replace(&mut self.ready, row.ended);
        ChainAttempt {
            waited: row.started.map(|started| started.since(ready)),
            ready,
            attempt: AttemptLine::new(row, self.with_payloads),
        }
    }

    fn state(&self, position: u32) -> StepState {
        match (position.cmp(&self.run.position), self.run.status) {
            (std::cmp::Ordering::Less, _) => StepState::Done,
            (std::cmp::Ordering::Greater, _) => StepState::NotBegun,
            (_, Status::Failed) => StepState::Failed,
            (_, Status::Cancelled) => StepState::Cancelled,
            (_, Status::Success) => StepState::Done,
            (_, Status::Pending | Status::Running) if self.is_started => StepState::Running,
            (_, Status::Pending | Status::Running) => StepState::Waiting,
        }
    }
}
