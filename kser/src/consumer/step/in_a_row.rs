use std::time::Duration;

use kser_core::sequencing::{PlannedStep, Transition};
use kser_core::{Context, Handler, Message, Record};
use tokio::time::Instant;

use super::execution::StepExecution;
use crate::consumer::delivery::state::DeliveryState;
use crate::consumer::delivery::tracked_record::TrackedRecord;
use crate::engine::run_ref::RunRef;
use crate::engine::run_view::RunView;
use crate::engine::scope::message::version_seen;

/// The largest number of steps that begin without records of their own under one delivery, so that other deliveries have their
/// turn.
const MOST: u32 = 64;
/// The time after which no further step begins so, since all of them are behind one record until it is acknowledged.
const LONGEST: Duration = Duration::from_secs(5);

/// The steps of a run that begin one after the other under the delivery of the first of them: the end of a step and the start
/// of the next one are one write to the store, and no record is published between them.
///
/// The record of the first step stays the one that wakes the next consumer, if this one crashes.
#[derive(Debug)]
pub(crate) struct StepsInARow {
    /// The version of the run in the record of the first step.
    seen: u64,
    begun_at: Instant,
    number: u32,
    /// Where the run stands, if the step at hand has begun and its handler was not called yet.
    pub(super) begun: Option<RunView>,
}

/// Returns the version of the run in the record that was received.
pub(super) fn version_in_record(state: &DeliveryState<'_>, message: &Message) -> u64 {
    match &state.in_a_row {
        Some(row) => row.seen,
        None => version_seen(message),
    }
}

/// Says whether the consumer begins the step that follows with the write that ends the step at hand: if it has its handler
/// and is not to stop, and if nothing but the message of that step would be published.
pub(super) fn goes_on(
    state: &DeliveryState<'_>,
    step: &StepExecution<'_>,
    view: &RunView,
    after: &Transition,
    ctx: &Context,
) -> bool {
    let (Some(run), Some(next)) = (step.scope.leased_run(), view.next.as_deref()) else {
        return false;
    };
    let is_alone = after.only_goes_on()
        && !after.progress.wants_step_events()
        && ctx.with_outputs(<[_]>::is_empty);
    is_alone && may_go_on(state) && has_handler(state, run, next)
}

/// Says whether the consumer may begin a further step under the delivery at hand.
fn may_go_on(state: &DeliveryState<'_>) -> bool {
    let processor = state.processor;
    let has_turn = |row: &StepsInARow| row.number < MOST && row.begun_at.elapsed() < LONGEST;
    let is_to_stop = processor.stop.is_cancelled()
        || processor.superseded.is_cancelled()
        || processor.paused.is_paused()
        || state.revoked.is_cancelled();
    // A handler that waited for runs has lent its place.
    let has_lent = state.waits.as_ref().is_some_and(|waits| waits.has_lent());
    !is_to_stop
        && !has_lent
        && !state.is_exclusive
        && state.place.is_none()
        && state.in_a_row.as_ref().is_none_or(has_turn)
}

/// Says whether this consumer would receive the message of a step, and has its handler, whose places are not limited.
fn has_handler(state: &DeliveryState<'_>, run: &RunRef, next: &PlannedStep) -> bool {
    let processor = state.processor;
    let entrypoint = &next.key.entrypoint;
    let topic = processor.shared.writer.awaited(run, next);
    next.external.is_none()
        && topic.is_ok_and(|topic| topic == state.tracked.record.topic)
        && matches!(processor.registry.get(entrypoint), Some(Handler::Task(_)))
        && !processor.places_of.contains_key(entrypoint)
}

/// Takes the message of the step that has begun in place of that of the record, whose ticket stays.
pub(super) fn take_next(
    state: &mut DeliveryState<'_>,
    ended: &Message,
    record: Record,
    view: RunView,
) {
    let (seen, begun_at, number) = match &state.in_a_row {
        Some(row) => (row.seen, row.begun_at, row.number),
        None => (version_seen(ended), Instant::now(), 0),
    };
    state.in_a_row = Some(StepsInARow {
        seen,
        begun_at,
        number: number + 1,
        begun: Some(view),
    });
    state.tracked = TrackedRecord::alone(record, &*state.processor.shared.clock);
    state.message = None;
    state.waits = None;
}
