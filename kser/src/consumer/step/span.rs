use kser_core::Context;
use tracing::Span;

use super::execution::StepExecution;

/// The span around one attempt. It takes up the trace of `metadata.tracing.traceparent` (W3C trace context), which the
/// messages that follow hand on.
pub(crate) fn of(task: &StepExecution<'_>, ctx: &Context) -> Span {
    tracing::info_span!(
        target: "kser",
        "kser.step",
        uuid = ?task.message.uuid,
        entrypoint = ?task.message.entrypoint,
        run = task.run.id().map(tracing::field::debug),
        step = task.step.position,
        attempt = ctx.attempt(),
        traceparent = task.message.metadata.traceparent().map(tracing::field::debug),
    )
}
