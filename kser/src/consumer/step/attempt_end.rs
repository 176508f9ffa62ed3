use kser_core::sequencing::{Event, PlannedStep, StepKey};
use kser_core::{Error, Outcome, Timestamp};

use super::attempt::{Attempted, Product};
use super::execution::StepExecution;
use super::job::Job;
use super::outcome::with_task;
use crate::engine::failed_attempts::{FailedAttempts, earlier};
use crate::engine::refusal;
use crate::engine::run_view::RunView;

/// The end of an attempt, as the rules are told of it.
#[derive(Debug)]
pub(super) struct AttemptEnd {
    pub(super) outcome: Outcome,
    pub(super) retry_at: Option<Timestamp>,
    /// Set if the attempt was a build: its steps, if it succeeded.
    pub(super) build: Option<Option<Vec<PlannedStep>>>,
}

impl AttemptEnd {
    /// Makes the end of an attempt from the result of its handler. The retry policy decides here whether another attempt
    /// follows.
    pub(super) fn new(
        step: &StepExecution<'_>,
        failed: &mut FailedAttempts,
        attempted: &Attempted,
        returned: Result<Product, kser_core::TaskError>,
    ) -> Self {
        let shared = step.scope.shared();
        let build = matches!(step.job, Job::Build(_)).then_some(None);
        let (outcome, error) = match returned {
            Ok(Product::Plan(plan)) => {
                return Self {
                    outcome: Outcome::default(),
                    retry_at: None,
                    build: Some(Some(plan.into_steps())),
                };
            }
            Ok(Product::Outcome(outcome)) => {
                let error = outcome.error();
                (outcome, error)
            }
            Err(error) => (Outcome::from(&error), Some(error)),
        };
        let outcome = with_task(outcome, &step.message);
        // An error whose text is too long stays that error, and keeps the attempts that are left.
        let outcome = outcome.cut_to(shared.writer.limits.outcome);
        let Some(error) = error else {
            return Self {
                outcome,
                retry_at: None,
                build,
            };
        };
        // The run may go by the store's clock; a delivery goes by the local one.
        let (now, here) = (step.scope.now(), shared.clock.now());
        let failed_here = *failed.first.get_or_insert(here);
        failed.last = Some(here);
        let first = attempted.first_failed;
        let first = first.unwrap_or_else(|| earlier(now, here.since(failed_here)));
        let (message, counted) = (&step.message, attempted.counted);
        Self {
            outcome,
            retry_at: step
                .job
                .retry_at(message, counted, &error, Some(first), now),
            build,
        }
    }

    pub(super) fn event(&self, step: &StepKey, attempt: u32) -> Event {
        let (outcome, retry_at) = (self.outcome.clone(), self.retry_at);
        match &self.build {
            None => Event::Ended {
                step: step.clone(),
                attempt,
                outcome,
                retry_at,
            },
            Some(Some(plan)) => Event::Built {
                attempt,
                steps: u32::try_from(plan.len()).unwrap_or(u32::MAX),
            },
            Some(None) => Event::NotBuilt {
                attempt,
                outcome,
                retry_at,
            },
        }
    }

    /// Turns the end into a failure for good.
    pub(super) fn refuse(&mut self, error: &Error) {
        self.outcome = refusal::outcome(error);
        self.retry_at = None;
        self.build = self.build.take().map(|_| None);
    }

    /// Makes the first steps of a plan that was built known to the rules, and has the others ride along where they do.
    pub(super) fn open_plan(&self, step: &mut StepExecution<'_>, view: &mut RunView) {
        let (Job::Build(entry), Some(Some(plan))) = (step.job, &self.build) else {
            return;
        };
        let progress = view.progress.clone();
        *view.progress = progress.with_status_hook(entry.has_status_hook());
        view.next = plan.first().cloned().map(Box::new);
        step.scope.carry(plan);
    }
}
