use super::{Lease, Progress, StepKey};
use crate::{Outcome, Status, Timestamp};

/// Something that has happened, or that someone asks for. Fork makes another operation, so it is no event.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The operation is launched, for the second time: the first time makes its progress.
    Launched,
    /// The build, which is step 0, is done.
    Built {
        /// The attempt, as counted by [`Event::Started`].
        attempt: u32,
        /// How many steps there are. None is a failure.
        steps: u32,
    },
    /// The build has failed.
    NotBuilt {
        /// The attempt, as counted by [`Event::Started`].
        attempt: u32,
        /// Why.
        outcome: Outcome,
        /// When it is tried again, `None` for never.
        retry_at: Option<Timestamp>,
    },
    /// A consumer wants to begin an attempt at a step. Takes over a lease that has expired.
    Started {
        /// The step.
        step: StepKey,
        /// How long nobody else may begin it; `None` where the state is carried.
        lease: Option<Lease>,
        /// Whether nothing else runs in the consumer's process, as a suspect demands.
        alone: bool,
        /// The version in the message at hand, which tells it from one that was published again.
        seen: u64,
    },
    /// A consumer is still at it.
    Renewed {
        /// The step.
        step: StepKey,
        /// The attempt, as counted by [`Event::Started`].
        attempt: u32,
        /// How long nobody else may begin it.
        until: Timestamp,
    },
    /// An attempt at a step has come to its end. Whether it is a success is in the outcome.
    Ended {
        /// The step.
        step: StepKey,
        /// The attempt, as counted by [`Event::Started`].
        attempt: u32,
        /// What the handler left, before it is merged with the forwarded outcome.
        outcome: Outcome,
        /// When a failed step is tried again, `None` for never.
        retry_at: Option<Timestamp>,
    },
    /// An attempt was given back before its end, as on a graceful stop. It does not count.
    Interrupted {
        /// The step.
        step: StepKey,
        /// The attempt, as counted by [`Event::Started`].
        attempt: u32,
    },
    /// Someone outside says how an external step ended: started and ended in one.
    Reported {
        /// The step.
        step: StepKey,
        /// What was left.
        outcome: Outcome,
        /// The version in the message that was reported on; 0 for a report without one.
        seen: u64,
    },
    /// A step's message goes to the dead letters without a report of an attempt.
    GivenUp {
        /// The step.
        step: StepKey,
        /// Why.
        outcome: Outcome,
        /// The version in the message at hand.
        seen: u64,
    },
    /// The operation is to go on where it failed or was cancelled.
    Resumed,
    /// This very step is to be tried again, now.
    Retried {
        /// The step.
        step: StepKey,
    },
    /// The step counts as done. Revives a failed operation.
    Skipped {
        /// The step.
        step: StepKey,
        /// What the next step is given; a success.
        outcome: Outcome,
    },
    /// Nothing more is to begin.
    Cancelled,
    /// Someone looks for operations that do not move.
    Swept,
}

/// What the caller of [`apply`](super::apply) has to do after the progress is safe. Doing it twice does no harm.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// Publish the message of a step; position 0 is the launch.
    Publish {
        /// Which step, counted from 1.
        position: u32,
        /// Not to be delivered before this.
        not_before: Option<Timestamp>,
    },
    /// Write the delivery at hand to the dead letters.
    DeadLetter,
    /// Tell that the operation's status has changed.
    StatusChanged {
        /// What it was.
        from: Status,
        /// What it is.
        to: Status,
    },
}

/// The answer of [`apply`](super::apply).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Transition {
    /// The new progress. Its version is that of the old one exactly if nothing has changed.
    pub progress: Progress,
    /// What to do then.
    pub effects: Vec<Effect>,
    /// Whether the progress differs from the old one and so has to be written.
    pub changed: bool,
}

impl Transition {
    /// Gives a progress that has changed a stamp, which tells its write from all others.
    ///
    /// A progress that has not changed keeps its own.
    #[must_use]
    pub fn with_stamp(mut self, stamp: u64) -> Self {
        if self.changed {
            self.progress.stamp = stamp;
        }
        self
    }

    /// Says what has to be done about a progress that was written by other means, such as a fork.
    #[must_use]
    pub const fn new(progress: Progress, effects: Vec<Effect>) -> Self {
        Self {
            progress,
            effects,
            changed: true,
        }
    }
}
