mod json;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Envelope, Fields, Instance, Outcome, Status, Timestamp};

/// The time that a published step has to start before it is published again, the first time.
pub(super) const REPUBLISH_AFTER: Duration = Duration::from_secs(60);

/// Where a run stands: small, and of the same size whatever the number of steps.
///
/// Only [`apply`](super::apply) changes it. A store keeps it as it is, as JSON with the fields that a later version of kser
/// has added; a message that carries its state is read as one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Progress {
    pub(super) status: Status,
    /// The first step that is not done; 0 is the build, one past the last is the end.
    pub(super) position: u32,
    /// 0 before the build is done.
    pub(super) steps: u32,
    /// An attempt at the step has begun and not ended.
    pub(super) started: bool,
    /// Counts every start of the step. It only grows: it is what fences a worker that lost its lease.
    pub(super) attempts: u32,
    /// The attempts that do not count for the retry policy: before a repair, given back, or ended without a report.
    pub(super) uncounted: u32,
    /// The attempts that ended without a report.
    pub(super) unreported: u32,
    /// The version in the message that began the latest attempt: what was published again has another.
    #[serde(rename = "begun_by")]
    pub(super) started_by_version: u64,
    pub(super) lease: Option<Lease>,
    pub(super) not_before: Option<Timestamp>,
    /// What the step at the position is given.
    pub(super) outcome: Outcome,
    /// What the failed step left, while the run is failed.
    pub(super) failure: Option<Outcome>,
    pub(super) version: u64,
    /// Tells the write that made this version from every other; 0 for none.
    #[serde(default)]
    pub(super) stamp: u64,
    pub(super) check_at: Option<Timestamp>,
    /// The sweeps since the last change by anyone else.
    #[serde(rename = "nudges")]
    pub(super) sweeps_since_change: u32,
    pub(super) updated: Timestamp,
    /// One event for each step was asked for.
    pub(super) step_events: bool,
    /// The operation's owner wants to be told of changes of status.
    pub(super) status_hook: bool,
    /// When an attempt at the step failed first.
    #[serde(default)]
    pub(super) first_failed: Option<Timestamp>,
    /// What a later version of kser has added.
    #[serde(skip)]
    others: Fields,
}

/// Names one state of a run: its version, and the stamp of the write that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(
    clippy::exhaustive_structs,
    reason = "what a swap compares, and no more"
)]
pub struct Revision {
    /// Counts the changes of the run.
    pub version: u64,
    /// Tells the write that made this version from every other; 0 for a write without a stamp.
    pub stamp: u64,
}

/// The right to run a step, for a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Lease {
    /// When it ends, unless it is renewed.
    pub until: Timestamp,
    /// Who has it.
    pub owner: Owner,
}

impl Lease {
    /// Makes a lease that ends at `until`, in the time of the store.
    #[must_use]
    pub const fn new(until: Timestamp, owner: Owner) -> Self {
        Self { until, owner }
    }
}

/// Who runs a step: an instance, and which life of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Owner {
    /// The name of the consumer.
    pub instance: Instance,
    /// Grows with each start of the instance.
    pub incarnation: u64,
}

impl Owner {
    /// Names one life of an instance.
    #[must_use]
    pub const fn new(instance: Instance, incarnation: u64) -> Self {
        Self {
            instance,
            incarnation,
        }
    }

    /// Says whether this is a later life of `other`, which takes over its leases at once.
    #[must_use]
    pub fn supersedes(&self, other: &Self) -> bool {
        self.instance == other.instance && self.incarnation > other.incarnation
    }
}

impl Progress {
    /// The progress of a run that was launched and is not built.
    #[must_use]
    pub fn launched(now: Timestamp) -> Self {
        Self {
            check_at: Some(now + REPUBLISH_AFTER),
            updated: now,
            version: 1,
            ..Self::blank()
        }
    }

    /// The progress of a lone task: an operation of one step, of which nobody keeps a record.
    #[must_use]
    pub fn lone(forwarded: Outcome) -> Self {
        Self {
            status: Status::Running,
            position: 1,
            steps: 1,
            outcome: forwarded,
            ..Self::blank()
        }
    }

    /// The progress that the writer of a message saw: the truth where the state is carried, a hint where it is stored.
    ///
    /// A swap that goes by the hint writes what the message says, so that a field of the progress is one of messages, too.
    #[must_use]
    pub fn seen(envelope: &Envelope, forwarded: Outcome) -> Self {
        let status = match envelope.step {
            0 => Status::Pending,
            _ => Status::Running,
        };
        Self {
            status,
            position: envelope.step,
            steps: envelope.of,
            attempts: envelope.attempts,
            uncounted: envelope.uncounted,
            unreported: envelope.unreported,
            outcome: forwarded,
            version: envelope.version,
            stamp: envelope.stamp,
            first_failed: envelope.first_failed,
            step_events: envelope.step_events,
            status_hook: envelope.status_hook,
            ..Self::blank()
        }
    }

    /// Returns this with the attempts that were counted outside it: `failed` in headers or memory, and `unreported` by
    /// the transport, for state that is carried.
    #[must_use]
    pub const fn with_counts(mut self, failed: u32, unreported: u32) -> Self {
        self.attempts = self.attempts.saturating_add(failed);
        self.unreported = self.unreported.saturating_add(unreported);
        self
    }

