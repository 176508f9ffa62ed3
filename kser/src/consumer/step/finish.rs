use kser_core::sequencing::{Effect, Progress, Rejected, Transition};
use kser_core::store::Attempt;
use kser_core::{Context, Error, Message, Record, RunId, TaskError, Timestamp};

use super::ending::{Ending, open_plan};
use super::execution::{Product, StepExecution};
use super::run::Run;
use crate::consumer::delivery::dead_letter;
use crate::consumer::delivery::disposition::{Disposition, Outputs};
use crate::consumer::delivery::state::DeliveryState;
use crate::consumer::processor::Processor;
use crate::engine::records::RunRef;
use crate::engine::stored::{RunView, Stored, WriteExtras, WriteOutcome, output_ids};

/// An attempt that has ended.
#[derive(Debug)]
pub(crate) struct Attempted {
    /// The number that fences it.
    pub(crate) attempt: u32,
    /// Which attempt it was for the retry policy.
    pub(crate) counted: u32,
    /// When an attempt at the step failed first, as far as its run knows.
    pub(crate) first_failed: Option<Timestamp>,
    pub(crate) began: Timestamp,
}

/// What follows the end of an attempt, written out.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// The run's own records.
    pub(crate) records: Vec<Record>,
    /// What the handler sends.
    sent: Vec<Record>,
}

impl Processor {
    /// Takes what a handler returned, and decides what follows. What the rules make of it is written first.
    pub(crate) async fn end(
        &self,
        work: &mut DeliveryState,
        mut task: Box<StepExecution<'_>>,
        mut known: RunView,
        attempted: Attempted,
        ctx: &Context,
        returned: Result<Product, TaskError>,
    ) -> Result<Disposition, Error> {
        let mut ending = self.ending(work, &task, &attempted, returned);
        open_plan(&mut task, &mut known, &ending);
        let mut refused = false;
        loop {
            let event = ending.event(&task.step, attempted.attempt);
            let mut after = match task.run.decide(&known, event) {
                Ok(after) => after,
                Err(rejected) => return Ok(not_ours(task.message, &rejected)),
            };
            if !after.changed && task.run.stored.is_some() && !is_told_again(&after) {
                // Another attempt was accepted: what this one left is not wanted, nor what it sends.
                tracing::warn!(
                    target: "kser", uuid = ?task.message.uuid,
                    "the end of an attempt is dropped: another attempt at the step was accepted",
                );
                return Ok(Disposition::ack());
            }
            let again = take_retry(&mut after, task.step.position);
            let written = match self.written(&task, &known, &after, ctx, &ending) {
                Ok(written) => written,
                Err(error) if !refused => {
                    refused = true;
                    ending.refuse(&error);
                    continue;
                }
                Err(error) => {
                    // It ends all the same: whoever is to be told cannot be, and the handler does not run again for it.
                    tracing::error!(target: "kser", uuid = ?task.message.uuid, error = kser_core::log::report(&error), "writing what follows the end of an attempt failed; the run ends, and no event tells it");
                    Written::default()
                }
            };
            // Carried, it is written with the records.
            if let (true, Some(stored), Some(of)) = (after.changed, task.run.stored, &task.run.of) {
                let along = self.along(&task, &attempted, &ending, &after, &written.sent);
                match Box::pin(self.surely(stored, of, &mut known, &after, &along)).await {
                    Some(WriteOutcome::Yes) => {}
                    Some(WriteOutcome::Elsewhere(Some(actual))) => {
                        let Some(now) = Box::pin(self.surely_known(&task.run, actual)).await else {
                            return Ok(Disposition::Release);
                        };
                        known = now;
                        open_plan(&mut task, &mut known, &ending);
                        continue;
                    }
                    Some(WriteOutcome::Elsewhere(None)) => return Ok(Disposition::ack()),
                    None => return Ok(Disposition::Release),
                }
            }
            return match again {
                Some(not_before) => Ok({
                    let outcome = &ending.outcome;
                    self.again(work, &task, &after, written, outcome, not_before)
                }),
                None => self.ended(work, &task, &after, written),
            };
        }
    }

    /// Writes all that follows, within the limits, before anything is written to the store.
    fn written(
        &self,
        task: &StepExecution<'_>,
        known: &RunView,
        after: &Transition,
        ctx: &Context,
        ending: &Ending,
    ) -> Result<Written, Error> {
        let run = &task.run;
        let left = match ending.outcome.is_success() && ending.build.is_none() {
            true => after.progress.outcome(),
            false => &ending.outcome,
        };
        run.shared.writer.outcome_fits(left)?;
        let mut records = run.records(&known.progress, after, known.near())?;
        if let Some(topic) = run
            .reply
            .as_ref()
            .filter(|_| after.progress.status().is_terminal())
        {
            let outcome = after.progress.last_outcome().clone();
            let reply = topic.clone();
            records.push(run.shared.writer.report(reply, task.message, outcome)?);
        }
        let mut sent = Vec::new();
        if ending.outcome.is_success() {
            for output in ctx.outputs() {
                sent.push(
                    run.shared
                        .writer
                        .output(&output, run.shared.mode, run.now())?,
                );
            }
        }
        for record in records.iter().chain(&sent) {
            self.fits_transport(record)?;
        }
        Ok(Written { records, sent })
    }

