use std::collections::BTreeMap;
use std::time::Duration;

use kser_core::Timestamp;

use crate::sim::{Facts, Moment, RunView, Spot};

/// The longest wait of a record that can run for a consumer with a free place: as long as a graceful shutdown takes.
const LONGEST: Duration = Duration::from_secs(30);

/// The same in a run with faults: a suspected poison message waits for the other tasks of its consumer to end, and then runs
/// alone for a minute.
const LONGEST_WITH_FAULTS: Duration = Duration::from_secs(120);

/// Checks that no consumer with a free place leaves a record waiting that can run, such as behind a hot key, a slow entrypoint
/// or retries.
pub(crate) fn check_waiting(facts: &mut Facts, view: RunView<'_>, now: Timestamp) {
    let at = view.now();
    let before = std::mem::take(&mut facts.kept_waiting);
    if view.has_outage() {
        return;
    }
    let since = |spot: &Spot| before.get(spot).copied().unwrap_or(at);
    let waiting: BTreeMap<Spot, Duration> = view
        .idle_members()
        .into_iter()
        .flat_map(|member| view.runnable(member, now))
        .map(|spot| (spot.clone(), since(&spot)))
        .collect();
    let longest = match view.has_faults() {
        false => LONGEST,
        true => LONGEST_WITH_FAULTS,
    };
    let late = waiting
        .iter()
        .find(|(_, since)| at.saturating_sub(**since) > longest);
    let late = late.and_then(|(spot, since)| Some((view.published(spot)?, *since)));
    let what = late.map(|(published, since)| {
        format!(
            "the record of {} could run, and since {} its consumer has a free place and does not receive it",
            published.label,
            Moment(since)
        )
    });
    facts.kept_waiting = waiting;
    if let Some(what) = what {
        facts.add_violation("HealthyInTime", what);
    }
}
