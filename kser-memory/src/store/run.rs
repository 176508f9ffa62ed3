use std::sync::Arc;

use bytes::Bytes;
use kser_core::sequencing::{PlannedStep, Progress};
use kser_core::store::{Attempt, DueRun, NewRun, RunInfo, RunSummary, Standing};
use kser_core::{Name, RunId, Timestamp, Topic};
use tokio::sync::Notify;

/// The data of one run, without the records of its outputs.
#[derive(Debug)]
pub(super) struct Run {
    /// The number of the run, which grows with each insert.
    pub(super) number: u64,
    pub(super) name: Name,
    /// The topic of the record that moves the run on.
    pub(super) topic: Topic,
    pub(super) launch: Bytes,
    pub(super) digest: String,
    pub(super) created: Timestamp,
    /// Shared, so that a reader copies it without holding the lock.
    pub(super) progress: Arc<Progress>,
    pub(super) plan: Arc<[PlannedStep]>,
    pub(super) attempts: Vec<Attempt>,
    pub(super) outputs: Vec<Kept>,
    /// The time at which the run is due: that of its progress, or the end of a claim.
    pub(super) look_at: Option<Timestamp>,
    /// The turn in which the run was finished; `None` for a run that is not.
    pub(super) finished: Option<u64>,
    /// Wakes the waits for a change. Made by the first wait, and removed by the change.
    pub(super) watched: Option<Arc<Notify>>,
    /// Wakes the callers that wait for the end of the run.
    pub(super) awaited_end: Option<Arc<Notify>>,
}

/// The place of an output of a run until it is relayed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kept {
    pub(super) version: u64,
    pub(super) index: u32,
    pub(super) place: (Timestamp, u64),
}

/// The state of a run, to be copied after the lock is released.
pub(super) struct Shown {
    progress: Arc<Progress>,
    plan: Arc<[PlannedStep]>,
}

impl Shown {
    /// Copies the progress and the steps near it.
    pub(super) fn into_standing(self) -> Box<Standing> {
        let position = self.progress.position();
        let (here, next) = (
            step_of(&self.plan, position),
            step_of(&self.plan, position.saturating_add(1)),
        );
        Box::new(Standing::new(
            Arc::unwrap_or_clone(self.progress),
            here,
            next,
        ))
    }
}

fn step_of(plan: &[PlannedStep], position: u32) -> Option<PlannedStep> {
    let index = usize::try_from(position).ok()?.checked_sub(1)?;
    plan.get(index).cloned()
}

impl Run {
    pub(super) fn new(run: NewRun, number: u64, created: Timestamp) -> Self {
        Self {
            number,
            name: run.name,
            topic: run.topic,
            launch: run.launch,
            digest: run.digest,
            created,
            look_at: run.progress.check_at(),
            progress: Arc::new(run.progress),
            plan: run.plan.into(),
            attempts: Vec::new(),
            outputs: Vec::new(),
            finished: None,
            watched: None,
            awaited_end: None,
        }
    }

    /// Returns the state of the run, which shares its parts.
    pub(super) fn shown(&self) -> Shown {
        Shown {
            progress: Arc::clone(&self.progress),
            plan: Arc::clone(&self.plan),
        }
    }

    pub(super) fn step(&self, position: u32) -> Option<PlannedStep> {
        step_of(&self.plan, position)
    }

    /// Says whether the run is finished: ended, without an attempt and without an output to relay.
    pub(super) fn is_finished(&self) -> bool {
        let progress = &self.progress;
        progress.status().is_terminal() && !progress.is_started() && self.outputs.is_empty()
    }

    /// Estimates the bytes of the run.
    pub(super) fn bytes(&self) -> usize {
        /// The overhead of a step, of an attempt and of the run itself.
        const AROUND: usize = 256;
        let progress = &self.progress;
        let outcomes = [progress.outcome(), progress.last_outcome()];
        let outcomes = outcomes
            .into_iter()
            .chain(self.attempts.iter().map(|attempt| &attempt.outcome));
        let outcomes = outcomes.map(|outcome| AROUND + outcome.encoded_len());
        let steps = self.plan.iter();
        let steps = steps.map(|step| AROUND + step.params.as_str().len());
        AROUND + self.launch.len() + outcomes.sum::<usize>() + steps.sum::<usize>()
    }

    pub(super) fn summary(&self, id: &RunId) -> RunSummary {
        RunSummary::new(id.clone(), self.name.clone(), self.created, &self.progress)
    }

    pub(super) fn info(&self, id: &RunId) -> RunInfo {
        RunInfo::new(
            id.clone(),
            self.name.clone(),
            self.launch.clone(),
            self.created,
            Progress::clone(&self.progress),
        )
    }

    /// Describes the run for a sweep.
    pub(super) fn due(&self, id: &RunId) -> DueRun {
        let position = self.progress.position();
        let (here, next) = (self.step(position), self.step(position.saturating_add(1)));
        DueRun::new(self.info(id), here, next)
    }

    pub(super) fn wake(&mut self) {
        if let Some(watched) = self.watched.take() {
            watched.notify_waiters();
        }
        if self.progress.status().is_terminal()
            && let Some(ended) = self.awaited_end.take()
        {
            ended.notify_waiters();
        }
    }
}
