//! One event, and how to ask what it did.

use kser_core::sequencing::{Effect, Event, PlannedStep, Progress, Rejected, Transition};
use kser_core::{Outcome, Timestamp};

/// One event, and what the rules made of it.
#[derive(Debug)]
pub(crate) struct Case<'a> {
    pub(crate) before: &'a Progress,
    /// The step at the position.
    pub(crate) here: Option<&'a PlannedStep>,
    /// The one after it.
    pub(crate) next: Option<&'a PlannedStep>,
    pub(crate) event: &'a Event,
    pub(crate) now: Timestamp,
    pub(crate) result: &'a Result<Transition, Rejected>,
}

/// What an event says about the step that it names.
pub(crate) struct Told<'a> {
    pub(crate) position: u32,
    pub(crate) attempt: Option<u32>,
    pub(crate) outcome: Option<&'a Outcome>,
    pub(crate) retry_at: Option<Timestamp>,
}

pub(crate) fn told(event: &Event) -> Option<Told<'_>> {
    let (position, attempt, outcome, retry_at) = match event {
        Event::Built { attempt, .. } => (0, Some(*attempt), None, None),
        Event::NotBuilt {
            attempt,
            outcome,
            retry_at,
        } => (0, Some(*attempt), Some(outcome), *retry_at),
        Event::Started { step, .. } | Event::Retried { step } => (step.position, None, None, None),
        Event::Renewed { step, attempt, .. } | Event::Interrupted { step, attempt } => {
            (step.position, Some(*attempt), None, None)
        }
        Event::Ended {
            step,
            attempt,
            outcome,
            retry_at,
        } => (step.position, Some(*attempt), Some(outcome), *retry_at),
        Event::Reported { step, outcome, .. }
        | Event::GivenUp { step, outcome, .. }
        | Event::Skipped { step, outcome } => (step.position, None, Some(outcome), None),
        _ => return None,
    };
    Some(Told {
        position,
        attempt,
        outcome,
        retry_at,
    })
}

/// The version in the message at hand, of the events that a message brings.
pub(crate) const fn seen(event: &Event) -> Option<u64> {
    match event {
        Event::Started { seen, .. }
        | Event::Reported { seen, .. }
        | Event::GivenUp { seen, .. } => Some(*seen),
        _ => None,
    }
}

/// The version in the message that began the latest attempt, which only the rules need to know.
fn begun_by(progress: &Progress) -> Option<u64> {
    serde_json::to_value(progress).unwrap()["begun_by"].as_u64()
}

impl Case<'_> {
    /// Whether the event is that of the record of a step that is done, under which the latest attempt began.
    pub(crate) fn by_the_record_before(&self) -> bool {
        let past = told(self.event).is_some_and(|told| told.position < self.before.position());
        past && seen(self.event).is_some_and(|seen| Some(seen) == begun_by(self.before))
    }

    /// Whether that record comes again, and the attempt that began under it has not ended.
    pub(crate) fn wakes(&self) -> bool {
        matches!(self.event, Event::Started { .. })
            && self.by_the_record_before()
            && self.before.is_started()
            && !Self::external(self.here)
    }

    /// Whether a consumer that starts may take the step from the one that holds it.
    pub(crate) fn is_free(&self) -> bool {
        let Event::Started { lease, .. } = self.event else {
            return !self.leased();
        };
        // A later life of the same instance takes over at once.
        let held = self.before.lease().zip(lease.as_ref());
        let successor = held.is_some_and(|(held, taker)| {
            held.owner.instance == taker.owner.instance
                && taker.owner.incarnation > held.owner.incarnation
        });
        successor || !self.leased()
    }

    pub(crate) fn after(&self) -> &Progress {
        self.result
            .as_ref()
            .map_or(self.before, |after| &after.progress)
    }

    pub(crate) fn changed(&self) -> bool {
        self.result.as_ref().is_ok_and(|after| after.changed)
    }

    pub(crate) fn effects(&self) -> &[Effect] {
        self.result.as_ref().map_or(&[], |after| &after.effects)
    }

    pub(crate) fn publishes(&self, position: u32) -> bool {
        let publish = |effect: &Effect| matches!(effect, Effect::Publish { position: at, .. } if *at == position);
        self.effects().iter().any(publish)
    }

    pub(crate) fn letter(&self) -> bool {
        self.effects().contains(&Effect::DeadLetter)
    }

    pub(crate) fn moved(&self) -> bool {
        self.after().position() != self.before.position()
    }

    pub(crate) fn is_repair(&self) -> bool {
        let event = self.event;
        matches!(
            event,
            Event::Resumed | Event::Retried { .. } | Event::Skipped { .. }
        )
    }

    pub(crate) fn external(step: Option<&PlannedStep>) -> bool {
        step.is_some_and(|step| step.external.is_some())
    }

    /// Whether somebody holds the step.
    pub(crate) fn leased(&self) -> bool {
        let lease = self.before.lease();
        self.before.is_started() && lease.is_some_and(|lease| lease.until > self.now)
    }

    /// What the event says of the step at the position, by its latest attempt if it names one.
    pub(crate) fn told_here(&self) -> Option<Told<'_>> {
        told(self.event).filter(|told| {
            let latest = told
                .attempt
                .is_none_or(|attempt| attempt == self.before.attempts());
            told.position == self.before.position() && latest
        })
    }
}
