use std::collections::BTreeMap;
use std::time::Duration;

use kser_core::Timestamp;

use crate::sim::{MemberId, Moment, Spot, State, Want};

/// The longest wait of a record that can run for a consumer with a free place: as long as a graceful shutdown takes.
const LONGEST: Duration = Duration::from_secs(30);

/// The same in a run with faults: a suspected poison message waits for the other tasks of its consumer to end, and then runs
/// alone for a minute.
const LONGEST_WITH_FAULTS: Duration = Duration::from_secs(120);

/// Checks that no consumer with a free place leaves a record waiting that can run, such as behind a hot key, a slow entrypoint
/// or retries.
pub(crate) fn served(state: &mut State, now: Timestamp) {
    let at = state.now;
    let before = std::mem::take(&mut state.facts.kept_waiting);
    if state.outage.is_some() {
        return;
    }
    let since = |spot: &Spot| before.get(spot).copied().unwrap_or(at);
    let waiting: BTreeMap<Spot, Duration> = idle(state)
        .into_iter()
        .flat_map(|member| state.broker.healthy(member, now))
        .map(|spot| (spot.clone(), since(&spot)))
        .collect();
    let longest = match state.sites.fired() {
        [] => LONGEST,
        _ => LONGEST_WITH_FAULTS,
    };
    let late = waiting
        .iter()
        .find(|(_, since)| at.saturating_sub(**since) > longest);
    let late = late.and_then(|(spot, since)| Some((state.broker.published(spot)?, *since)));
    let what = late.map(|(published, since)| {
        format!(
            "the record of {} could run, and since {} its consumer has a free place and does not receive it",
            published.label,
            Moment(since)
        )
    });
    state.facts.kept_waiting = waiting;
    if let Some(what) = what {
        state.facts.broke("HealthyInTime", what);
    }
}

/// Lists the members of consumers that have a free place and do not call `receive`.
fn idle(state: &State) -> Vec<MemberId> {
    let parked = state.parked.values();
    let receiving = parked.filter_map(|parked| match parked.want {
        Want::Receive(member) => Some(member),
        _ => None,
    });
    let receiving: Vec<MemberId> = receiving.collect();
    let lives = state.lives.iter().filter(|life| {
        let free = life
            .limits
            .is_some_and(|limits| life.running < limits.running);
        life.alive && life.frozen.is_none() && free
    });
    let members = lives.flat_map(|life| &life.members);
    members
        .filter(|member| !receiving.contains(member))
        .copied()
        .collect()
}
