use std::ops::ControlFlow;

use kser_core::sequencing::{Effect, Rejected, Transition};
use kser_core::store::Attempt;
use kser_core::{Context, Error, Message, Outgoing, Record, Timestamp};

use super::attempt::{Attempted, EndedAttempt};
use super::attempt_end::AttemptEnd;
use super::end_line;
use super::execution::StepExecution;
use super::in_a_row;
use super::retry::retry;
use crate::consumer::delivery::dead_letter;
use crate::consumer::delivery::disposition::{Disposition, Outputs};
use crate::consumer::delivery::state::DeliveryState;
use crate::consumer::processor::backoff;
use crate::engine::run_view::RunView;
use crate::engine::scope::RunScope;
use crate::engine::stored::{Elsewhere, WriteExtras, WriteOutcome};
use crate::observer::AttemptResult;

/// The records that follow the end of an attempt.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// The run's own records.
    pub(super) records: Vec<Record>,
    /// The messages that the handler sends.
    sent: Vec<Record>,
}

/// Applies the rules to the end of an attempt, writes the change of a stored run, and decides the disposition of the delivery.
pub(super) async fn finish<'p>(
    ended: EndedAttempt<'p>,
    state: &mut DeliveryState<'p>,
) -> Result<ControlFlow<Disposition>, Error> {
    let EndedAttempt {
        mut step,
        mut view,
        attempted,
        ctx,
        returned,
    } = ended;
    let mut end = AttemptEnd::new(&step, &mut state.tracked.attempts, &attempted, returned);
    end.open_plan(&mut step, &mut view);
    let mut refused = false;
    loop {
        let event = end.event(&step.key, attempted.attempt);
        let mut after = match step.scope.decide(&view, event) {
            Ok(after) => after,
            Err(rejected) => {
                step.observe_end(attempted.began, AttemptResult::Dropped);
                return Ok(ControlFlow::Break(not_ours(&step.message, &rejected)));
            }
        };
        if step.scope.drops_end(&after) {
            step.observe_end(attempted.began, AttemptResult::Dropped);
            tracing::warn!(
                target: "kser", uuid = ?step.message.uuid,
                "the end of an attempt is dropped: another attempt at the step was accepted",
            );
            return Ok(ControlFlow::Break(Disposition::ack()));
        }
        let again = take_retry(&mut after, step.key.position);
        let goes_on = in_a_row::goes_on(state, &step, &view, &after, &ctx);
        let lease = step
            .scope
            .lease(&step.processor.owner, step.processor.options.lease);
        if goes_on && let Some(lease) = lease {
            after = after.begin_next(lease);
        }
        let mut written = match write(&step, &view, &after, &ctx, &end) {
            Ok(written) => written,
            Err(error) if !refused => {
                refused = true;
                end.refuse(&error);
                continue;
            }
            Err(error) => {
                // The run ends without its records: the handler does not run again for their sake.
                tracing::error!(target: "kser", uuid = ?step.message.uuid, error = kser_core::log::report(&error), "writing what follows the end of an attempt failed; the run ends, and no event tells it");
                Written::default()
            }
        };
        if after.changed {
            let rows = || WriteExtras {
                begins_next: goes_on,
                ..extras(&step, &attempted, &end, &after, &written.sent)
            };
            let extras = step.scope.extras(rows);
            match surely_write(&step, &mut view, &after, &extras).await {
                Some(WriteOutcome::Yes) => {}
                Some(WriteOutcome::Elsewhere(Elsewhere::Stands(actual))) => {
                    view = actual;
                    end.open_plan(&mut step, &mut view);
                    continue;
                }
                Some(WriteOutcome::Elsewhere(Elsewhere::Purged | Elsewhere::Unknown)) => {
                    step.observe_end(attempted.began, AttemptResult::Dropped);
                    return Ok(ControlFlow::Break(Disposition::ack()));
                }
                None => {
                    step.observe_end(attempted.began, AttemptResult::Released);
                    return Ok(ControlFlow::Break(Disposition::Release));
                }
            }
        }
        let result = match (&again, end.outcome.is_success()) {
            (Some(_), _) => AttemptResult::Retried,
            (None, true) => AttemptResult::Success,
            (None, false) => AttemptResult::Failed,
        };
        let ended = step.observe_end(attempted.began, result);
        if goes_on && let Some(record) = written.records.pop() {
            end_line::log_end(&step, &attempted, &after, ended);
            *view.progress = after.progress;
            in_a_row::take_next(state, &step.message, record, view);
            return Ok(ControlFlow::Continue(()));
        }
        let disposition = match again {
            Some(not_before) => {
                end_line::log_retry(&step, &attempted, &after, &end.outcome, not_before);
                Ok(retry(step, state, view, after, written.records, not_before))
            }
            None => {
                end_line::log_end(&step, &attempted, &after, ended);
                acknowledge(&step, state, &after, written)
            }
        };
        return disposition.map(ControlFlow::Break);
    }
}

