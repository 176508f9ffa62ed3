use kser_core::sequencing::Progress;
use kser_core::{RunId, Status, Timestamp};

use crate::sim::State;

/// Checks and notes the progress of a run that was written to the store. `inside` says whether a consumer wrote it, and not a
/// caller from outside.
pub(crate) fn wrote(
    state: &mut State,
    run: &RunId,
    progress: &Progress,
    now: Timestamp,
    inside: bool,
) {
    let outcome = progress.last_outcome().clone();
    state.stands(run, progress.status(), outcome);
    let facts = state.facts.run(run);
    facts.launched = true;
    let Some(before) = facts.stored.replace(progress.clone()) else {
        return;
    };
    facts.repaired |= !inside;
    let repaired = facts.repaired;
    let (from, to) = (before.status(), progress.status());
    if inside && !repaired && from.is_terminal() && to != from {
        let what = format!("{run} was {from}, and is {to} now");
        state.facts.broke("OneTerminal", what);
    } else if inside && !repaired && rank(to) < rank(from) {
        let what = format!("{run} went back from {from} to {to}");
        state.facts.broke("StatusMonotonic", what);
    }
    if progress.position() > before.position() && !repaired {
        moved(state, run, before.position(), progress.position());
    }
    exclusive(state, run, &before, progress, now);
}

/// Checks that a step is accepted once, and that the next step of the run is the one behind it.
fn moved(state: &mut State, run: &RunId, from: u32, to: u32) {
    if to > from + 1 {
        let what = format!("{run} goes from step {from} to step {to}");
        state.facts.broke("NoSkip", what);
    }
    let accepted = state.facts.run(run).accepted.entry(from).or_default();
    *accepted += 1;
    if *accepted > 1 {
        let label = state.labels.step(run, from);
        let what = format!("{label} was accepted a second time");
        state.facts.broke("AcceptedOnce", what);
    }
}

/// Checks that no other owner starts the step while a lease lives.
fn exclusive(state: &mut State, run: &RunId, before: &Progress, after: &Progress, now: Timestamp) {
    let begins = after.is_started() && after.attempts() > before.attempts();
    let leases = before.lease().zip(after.lease());
    let Some((old, new)) = leases.filter(|_| begins && before.is_started()) else {
        return;
    };
    if old.until > now && old.owner != new.owner && !new.owner.supersedes(&old.owner) {
        let label = state.labels.step(run, after.position());
        let (new, old) = (&new.owner.instance, &old.owner.instance);
        let what = format!("{new} begins {label}, and {old} has the lease");
        state.facts.broke("Exclusive", what);
    }
}

const fn rank(status: Status) -> u8 {
    match status {
        Status::Pending => 0,
        Status::Running => 1,
        _ => 2,
    }
}
