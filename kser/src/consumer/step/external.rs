use kser_core::sequencing::{Effect, Event, Rejected, StepKey, Transition};
use kser_core::{Envelope, Error, Message, Metadata, Mode, Record, RunId, Status, headers};

use super::ahead::{defer_ahead, late};
use crate::consumer::delivery::dead_letter::{self, Reason};
use crate::consumer::delivery::disposition::Disposition;
use crate::consumer::delivery::state::DeliveryState;
use crate::engine::records::STEP_ENDED;
use crate::engine::refusal::invalid_report;
use crate::engine::run_view::RunView;
use crate::engine::scope::message::{Lineage, step_key, version_seen};
use crate::engine::scope::{ExternalStep, RunScope};
use crate::engine::stored::{Elsewhere, Stored, SwapOutcome, run_ref};

/// Ends an external step by a report.
pub(crate) async fn accept_report(
    state: &mut DeliveryState<'_>,
    message: &Message,
) -> Result<Disposition, Error> {
    if let Some(envelope) = message.metadata.envelope() {
        return accept(state, message, envelope).await;
    }
    if let Some(report) = attribute(state, message.clone()).await?
        && let Some(envelope) = report.metadata.envelope()
    {
        return accept(state, &report, envelope).await;
    }
    let error =
        "the report of an external step names no run: it must hand on the metadata of the step";
    Ok(Disposition::ack_with(vec![dead_letter_of(
        state, 0, error,
    )?]))
}

/// Ends an external step by a report that cannot be read: a failed attempt. `None` if the payload is no report, or does
/// not tell of which step.
pub(crate) async fn accept_unreadable_report(
    state: &mut DeliveryState<'_>,
    payload: &[u8],
    flaw: &str,
) -> Result<Option<Disposition>, Error> {
    let blank = || Message::new("".into(), STEP_ENDED.into(), kser_core::Object::default());
    let mut report = Message::salvage(payload).unwrap_or_else(blank);
    if report.entrypoint.as_str() != STEP_ENDED {
        return Ok(None);
    }
    if report.metadata.envelope().is_none() {
        report = match attribute(state, report).await? {
            Some(report) => report,
            None => return Ok(None),
        };
    }
    let Some(envelope) = report.metadata.envelope().cloned() else {
        return Ok(None);
    };
    let shown = kser_core::log::clean(flaw, state.processor.shared.log.longest_text());
    tracing::error!(target: "kser", run = ?envelope.run, topic = %state.tracked.record.topic, error = &*shown, "reading a report failed; the attempt at its step has failed");
    report.result = invalid_report(flaw);
    accept(state, &report, &envelope).await.map(Some)
}

/// Gives a report that does not hand on `metadata.kser` that of the stored run which the key of the record names.
/// `None` if there is no such run, or it does not wait for a report of this step.
async fn attribute(
    state: &DeliveryState<'_>,
    mut report: Message,
) -> Result<Option<Message>, Error> {
    let shared = &state.processor.shared;
    let key = state.tracked.record.key.as_deref();
    let key = key.and_then(|key| std::str::from_utf8(key).ok());
    let (Some(store), Some(key)) = (&shared.store, key) else {
        return Ok(None);
    };
    let id = RunId::from(key);
    let Some(info) = store.run(&id).await? else {
        return Ok(None);
    };
    let view = Stored { shared, store }.view(&id).await?;
    let is_awaited =
        view.progress.status() == Status::Running && report.metadata.newer_version().is_none();
    let is_any = report.uuid.as_str().is_empty();
    let here = view
        .here
        .filter(|here| here.external.is_some() && (is_any || here.key.uuid == report.uuid));
    let Some(here) = here.filter(|_| is_awaited) else {
        return Ok(None);
    };
    if shared.writer.awaited(&run_ref(&info)?, &here)? != state.tracked.record.topic {
        return Ok(None);
    }
    let mut envelope = Envelope::new(info.id, info.name, Mode::Stored);
    envelope.step = view.progress.position();
    envelope.of = view.progress.steps();
    envelope.store.clone_from(&shared.writer.store);
    report.uuid = here.key.uuid;
    report.metadata = report.metadata.with_envelope(Some(envelope));
    Ok(Some(report))
}

