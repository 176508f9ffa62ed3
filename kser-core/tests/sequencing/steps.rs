//! What rules are tried on: steps, leases, and the events about them.

use std::time::Duration;

use kser_core::sequencing::{
    Event, External, Lease, Owner, PlannedStep, Progress, Rejected, StepKey, StepWindow,
    Transition, apply,
};
use kser_core::{Object, Outcome, Timestamp};

pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_000_000);
pub(crate) const LEASE: Duration = Duration::from_secs(30);

pub(crate) fn step(position: u32) -> PlannedStep {
    let key = StepKey {
        position,
        uuid: format!("step {position}").into(),
        entrypoint: "test.Go".into(),
    };
    PlannedStep::new(key, Object::default())
}

pub(crate) fn external(position: u32, attempts: u32) -> PlannedStep {
    let mut step = step(position);
    let mut external = External::new(LEASE);
    external.attempts = attempts;
    step.external = Some(external);
    step
}

pub(crate) fn lease(instance: &str, incarnation: u64) -> Lease {
    Lease::new(NOW + LEASE, Owner::new(instance.into(), incarnation))
}

pub(crate) fn started(step: &PlannedStep, lease: Lease, alone: bool) -> Event {
    Event::Started {
        step: step.key.clone(),
        lease: Some(lease),
        alone,
        seen: 1,
    }
}

pub(crate) fn at(
    progress: &Progress,
    here: &PlannedStep,
    event: Event,
    now: Timestamp,
) -> Result<Transition, Rejected> {
    apply(
        progress,
        StepWindow {
            current: Some(here),
            following: None,
        },
        event,
        now,
    )
}

pub(crate) fn running(steps: u32, position: u32) -> Progress {
    Progress::forked(steps, position, Outcome::default(), NOW)
}

pub(crate) fn ended(step: &PlannedStep, attempt: u32, outcome: Outcome) -> Event {
    Event::Ended {
        step: step.key.clone(),
        attempt,
        outcome,
        retry_at: None,
    }
}

pub(crate) fn failure() -> Outcome {
    Outcome::default().with_code(500)
}

/// Step 1 of a run, begun by a worker at [`NOW`].
pub(crate) fn begun(steps: u32, here: &PlannedStep) -> Progress {
    let event = started(here, lease("a", 0), false);
    at(&running(steps, here.key.position), here, event, NOW)
        .unwrap()
        .progress
}
