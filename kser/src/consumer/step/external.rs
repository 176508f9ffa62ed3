use kser_core::sequencing::{
    Effect, Event, External, PlannedStep, Progress, Rejected, SentStep, StepKey, Transition,
};
use kser_core::{
    Envelope, Error, Message, Metadata, Mode, Outcome, Record, RunId, Status, TaskError, headers,
};

use super::run::{Run, step_key};
use crate::consumer::delivery::dead_letter;
use crate::consumer::delivery::disposition::Disposition;
use crate::consumer::delivery::state::DeliveryState;
use crate::consumer::processor::Processor;
use crate::engine::records::STEP_ENDED;
use crate::engine::refusal;
use crate::engine::stored::{RunView, Stored, SwapOutcome, WriteExtras, run_ref};

/// A version that no run reaches by its changes.
const LATER_THAN_ANY: u64 = 1 << 32;

/// An external step, as the store or the report tells.
struct Asked {
    known: RunView,
    /// The user's metadata that the step was given.
    metadata: Metadata,
}

impl Processor {
    /// Ends an external step by a report.
    pub(crate) async fn reported(
        &self,
        work: &mut DeliveryState,
        message: &Message,
    ) -> Result<Disposition, Error> {
        if let Some(envelope) = message.metadata.envelope() {
            return self.accept(work, message, envelope).await;
        }
        if let Some(report) = self.attributed(work, message.clone()).await?
            && let Some(envelope) = report.metadata.envelope()
        {
            return self.accept(work, &report, envelope).await;
        }
        let error =
            "the report of an external step names no run: it must hand on the metadata of the step";
        Ok(Disposition::ack_with(vec![
            self.dead_letter(work, 0, error)?,
        ]))
    }

    /// Ends an external step by a report that cannot be read: a failed attempt. `None` if the payload is no report, or does
    /// not tell of which step.
    pub(crate) async fn unreadable_report(
        &self,
        work: &mut DeliveryState,
        payload: &[u8],
        flaw: &str,
    ) -> Result<Option<Disposition>, Error> {
        let blank = || Message::new("".into(), STEP_ENDED.into(), kser_core::Object::default());
        let mut report = Message::salvage(payload).unwrap_or_else(blank);
        if report.entrypoint.as_str() != STEP_ENDED {
            return Ok(None);
        }
        if report.metadata.envelope().is_none() {
            report = match self.attributed(work, report).await? {
                Some(report) => report,
                None => return Ok(None),
            };
        }
        let Some(envelope) = report.metadata.envelope().cloned() else {
            return Ok(None);
        };
        tracing::error!(target: "kser", run = ?envelope.run, topic = %work.record.topic, error = flaw, "reading a report failed; the attempt at its step has failed");
        report.result = invalid(flaw);
        self.accept(work, &report, &envelope).await.map(Some)
    }

    /// Gives a report that does not hand on `metadata.kser` that of the stored run which the key of the record names.
    /// `None` if there is no such run, or it does not wait for a report of this step.
    async fn attributed(
        &self,
        work: &DeliveryState,
        mut report: Message,
    ) -> Result<Option<Message>, Error> {
        let shared = &self.shared;
        let key = work.record.key.as_deref();
        let key = key.and_then(|key| std::str::from_utf8(key).ok());
        let (Some(store), Some(key)) = (&shared.store, key) else {
            return Ok(None);
        };
        let id = RunId::from(key);
        let Some(info) = store.run(&id).await? else {
            return Ok(None);
        };
        let known = Stored { shared, store }.known(&id).await?;
        let is_awaited =
            known.progress.status() == Status::Running && report.metadata.newer_version().is_none();
        let is_any = report.uuid.as_str().is_empty();
        let here = known
            .here
            .filter(|here| here.external.is_some() && (is_any || here.key.uuid == report.uuid));
        let Some(here) = here.filter(|_| is_awaited) else {
            return Ok(None);
        };
        if shared.writer.awaited(&run_ref(&info)?, &here)? != work.record.topic {
            return Ok(None);
        }
        let mut envelope = Envelope::new(info.id, info.name, Mode::Stored);
        envelope.step = known.progress.position();
        envelope.of = known.progress.steps();
        envelope.store.clone_from(&shared.writer.store);
        report.uuid = here.key.uuid;
        report.metadata = report.metadata.with_envelope(Some(envelope));
        Ok(Some(report))
    }

