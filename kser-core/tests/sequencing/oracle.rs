//! What must be true of a world at all times, and that it can be healed.

use kser_core::Status;
use kser_core::sequencing::Progress;

use crate::act::{Act, How};
use crate::world::{InFlight, LEASE, OnItsWay, World};

impl World {
    /// A step begins only when the one before it is done, and nothing that is done begins again.
    pub(crate) fn begun(&mut self, before: &Progress, record: OnItsWay) {
        let built = u32::from(before.steps() > 0);
        let next = u32::try_from(self.accepted.len()).unwrap() + built;
        assert_eq!(
            record.position, next,
            "step {} begins, {next} is next",
            record.position
        );
        assert!(
            !before.status().is_terminal(),
            "nothing begins after an end"
        );
        let last = self.accepted.last().map_or("", String::as_str);
        assert_eq!(
            self.progress.outcome().message(),
            last,
            "the step is given what the last left"
        );
        assert!(
            !self.in_flight.iter().any(|other| other.until > self.now),
            "two live leases"
        );
        let attempt = self.progress.attempts();
        let until = self.now + LEASE;
        self.in_flight.push(InFlight {
            record,
            attempt,
            until,
        });
    }

    /// Says whether a later attempt at the same step has begun.
    pub(crate) fn taken_over(&self, position: u32, attempt: u32) -> bool {
        let other = |other: &InFlight| other.record.position == position && other.attempt > attempt;
        self.in_flight.iter().any(other)
    }

    pub(crate) fn is_external(&self, position: u32) -> bool {
        let index = usize::try_from(position).unwrap().checked_sub(1);
        let step = index.and_then(|index| self.steps.get(index));
        step.is_some_and(|step| step.external.is_some())
    }

    pub(crate) fn check(&self) {
        let done = usize::try_from(self.progress.position())
            .unwrap()
            .saturating_sub(1);
        assert_eq!(
            done,
            self.accepted.len(),
            "what is done is what was accepted"
        );
        if self.progress.status() == Status::Success {
            assert_eq!(done, self.steps.len(), "a success has done every step");
        }
        assert!(self.ends <= 1, "one end between repairs");
        assert!(self.progress.counted_attempts() <= self.progress.attempts());
        let awaited = self.progress.status().is_terminal() || self.progress.check_at().is_some();
        assert!(awaited, "a run that goes on is looked after");
    }

    /// Everything goes well from now on: whatever happened, the run gets to its end.
    pub(crate) fn heal(&mut self) {
        for _ in 0..200 {
            if self.progress.status() == Status::Success {
                return;
            }
            match self.progress.status() {
                Status::Failed | Status::Cancelled => self.act(Act::Resume),
                _ => {}
            }
            while !self.in_flight.is_empty() {
                self.act(Act::End {
                    attempt: 0,
                    how: How::Success,
                    crash: false,
                });
            }
            for _ in 0..self.records.len() {
                self.act(Act::Deliver {
                    record: 0,
                    duplicate: false,
                });
            }
            if self.in_flight.is_empty() {
                self.act(Act::Sweep { crash: false });
            }
        }
        panic!("the run does not get to its end: {:?}", self.progress);
    }
}
