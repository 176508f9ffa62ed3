use kser_core::sequencing::{Effect, Event, Rejected};
use kser_core::{Error, Message, Outcome, TaskError};

use super::ahead::late;
use super::outcome::with_task;
use crate::consumer::delivery::dead_letter;
use crate::consumer::delivery::disposition::Disposition;
use crate::consumer::delivery::tracked_record::TrackedRecord;
use crate::consumer::processor::Processor;
use crate::engine::scope::message::{Lineage, seen_alone, step_key, version_seen};
use crate::engine::scope::{Inserting, RunScope};
use crate::engine::stored::{Elsewhere, SwapOutcome};

/// Writes the dead letter of a message that no handler ran, and ends its run.
pub(crate) async fn give_up(
    processor: &Processor,
    tracked: &TrackedRecord,
    message: &Message,
    outcome: Outcome,
) -> Result<Disposition, Error> {
    let shared = &processor.shared;
    let outcome = with_task(outcome, message).cut_to(shared.writer.limits.outcome);
    let failed = tracked.attempts.failed;
    let dead_letter = dead_letter::write_within(tracked, failed, &outcome, shared)?;
    let longest = shared.log.longest_text();
    let (entrypoint, uuid) = (&message.entrypoint, &message.uuid);
    kser_core::log::failed("Controller", entrypoint, uuid, &outcome, longest);
    let Some(envelope) = message.metadata.envelope() else {
        return Ok(Disposition::ack_with(vec![dead_letter]));
    };
    let scope = RunScope::of_run(shared, message, envelope)?;
    if envelope.launch {
        let payload = tracked.text();
        match Box::pin(scope.must_exist(message, payload)).await? {
            Some(Inserting::OtherContent) => {
                return refuse_other_content(processor, tracked, message);
            }
            Some(Inserting::Purged) => return Ok(late(scope.id())),
            Some(Inserting::Stands(_)) | None => {}
        }
    }
    let step = step_key(message, envelope.step);
    // The steps behind it do not matter, nor whether they can be read.
    let mut view = seen_alone(message, envelope);
    loop {
        let event = Event::GivenUp {
            step: step.clone(),
            outcome: outcome.clone(),
            seen: version_seen(message),
        };
        match scope.apply_to(view, event).await? {
            SwapOutcome::Applied(applied) => {
                let after = &applied.after;
                let mut records = scope.records(&applied.before, after)?;
                if after.effects.contains(&Effect::DeadLetter) {
                    let made = after.progress.made_attempts().saturating_add(failed);
                    let dead_letter = dead_letter::write_within(tracked, made, &outcome, shared)?;
                    records.push(dead_letter);
                }
                return Ok(Disposition::ack_with(records));
            }
            SwapOutcome::Conflict(Elsewhere::Stands(actual)) => {
                view = actual;
                if Lineage::of(message, &view.progress) == Lineage::OfAnother {
                    return Ok(late(scope.id()));
                }
            }
            SwapOutcome::Conflict(Elsewhere::Purged) => return Ok(late(scope.id())),
            // Another consumer runs the step, and may still succeed.
            SwapOutcome::Rejected(Rejected::Leased { until }, _) => {
                let wait = until.since(scope.now());
                return Ok(Disposition::RetryIn(
                    wait.min(processor.options.longest_park),
                ));
            }
            SwapOutcome::Conflict(Elsewhere::Unknown) | SwapOutcome::Rejected(..) => {
                return Ok(Disposition::ack_with(vec![dead_letter]));
            }
        }
    }
}

/// Gives up a launch whose metadata `kser` is the user's own.
pub(crate) async fn refuse_launch(
    processor: &Processor,
    tracked: &TrackedRecord,
    message: &Message,
) -> Result<Disposition, Error> {
    let text = "metadata.kser is not kser's: an operation cannot be launched with it";
    let outcome = Outcome::from(&TaskError::validation(text));
    give_up(processor, tracked, message, outcome).await
}

/// Writes the dead letter of a launch of which the store has a run with other content. That run is left alone.
pub(crate) fn refuse_other_content(
    processor: &Processor,
    tracked: &TrackedRecord,
    message: &Message,
) -> Result<Disposition, Error> {
    let id = message.uuid.clone().into();
    let error = Error::Conflict { id };
    tracing::error!(target: "kser", topic = %tracked.record.topic, error = kser_core::log::report(&error), "a launch is refused; its message becomes a dead letter");
    let dead_letter = dead_letter::write_within(tracked, 0, &*error.report(), &processor.shared)?;
    Ok(Disposition::ack_with(vec![dead_letter]))
}