    fn fits_transport(&self, record: &Record) -> Result<(), Error> {
        let limit = self.shared.description.largest_record;
        match record.size() {
            size if size > limit => Err(Error::TooLarge {
                what: "bytes of the record".into(),
                size,
                limit,
            }),
            _ => Ok(()),
        }
    }

    fn along(
        &self,
        task: &StepExecution<'_>,
        attempted: &Attempted,
        ending: &Ending,
        after: &Transition,
        sent: &[Record],
    ) -> WriteExtras {
        if task.run.stored.is_none() {
            return WriteExtras::default();
        }
        let outcome = match (&ending.build, ending.outcome.is_success()) {
            (None, true) => after.progress.outcome().clone(),
            _ => ending.outcome.clone(),
        };
        let mut attempt = Attempt::new(
            task.step.position,
            task.step.entrypoint.clone(),
            attempted.counted,
            task.run.now(),
            outcome,
        );
        attempt.started = Some(attempted.began);
        attempt.worker = self.owner.instance.to_string();
        WriteExtras {
            plan: ending.build.as_ref().and_then(Clone::clone),
            attempt: Some(attempt),
            outputs: sent.to_vec(),
        }
    }

    /// Writes a transition where the state is stored, however long the store does not answer: what a handler left is not
    /// thrown away. `None` if there is no time left for it.
    async fn surely(
        &self,
        stored: Stored<'_>,
        run: &RunRef,
        known: &mut RunView,
        after: &Transition,
        along: &WriteExtras,
    ) -> Option<WriteOutcome> {
        let mut tries = 0;
        loop {
            match stored.write(run, known, after, along).await {
                Ok(wrote) => return Some(wrote),
                Err(error) => self.tries_again(Some(&run.id), &error, &mut tries).await?,
            }
        }
    }

    /// Reads the steps near the progress that a conflict told, however long the store does not answer: the end is decided
    /// and still to be written. `None` if there is no time left for it.
    async fn surely_known(&self, run: &Run<'_>, actual: Box<Progress>) -> Option<RunView> {
        let mut tries = 0;
        loop {
            match run.known_at(actual.clone()).await {
                Ok(known) => return Some(known),
                Err(error) => self.tries_again(run.id(), &error, &mut tries).await?,
            }
        }
    }

    /// Waits before the store is asked again for the sake of an end. `None` if there is no time left for it.
    async fn tries_again(&self, run: Option<&RunId>, error: &Error, tries: &mut u32) -> Option<()> {
        let pause = crate::consumer::processor::backoff(*tries);
        tracing::error!(target: "kser", ?run, error = error as &dyn std::error::Error, tries, "writing the end of an attempt failed; retrying in {pause:?}");
        *tries += 1;
        tokio::select! {
            biased;
            () = self.kill.cancelled() => None,
            () = tokio::time::sleep(pause) => Some(()),
        }
    }

    /// The step is over: what follows goes out with the end of its delivery.
    fn ended(
        &self,
        work: &DeliveryState,
        task: &StepExecution<'_>,
        after: &Transition,
        written: Written,
    ) -> Result<Disposition, Error> {
        let progress = &after.progress;
        let outcome = progress.last_outcome();
        let (entrypoint, uuid) = (&task.message.entrypoint, &task.message.uuid);
        let failed = after.effects.contains(&Effect::DeadLetter);
        let Written {
            mut records,
            mut sent,
        } = written;
        task.run.to_our_clock(&mut sent);
        let longest = task.run.shared.log.longest();
        // An attempt of a cancelled run may fail without a dead letter.
        match outcome.is_success() {
            true => kser_core::log::success("Controller", entrypoint, uuid, outcome, longest),
            false => kser_core::log::failed("Controller", entrypoint, uuid, outcome, longest),
        }
        if failed && task.run.reply.is_none() {
            let error = dead_letter::text(outcome);
            records.push(self.dead_letter(work, progress.made_attempts(), &error)?);
        }
        let relayed = match task.run.id().filter(|_| task.run.stored.is_some()) {
            Some(run) => output_ids(run, progress.version(), sent.len()),
            None => Vec::new(),
        };
        records.extend(sent);
        Ok(Disposition::Ack(Outputs { records, relayed }))
    }
}

/// Takes the publication of the step at hand out of the effects: the delivery at hand stands for it.
fn take_retry(after: &mut Transition, here: u32) -> Option<Option<Timestamp>> {
    let mut retry = None;
    after.effects.retain(|effect| match effect {
        Effect::Publish {
            position,
            not_before,
        } if *position == here => {
            retry = Some(*not_before);
            false
        }
        _ => true,
    });
    retry
}

/// Says whether a failure that was written before asks for its effects once more, as when the answer of the store was lost.
fn is_told_again(after: &Transition) -> bool {
    !after.effects.is_empty()
}

fn not_ours(message: &Message, rejected: &Rejected) -> Disposition {
    tracing::warn!(target: "kser", uuid = ?message.uuid, %rejected, "the outcome of an attempt is not accepted; it is dropped");
    Disposition::ack()
}
