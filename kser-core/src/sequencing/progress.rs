mod json;
mod outcomes;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::outcomes::Outcomes;
use crate::{Envelope, Fields, Instance, Outcome, Status, Timestamp};

/// The time that a published step has to start before it is published again, the first time.
const REPUBLISH_AFTER: Duration = Duration::from_secs(60);

/// The progress of a run: small, and of the same size for any number of steps.
///
/// Only [`apply`](super::apply) changes it. A store keeps it as JSON, with the fields that a later version of kser has
/// added. Where the state is carried, it is read from the message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Progress {
    pub(super) status: Status,
    /// The first step that is not done; 0 is the build, one past the last is the end.
    pub(super) position: u32,
    /// 0 before the build is done.
    pub(super) steps: u32,
    /// Whether an attempt at the step has begun and not ended.
    pub(super) started: bool,
    /// The number of starts of the step. It only grows, so that it fences a consumer that lost its lease.
    pub(super) attempts: u32,
    /// The attempts that do not count for the retry policy: before a repair, released, or ended without a report.
    pub(super) uncounted: u32,
    /// The attempts that ended without a report.
    #[serde(rename = "unreported")]
    pub(super) crash_count: u32,
    /// The version in the message that began the latest attempt. A message that was published again has another.
    #[serde(rename = "begun_by")]
    pub(super) started_by_version: u64,
    pub(super) lease: Option<Lease>,
    pub(super) not_before: Option<Timestamp>,
    /// The outcome that is forwarded to the step at the position.
    pub(super) outcome: Outcome,
    /// The outcome of the failed step, while the run is FAILED.
    pub(super) failure: Option<Outcome>,
    pub(super) version: u64,
    /// A number of the write that made this version, unlike that of any other write; 0 for none.
    #[serde(default)]
    pub(super) stamp: u64,
    /// The stamp of the write that inserted the run; 0 for none.
    #[serde(default)]
    pub(super) life: u64,
    pub(super) check_at: Option<Timestamp>,
    /// The number of sweeps since the last change that was not by a sweep.
    #[serde(rename = "nudges")]
    pub(super) sweeps_since_change: u32,
    pub(super) updated: Timestamp,
    /// Whether the launch asked for an event for each step.
    pub(super) step_events: bool,
    /// Whether the operation has a status hook.
    pub(super) status_hook: bool,
    /// The time of the first failed attempt at the step.
    #[serde(default)]
    pub(super) first_failed: Option<Timestamp>,
    /// The fields that a later version of kser has added.
    #[serde(skip)]
    others: Fields,
}

/// The identity of one state of a run: its version, and the stamp of the write that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(
    clippy::exhaustive_structs,
    reason = "what a swap compares, and no more"
)]
pub struct Revision {
    /// The number of changes of the run.
    pub version: u64,
    /// A number of the write that made this version, unlike that of any other write; 0 for a write without a stamp.
    pub stamp: u64,
}

/// The right to run a step, for a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Lease {
    /// The end of the lease, unless it is renewed.
    pub until: Timestamp,
    /// The consumer that has it.
    pub owner: Owner,
}

impl Lease {
    /// Makes a lease that ends at `until`, in the time of the store.
    #[must_use]
    pub const fn new(until: Timestamp, owner: Owner) -> Self {
        Self { until, owner }
    }
}

/// The owner of a lease: one life of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Owner {
    /// The name of the consumer.
    pub instance: Instance,
    /// The number of the life, which grows with each start of the instance.
    pub incarnation: u64,
}

impl Owner {
    /// Makes the owner for one life of an instance.
    #[must_use]
    pub const fn new(instance: Instance, incarnation: u64) -> Self {
        Self {
            instance,
            incarnation,
        }
    }

    /// Says whether the owner is a later life of `other`, which takes over its leases at once.
    #[must_use]
    pub fn supersedes(&self, other: &Self) -> bool {
        self.instance == other.instance && self.incarnation > other.incarnation
    }
}