    /// Returns the progress of a run that repeats this one's plan from `position` on, which is 1 or more, with the
    /// accepted outcome of the step before.
    #[must_use]
    pub fn forked(steps: u32, position: u32, forwarded: Outcome, now: Timestamp) -> Self {
        Self {
            status: Status::Running,
            position,
            steps,
            outcome: forwarded,
            ..Self::launched(now)
        }
    }

    /// Asks for one event for each step, beside those for changes of status.
    #[must_use]
    pub const fn with_step_events(mut self, wanted: bool) -> Self {
        self.step_events = wanted;
        self
    }

    /// Asks for a message to the operation's owner for each change of status.
    #[must_use]
    pub const fn with_status_hook(mut self, wanted: bool) -> Self {
        self.status_hook = wanted;
        self
    }

    /// Gives a progress that is about to be written for the first time its stamp, see [`stamp`](Self::stamp).
    #[must_use]
    pub const fn with_stamp(mut self, stamp: u64) -> Self {
        self.stamp = stamp;
        self
    }

    fn blank() -> Self {
        Self {
            status: Status::Pending,
            position: 0,
            steps: 0,
            started: false,
            attempts: 0,
            uncounted: 0,
            unreported: 0,
            started_by_version: 0,
            lease: None,
            not_before: None,
            outcome: Outcome::default(),
            failure: None,
            version: 0,
            stamp: 0,
            check_at: None,
            sweeps_since_change: 0,
            updated: Timestamp::default(),
            step_events: false,
            status_hook: false,
            first_failed: None,
            others: Fields::default(),
        }
    }

    /// Returns the status of the run.
    #[must_use]
    pub const fn status(&self) -> Status {
        self.status
    }

    /// Returns the first step that is not done, counted from 1; 0 is the build, `steps() + 1` the end.
    #[must_use]
    pub const fn position(&self) -> u32 {
        self.position
    }

    /// Counts the steps; 0 before the run is built.
    #[must_use]
    pub const fn steps(&self) -> u32 {
        self.steps
    }

    /// Says whether an attempt at the step has begun and not ended.
    #[must_use]
    pub const fn is_started(&self) -> bool {
        self.started
    }

    /// Counts every start of the step: the number to give back in [`Event::Ended`](super::Event::Ended).
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Counts the starts that the retry policy counts, from 1 again after a repair.
    #[must_use]
    pub const fn counted_attempts(&self) -> u32 {
        self.attempts.saturating_sub(self.uncounted)
    }

    /// Counts the starts that the retry policy does not count: before a repair, given back, or ended without a report.
    #[must_use]
    pub const fn uncounted(&self) -> u32 {
        self.uncounted
    }

    /// Counts the attempts that ended without a report, as when the process dies.
    #[must_use]
    pub const fn unreported(&self) -> u32 {
        self.unreported
    }

    /// Counts the attempts at the step that were made, from 0 again after a repair: those that the retry policy counts,
    /// and those that ended without a report. An attempt that a graceful stop gave back does not count.
    #[must_use]
    pub const fn made_attempts(&self) -> u32 {
        self.counted_attempts().saturating_add(self.unreported)
    }

    /// Returns when an attempt at the step failed first, since its run was repaired.
    #[must_use]
    pub const fn first_failed(&self) -> Option<Timestamp> {
        self.first_failed
    }

    /// Returns who runs the step, and for how long.
    #[must_use]
    pub const fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }

    /// Returns when the step may start, `None` for at any time.
    #[must_use]
    pub const fn not_before(&self) -> Option<Timestamp> {
        self.not_before
    }

    /// Returns what the step at the position is given; at the end, the outcome of the run.
    #[must_use]
    pub const fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// Returns what the run ended with: the outcome of its last step, or of the one that failed.
    #[must_use]
    pub fn last_outcome(&self) -> &Outcome {
        self.failure.as_ref().unwrap_or(&self.outcome)
    }

    /// Grows with every change.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// Tells the write that made this version from every other write; 0 for a write without a stamp.
    ///
    /// A message carries it beside the version, so that a row that was purged and inserted anew, or restored from a backup,
    /// is not taken for the one that the message was written from.
    #[must_use]
    pub const fn stamp(&self) -> u64 {
        self.stamp
    }

    /// Names this state of the run, for a [`swap`](crate::StateStore::swap) that expects it.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        Revision {
            version: self.version,
            stamp: self.stamp,
        }
    }

    /// Returns when someone should look whether the run moves, `None` when it need not.
    #[must_use]
    pub const fn check_at(&self) -> Option<Timestamp> {
        self.check_at
    }

    /// Says whether one event for each step was asked for.
    #[must_use]
    pub const fn wants_step_events(&self) -> bool {
        self.step_events
    }

    /// Says whether the operation's owner wants to be told of changes of status.
    #[must_use]
    pub const fn wants_status_hook(&self) -> bool {
        self.status_hook
    }

    /// Returns when it changed last.
    #[must_use]
    pub const fn updated(&self) -> Timestamp {
        self.updated
    }
}