    async fn accept(
        &self,
        work: &mut DeliveryState,
        message: &Message,
        envelope: &Envelope,
    ) -> Result<Disposition, Error> {
        let mut run = self.run_of(message, envelope)?;
        let Asked {
            mut known,
            metadata,
        } = self.asked_for(&run, message, envelope).await?;
        let mut outcome = message
            .result
            .clone()
            .cut_to(run.shared.writer.limits.outcome);
        if let Err(error) = run.shared.writer.outcome_fits(&outcome) {
            outcome = refused(&run, &error);
        }
        let mut is_refused = false;
        loop {
            let step = step_told(message, envelope, &known);
            if step.uuid != message.uuid {
                outcome = invalid(&format!(
                    "the report is of step {}, and the run waits for {}",
                    message.uuid, step.uuid
                ));
            }
            outcome = outcome.with_uuid(step.uuid.clone());
            go_on_with(&mut run, message, envelope, &metadata, &outcome)?;
            let event = Event::Reported {
                step,
                outcome: outcome.clone(),
                seen: super::execution::seen(message),
            };
            if let (false, Err(error)) = (is_refused, run.must_fit(&known, event.clone())) {
                outcome = refused(&run, &error);
                is_refused = true;
                continue;
            }
            match run.apply_to(known, event, WriteExtras::default()).await? {
                SwapOutcome::Applied(applied) => {
                    let (before, after) = (&applied.before, &applied.after);
                    let mut records = run.records(&before.progress, after, before.near())?;
                    if after.effects.contains(&Effect::DeadLetter) {
                        records
                            .push(self.dead_letter_of_step(work, &run, envelope, before, after)?);
                    }
                    tracing::info!(target: "kser", run = ?run.id(), retcode = outcome.retcode(), "an external step has ended");
                    return Ok(Disposition::ack_with(records));
                }
                SwapOutcome::Conflict(Some(actual)) => known = run.known_at(actual).await?,
                SwapOutcome::Conflict(None) => return Ok(Disposition::ack()),
                SwapOutcome::Rejected(Rejected::Ahead { position }, _) => {
                    return self.ahead(work, &run, position);
                }
                SwapOutcome::Rejected(
                    rejected @ (Rejected::UnknownStep | Rejected::NotExternal),
                    _,
                ) => {
                    let letter = self.dead_letter(work, 0, &rejected.to_string())?;
                    return Ok(Disposition::ack_with(vec![letter]));
                }
                SwapOutcome::Rejected(rejected, _) => {
                    tracing::warn!(target: "kser", uuid = ?message.uuid, %rejected, "a report is not accepted");
                    return Ok(Disposition::ack());
                }
            }
        }
    }

    /// Finds out where the run stands, and what its step was given: from the store, or from what the step carried.
    async fn asked_for(
        &self,
        run: &Run<'_>,
        message: &Message,
        envelope: &Envelope,
    ) -> Result<Asked, Error> {
        if let Some(stored) = &run.stored {
            let info = stored.store.run(&envelope.run).await?;
            let info = info.ok_or_else(|| Error::UnknownRun {
                id: envelope.run.clone(),
            })?;
            return Ok(Asked {
                known: stored.known(&envelope.run).await?,
                metadata: run_ref(&info)?.metadata,
            });
        }
        let mut known = self.seen(message, envelope)?;
        let mut envelope = envelope.clone();
        if envelope.version == 0 {
            // The reporter has lost it: what follows would be taken for a repetition.
            envelope.version = LATER_THAN_ANY;
        }
        let Some(sent) = &envelope.sent else {
            // Of a step that an earlier version sent, or a reporter that hands on a part: the step cannot be sent again.
            let mut here =
                PlannedStep::new(step_key(message, envelope.step), message.params.clone());
            here.external = Some(never_again());
            known.here = Some(Box::new(here));
            *known.progress = Progress::seen(&envelope, Outcome::default());
            return Ok(Asked {
                known,
                metadata: message.metadata.user_fields(),
            });
        };
        let SentStep {
            mut step,
            given,
            metadata,
        } = SentStep::decode(sent, &envelope.run, envelope.step)?;
        if envelope.attempts == 0 {
            // The reporter has lost the count: the step would be sent for ever.
            step.external = step.external.map(|_| never_again());
        }
        known.here = Some(Box::new(step));
        *known.progress = Progress::seen(&envelope, given);
        Ok(Asked { known, metadata })
    }

