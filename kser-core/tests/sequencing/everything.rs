//! Every event in every state that an operation of four steps, the second an external one, can get into.
//!
//! States that differ only in what the rules do not look at (versions, the past, how large a count is once it is over
//! every limit) are one, so that their number is finite and histories of any length are covered.

use std::collections::BTreeMap;
use std::time::Duration;

use kser_core::sequencing::{
    Event, External, Lease, Owner, PlannedStep, Progress, StepKey, StepWindow, Transition, apply,
};
use kser_core::{Object, Outcome, Status, Timestamp};

use crate::case::Case;
use crate::steps::failure;

/// Leases, limits and waits are all this long: as long as a sweep has patience.
const UNIT: Duration = Duration::from_secs(60);
const STEPS: u32 = 4;

fn key(position: u32) -> StepKey {
    StepKey {
        position,
        uuid: format!("step {position}").into(),
        entrypoint: "test.Go".into(),
    }
}

fn plan() -> Vec<PlannedStep> {
    let step = |position| PlannedStep::new(key(position), Object::default());
    let mut plan: Vec<_> = (1..=STEPS).map(step).collect();
    let mut external = External::new(UNIT);
    external.attempts = 2;
    plan[1].external = Some(external);
    plan
}

/// Who may do something about a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// Time passes, a consumer works without a flaw, a sweep looks.
    Itself,
    /// All that can go wrong, and what people ask for.
    Others,
}

/// What may happen: an event, or nothing but time.
fn events(progress: &Progress, now: Timestamp) -> Vec<(By, Option<Event>)> {
    let mut events = vec![
        (By::Itself, None),
        (By::Itself, Some(Event::Swept)),
        (By::Others, Some(Event::Launched)),
        (By::Others, Some(Event::Cancelled)),
        (By::Others, Some(Event::Resumed)),
    ];
    let latest = progress.attempts();
    for position in 0..=STEPS + 1 {
        of_step(position, now, &mut events);
        for attempt in latest.saturating_sub(1)..=latest + 1 {
            of_attempt(position, attempt, now, &mut events);
        }
    }
    for attempt in latest.saturating_sub(1)..=latest + 1 {
        let steps = STEPS;
        events.push((By::Itself, Some(Event::Built { attempt, steps })));
        events.push((By::Others, Some(Event::Built { attempt, steps: 0 })));
        for retry_at in [None, Some(now + UNIT)] {
            let outcome = failure();
            let event = Event::NotBuilt {
                attempt,
                outcome,
                retry_at,
            };
            events.push((By::Others, Some(event)));
        }
    }
    events
}

fn of_step(position: u32, now: Timestamp, events: &mut Vec<(By, Option<Event>)>) {
    let step = key(position);
    let mut push = |by, event| events.push((by, Some(event)));
    let starts = [
        (By::Itself, true, 1, 1),
        (By::Others, false, 1, 1),
        (By::Others, true, 2, 1),
        (By::Others, true, 1, 2),
    ];
    for (by, alone, incarnation, seen) in starts {
        let owner = Owner::new("worker".into(), incarnation);
        let (step, lease) = (step.clone(), Some(Lease::new(now + UNIT, owner)));
        let event = Event::Started {
            step,
            lease,
            alone,
            seen,
        };
        push(by, event);
    }
    for (by, outcome) in [(By::Itself, Outcome::text("yes")), (By::Others, failure())] {
        let step = step.clone();
        let seen = 1;
        push(
            by,
            Event::Reported {
                step,
                outcome,
                seen,
            },
        );
    }
    for outcome in [Outcome::text("skipped"), failure()] {
        let step = step.clone();
        push(By::Others, Event::Skipped { step, outcome });
    }
    let given_up = Event::GivenUp {
        step: step.clone(),
        outcome: failure(),
        seen: 1,
    };
    push(By::Others, given_up);
    push(By::Others, Event::Retried { step });
}

fn of_attempt(position: u32, attempt: u32, now: Timestamp, to: &mut Vec<(By, Option<Event>)>) {
    let step = key(position);
    let ends = [
        (By::Itself, Outcome::text("done"), None),
        (By::Others, failure(), None),
        (By::Others, failure(), Some(now + UNIT)),
    ];
    for (by, outcome, retry_at) in ends {
        let step = step.clone();
        let event = Event::Ended {
            step,
            attempt,
            outcome,
            retry_at,
        };
        to.push((by, Some(event)));
    }
    let until = now + UNIT;
    let renewed = Event::Renewed {
        step: step.clone(),
        attempt,
        until,
    };
    to.push((By::Others, Some(renewed)));
    to.push((By::Others, Some(Event::Interrupted { step, attempt })));
}

