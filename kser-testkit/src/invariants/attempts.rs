use std::sync::Arc;
use std::time::Duration;

use kser::layer::TaskRequest;
use kser_core::{Outcome, RunId};

use crate::sim::{AttemptFacts, Facts, Guarantee, RunView};

/// Checks and notes the start of an attempt at a task. Returns its number.
pub(crate) fn observe_start(
    facts: &mut Facts,
    view: RunView<'_>,
    life: usize,
    label: &Arc<str>,
    request: &TaskRequest,
) -> usize {
    let ctx = &request.ctx;
    let step = ctx.run().cloned().zip(ctx.step());
    if let Some((run, position)) = &step {
        check_step_order(facts, view, label, run, *position);
        check_run_goes_on(facts, view, label, run);
        check_forwarded_result(facts, label, (run, *position), ctx.previous());
    }
    check_retry_budget(facts, view, life, label, request);
    check_key_order(facts, label, request);
    facts.attempts.push(AttemptFacts {
        task: ctx.uuid().clone(),
        label: Arc::clone(label),
        life,
        ended: false,
        run: step,
        previous: ctx.previous().clone(),
        left: None,
    });
    facts.attempts.len() - 1
}

/// Notes the end of an attempt.
pub(crate) fn observe_end(
    facts: &mut Facts,
    view: RunView<'_>,
    number: usize,
    outcome: Option<&Outcome>,
    error: Option<&str>,
) {
    let Some(ran) = facts.attempts.get_mut(number) else {
        return;
    };
    ran.ended = true;
    let label = Arc::clone(&ran.label);
    ran.left = outcome.filter(|outcome| outcome.is_success()).cloned();
    let left = ran.left.clone();
    let (task, failed) = (ran.task.clone(), u32::from(left.is_none()));
    let here = (ran.life, view.generation());
    let task = facts.task(&task);
    task.ended += 1;
    task.failed += failed;
    if let Some(left) = left {
        task.outcome = left;
    }
    if failed > 0 {
        task.fails(view.now(), here);
    }
    let said = outcome
        .map(Outcome::error_message)
        .or(error)
        .unwrap_or_default();
    if said.contains("IO is disabled") {
        let what = format!(
            "{label} opens a socket or a pipe, and a simulated run has none: give the handler a client that a test can \
             replace, such as one around `Effects`"
        );
        facts.add_violation("NoRealWorld", what);
    }
}

/// Checks that a failed task is tried as often as its policy says, and no sooner. Where no store counts, a crash forgets the
/// failures, and so does a partition that moves to another member.
fn check_retry_budget(
    facts: &mut Facts,
    view: RunView<'_>,
    life: usize,
    label: &str,
    request: &TaskRequest,
) {
    let run = request.ctx.run();
    let stored = view.guarantee() == Guarantee::Stored && run.is_some();
    let repaired = run.is_some_and(|run| facts.run(run).repaired);
    let (now, here) = (view.now(), (life, view.generation()));
    let task = facts.task(request.ctx.uuid());
    let kept = !view.has_faults() && task.failed_in == Some(here);
    if repaired || !(stored || kept) {
        return;
    }
    let since = task.failed_at.map(|at| now.saturating_sub(at));
    let failed = match stored {
        true => task.failed,
        false => task.failed_in_a_row,
    };
    let (most, wait) = (
        request.task.retry().attempts(),
        request.task.retry().initial_delay(),
    );
    if failed >= most {
        let what = format!(
            "{label} is tried again after {failed} failures, and its policy allows {most} attempts"
        );
        facts.add_violation("RetryBudget", what);
    }
    // Moments are whole milliseconds.
    if let Some(since) = since.filter(|since| *since + Duration::from_millis(1) < wait) {
        let what = format!(
            "{label} is tried again {since:?} after it failed, and its policy waits {wait:?}"
        );
        facts.add_violation("RetryBudget", what);
    }
}

/// Checks that a step starts when the step before it is done.
fn check_step_order(facts: &mut Facts, view: RunView<'_>, label: &str, run: &RunId, position: u32) {
    let early = match &facts.run(run).stored {
        Some(stored) => stored.position() < position,
        None => {
            let before = facts.attempts.iter();
            let mut before = before.filter(|ran| is_step(ran, run, position - 1));
            // An attempt of an external service is not seen.
            let name = view.entrypoint(run, position - 1);
            let ours = name.is_some_and(|name| facts.watched.contains(name));
            ours && before.all(|ran| ran.left.is_none())
        }
    };
    if early {
        let what = format!("{label} begins, and the step before it is not done");
        facts.add_violation("StepOrder", what);
    }
}

/// Checks that no step of a run starts after its failure, cancellation or success, unless a client repairs the run.
fn check_run_goes_on(facts: &mut Facts, view: RunView<'_>, label: &str, run: &RunId) {
    let known = facts.run(run);
    let ended = known.status.filter(|status| status.is_terminal());
    if let Some(status) = ended.filter(|_| view.is_exact() && !known.repaired) {
        let what = format!("{label} begins, and {run} is {status} already");
        facts.add_violation("StopOnFailure", what);
    }
}

/// Checks that a step is given exactly the result of the step before it.
fn check_forwarded_result(
    facts: &mut Facts,
    label: &str,
    (run, position): (&RunId, u32),
    given: &Outcome,
) {
    let before = facts.attempts.iter();
    let before = before.filter(|ran| is_step(ran, run, position.wrapping_sub(1)));
    let left = before.filter_map(|ran| Some(ran.left.as_ref()?.accepted(&ran.previous, &ran.task)));
    let left: Vec<Outcome> = left.collect();
    if !left.is_empty() && !left.contains(given) && !facts.run(run).repaired {
        let (given, left) = (given.shown(), left.iter().map(Outcome::shown));
        let left: Vec<&str> = left.collect();
        let what = format!("{label} is given {given:?}, and the step before it left {left:?}");
        facts.add_violation("ResultForwarded", what);
    }
}

/// Checks that a task was sent, and that the tasks of one key start in the order in which they were sent.
fn check_key_order(facts: &mut Facts, label: &str, request: &TaskRequest) {
    let ctx = &request.ctx;
    let in_a_row = ctx.run().zip(ctx.step()).is_some_and(|(run, position)| {
        let stored = facts.run(run).stored.as_ref();
        stored.is_some_and(|stored| {
            position > 1 && stored.position() == position && stored.is_started()
        })
    });
    let task = facts.task(request.ctx.uuid());
    task.attempts += 1;
    let (first, key, delayed) = (task.first, task.key.clone(), task.delayed);
    let again = task.attempts > 1;
    // A step that begins with the end of the one before needs no record.
    if first == 0 && !in_a_row {
        facts.add_violation("NoPhantom", format!("{label} begins, and was never sent"));
    }
    let Some(key) = key.filter(|_| !again && !delayed) else {
        return;
    };
    let latest = facts.begun.entry(key).or_default();
    let overtaken = *latest > first;
    *latest = (*latest).max(first);
    if overtaken {
        let what = format!("{label} begins after what was sent later with the same key");
        facts.add_violation("KeyOrder", what);
    }
}

fn is_step(ran: &AttemptFacts, run: &RunId, position: u32) -> bool {
    ran.run
        .as_ref()
        .is_some_and(|(of, at)| of == run && *at == position)
}
