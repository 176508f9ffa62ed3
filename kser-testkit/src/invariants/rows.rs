use kser_core::sequencing::Progress;
use kser_core::{RunId, Status, Timestamp};

use crate::sim::{Facts, RunView};

/// Checks and notes the progress of a run that was written to the store. `inside` says whether a consumer wrote it, and not a
/// caller from outside.
pub(crate) fn observe_write(
    facts: &mut Facts,
    view: RunView<'_>,
    run: &RunId,
    progress: &Progress,
    now: Timestamp,
    inside: bool,
) {
    let outcome = progress.last_outcome().clone();
    let known = facts.run(run);
    known.set_status(progress.status(), outcome);
    known.launched = true;
    let Some(before) = known.stored.replace(progress.clone()) else {
        return;
    };
    known.repaired |= !inside;
    let repaired = known.repaired;
    let (from, to) = (before.status(), progress.status());
    if inside && !repaired && from.is_terminal() && to != from {
        let what = format!("{run} was {from}, and is {to} now");
        facts.add_violation("OneTerminal", what);
    } else if inside && !repaired && rank(to) < rank(from) {
        let what = format!("{run} went back from {from} to {to}");
        facts.add_violation("StatusMonotonic", what);
    }
    if progress.position() > before.position() && !repaired {
        check_position(facts, view, run, before.position(), progress.position());
    }
    check_lease(facts, view, (run, now), &before, progress);
}

/// Checks that a step is accepted once, and that the next step of the run is the one behind it.
fn check_position(facts: &mut Facts, view: RunView<'_>, run: &RunId, from: u32, to: u32) {
    if to > from + 1 {
        let what = format!("{run} goes from step {from} to step {to}");
        facts.add_violation("NoSkip", what);
    }
    let accepted = facts.run(run).accepted.entry(from).or_default();
    *accepted += 1;
    if *accepted > 1 {
        let label = view.step_label(run, from);
        let what = format!("{label} was accepted a second time");
        facts.add_violation("AcceptedOnce", what);
    }
}

/// Checks that no other owner starts the step while a lease lives.
fn check_lease(
    facts: &mut Facts,
    view: RunView<'_>,
    (run, now): (&RunId, Timestamp),
    before: &Progress,
    after: &Progress,
) {
    let begins = after.is_started() && after.attempts() > before.attempts();
    let leases = before.lease().zip(after.lease());
    let Some((old, new)) = leases.filter(|_| begins && before.is_started()) else {
        return;
    };
    if old.until > now && old.owner != new.owner && !new.owner.supersedes(&old.owner) {
        let label = view.step_label(run, after.position());
        let (new, old) = (&new.owner.instance, &old.owner.instance);
        let what = format!("{new} begins {label}, and {old} has the lease");
        facts.add_violation("Exclusive", what);
    }
}

const fn rank(status: Status) -> u8 {
    match status {
        Status::Pending => 0,
        Status::Running => 1,
        _ => 2,
    }
}
