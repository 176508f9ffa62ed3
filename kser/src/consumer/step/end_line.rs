use std::time::Duration;

use kser_core::log::clean;
use kser_core::sequencing::Transition;
use kser_core::{Outcome, Timestamp};

use super::attempt::Attempted;
use super::execution::StepExecution;
use super::job::Job;
use crate::consumer::delivery::dead_letter;

/// The longest name or id in a line, in characters.
const LONGEST_NAME: usize = 200;

/// Writes the log line of a step that is over: `DiceRoll.Success: dice.DiceRoll[872c…]: You made a 1` at INFO, or
/// `DiceRoll.Failed: …` at ERROR, with its run, step, attempt and duration as fields; of an operation that is built,
/// `DiceLaunch.Built: …`. A line that no subscriber asks for costs no allocation, and no look at the clock. `ended` is the
/// time of the end, if the caller has read it.
pub(super) fn log_end(
    step: &StepExecution<'_>,
    attempted: &Attempted,
    after: &Transition,
    ended: Option<Timestamp>,
) {
    let outcome = after.progress.last_outcome();
    let is_success = outcome.is_success();
    let is_enabled = match is_success {
        true => tracing::enabled!(target: "kser", tracing::Level::INFO),
        false => tracing::enabled!(target: "kser", tracing::Level::ERROR),
    };
    if !is_enabled {
        return;
    }
    let (action, text) = match (is_success, step.job) {
        (true, Job::Build(_)) => ("Built", outcome.message()),
        (true, _) => ("Success", outcome.message()),
        (false, _) => ("Failed", outcome.error_message()),
    };
    let text = clean(text, step.scope.shared().log.longest_text());
    let who = clean(step.message.entrypoint.short(), LONGEST_NAME);
    let name = clean(step.message.entrypoint.as_str(), LONGEST_NAME);
    let uuid = clean(step.message.uuid.as_str(), LONGEST_NAME);
    let run = step.scope.id().map(|run| clean(run.as_str(), LONGEST_NAME));
    let ended = ended.unwrap_or_else(|| step.scope.now());
    let elapsed = ended.since(attempted.began);
    macro_rules! at {
        ($level:expr) => {
            tracing::event!(
                target: "kser",
                $level,
                %uuid,
                entrypoint = %name,
                retcode = outcome.code(),
                run = run.as_deref(),
                step = step.key.position,
                steps = after.progress.steps(),
                attempt = attempted.number(),
                elapsed_ms = milliseconds(elapsed),
                "{who}.{action}: {name}[{uuid}]: {text}",
            )
        };
    }
    match is_success {
        true => at!(tracing::Level::INFO),
        false => at!(tracing::Level::ERROR),
    }
}

/// Writes the log line of an attempt that failed and is followed by another, not before `not_before`.
pub(super) fn log_retry(
    step: &StepExecution<'_>,
    attempted: &Attempted,
    after: &Transition,
    outcome: &Outcome,
    not_before: Option<Timestamp>,
) {
    if !tracing::enabled!(target: "kser", tracing::Level::INFO) {
        return;
    }
    let now = step.scope.now();
    tracing::info!(
        target: "kser",
        uuid = ?step.message.uuid,
        entrypoint = ?step.message.entrypoint,
        run = step.scope.id().map(tracing::field::debug),
        step = step.key.position,
        steps = after.progress.steps(),
        attempt = attempted.number(),
        elapsed_ms = milliseconds(now.since(attempted.began)),
        wait_ms = milliseconds(not_before.unwrap_or(now).since(now)),
        error = %clean(&dead_letter::text(outcome), step.scope.shared().log.longest_text().min(500)),
        "an attempt failed and is followed by another",
    );
}

/// Returns a duration in whole milliseconds, as the fields of log lines have it.
fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
