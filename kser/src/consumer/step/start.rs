use std::ops::ControlFlow;
use std::time::Duration;

use kser_core::sequencing::{Effect, Event, Progress, Rejected, Transition};
use kser_core::store::Attempt;
use kser_core::{Error, Outcome, TaskError, Timestamp};

use super::ahead::{defer_ahead, late};
use super::execution::StepExecution;
use super::give_up::give_up;
use super::in_a_row::version_in_record;
use super::job::Job;
use crate::consumer::delivery::dead_letter;
use crate::consumer::delivery::disposition::Disposition;
use crate::consumer::delivery::state::DeliveryState;
use crate::consumer::delivery::tracked_record::TrackedRecord;
use crate::engine::run_view::RunView;
use crate::engine::scope::message::Lineage;
use crate::engine::stored::{Elsewhere, SwapOutcome, WriteExtras};

/// A step of which an attempt has begun: written, where the state is stored.
#[derive(Debug)]
pub(crate) struct StartedStep<'p> {
    pub(super) step: Box<StepExecution<'p>>,
    pub(super) view: RunView,
    /// The time for which the run had not changed before; zero where that is not known.
    pub(super) waited: Duration,
    /// The time for which the step could have begun; `None` where the state has no time.
    pub(super) was_due: Option<Duration>,
}

impl<'p> StartedStep<'p> {
    /// Begins an attempt, if the rules let it begin.
    pub(super) async fn begin(
        mut step: Box<StepExecution<'p>>,
        state: &mut DeliveryState<'p>,
    ) -> Result<ControlFlow<Disposition, Self>, Error> {
        let counts = state.counts();
        let mut view = match step.take_view(&state.tracked, counts).await? {
            ControlFlow::Continue(view) => view,
            ControlFlow::Break(disposition) => return Ok(ControlFlow::Break(disposition)),
        };
        loop {
            if let Job::Build(entry) = step.job {
                // Known from the first write on, so that the owner is told of a build that fails, too.
                let progress = Progress::clone(&view.progress);
                *view.progress = progress.with_status_hook(entry.has_status_hook());
            }
            let (processor, scope) = (step.processor, &step.scope);
            let event = Event::Started {
                step: step.key.clone(),
                lease: scope.lease(&processor.owner, processor.options.lease),
                alone: state.is_exclusive,
                seen: version_in_record(state, &step.message),
            };
            let extras = scope.extras(|| WriteExtras {
                attempt: lost_attempt(&view, &step),
                ..WriteExtras::default()
            });
            match scope.start(view, event, extras, &mut state.unsure).await? {
                SwapOutcome::Applied(applied) => {
                    let (before, after) = (applied.before, applied.after);
                    let is_here = after.progress.position() == step.key.position;
                    if after.changed && after.progress.is_started() && is_here {
                        let waited = waited(&before, &after);
                        let was_due = was_due(&before, &after);
                        let progress = Box::new(after.progress);
                        let view = RunView { progress, ..before };
                        return Ok(ControlFlow::Continue(Self {
                            step,
                            view,
                            waited,
                            was_due,
                        }));
                    }
                    return follow(&step, state, &before, &after).map(ControlFlow::Break);
                }
                SwapOutcome::Conflict(Elsewhere::Stands(actual)) => {
                    view = actual;
                    // The message is older than the state that the lost write was based on: the start that is found is this one.
                    if state.unsure.contains(&view.progress.revision()) {
                        state.unsure.clear();
                        let waited = Duration::ZERO;
                        return Ok(ControlFlow::Continue(Self {
                            step,
                            view,
                            waited,
                            was_due: None,
                        }));
                    }
                    match Lineage::of(&step.message, &view.progress) {
                        Lineage::OfTheRun => {}
                        Lineage::OfAnother => return Ok(ControlFlow::Break(late(step.scope.id()))),
                        Lineage::Ahead => {
                            let position = view.progress.position();
                            let ahead = Rejected::Ahead { position };
                            return defer_rejected(step, state, &ahead, view)
                                .map(ControlFlow::Break);
                        }
                    }
                }
                SwapOutcome::Conflict(Elsewhere::Purged) => {
                    return Ok(ControlFlow::Break(late(step.scope.id())));
                }
                SwapOutcome::Conflict(Elsewhere::Unknown) => {
                    let waiting = Box::pin(await_run(state, &step));
                    return waiting.await.map(ControlFlow::Break);
                }
                SwapOutcome::Rejected(rejected, view) => {
                    return defer_rejected(step, state, &rejected, view).map(ControlFlow::Break);
                }
            }
        }
    }
}

/// Returns the time for which a run had not changed. The state of a lone task has no time.
fn waited(before: &RunView, after: &Transition) -> Duration {
    let changed = before.progress.updated();
    match changed == Timestamp::default() {
        true => Duration::ZERO,
        false => after.progress.updated().since(changed),
    }
}

