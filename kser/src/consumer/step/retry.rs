use kser_core::sequencing::Transition;
use kser_core::{Record, Timestamp};

use super::execution::StepExecution;
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
    not_before: Option<Timestamp>,
) -> Disposition {
    let (now, processor) = (step.scope.now(), step.processor);
    let wait = not_before.unwrap_or(now).since(now);
    state.tracked.waits_since = None;
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
