mod draft;

use std::time::Duration;

use super::{Effect, Event, Lease, Progress, Rejected, StepKey, StepWindow, Transition};
use crate::{Outcome, Status, TaskError, Timestamp};

/// The number of attempts that may end without a report, as by a crash. The last of them runs exclusively.
pub const MAX_CRASHES: u32 = 3;

/// Applies an event to the progress of a run, and returns the new progress with the side effects.
///
/// The function awaits nothing, reads no clock, and keeps no state. The rules:
///
/// - A step starts only when the one before it is `SUCCESS`. The build is step 0.
/// - A step that is done never starts again; its outcome is forwarded to the next step.
/// - After a final failure, or a cancellation, no step starts until a user resumes, retries or skips.
/// - An event about a completed step changes nothing. Only the record that began the attempt by which the step ended may
///   ask for the effects of its end once more, which repairs a crash between the write of the progress and its effects.
///   So copies of a record die out.
/// - A report of an attempt that is not the latest is refused.
/// - Attempts that ended without a report make a step a suspected poison message, and at last a dead letter.
///
/// # Errors
///
/// [`Rejected`] when the event does not apply; the progress stays as it is.
pub fn apply(
    progress: &Progress,
    window: StepWindow<'_>,
    event: Event,
    now: Timestamp,
) -> Result<Transition, Rejected> {
    let swept = matches!(event, Event::Swept);
    let mut draft = Draft {
        progress: progress.clone(),
        window,
        now,
        effects: Vec::new(),
        changed: false,
    };
    draft.event(event)?;
    if draft.changed {
        draft.count_change(swept);
    }
    Ok(Transition {
        progress: draft.progress,
        effects: draft.effects,
        changed: draft.changed,
    })
}

/// A transition that is being made: the new progress, and the effects so far.
struct Draft<'a> {
    progress: Progress,
    window: StepWindow<'a>,
    now: Timestamp,
    effects: Vec<Effect>,
    changed: bool,
}

/// The position of a step relative to the progress of its run.
#[derive(PartialEq)]
enum StepPosition {
    Completed,
    Current,
}