/// What the rules look at, times from now on.
fn shape(progress: &Progress, now: Timestamp) -> impl Ord + use<> {
    let left = |at: Timestamp| at.since(now).as_secs().div_ceil(UNIT.as_secs()).min(3);
    (
        (progress.status(), progress.position(), progress.steps()),
        (progress.is_started(), progress.attempts().min(1)),
        progress
            .lease()
            .map(|lease| (left(lease.until), lease.owner.incarnation)),
        progress.not_before().map(left),
        progress.check_at().map(left),
        (progress.counted_attempts().min(3), progress.crash_count()),
        progress.last_outcome().is_success(),
    )
}

#[test]
fn every_event_in_every_state_keeps_the_laws_and_no_state_is_a_dead_end() {
    let plan = plan();
    let mut states = vec![(
        Progress::launched(Timestamp::default()),
        Timestamp::default(),
    )];
    let mut known = BTreeMap::from([(shape(&states[0].0, states[0].1), 0)]);
    let mut ways: Vec<(By, usize, usize)> = Vec::new();
    let mut at = 0;
    while at < states.len() {
        let (before, now) = states[at].clone();
        for (by, event) in events(&before, now) {
            let (after, now) = match event {
                None => (Transition::new(before.clone(), Vec::new()), now + UNIT),
                Some(event) => match tried(&plan, &before, &event, now) {
                    Some(after) => (after, now),
                    None => continue,
                },
            };
            // A consumer may begin the next step in the same write.
            let begun = after.only_goes_on().then(|| {
                let owner = Owner::new("worker".into(), 1);
                let begun = after.clone().begin_next(Lease::new(now + UNIT, owner));
                begun.progress
            });
            for after in [Some(after.progress), begun].into_iter().flatten() {
                let next = states.len();
                let to = *known.entry(shape(&after, now)).or_insert(next);
                if to == next {
                    states.push((after, now));
                }
                ways.push((by, at, to));
            }
        }
        at += 1;
    }
    println!("{} states, {} ways between them", states.len(), ways.len());
    assert!(states.len() > 700, "{} states", states.len());

    let ended = |status: fn(Status) -> bool| -> Vec<bool> {
        states
            .iter()
            .map(|(state, _)| status(state.status()))
            .collect()
    };
    let success = ended(|status| status == Status::Success);
    let healed = reaching(success, ways.iter().copied());
    for ((state, _), healed) in states.iter().zip(healed) {
        assert!(healed, "no repair brings this to its end: {state:#?}");
    }
    let alone = ways.iter().copied().filter(|(by, ..)| *by == By::Itself);
    let ends = reaching(ended(Status::is_terminal), alone);
    for ((state, _), ends) in states.iter().zip(ends) {
        assert!(ends, "this stands still for ever: {state:#?}");
    }
}

/// Applies an event, and once more; checks the laws. Returns what has changed.
fn tried(
    plan: &[PlannedStep],
    before: &Progress,
    event: &Event,
    now: Timestamp,
) -> Option<Transition> {
    let window = window(plan, before);
    let result = apply(before, window, event.clone(), now);
    let case = Case {
        before,
        here: window.current,
        next: window.following,
        event,
        now,
        result: &result,
    };
    case.check();
    let by_the_record_before = case.by_the_record_before();
    let wakes = case.wakes();
    let after = result.ok().filter(|after| after.changed)?;
    let again = self::window(plan, &after.progress);
    let again = apply(&after.progress, again, event.clone(), now);
    // These say something new each time; of an external step, a report names no attempt.
    let anew = matches!(
        event,
        Event::Launched | Event::Retried { .. } | Event::Renewed { .. } | Event::Reported { .. }
    ) || by_the_record_before
        || wakes;
    assert!(
        anew || !again.is_ok_and(|again| again.changed),
        "told twice, {event:?} changes twice: {before:#?}"
    );
    Some(after)
}

fn window<'a>(plan: &'a [PlannedStep], progress: &Progress) -> StepWindow<'a> {
    let index = usize::try_from(progress.position()).unwrap();
    StepWindow {
        current: index.checked_sub(1).and_then(|index| plan.get(index)),
        following: plan.get(index),
    }
}

/// The states from which one of the `good` ones can be reached.
fn reaching(
    mut good: Vec<bool>,
    ways: impl Iterator<Item = (By, usize, usize)> + Clone,
) -> Vec<bool> {
    loop {
        let mut grew = false;
        for (_, from, to) in ways.clone() {
            grew |= good[to] && !good[from];
            good[from] |= good[to];
        }
        if !grew {
            return good;
        }
    }
}