/// Returns the time for which the step of a stored run could have begun: since the run changed, or since a retry was due.
fn was_due(before: &RunView, after: &Transition) -> Option<Duration> {
    let changed = before.progress.updated();
    let due = before.progress.not_before().unwrap_or_default();
    (changed != Timestamp::default()).then(|| after.progress.updated().since(changed.max(due)))
}

/// Decides how a delivery waits or ends whose step the rules do not let begin.
fn defer_rejected<'p>(
    step: Box<StepExecution<'p>>,
    state: &mut DeliveryState<'p>,
    rejected: &Rejected,
    view: RunView,
) -> Result<Disposition, Error> {
    let processor = step.processor;
    let now = step.scope.now();
    let park = processor.options.longest_park;
    Ok(match rejected {
        Rejected::Suspect => {
            state.step = Some(step.with_view(view));
            Disposition::RunExclusively
        }
        Rejected::NotYet { until } if until.since(now) > park => {
            let wait = until.since(now);
            let delayed = state.tracked.delayed_within(wait, &processor.shared);
            Disposition::ack_with(vec![delayed])
        }
        Rejected::NotYet { until } => {
            state.step = Some(step.with_view(view));
            Disposition::RetryIn(until.since(now))
        }
        Rejected::Leased { until } => {
            let lease = view.progress.lease();
            if lease.is_some_and(|lease| lease.owner.supersedes(&processor.owner)) {
                processor.superseded.cancel();
            }
            // Read again then: the step may be done before its lease is over.
            state.step = Some(step);
            Disposition::RetryIn(until.since(now).min(park))
        }
        Rejected::Ahead { position } => {
            let disposition = defer_ahead(state, step.scope.id(), *position)?;
            state.step = Some(step);
            disposition
        }
        Rejected::UnknownStep => {
            let error = "the operation has no such step";
            let shared = &processor.shared;
            let dead_letter = dead_letter::write_within(&state.tracked, 0, error, shared)?;
            Disposition::ack_with(vec![dead_letter])
        }
        _ => Disposition::ack(),
    })
}

/// Acknowledges a delivery that began no attempt, with the records that its event asks for.
fn follow(
    step: &StepExecution<'_>,
    state: &DeliveryState<'_>,
    before: &RunView,
    after: &Transition,
) -> Result<Disposition, Error> {
    let mut records = step.scope.records(before, after)?;
    if after.effects.contains(&Effect::DeadLetter) {
        let outcome = after.progress.last_outcome();
        let (made, shared) = (after.progress.made_attempts(), &state.processor.shared);
        let later = later_record(step, state, before, after)?;
        let failed = later.as_ref().unwrap_or(&state.tracked);
        let dead_letter = dead_letter::write_within(failed, made, outcome, shared)?;
        records.push(dead_letter);
    }
    Ok(Disposition::ack_with(records))
}

/// Writes the record of the step that failed, if it had begun under the record of an earlier one.
fn later_record(
    step: &StepExecution<'_>,
    state: &DeliveryState<'_>,
    before: &RunView,
    after: &Transition,
) -> Result<Option<TrackedRecord>, Error> {
    let here = before.here.as_deref();
    let later = here.filter(|here| here.key.position > step.key.position);
    let Some(record) = later.and_then(|later| step.scope.step_record(later, &after.progress))
    else {
        return Ok(None);
    };
    let clock = &*state.processor.shared.clock;
    Ok(Some(TrackedRecord::alone(record?, clock)))
}

/// Waits for a run that the store does not know: it may have been purged, or restored from a backup.
async fn await_run(
    state: &mut DeliveryState<'_>,
    step: &StepExecution<'_>,
) -> Result<Disposition, Error> {
    if state.may_wait() {
        return Ok(state.look_again());
    }
    let text = format!("operation {:?} is unknown to the store", step.scope.id());
    let outcome = Outcome::from(&TaskError::new("UnknownRun", text).with_code(404));
    give_up(step.processor, &state.tracked, &step.message, outcome).await
}

/// Returns the row of the attempt that a consumer had begun and did not report, if another is about to begin in its place.
fn lost_attempt(view: &RunView, step: &StepExecution<'_>) -> Option<Attempt> {
    let (before, here) = (&view.progress, view.here.as_deref());
    let key = match before.position() == step.key.position {
        true => &step.key,
        // A consumer had begun it under the record of an earlier step.
        false => &here.filter(|here| here.external.is_none())?.key,
    };
    let is_lost = before.is_started() && before.position() >= step.key.position;
    is_lost.then(|| {
        let text = "the attempt ended without a report: its process may have died";
        let outcome = Outcome::from(&TaskError::new("Lost", text));
        let (position, entrypoint) = (key.position, key.entrypoint.clone());
        let (number, now) = (before.counted_attempts(), step.scope.now());
        let mut attempt = Attempt::new(position, entrypoint, number, now, outcome);
        if let Some(lease) = before.lease() {
            attempt.worker = lease.owner.instance.to_string();
        }
        attempt
    })
}