    /// Writes the dead letter of an external step that has failed: the message of the step, so that a replay runs it again.
    /// It is found where reports go; a header tells the topic of the step.
    fn dead_letter_of_step(
        &self,
        work: &DeliveryState,
        run: &Run<'_>,
        envelope: &Envelope,
        before: &RunView,
        after: &Transition,
    ) -> Result<Record, Error> {
        let text = dead_letter::text(after.progress.last_outcome());
        let attempts = after.progress.attempts();
        let here = before.here.as_ref();
        let here = here.filter(|here| here.key.entrypoint.as_str() != STEP_ENDED);
        let (Some(here), Some(of)) = (here, &run.of) else {
            return self.dead_letter(work, attempts, &text);
        };
        let progress = match run.stored {
            Some(_) => Progress::clone(&before.progress),
            None => first_attempt(envelope, before),
        };
        let rest = run.rest.as_ref();
        let Ok(record) = run.shared.writer.step(of, here, &progress, rest) else {
            return self.dead_letter(work, attempts, &text);
        };
        let topic = record.topic.to_string();
        let mut unsent = DeliveryState::unsent(record, work, &*run.shared.clock);
        unsent.record.topic = work.record.topic.clone();
        let mut letter = self.dead_letter(&unsent, attempts, &text)?;
        headers::set(&mut letter, headers::TOPIC, topic);
        Ok(letter)
    }
}

/// Makes ready what goes with the next message: after a success the user's metadata with what the reporter adds, and the
/// steps behind the next one; after a failure what the step itself was sent with.
fn go_on_with(
    run: &mut Run<'_>,
    message: &Message,
    envelope: &Envelope,
    given: &Metadata,
    outcome: &Outcome,
) -> Result<(), Error> {
    let is_carried = run.stored.is_none();
    let mut metadata = given.user_fields();
    if outcome.is_success() {
        for (name, value) in message.metadata.iter() {
            metadata.set(name, value.clone());
        }
    }
    if let Some(of) = &mut run.of {
        of.metadata = metadata;
    }
    if is_carried {
        run.rest = match outcome.is_success() {
            true => super::execution::next_step(envelope)?.1,
            false => envelope.plan.clone(),
        };
    }
    Ok(())
}

/// Where a carried step stands when it is sent for the first time.
fn first_attempt(envelope: &Envelope, before: &RunView) -> Progress {
    let mut envelope = envelope.clone();
    envelope.attempts = 1;
    envelope.uncounted = 0;
    Progress::seen(&envelope, before.progress.outcome().clone())
}

const fn never_again() -> External {
    let mut external = External::new(std::time::Duration::ZERO);
    external.attempts = 0;
    external
}

/// Makes the outcome of a report that is wrong.
fn invalid(text: &str) -> Outcome {
    Outcome::from(&TaskError::new("InvalidReport", text).with_code(400))
}

/// Makes the outcome of a report that cannot be followed by what it asks for. Carried, the steps to come are the report's own.
fn refused(run: &Run<'_>, error: &Error) -> Outcome {
    match error {
        Error::InvalidStep { .. } if run.stored.is_none() => invalid(&format!(
            "the report does not hand on the metadata of its step: {error}"
        )),
        _ => refusal::outcome(error),
    }
}

/// Names the step that is meant: the one at which the run stands if the report is of its place, else what the report says.
fn step_told(message: &Message, envelope: &Envelope, known: &RunView) -> StepKey {
    let here = known.here.as_ref().map(|here| &here.key);
    let here = here.filter(|key| key.position == envelope.step);
    here.cloned()
        .unwrap_or_else(|| step_key(message, envelope.step))
}
