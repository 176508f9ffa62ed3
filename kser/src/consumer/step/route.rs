use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use kser_core::{Error, Handler, Message, Name, Outcome, TaskError};

use super::attempt::EndedAttempt;
use super::execution::StepExecution;
use super::external::{accept_report, accept_unreadable_report};
use super::finish::finish;
use super::give_up::{give_up, refuse_launch};
use super::job::Job;
use super::start::StartedStep;
use crate::consumer::delivery::dead_letter;
use crate::consumer::delivery::disposition::Disposition;
use crate::consumer::delivery::state::DeliveryState;
use crate::engine::records::STEP_ENDED;
use crate::payloads::Unopened;

/// Reads a message, and takes it to the code that it asks for.
///
/// # Errors
///
/// The error of the backend, or of the message, for which its end cannot be decided.
pub(crate) async fn route(state: &mut DeliveryState<'_>) -> Result<Disposition, Error> {
    loop {
        if let ControlFlow::Break(disposition) = route_once(state).await? {
            return Ok(disposition);
        }
    }
}

/// Takes the message at hand to its code. Goes on if the step that follows has begun, whose message is then at hand.
async fn route_once(state: &mut DeliveryState<'_>) -> Result<ControlFlow<Disposition>, Error> {
    let message = match decode(state).await? {
        ControlFlow::Continue(message) => message,
        ControlFlow::Break(disposition) => return Ok(ControlFlow::Break(disposition)),
    };
    if let Some(version) = message.metadata.newer_version() {
        tracing::warn!(target: "kser", topic = %state.tracked.record.topic, version, "a message of a newer version of kser waits for a newer consumer");
        return Ok(ControlFlow::Break(state.look_again()));
    }
    match run(state, &message).await {
        // The plan that rides along is none, and will not be one later.
        Err(error @ Error::InvalidStep { .. }) => {
            let error = TaskError::new("InvalidPlan", error.report()).with_code(400);
            let outcome = Outcome::from(&error);
            let given_up = give_up(state.processor, &state.tracked, &message, outcome);
            Box::pin(given_up).await.map(ControlFlow::Break)
        }
        decided => decided,
    }
}

/// Decodes the message of a delivery, once. A record that is no message becomes a dead letter.
async fn decode(
    state: &mut DeliveryState<'_>,
) -> Result<ControlFlow<Disposition, Arc<Message>>, Error> {
    if let Some(message) = &state.message {
        return Ok(ControlFlow::Continue(Arc::clone(message)));
    }
    let Some(payload) = &state.tracked.record.payload else {
        return refuse_unreadable(state, "the record has no payload").map(ControlFlow::Break);
    };
    let payloads = &state.processor.shared.writer.payloads;
    let payload = match payloads.is_encrypted() {
        false => payload.clone(),
        true => {
            let topic = &state.tracked.record.topic;
            match payloads.open_or_load(payload, topic).await {
                Ok(text) => state.tracked.opened.insert(text).clone(),
                Err(unopened) => return refuse_unopened(state, &unopened).map(ControlFlow::Break),
            }
        }
    };
    let error = match Message::decode(&payload) {
        Ok(message) => {
            let message = Arc::new(message);
            state.message = Some(Arc::clone(&message));
            return Ok(ControlFlow::Continue(message));
        }
        Err(error) => error,
    };
    let cause = std::error::Error::source(&error).map(ToString::to_string);
    let flaw = format!("{error}: {}", cause.unwrap_or_default());
    let report = Box::pin(accept_unreadable_report(state, &payload, &flaw));
    match report.await? {
        Some(disposition) => Ok(ControlFlow::Break(disposition)),
        None => refuse_unreadable(state, &flaw).map(ControlFlow::Break),
    }
}

/// Runs the handler that a message asks for. A report goes to its run, a message that its handler cannot take is refused,
/// and a message without a handler waits for one.
async fn run<'p>(
    state: &mut DeliveryState<'p>,
    message: &Arc<Message>,
) -> Result<ControlFlow<Disposition>, Error> {
    if message.entrypoint.as_str() == STEP_ENDED {
        let accepted = Box::pin(accept_report(state, message)).await;
        return accepted.map(ControlFlow::Break);
    }
    let processor = state.processor;
    let job = match processor.registry.get(&message.entrypoint) {
        Some(Handler::Task(_)) if is_launch(message) => {
            let refused = Box::pin(refuse_launched_task(state, message)).await;
            return refused.map(ControlFlow::Break);
        }
        Some(Handler::Task(entry)) => Job::Task(entry),
        Some(Handler::Operation(_)) if is_step(message) => {
            let refused = Box::pin(refuse_nested_operation(state, message)).await;
            return refused.map(ControlFlow::Break);
        }
        Some(Handler::Operation(entry)) => Job::Build(entry),
        Some(Handler::Status(entry)) => Job::Hook(entry),
        _ => {
            let waits = Box::pin(await_handler(state, message)).await;
            return waits.map(ControlFlow::Break);
        }
    };
    if let Some(places) = processor.places_of.get(&message.entrypoint)
        && state.place.is_none()
    {
        match places.try_take() {
            Some(place) => state.place = Some(place),
            None => return Ok(ControlFlow::Break(Disposition::AwaitPlace(places.clone()))),
        }
    }
    let step = match state.step.take() {
        Some(step) => step,
        None if message.metadata.foreign_kser() && matches!(job, Job::Build(_)) => {
            let refused = Box::pin(refuse_launch(processor, &state.tracked, message)).await;
            return refused.map(ControlFlow::Break);
        }
        None => StepExecution::open(processor, message, job, state.tracked.text())?,
    };
    let begun = state.in_a_row.as_mut().and_then(|row| row.begun.take());
    let started = match begun {
        Some(view) => StartedStep {
            step,
            view,
            waited: Duration::ZERO,
            // It began with the end of the step before.
            was_due: Some(Duration::ZERO),
        },
        None => match StartedStep::begin(step, state).await? {
            ControlFlow::Continue(started) => started,
            ControlFlow::Break(disposition) => return Ok(ControlFlow::Break(disposition)),
        },
    };
    match EndedAttempt::run(started, state).await? {
        ControlFlow::Continue(ended) => finish(ended, state).await,
        ControlFlow::Break(disposition) => Ok(ControlFlow::Break(disposition)),
    }
}

