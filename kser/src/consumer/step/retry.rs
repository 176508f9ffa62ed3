use std::time::Duration;

use kser_core::sequencing::{Effect, Event, Rejected, Transition};
use kser_core::{Error, Outcome, Record, Timestamp};

use super::execution::StepExecution;
use super::finish::{Attempted, Written};
use super::run::Run;
use crate::consumer::delivery::dead_letter;
use crate::consumer::delivery::disposition::Disposition;
use crate::consumer::delivery::state::DeliveryState;
use crate::consumer::options::LOOK_AGAIN;
use crate::consumer::processor::Processor;
use crate::engine::stored::{RunView, SwapOutcome, WriteExtras};

/// How long a message waits in hand for a store that lags.
const A_MOMENT: Duration = Duration::from_secs(1);

impl Processor {
    /// The step is tried again: the ticket in hand is the publication that was asked for, if the wait is short.
    pub(crate) fn again(
        &self,
        work: &mut DeliveryState,
        task: &StepExecution<'_>,
        after: &Transition,
        mut written: Written,
        outcome: &Outcome,
        not_before: Option<Timestamp>,
    ) -> Disposition {
        let now = task.run.now();
        let until = not_before.unwrap_or(now);
        work.waits_since = None;
        let reason = dead_letter::text(outcome);
        tracing::info!(
            target: "kser",
            uuid = ?task.message.uuid,
            entrypoint = ?task.message.entrypoint,
            run = ?task.run.id(),
            attempts = after.progress.counted_attempts(),
            wait_ms = u64::try_from(until.since(now).as_millis()).unwrap_or(u64::MAX),
            error = %kser_core::log::clean(&reason, 500),
            "an attempt failed and is followed by another",
        );
        if task.run.stored.is_none() {
            work.failed(now);
        }
        let delayed = self.delayed(work, until.since(now));
        // A count that no record has room for stays in hand.
        let fits = delayed.size() <= self.shared.description.largest_record;
        let parks = until.since(now) <= self.options.longest_park || !fits;
        if parks && written.records.is_empty() {
            return Disposition::RetryIn(until.since(now));
        }
        written.records.push(delayed);
        Disposition::ack_with(written.records)
    }

    /// The consumer stops before the handler has ended: the attempt is given back and does not count.
    pub(crate) async fn interrupted(
        &self,
        task: &StepExecution<'_>,
        known: RunView,
        attempted: &Attempted,
    ) -> Result<Disposition, Error> {
        let run = &task.run;
        let event = Event::Interrupted {
            step: task.step.clone(),
            attempt: attempted.attempt,
        };
        if run.stored.is_some()
            && let SwapOutcome::Conflict(Some(actual)) = run
                .apply_to(known, event.clone(), WriteExtras::default())
                .await?
        {
            let known = run.known_at(actual).await?;
            let _ = run.apply_to(known, event, WriteExtras::default()).await?;
        }
        Ok(Disposition::Release)
    }

    /// What follows an event that began no attempt.
    pub(crate) fn follow(
        &self,
        work: &DeliveryState,
        mut records: Vec<Record>,
        after: &Transition,
    ) -> Result<Disposition, Error> {
        if after.effects.contains(&Effect::DeadLetter) {
            let text = dead_letter::text(after.progress.last_outcome());
            records.push(self.dead_letter(work, after.progress.made_attempts(), &text)?);
        }
        Ok(Disposition::ack_with(records))
    }

    /// The rules do not let the step begin.
    pub(crate) fn not_now(
        &self,
        work: &mut DeliveryState,
        run: &Run<'_>,
        rejected: &Rejected,
        known: RunView,
    ) -> Result<Disposition, Error> {
        let now = run.now();
        let park = self.options.longest_park;
        Ok(match rejected {
            Rejected::Suspect => Disposition::RunExclusively,
            Rejected::NotYet { until } if until.since(now) > park => {
                Disposition::ack_with(vec![self.delayed(work, until.since(now))])
            }
            Rejected::NotYet { until } => {
                work.known = Some(known);
                Disposition::RetryIn(until.since(now))
            }
            Rejected::Leased { until } => {
                let lease = known.progress.lease();
                if lease.is_some_and(|lease| lease.owner.supersedes(&self.owner)) {
                    self.superseded.cancel();
                }
                Disposition::RetryIn(until.since(now).min(park))
            }
            Rejected::Ahead { position } => self.ahead(work, run, *position)?,
            Rejected::UnknownStep => {
                let error = "the operation has no such step";
                Disposition::ack_with(vec![self.dead_letter(work, 0, error)?])
            }
            _ => Disposition::ack(),
        })
    }

    /// Defers a message that is ahead of the state of its run, as after the restore of a backup: in hand at first, for a
    /// store that lags, then in a delayed record. After as long as an unknown entrypoint waits it is a dead letter, and
    /// its run goes on from where it stands.
    pub(crate) fn ahead(
        &self,
        work: &mut DeliveryState,
        run: &Run<'_>,
        position: u32,
    ) -> Result<Disposition, Error> {
        if !self.may_wait(work) {
            let error =
                format!("the run stands at step {position}, before the one of this message");
            return Ok(Disposition::ack_with(vec![
                self.dead_letter(work, 0, &error)?,
            ]));
        }
        let now = self.shared.clock.now();
        let waited = work.waits_since.map(|since| now.since(since));
        if waited.unwrap_or_default() < self.options.longest_park {
            return Ok(Disposition::RetryIn(A_MOMENT));
        }
        tracing::warn!(target: "kser", run = ?run.id(), position, "a message is ahead of the state of its run; looking again in {LOOK_AGAIN:?}");
        Ok(self.look_again(work))
    }
}