impl Progress {
    /// Makes the progress of a run that was launched and is not built.
    #[must_use]
    pub fn launched(now: Timestamp) -> Self {
        Self {
            check_at: Some(now + REPUBLISH_AFTER),
            updated: now,
            version: 1,
            ..Self::blank()
        }
    }

    /// Makes the progress of a lone task: an operation of one step, whose progress is not kept.
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

    /// Makes the progress from which a message was written. It is the state where the state is carried, and a hint where it
    /// is stored.
    ///
    /// A swap that goes by the hint writes the fields of the message, so that each field of the progress is in messages,
    /// too. The lease of an attempt in flight is not: such a message gives a progress of version 0, which no stored run has,
    /// so that the swap fails and its caller learns the lease.
    #[must_use]
    pub fn seen(envelope: &Envelope, forwarded: Outcome) -> Self {
        let version = match envelope.started {
            true => 0,
            false => envelope.version,
        };
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
            crash_count: envelope.crash_count,
            outcome: forwarded,
            started: envelope.started,
            version,
            stamp: envelope.stamp,
            life: envelope.life,
            first_failed: envelope.first_failed,
            step_events: envelope.step_events,
            status_hook: envelope.status_hook,
            ..Self::blank()
        }
    }

    /// Adds the attempts that were counted elsewhere, where the state is carried: `failed` in headers or memory, and
    /// crashes by the transport.
    #[must_use]
    pub const fn with_counts(mut self, failed: u32, crash_count: u32) -> Self {
        self.attempts = self.attempts.saturating_add(failed);
        self.crash_count = self.crash_count.saturating_add(crash_count);
        self
    }

    /// Makes the progress of a run that repeats the plan of another from `position` on, which is 1 or more, with the
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

    /// Asks for an event for each step, beside those for changes of status.
    #[must_use]
    pub const fn with_step_events(mut self, wanted: bool) -> Self {
        self.step_events = wanted;
        self
    }

    /// Asks for a message to the status hook of the operation for each change of status.
    #[must_use]
    pub const fn with_status_hook(mut self, wanted: bool) -> Self {
        self.status_hook = wanted;
        self
    }

    /// Sets the [`stamp`](Self::stamp) of a progress that is about to be written for the first time.
    #[must_use]
    pub const fn with_stamp(mut self, stamp: u64) -> Self {
        self.set_stamp(stamp);
        self
    }

    /// Sets the stamp of a write. That of the first one is the life of the run.
    pub(super) const fn set_stamp(&mut self, stamp: u64) {
        self.stamp = stamp;
        if self.life == 0 {
            self.life = stamp;
        }
    }

    fn blank() -> Self {
        Self {
            status: Status::Pending,
            position: 0,
            steps: 0,
            started: false,
            attempts: 0,
            uncounted: 0,
            crash_count: 0,
            started_by_version: 0,
            lease: None,
            not_before: None,
            outcome: Outcome::default(),
            failure: None,
            version: 0,
            stamp: 0,
            life: 0,
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

    /// Returns the number of steps; 0 before the run is built.
    #[must_use]
    pub const fn steps(&self) -> u32 {
        self.steps
    }

    /// Returns the time of the next check of a progress that changes at `now`. It doubles with each sweep that finds no
    /// change, so that a queue that is merely long is not made longer.
    pub(super) fn next_check(&self, now: Timestamp) -> Option<Timestamp> {
        if self.status.is_terminal() {
            return None;
        }
        let patience = REPUBLISH_AFTER * (1 << self.sweeps_since_change.min(5));
        match (&self.lease, self.sweeps_since_change) {
            (Some(lease), 0) => Some(lease.until),
            (Some(lease), _) => Some(lease.until.max(now) + patience),
            (None, _) => Some(self.not_before.unwrap_or(now).max(now) + patience),
        }
    }

    /// Says whether an attempt at the step has begun and not ended.
    #[must_use]
    pub const fn is_started(&self) -> bool {
        self.started
    }

    /// Returns the number of starts of the step, which [`Event::Ended`](super::Event::Ended) names.
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Returns the number of starts that the retry policy counts, from 1 again after a repair.
    #[must_use]
    pub const fn counted_attempts(&self) -> u32 {
        self.attempts.saturating_sub(self.uncounted)
    }

    /// Returns the number of starts that the retry policy does not count: before a repair, released, or ended without a
    /// report.
    #[must_use]
    pub const fn uncounted(&self) -> u32 {
        self.uncounted
    }

    /// Returns the number of attempts that ended without a report, as in a crash.
    #[must_use]
    pub const fn crash_count(&self) -> u32 {
        self.crash_count
    }

    /// Returns the number of attempts at the step, from 0 again after a repair: the attempts that the retry policy
    /// counts, and those that ended without a report. An attempt that a graceful shutdown released does not count.
    #[must_use]
    pub const fn made_attempts(&self) -> u32 {
        self.counted_attempts().saturating_add(self.crash_count)
    }

    /// Returns the time of the first failed attempt at the step since the last repair of the run.
    #[must_use]
    pub const fn first_failed(&self) -> Option<Timestamp> {
        self.first_failed
    }

    /// Returns the lease of the consumer that runs the step.
    #[must_use]
    pub const fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }

    /// Returns the time at which the step may start; `None` for any time.
    #[must_use]
    pub const fn not_before(&self) -> Option<Timestamp> {
        self.not_before
    }

    /// Returns the outcome that is forwarded to the step at the position; at the end, the outcome of the run.
    #[must_use]
    pub const fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// Returns the outcome of the last step, or of the step that failed.
    #[must_use]
    pub fn last_outcome(&self) -> &Outcome {
        self.failure.as_ref().unwrap_or(&self.outcome)
    }

    /// Returns the outcome of the failed step, while the run is FAILED.
    #[must_use]
    pub const fn failure(&self) -> Option<&Outcome> {
        self.failure.as_ref()
    }

    /// Replaces the forwarded outcome, and that of the failed step, as a store does that keeps them in another form.
    ///
    /// # Errors
    ///
    /// Those of the functions.
    pub fn try_map_outcomes<E>(
        mut self,
        forwarded: impl FnOnce(Outcome) -> Result<Outcome, E>,
        failure: impl FnOnce(Outcome) -> Result<Outcome, E>,
    ) -> Result<Self, E> {
        self.outcome = forwarded(self.outcome)?;
        self.failure = self.failure.map(failure).transpose()?;
        Ok(self)
    }

    /// Returns the version, which grows with every change.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// Returns the number of the write that made this version, unlike that of any other write; 0 for a write without a
    /// stamp.
    ///
    /// A message has the stamp beside the version, so that a row that was purged and inserted anew, or restored from a
    /// backup, is not taken for the row from which the message was written.
    #[must_use]
    pub const fn stamp(&self) -> u64 {
        self.stamp
    }

    /// Returns the stamp of the write that inserted the run; 0 for a write without a stamp. A run that was purged and launched
    /// anew has another life, to which the messages of the first one do not belong.
    #[must_use]
    pub const fn life(&self) -> u64 {
        self.life
    }

    /// Returns the identity of this state, for a [`swap`](crate::StateStore::swap) that expects it.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        Revision {
            version: self.version,
            stamp: self.stamp,
        }
    }

    /// Returns the time from which a sweep checks whether the run moves; `None` for a run that need not be checked.
    #[must_use]
    pub const fn check_at(&self) -> Option<Timestamp> {
        self.check_at
    }

    /// Says whether the launch asked for an event for each step.
    #[must_use]
    pub const fn wants_step_events(&self) -> bool {
        self.step_events
    }

    /// Says whether the operation has a status hook.
    #[must_use]
    pub const fn wants_status_hook(&self) -> bool {
        self.status_hook
    }

    /// Returns the time of the last change.
    #[must_use]
    pub const fn updated(&self) -> Timestamp {
        self.updated
    }
}