/// Writes the dead letter of a record that is no message, as raw bytes.
fn refuse_unreadable(state: &DeliveryState<'_>, error: &str) -> Result<Disposition, Error> {
    let shared = &state.processor.shared;
    tracing::error!(
        target: "kser",
        topic = %state.tracked.record.topic,
        "Controller.ImportError: Failed to load data from kafka: {}",
        kser_core::log::clean(error, shared.log.longest_text()),
    );
    let dead_letter = dead_letter::write_within(&state.tracked, 0, error, shared)?;
    Ok(Disposition::ack_with(vec![dead_letter]))
}

/// Delays a record that cannot be opened yet, since its key may still come, as in a rotation; otherwise writes its dead letter, as
/// raw bytes.
fn refuse_unopened(
    state: &mut DeliveryState<'_>,
    unopened: &Unopened,
) -> Result<Disposition, Error> {
    let reason = &unopened.reason;
    if unopened.is_temporary && state.may_wait() {
        let longest = state.processor.options.unknown_wait;
        tracing::warn!(target: "kser", topic = %state.tracked.record.topic, reason, "opening an encrypted message failed; it waits {longest:?} for its key, then it is a dead letter");
        return Ok(state.look_again());
    }
    tracing::error!(target: "kser", topic = %state.tracked.record.topic, reason, "opening an encrypted message failed; it becomes a dead letter");
    let shared = &state.processor.shared;
    let dead_letter = dead_letter::write_unopened(&state.tracked, unopened, shared)?;
    Ok(Disposition::ack_with(vec![dead_letter]))
}

/// Delays a message whose entrypoint has no handler here, for a consumer that has one, as in a rolling deploy; gives it
/// up when it has waited for so long.
async fn await_handler(
    state: &mut DeliveryState<'_>,
    message: &Message,
) -> Result<Disposition, Error> {
    if state.may_wait() {
        let registered = state.processor.registry.entrypoints();
        let registered: Vec<_> = registered.map(Name::as_str).collect();
        tracing::warn!(
            target: "kser",
            topic = %state.tracked.record.topic,
            ?registered,
            "no handler is registered for {}; the message waits {:?} for a consumer that has one, then it is a dead letter",
            kser_core::log::clean(message.entrypoint.as_str(), 200),
            state.processor.options.unknown_wait,
        );
        return Ok(state.look_again());
    }
    if is_external(message) {
        return Ok(run_elsewhere(message));
    }
    // The text of the Python library, to the letter.
    refuse(
        state,
        message,
        format!("Entrypoint '{}' not registred", message.entrypoint),
    )
    .await
}

/// Fails a run whose name is that of a task: a task has no steps, so that it is sent, not launched.
async fn refuse_launched_task(
    state: &DeliveryState<'_>,
    message: &Message,
) -> Result<Disposition, Error> {
    let text = format!(
        "{} is a task, not an operation: send it, or launch it as the step of an operation",
        message.entrypoint
    );
    refuse(state, message, text).await
}

/// Fails a step that is an operation: the rules have no operations within operations.
async fn refuse_nested_operation(
    state: &DeliveryState<'_>,
    message: &Message,
) -> Result<Disposition, Error> {
    if is_external(message) {
        return Ok(run_elsewhere(message));
    }
    let text = format!(
        "{} is an operation, which cannot be a step of another",
        message.entrypoint
    );
    refuse(state, message, text).await
}

async fn refuse(
    state: &DeliveryState<'_>,
    message: &Message,
    text: String,
) -> Result<Disposition, Error> {
    let outcome = Outcome::from(&TaskError::validation(text));
    give_up(state.processor, &state.tracked, message, outcome).await
}

/// Says whether a message asks for a run.
fn is_launch(message: &Message) -> bool {
    let envelope = message.metadata.envelope();
    envelope.is_some_and(|envelope| envelope.launch)
}

/// Says whether a message is an external step, which is ended by a report.
fn is_external(message: &Message) -> bool {
    let envelope = message.metadata.envelope();
    envelope.is_some_and(|envelope| envelope.reply.is_some())
}

/// Leaves an external step to the person or the service that runs it. Its limit is watched where the state is.
fn run_elsewhere(message: &Message) -> Disposition {
    tracing::debug!(target: "kser", uuid = ?message.uuid, "an external step has no task here; its report ends it");
    Disposition::ack()
}

fn is_step(message: &Message) -> bool {
    let envelope = message.metadata.envelope();
    envelope.is_some_and(|envelope| envelope.step > 0)
}
