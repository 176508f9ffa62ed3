use super::{Lease, Progress, StepKey};
use crate::{Outcome, Status, Timestamp};

/// An event in the life of a run: a fact, or a request of a user. A fork is not an event, because it makes another run.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The operation is launched again. The first launch makes its progress, without an event.
    Launched,
    /// The build, which is step 0, is done.
    Built {
        /// The attempt, as counted by [`Event::Started`].
        attempt: u32,
        /// The number of steps. Zero is a failure.
        steps: u32,
    },
    /// The build has failed.
    NotBuilt {
        /// The attempt, as counted by [`Event::Started`].
        attempt: u32,
        /// The outcome with the error.
        outcome: Outcome,
        /// The time of the retry; `None` for no retry.
        retry_at: Option<Timestamp>,
    },
    /// A consumer wants to begin an attempt at a step. Takes over a lease that has expired.
    Started {
        /// The step.
        step: StepKey,
        /// The lease, until whose end no other consumer may begin the step; `None` where the state is carried.
        lease: Option<Lease>,
        /// Whether the step would run exclusively in the process of the consumer, as a suspected poison message must.
        alone: bool,
        /// The version in the message, which differs from that of a message that was published again.
        seen: u64,
    },
    /// A consumer still runs the step, and renews its lease.
    Renewed {
        /// The step.
        step: StepKey,
        /// The attempt, as counted by [`Event::Started`].
        attempt: u32,
        /// The new end of the lease.
        until: Timestamp,
    },
    /// An attempt at a step has ended, with a success or a failure, as the outcome says.
    Ended {
        /// The step.
        step: StepKey,
        /// The attempt, as counted by [`Event::Started`].
        attempt: u32,
        /// The outcome of the handler, before it is merged with the forwarded outcome.
        outcome: Outcome,
        /// The time of the retry after a failure; `None` for no retry.
        retry_at: Option<Timestamp>,
    },
    /// An attempt was released before its end, as on a graceful shutdown. It does not count.
    Interrupted {
        /// The step.
        step: StepKey,
        /// The attempt, as counted by [`Event::Started`].
        attempt: u32,
    },
    /// An external step has ended, as its program or person reports. The report starts and ends the step in one.
    Reported {
        /// The step.
        step: StepKey,
        /// The reported outcome.
        outcome: Outcome,
        /// The version in the message of the step; 0 for a report without it.
        seen: u64,
    },
    /// The message of a step is dead-lettered without the end of an attempt.
    GivenUp {
        /// The step.
        step: StepKey,
        /// The outcome with the error.
        outcome: Outcome,
        /// The version in the message.
        seen: u64,
    },
    /// A user resumes the operation where it failed or was cancelled.
    Resumed,
    /// A user retries the pending step at once.
    Retried {
        /// The step.
        step: StepKey,
    },
    /// A user skips the step, which counts as done. Revives a failed operation.
    Skipped {
        /// The step.
        step: StepKey,
        /// The outcome that is forwarded to the next step; a success.
        outcome: Outcome,
    },
    /// A user cancels the operation: no further attempt begins.
    Cancelled,
    /// A sweep finds that the operation has not moved.
    Swept,
}

/// A side effect for the caller of [`apply`](super::apply) to perform after the new progress is durable. Effects are
/// idempotent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// Publish the message of a step; position 0 is the launch.
    Publish {
        /// The position of the step, counted from 1.
        position: u32,
        /// The time before which the message is not delivered.
        not_before: Option<Timestamp>,
    },
    /// Dead-letter the delivery that caused the event.
    DeadLetter,
    /// Publish the change of the status.
    StatusChanged {
        /// The status before.
        from: Status,
        /// The status now.
        to: Status,
    },
}

/// The answer of [`apply`](super::apply).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Transition {
    /// The new progress. It has the version of the old one exactly if it is unchanged.
    pub progress: Progress,
    /// The side effects to perform once the progress is durable.
    pub effects: Vec<Effect>,
    /// Whether the progress differs from the old one, and has to be written.
    pub changed: bool,
}

impl Transition {
    /// Sets the stamp of a changed progress, by which its write differs from all others.
    ///
    /// An unchanged progress keeps its stamp.
    #[must_use]
    pub fn with_stamp(mut self, stamp: u64) -> Self {
        if self.changed {
            self.progress.set_stamp(stamp);
        }
        self
    }

    /// Says whether the transition does nothing but publish the message of the step that follows, which no program outside runs.
    #[must_use]
    pub fn only_goes_on(&self) -> bool {
        let position = self.progress.position;
        let publish = Effect::Publish {
            position,
            not_before: None,
        };
        self.effects == [publish] && position > 1 && !self.progress.started
    }

    /// Begins an attempt at the step that follows in the same write, so that the consumer that ended the step before goes on
    /// without a message. The record that the consumer holds stays the one that wakes the next consumer after a crash.
    ///
    /// The transition must [only go on](Self::only_goes_on). The effect that publishes the message stays, for a consumer that
    /// needs its record.
    #[must_use]
    pub fn begin_next(mut self, lease: Lease) -> Self {
        let progress = &mut self.progress;
        progress.started = true;
        progress.attempts = progress.attempts.saturating_add(1);
        progress.lease = Some(lease);
        progress.check_at = progress.next_check(progress.updated);
        self
    }

    /// Makes the transition to a progress that was made without an event, such as that of a fork.
    #[must_use]
    pub const fn new(progress: Progress, effects: Vec<Effect>) -> Self {
        Self {
            progress,
            effects,
            changed: true,
        }
    }
}
