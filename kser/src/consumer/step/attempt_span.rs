use std::time::Duration;

use kser_core::{Context, TaskError};
use tracing::Span;
use tracing::field::Empty;

use super::execution::StepExecution;
use crate::consumer::delivery::state::DeliveryState;
use crate::traces::{LONGEST_WAIT, TraceOrigin, Tracer};

/// Makes the span around an attempt of a client without a tracer. It names the trace of `metadata.tracing.traceparent` (W3C trace
/// context), which the messages that follow hand on.
pub(super) fn plain(step: &StepExecution<'_>, ctx: &Context) -> Span {
    tracing::info_span!(
        target: "kser",
        "kser.step",
        uuid = ?step.message.uuid,
        entrypoint = ?step.message.entrypoint,
        run = step.scope.id().map(debug),
        step = step.key.position,
        attempt = ctx.attempt(),
        traceparent = step.message.metadata.traceparent().map(debug),
    )
}

/// Makes the span around an attempt, and returns its context for the messages that follow. `waited` is the time for which its run had
/// not changed before.
pub(super) fn traced(
    tracer: &dyn Tracer,
    step: &StepExecution<'_>,
    state: &DeliveryState<'_>,
    ctx: &Context,
    waited: Duration,
) -> (Span, Option<String>) {
    let (topic, origin) = (&state.tracked.record.topic, state.tracked.origin);
    let span = tracing::info_span!(
        target: "kser",
        "kser.step",
        otel.name = format!("process {topic}"),
        otel.kind = "consumer",
        otel.status_code = Empty,
        error.r#type = Empty,
        messaging.operation.name = "process",
        messaging.operation.r#type = "process",
        messaging.destination.name = topic.as_str(),
        messaging.destination.partition.id = origin.map(|origin| origin.partition),
        messaging.kafka.offset = origin.map(|origin| origin.offset),
        messaging.message.id = step.message.uuid.as_str(),
        messaging.message.conversation_id = step.scope.id().map(|id| id.as_str()),
        kser.entrypoint = step.message.entrypoint.as_str(),
        kser.operation = step.scope.run().map(|run| run.name.as_str()),
        kser.step = step.key.position,
        kser.attempt = ctx.attempt(),
    );
    let before = step.message.metadata.traceparent();
    let origin = before
        .as_deref()
        .map(|traceparent| match waited > LONGEST_WAIT {
            true => TraceOrigin::linked(traceparent),
            false => TraceOrigin::parent(traceparent),
        });
    let context = tracer.begin(&span, origin.as_ref());
    (span, context)
}

/// Notes the error of the handler. Its text may have data of users, and stays out of the span.
pub(super) fn note_error(span: &Span, error: &TaskError) {
    span.record("otel.status_code", "ERROR");
    span.record("error.type", error.name());
}