/// Writes all records that follow, within the limits, before anything is written to the store.
fn write(
    step: &StepExecution<'_>,
    view: &RunView,
    after: &Transition,
    ctx: &Context,
    end: &AttemptEnd,
) -> Result<Written, Error> {
    let (scope, shared) = (&step.scope, step.scope.shared());
    let left = match end.outcome.is_success() && end.build.is_none() {
        true => after.progress.outcome(),
        false => &end.outcome,
    };
    shared.writer.outcome_fits(left)?;
    let mut records = scope.records(view, after)?;
    if let Some(reply) = scope.reply()
        && after.progress.status().is_terminal()
    {
        let outcome = after.progress.last_outcome().clone();
        let reply = reply.clone();
        records.push(shared.writer.report(reply, &step.message, outcome)?);
    }
    let sent = match end.outcome.is_success() {
        true => ctx.with_outputs(|outputs| write_outputs(scope, outputs))?,
        false => Vec::new(),
    };
    let limit = shared.description.largest_record;
    for record in records.iter().chain(&sent) {
        let size = record.size();
        if size > limit {
            return Err(Error::TooLarge {
                what: "bytes of the record".into(),
                size,
                limit,
            });
        }
    }
    Ok(Written { records, sent })
}

/// Writes the records of the messages that a handler sends.
fn write_outputs(scope: &RunScope<'_>, outputs: &[Outgoing]) -> Result<Vec<Record>, Error> {
    if outputs.is_empty() {
        return Ok(Vec::new());
    }
    let (shared, now) = (scope.shared(), scope.now());
    let written = outputs.iter();
    let written = written.map(|output| shared.writer.output(output, shared.mode, now));
    written.collect()
}

/// Makes the rows that are written with the end of an attempt.
fn extras(
    step: &StepExecution<'_>,
    attempted: &Attempted,
    end: &AttemptEnd,
    after: &Transition,
    sent: &[Record],
) -> WriteExtras {
    let outcome = match (&end.build, end.outcome.is_success()) {
        (None, true) => after.progress.outcome().clone(),
        _ => end.outcome.clone(),
    };
    let mut attempt = Attempt::new(
        step.key.position,
        step.key.entrypoint.clone(),
        attempted.counted,
        step.scope.now(),
        outcome,
    );
    attempt.started = Some(attempted.began);
    attempt.worker = step.processor.owner.instance.to_string();
    WriteExtras {
        plan: end.build.as_ref().and_then(Clone::clone),
        attempt: Some(attempt),
        outputs: sent.to_vec(),
        begins_next: false,
    }
}

/// Writes a transition where the state is stored, however long the store does not answer: the result of a handler is not
/// thrown away. `None` if there is no time left for it.
async fn surely_write(
    step: &StepExecution<'_>,
    view: &mut RunView,
    after: &Transition,
    extras: &WriteExtras,
) -> Option<WriteOutcome> {
    let mut tries = 0;
    loop {
        match step.scope.write(view, after, extras).await {
            Ok(wrote) => return Some(wrote),
            Err(error) => tries_again(step, &error, &mut tries).await?,
        }
    }
}

/// Waits before the store is asked again for the sake of an end. `None` if there is no time left for it.
async fn tries_again(step: &StepExecution<'_>, error: &Error, tries: &mut u32) -> Option<()> {
    let (pause, run) = (backoff(*tries), step.scope.id());
    tracing::error!(target: "kser", ?run, error = error as &dyn std::error::Error, tries, "writing the end of an attempt failed; retrying in {pause:?}");
    *tries += 1;
    tokio::select! {
        biased;
        () = step.processor.kill.cancelled() => None,
        () = tokio::time::sleep(pause) => Some(()),
    }
}

/// Acknowledges the delivery of a step that is over, with the records that follow.
fn acknowledge(
    step: &StepExecution<'_>,
    state: &DeliveryState<'_>,
    after: &Transition,
    written: Written,
) -> Result<Disposition, Error> {
    let (scope, shared, progress) = (&step.scope, step.scope.shared(), &after.progress);
    let outcome = progress.last_outcome();
    let failed = after.effects.contains(&Effect::DeadLetter);
    let Written {
        mut records,
        mut sent,
    } = written;
    scope.to_local_clock(&mut sent);
    // An attempt of a cancelled run may fail without a dead letter.
    if failed && scope.reply().is_none() {
        let made = progress.made_attempts();
        let dead_letter = dead_letter::write_within(&state.tracked, made, outcome, shared)?;
        records.push(dead_letter);
    }
    let relayed = scope.output_ids(progress.version(), sent.len());
    match records.is_empty() {
        true => records = sent,
        false => records.extend(sent),
    }
    Ok(Disposition::Ack(Outputs { records, relayed }))
}

/// Takes the publication of the step at hand out of the effects: the delivery at hand stands for it.
fn take_retry(after: &mut Transition, here: u32) -> Option<Option<Timestamp>> {
    let mut retry = None;
    after.effects.retain(|effect| match effect {
        Effect::Publish {
            position,
            not_before,
        } if *position == here => {
            retry = Some(*not_before);
            false
        }
        _ => true,
    });
    retry
}

fn not_ours(message: &Message, rejected: &Rejected) -> Disposition {
    tracing::warn!(target: "kser", uuid = ?message.uuid, %rejected, "the outcome of an attempt is not accepted; it is dropped");
    Disposition::ack()
}