impl Draft<'_> {
    fn event(&mut self, event: Event) -> Result<(), Rejected> {
        match event {
            Event::Launched => {
                self.launched();
                Ok(())
            }
            Event::Built { attempt, steps } => self.built(attempt, steps),
            Event::NotBuilt {
                attempt,
                outcome,
                retry_at,
            } => self.not_built(attempt, outcome, retry_at),
            Event::Started {
                step,
                lease,
                alone,
                seen,
            } => self.started(&step, lease, alone, seen),
            Event::Renewed {
                step,
                attempt,
                until,
            } => self.renewed(&step, attempt, until),
            Event::Ended {
                step,
                attempt,
                outcome,
                retry_at,
            } => self.ended(&step, attempt, outcome, retry_at),
            Event::Interrupted { step, attempt } => self.interrupted(&step, attempt),
            Event::Reported {
                step,
                outcome,
                seen,
            } => self.reported(&step, outcome, seen),
            Event::GivenUp {
                step,
                outcome,
                seen,
            } => self.given_up(&step, outcome, seen),
            Event::Resumed => self.resumed(),
            Event::Retried { step } => self.retried(&step),
            Event::Skipped { step, outcome } => self.skipped(&step, outcome),
            Event::Cancelled => self.cancelled(),
            Event::Swept => {
                self.swept();
                Ok(())
            }
        }
    }

    /// Handles a second launch of the same id, where the first record of the run may be missing.
    fn launched(&mut self) {
        match (self.progress.position, self.progress.status) {
            (0, Status::Pending) if !self.progress.started => self.publish_again(),
            (1, Status::Running) => self.repeat_effects(),
            _ => {}
        }
    }

    fn built(&mut self, attempt: u32, steps: u32) -> Result<(), Rejected> {
        if steps == 0 {
            return self.not_built(attempt, empty(), None);
        }
        if self.progress.position > 0 {
            return Ok(());
        }
        self.must_be_latest(attempt)?;
        self.progress.steps = steps;
        self.done(Outcome::default());
        Ok(())
    }

    fn not_built(
        &mut self,
        attempt: u32,
        outcome: Outcome,
        retry_at: Option<Timestamp>,
    ) -> Result<(), Rejected> {
        if self.progress.position > 0 {
            return Ok(());
        }
        self.attempt_failed(attempt, outcome, retry_at)
    }

    fn started(
        &mut self,
        step: &StepKey,
        lease: Option<Lease>,
        alone: bool,
        seen: u64,
    ) -> Result<(), Rejected> {
        if self.locate(step)? == StepPosition::Completed {
            return self.redelivered(lease.as_ref(), seen);
        }
        match self.progress.status {
            Status::Failed => {
                self.repeat_letter(seen);
                return Ok(());
            }
            Status::Cancelled if self.progress.started => {
                // The consumer that began the attempt crashed, and no other event ends it.
                self.must_be_free(lease.as_ref())?;
                self.lose_attempt();
                self.clear_attempt();
                return Ok(());
            }
            Status::Cancelled | Status::Success => {
                return Err(Rejected::Finished(self.progress.status));
            }
            Status::Pending | Status::Running => {}
        }
        let lost = self.progress.started;
        if lost {
            self.must_be_free(lease.as_ref())?;
        }
        if let Some(until) = self.progress.not_before.filter(|until| *until > self.now) {
            return Err(Rejected::NotYet { until });
        }
        self.progress.started_by_version = seen;
        let crash_count = self.progress.crash_count.saturating_add(u32::from(lost));
        if crash_count >= MAX_CRASHES {
            if lost {
                self.lose_attempt();
            }
            self.fail(killed(crash_count));
            return Ok(());
        }
        if crash_count == MAX_CRASHES - 1 && !alone {
            return Err(Rejected::Suspect);
        }
        if lost {
            self.lose_attempt();
        }
        self.begin(lease);
        Ok(())
    }

    /// Handles the redelivered record of a step that is done. The consumer may have begun later steps without records of their
    /// own: then this record wakes the next consumer, which publishes the step whose attempt was lost.
    fn redelivered(&mut self, lease: Option<&Lease>, seen: u64) -> Result<(), Rejected> {
        let is_ours = seen == self.progress.started_by_version;
        if !is_ours || !self.progress.started || self.external().is_some() {
            self.repeat(seen);
            return Ok(());
        }
        self.must_be_free(lease)?;
        self.lose_attempt();
        self.clear_attempt();
        match self.progress.crash_count {
            _ if self.progress.status == Status::Cancelled => {}
            crashes if crashes >= MAX_CRASHES => self.fail(killed(crashes)),
            _ => self.publish_again(),
        }
        Ok(())
    }

    fn renewed(&mut self, step: &StepKey, attempt: u32, until: Timestamp) -> Result<(), Rejected> {
        if self.locate(step)? == StepPosition::Completed {
            return Err(Rejected::Fenced);
        }
        // Also when the run is cancelled: while the attempt runs, no other may begin.
        self.must_be_latest(attempt)?;
        if let Some(lease) = &mut self.progress.lease {
            lease.until = until;
        }
        self.changed = true;
        Ok(())
    }

    fn ended(
        &mut self,
        step: &StepKey,
        attempt: u32,
        outcome: Outcome,
        retry_at: Option<Timestamp>,
    ) -> Result<(), Rejected> {
        if self.locate(step)? == StepPosition::Completed {
            return Ok(());
        }
        if !outcome.is_success() {
            return self.attempt_failed(attempt, outcome, retry_at);
        }
        self.must_be_latest(attempt)?;
        if step.position == 0 {
            return Err(Rejected::NotBuilt);
        }
        self.succeeded(step, &outcome);
        Ok(())
    }

    fn interrupted(&mut self, step: &StepKey, attempt: u32) -> Result<(), Rejected> {
        if self.locate(step)? == StepPosition::Completed {
            return Ok(());
        }
        self.must_be_latest(attempt)?;
        self.clear_attempt();
        self.progress.uncounted = self.progress.uncounted.saturating_add(1);
        Ok(())
    }

    fn reported(&mut self, step: &StepKey, outcome: Outcome, seen: u64) -> Result<(), Rejected> {
        if self.locate(step)? == StepPosition::Completed {
            self.repeat(seen);
            return Ok(());
        }
        let Some(external) = self.external() else {
            return Err(Rejected::NotExternal);
        };
        match self.progress.status {
            Status::Running => {}
            // Once, because the step may have been sent when the run was cancelled.
            Status::Cancelled if self.progress.failure.is_none() || outcome.is_success() => {}
            status => return Err(Rejected::Finished(status)),
        }
        self.progress.started_by_version = seen;
        match outcome.is_success() {
            true => self.succeeded(step, &outcome),
            false => {
                let again = self.progress.counted_attempts() < external.attempts;
                self.failed(outcome, Some(self.now).filter(|_| again));
            }
        }
        Ok(())
    }

    fn given_up(&mut self, step: &StepKey, outcome: Outcome, seen: u64) -> Result<(), Rejected> {
        if self.locate(step)? == StepPosition::Completed {
            self.repeat(seen);
            return Ok(());
        }
        match self.progress.status {
            Status::Failed => self.repeat_letter(seen),
            status if status.is_terminal() => return Err(Rejected::Finished(status)),
            _ => {
                if self.progress.started {
                    self.must_be_free(None)?;
                }
                self.progress.started_by_version = seen;
                self.fail(outcome);
            }
        }
        Ok(())
    }

    fn resumed(&mut self) -> Result<(), Rejected> {
        match self.progress.status {
            Status::Failed | Status::Cancelled => {}
            Status::Success => return Err(Rejected::Finished(Status::Success)),
            status => return Err(Rejected::NotStopped(status)),
        }
        self.repair()?;
        self.go_on();
        Ok(())
    }

    fn retried(&mut self, step: &StepKey) -> Result<(), Rejected> {
        if self.locate(step)? == StepPosition::Completed {
            return Err(Rejected::AlreadyDone);
        }
        self.repair()?;
        self.go_on();
        Ok(())
    }

    fn skipped(&mut self, step: &StepKey, outcome: Outcome) -> Result<(), Rejected> {
        if !outcome.is_success() {
            return Err(Rejected::NotASuccess);
        }
        if step.position == 0 || self.progress.position == 0 {
            return Err(Rejected::NotBuilt);
        }
        if self.locate(step)? == StepPosition::Completed {
            return Err(Rejected::AlreadyDone);
        }
        self.repair()?;
        // Skipping revives the run, so that the next step is published.
        self.set_status(Status::Running);
        self.done(outcome.with_uuid(step.uuid.clone()));
        Ok(())
    }

    fn cancelled(&mut self) -> Result<(), Rejected> {
        match self.progress.status {
            Status::Cancelled => return Ok(()),
            status if status.is_terminal() => return Err(Rejected::Finished(status)),
            _ => {}
        }
        if self.external().is_some() {
            // No consumer of kser holds the step, and a report may come at any time.
            self.clear_attempt();
        }
        self.progress.not_before = None;
        self.set_status(Status::Cancelled);
        Ok(())
    }

    fn swept(&mut self) {
        let due = self.progress.check_at.is_some_and(|due| due <= self.now);
        if !due || self.progress.status.is_terminal() {
            return;
        }
        let external = self.external();
        match external.filter(|_| self.progress.started) {
            Some(external) => {
                let again = self.progress.counted_attempts() < external.attempts;
                self.failed(silent(external.limit), Some(self.now).filter(|_| again));
                // A sweep has no delivery that could be dead-lettered.
                self.effects.retain(|effect| *effect != Effect::DeadLetter);
            }
            None => {
                self.progress.sweeps_since_change =
                    self.progress.sweeps_since_change.saturating_add(1);
                self.changed = true;
                self.send();
            }
        }
    }
}

/// Returns the error of an operation without steps, with the text and the code of the Python library.
fn empty() -> Outcome {
    let error = TaskError::new("ValidationError", "Nothing to do, empty operation !");
    Outcome::from(&error.with_code(1))
}

fn silent(limit: Duration) -> Outcome {
    let text = format!("no report within {} s", limit.as_secs());
    Outcome::from(&TaskError::new("TimedOut", text).with_code(504))
}

fn killed(times: u32) -> Outcome {
    let text = format!("{times} attempts ended without a report: the task may kill its process");
    Outcome::from(&TaskError::new("Killed", text))
}
