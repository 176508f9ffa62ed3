use kser_core::sequencing::Transition;
use kser_core::{Outcome, Record, Timestamp};

use super::execution::StepExecution;
use crate::consumer::delivery::dead_letter;
use crate::consumer::delivery::disposition::Disposition;
use crate::consumer::delivery::state::DeliveryState;
use crate::engine::run_view::RunView;

/// Schedules another attempt after a failed one. For a short wait the delivery itself is kept, in place of a new record of the
/// step.
pub(super) fn retry<'p>(
    step: Box<StepExecution<'p>>,
    state: &mut DeliveryState<'p>,
    view: RunView,
    after: Transition,
    mut records: Vec<Record>,
    outcome: &Outcome,
    not_before: Option<Timestamp>,
) -> Disposition {
    let (now, processor) = (step.scope.now(), step.processor);
    let wait = not_before.unwrap_or(now).since(now);
    state.tracked.waits_since = None;
    let reason = dead_letter::text(outcome);
    tracing::info!(
        target: "kser",
        uuid = ?step.message.uuid,
        entrypoint = ?step.message.entrypoint,
        run = ?step.scope.id(),
        attempts = after.progress.counted_attempts(),
        wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
        error = %kser_core::log::clean(&reason, 500),
        "an attempt failed and is followed by another",
    );
    step.scope.count_failure(&mut state.tracked.attempts);
    let delayed = state.tracked.delayed_within(wait, &processor.shared);
    // A count that no record has room for stays in hand.
    let fits = delayed.size() <= processor.shared.description.largest_record;
    let parks = wait <= processor.options.longest_park || !fits;
    if parks && records.is_empty() {
        state.step = Some(step.after_failure(view, after, state.counts()));
        return Disposition::RetryIn(wait);
    }
    records.push(delayed);
    Disposition::ack_with(records)
}
