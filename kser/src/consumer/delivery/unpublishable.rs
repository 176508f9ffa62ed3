use std::time::Duration;

use kser_core::{Error, Message, Outcome, Record, Status};

use super::dead_letter;
use super::disposition::{Disposition, Outputs, RefusedRecord};
use super::state::DeliveryState;
use crate::consumer::processor::backoff;
use crate::consumer::step::give_up::give_up;
use crate::engine::event::RunEvent;
use crate::engine::refusal;
use crate::engine::scope::message::is_stored;

/// The records that go out in place of one that its topic refuses.
enum Replacement {
    Records(Vec<Record>),
    /// There is none: the record is tried again until its topic takes it.
    Itself,
    /// There is none before this has passed.
    Later(Duration),
}

/// Takes the outputs that are decided and not published yet, and replaces the records that their topics refuse.
pub(crate) async fn replace(state: &mut DeliveryState<'_>, mut outputs: Outputs) -> Disposition {
    let mut wait = None;
    let mut refused = std::mem::take(&mut state.refused);
    while let Some(one) = refused.pop() {
        match replacement_of(state, &one).await {
            Ok(Replacement::Records(records)) => {
                if !dead_letter::is_dead_letter(&one.record) {
                    dead_letter::observe(state.processor.observer.as_deref(), &records);
                }
                outputs.put(records, one.output);
            }
            Ok(Replacement::Itself) => {
                outputs.put(vec![one.record], one.output);
                wait = Some(backoff(state.failed_settles));
            }
            Ok(Replacement::Later(pause)) => {
                state.refused.push(one);
                wait = Some(pause);
            }
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(target: "kser", topic = %state.tracked.record.topic, error, "a record that its topic refuses cannot be given up yet");
                state.refused.push(one);
                wait = Some(backoff(state.failed_settles));
            }
        }
    }
    match wait {
        None => Disposition::Ack(outputs),
        Some(pause) => {
            state.unsettled = Some(outputs);
            Disposition::RetryIn(pause)
        }
    }
}

/// Replaces a record by its dead letter, which ends the run whose step it is.
async fn replacement_of(
    state: &DeliveryState<'_>,
    refused: &RefusedRecord,
) -> Result<Replacement, Error> {
    let RefusedRecord {
        record,
        output,
        error,
    } = refused;
    let (processor, shared) = (state.processor, &state.processor.shared);
    if dead_letter::is_dead_letter(record) {
        return replace_dead_letter(state, record, output.is_some(), error);
    }
    if record.topic == shared.writer.routes.events()? {
        return replace_event(state, record, error);
    }
    let payloads = &shared.writer.payloads;
    let mut unsent = state.tracked.unsent(record.clone(), &*shared.clock);
    unsent.opened = payloads.text(record).ok();
    let Ok(message) = Message::decode(unsent.opened.as_deref().unwrap_or_default()) else {
        let failed = unsent.attempts.failed;
        let dead_letter = dead_letter::write_within(&unsent, failed, &*error.report(), shared)?;
        return Ok(Replacement::Records(vec![dead_letter]));
    };
    let given_up = give_up(processor, &unsent, &message, refusal::outcome(error));
    Ok(match Box::pin(given_up).await? {
        Disposition::Ack(outputs) => Replacement::Records(outputs.records),
        Disposition::RetryIn(pause) => Replacement::Later(pause),
        Disposition::Release | Disposition::RunExclusively | Disposition::AwaitPlace(_) => {
            Replacement::Itself
        }
    })
}

/// Replaces a dead letter that its topic refuses, at first by one without the headers that kser adds. If that is refused too:
/// one of a record that the store keeps is left out; one of another record that was never sent is replaced by that of the
/// delivery, from which the record follows again; that of the delivery is held.
fn replace_dead_letter(
    state: &DeliveryState<'_>,
    dead_letter: &Record,
    is_output: bool,
    error: &Error,
) -> Result<Replacement, Error> {
    let bare = dead_letter::within(dead_letter.clone(), 0);
    if bare.size() < dead_letter.size() {
        return Ok(Replacement::Records(vec![bare]));
    }
    if dead_letter.payload == state.tracked.record.payload {
        return Ok(Replacement::Itself);
    }
    tracing::error!(target: "kser", error = kser_core::log::report(error), "publishing a record and its dead letter failed: both topics refuse it");
    let payloads = &state.processor.shared.writer.payloads;
    let message = payloads.message(dead_letter);
    let is_kept = message.ok().and_then(|message| is_stored(&message));
    if is_output || is_kept == Some(true) {
        // The store has the step, for a retry by hand, and the messages that a handler sends, for a sweep.
        return Ok(Replacement::Records(Vec::new()));
    }
    let own = own_dead_letter(state, error)?;
    Ok(Replacement::Records(vec![own]))
}

/// Replaces the event of an end that is too large by that of a failure. Other events are left out.
fn replace_event(
    state: &DeliveryState<'_>,
    record: &Record,
    error: &Error,
) -> Result<Replacement, Error> {
    let shared = &state.processor.shared;
    let mut event = RunEvent::decode(&shared.writer.payloads.text(record)?)?;
    let text = state.tracked.text().map(|text| &**text);
    let message = Message::decode(text.unwrap_or_default());
    let is_kept = message.ok().and_then(|message| is_stored(&message));
    let is_kept = is_kept.unwrap_or_else(|| shared.stores_runs());
    let outcome = refusal::outcome(error);
    let is_smaller = event
        .outcome
        .as_ref()
        .is_some_and(|told: &Outcome| told.encoded_len() > outcome.encoded_len());
    if is_kept || !event.status.is_terminal() || !is_smaller {
        tracing::error!(target: "kser", run = ?event.run, error = kser_core::log::report(error), "publishing an event failed; observers do not see this change of status");
        return Ok(Replacement::Records(Vec::new()));
    }
    let mut records = Vec::new();
    if event.status != Status::Failed {
        records.push(own_dead_letter(state, error)?);
    }
    event.status = Status::Failed;
    event.outcome = Some(outcome);
    records.push(shared.writer.event(&event)?);
    Ok(Replacement::Records(records))
}

/// Writes the dead letter of the delivery itself.
fn own_dead_letter(state: &DeliveryState<'_>, error: &Error) -> Result<Record, Error> {
    let (tracked, shared) = (&state.tracked, &state.processor.shared);
    dead_letter::write_within(tracked, tracked.attempts.failed, &*error.report(), shared)
}
