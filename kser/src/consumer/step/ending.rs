use kser_core::sequencing::{Event, PlannedStep, StepKey, carried};
use kser_core::{Error, Message, Outcome, TaskError, Timestamp};

use super::execution::{Product, StepExecution};
use super::finish::Attempted;
use super::job::Job;
use crate::consumer::delivery::state::{DeliveryState, earlier};
use crate::consumer::processor::Processor;
use crate::engine::refusal;
use crate::engine::stored::RunView;

/// How it ended, as an event.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) outcome: Outcome,
    pub(crate) retry_at: Option<Timestamp>,
    /// Set if the attempt was a build: its steps, if it succeeded.
    pub(crate) build: Option<Option<Vec<PlannedStep>>>,
}

impl Ending {
    pub(crate) fn event(&self, step: &StepKey, attempt: u32) -> Event {
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

    /// Turns it into a failure for good.
    pub(crate) fn refuse(&mut self, error: &Error) {
        self.outcome = refusal::outcome(error);
        self.retry_at = None;
        self.build = self.build.take().map(|_| None);
    }
}

impl Processor {
    /// What the handler returned, as the end of an attempt; the retry policy has its say here.
    pub(crate) fn ending(
        &self,
        work: &mut DeliveryState,
        task: &StepExecution<'_>,
        attempted: &Attempted,
        returned: Result<Product, TaskError>,
    ) -> Ending {
        let run = &task.run;
        let build = matches!(task.job, Job::Build(_)).then_some(None);
        let (outcome, error) = match returned {
            Ok(Product::Plan(plan)) => {
                return Ending {
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
        let outcome = named(outcome, task.message);
        // An error whose text is too long stays that error, and keeps the attempts that are left.
        let outcome = outcome.cut_to(run.shared.writer.limits.outcome);
        // The run may go by the store's clock; what is known of a delivery goes by ours.
        let (now, here) = (run.now(), run.shared.clock.now());
        let retry_at = error.and_then(|error| {
            let first = attempted.first_failed.unwrap_or_else(|| {
                let first = work.tries.first.unwrap_or(here);
                earlier(now, here.since(first))
            });
            task.job
                .retry_at(task.message, attempted.counted, &error, Some(first), now)
        });
        if !outcome.is_success() {
            work.tries.first.get_or_insert(here);
            work.tries.last = Some(here);
        }
        Ending {
            outcome,
            retry_at,
            build,
        }
    }
}

/// Makes the first steps of a plan known to the rules, and the others ready to ride along.
pub(crate) fn open_plan(task: &mut StepExecution<'_>, known: &mut RunView, ending: &Ending) {
    let (Job::Build(entry), Some(Some(plan))) = (task.job, &ending.build) else {
        return;
    };
    let progress = known.progress.clone();
    *known.progress = progress.with_status_hook(entry.has_status_hook());
    known.next = plan.first().cloned().map(Box::new);
    if task.run.stored.is_none() {
        let rest = plan.get(1..).filter(|rest| !rest.is_empty());
        task.run.rest = rest
            .zip(task.run.id())
            .map(|(rest, id)| carried::encode(id, rest));
    }
}

/// Names the task that left an outcome, if that does not.
pub(crate) fn named(outcome: Outcome, message: &Message) -> Outcome {
    match outcome.uuid() {
        Some(_) => outcome,
        None => outcome.with_uuid(message.uuid.clone()),
    }
}