async fn accept(
    state: &mut DeliveryState<'_>,
    message: &Message,
    envelope: &Envelope,
) -> Result<Disposition, Error> {
    let shared = &state.processor.shared;
    let mut scope = RunScope::of_run(shared, message, envelope)?;
    let Some(step) = scope.external_step(message, envelope).await? else {
        return Ok(late(scope.id()));
    };
    let ExternalStep { mut view, metadata } = step;
    if scope.leased_run().is_some() && Lineage::of(message, &view.progress) == Lineage::OfAnother {
        return Ok(late(scope.id()));
    }
    let limit = shared.writer.limits.outcome;
    let mut outcome = message.result.clone().cut_to(limit);
    if let Err(error) = shared.writer.outcome_fits(&outcome) {
        outcome = scope.refuse_report(&error);
    }
    let mut is_refused = false;
    loop {
        let step = step_meant(message, envelope, &view);
        if step.uuid != message.uuid {
            outcome = invalid_report(&format!(
                "the report is of step {}, and the run waits for {}",
                message.uuid, step.uuid
            ));
        }
        outcome = outcome.with_uuid(step.uuid.clone());
        let is_success = outcome.is_success();
        let metadata = metadata_after(message, &metadata, is_success);
        scope.follow_report(metadata, envelope, is_success);
        let event = Event::Reported {
            step,
            outcome: outcome.clone(),
            seen: version_seen(message),
        };
        if let (false, Err(error)) = (is_refused, scope.must_fit(&view, event.clone())) {
            outcome = scope.refuse_report(&error);
            is_refused = true;
            continue;
        }
        match scope.apply_to(view, event).await? {
            SwapOutcome::Applied(applied) => {
                let (before, after) = (&applied.before, &applied.after);
                let mut records = scope.records(before, after)?;
                if after.effects.contains(&Effect::DeadLetter) {
                    let dead_letter = dead_letter_of_step(state, &scope, envelope, before, after)?;
                    records.push(dead_letter);
                }
                tracing::info!(
                    target: "kser", run = scope.id().map(tracing::field::debug), step = envelope.step,
                    steps = after.progress.steps(), retcode = outcome.code(), "an external step has ended",
                );
                return Ok(Disposition::ack_with(records));
            }
            SwapOutcome::Conflict(Elsewhere::Stands(actual)) => view = actual,
            SwapOutcome::Conflict(Elsewhere::Purged | Elsewhere::Unknown) => {
                return Ok(Disposition::ack());
            }
            SwapOutcome::Rejected(Rejected::Ahead { position }, _) => {
                return defer_ahead(state, scope.id(), position);
            }
            SwapOutcome::Rejected(
                rejected @ (Rejected::UnknownStep | Rejected::NotExternal),
                _,
            ) => {
                let dead_letter = dead_letter_of(state, 0, &*rejected.to_string())?;
                return Ok(Disposition::ack_with(vec![dead_letter]));
            }
            SwapOutcome::Rejected(rejected, _) => {
                tracing::warn!(target: "kser", uuid = ?message.uuid, %rejected, "a report is not accepted");
                return Ok(Disposition::ack());
            }
        }
    }
}

/// Makes the user's metadata of the next message: those that the step was given, and after a success those that the reporter
/// adds.
fn metadata_after(message: &Message, given: &Metadata, is_success: bool) -> Metadata {
    let mut metadata = given.user_fields();
    if is_success {
        for (name, value) in message.metadata.iter() {
            metadata.set(name, value.clone());
        }
    }
    metadata
}

/// Writes the dead letter of an external step that has failed: the message of the step, so that a replay runs it again.
/// It is found where reports go; a header tells the topic of the step.
fn dead_letter_of_step(
    state: &DeliveryState<'_>,
    scope: &RunScope<'_>,
    envelope: &Envelope,
    before: &RunView,
    after: &Transition,
) -> Result<Record, Error> {
    let (shared, topic) = (scope.shared(), &state.tracked.record.topic);
    let outcome = after.progress.last_outcome();
    let attempts = after.progress.attempts();
    let here = before.here.as_ref();
    let here = here.filter(|here| here.key.entrypoint.as_str() != STEP_ENDED);
    let progress = scope.progress_of_sent(envelope, before);
    let record = here.and_then(|here| scope.step_record(here, &progress)?.ok());
    let Some(record) = record else {
        return dead_letter_of(state, attempts, outcome);
    };
    let step_topic = record.topic.to_string();
    let mut unsent = state.tracked.unsent(record, &*shared.clock);
    unsent.record.topic = topic.clone();
    let mut dead_letter = dead_letter::write_within(&unsent, attempts, outcome, shared)?;
    headers::set(&mut dead_letter, headers::TOPIC, step_topic);
    Ok(dead_letter)
}

fn dead_letter_of(
    state: &DeliveryState<'_>,
    attempts: u32,
    reason: impl Into<Reason>,
) -> Result<Record, Error> {
    dead_letter::write_within(&state.tracked, attempts, reason, &state.processor.shared)
}

/// Returns the step that a report is for: the step at which the run stands if the report has its position, otherwise the
/// step that the report names.
fn step_meant(message: &Message, envelope: &Envelope, view: &RunView) -> StepKey {
    let here = view.here.as_ref().map(|here| &here.key);
    let here = here.filter(|key| key.position == envelope.step);
    here.cloned()
        .unwrap_or_else(|| step_key(message, envelope.step))
}
