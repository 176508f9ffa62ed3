use super::super::{Effect, External, Lease, Owner, Rejected, StepKey, StepWindow};
use super::{Draft, StepPosition};
use crate::{Instance, Outcome, Status, Timestamp};

impl Draft<'_> {
    /// Accepts a success, also of a cancelled run.
    pub(super) fn succeeded(&mut self, step: &StepKey, outcome: &Outcome) {
        let accepted = outcome.accepted(&self.progress.outcome, &step.uuid);
        self.done(accepted);
    }

    /// Accepts the failure of an attempt. If it was accepted before, only its effects may be missing.
    pub(super) fn attempt_failed(
        &mut self,
        attempt: u32,
        outcome: Outcome,
        retry_at: Option<Timestamp>,
    ) -> Result<(), Rejected> {
        if self.progress.attempts != attempt {
            return Err(Rejected::Fenced);
        }
        match self.progress.started {
            true => self.failed(outcome, retry_at),
            false => self.repeat_failure(),
        }
        Ok(())
    }

    /// Moves to the next step, and publishes it unless the run was cancelled.
    pub(super) fn done(&mut self, outcome: Outcome) {
        self.clear_attempt();
        self.clear_counts();
        self.progress.outcome = outcome;
        self.progress.position += 1;
        self.window = StepWindow {
            current: self.window.following,
            following: None,
        };
        if self.progress.status != Status::Cancelled {
            self.go_on();
        }
    }

    /// Counts the attempt as failed. The step is retried, or the run fails.
    pub(super) fn failed(&mut self, outcome: Outcome, retry_at: Option<Timestamp>) {
        self.clear_attempt();
        self.progress.first_failed.get_or_insert(self.now);
        if self.progress.status == Status::Cancelled {
            self.progress.failure = Some(outcome);
            return;
        }
        match retry_at {
            Some(at) => {
                self.progress.not_before = Some(at).filter(|at| *at > self.now);
                self.send();
            }
            None => self.fail(outcome),
        }
    }

    pub(super) fn fail(&mut self, outcome: Outcome) {
        self.clear_attempt();
        self.progress.failure = Some(outcome);
        self.effects.push(Effect::DeadLetter);
        self.set_status(Status::Failed);
    }

    /// Resets the counts of the step for a repair, unless a consumer may still run it.
    pub(super) fn repair(&mut self) -> Result<(), Rejected> {
        if self.progress.started {
            self.must_be_free(None)?;
        }
        self.clear_attempt();
        self.progress.uncounted = self.progress.attempts;
        self.progress.crash_count = 0;
        self.progress.first_failed = None;
        self.progress.failure = None;
        Ok(())
    }

    /// Publishes the step at the position, or ends the run after the last.
    pub(super) fn go_on(&mut self) {
        self.changed = true;
        match self.progress.position {
            0 => self.set_status(Status::Pending),
            position if position > self.progress.steps => {
                self.set_status(Status::Success);
                return;
            }
            _ => self.set_status(Status::Running),
        }
        self.send();
    }

    /// Publishes the step at the position. An external step counts as started from then on.
    pub(super) fn send(&mut self) {
        self.publish();
        if let Some(external) = self.external() {
            let sent = self.progress.not_before.unwrap_or(self.now);
            let owner = Owner {
                instance: Instance::from("external"),
                incarnation: 0,
            };
            self.progress.not_before = None;
            self.begin(Some(Lease {
                until: sent + external.limit,
                owner,
            }));
        }
    }

    /// Repeats the effects of the end of a step when its record is redelivered: if `seen` is the version in the record that
    /// began the latest attempt of the run, and that attempt has ended.
    ///
    /// Any other record of the step is a copy. If it repeated the effects, it would make a copy of the next step, which
    /// would make a copy of the step after it, to the end of the run.
    pub(super) fn repeat(&mut self, seen: u64) {
        if seen == self.progress.started_by_version {
            match self.progress.status {
                Status::Failed => self.repeat_end(),
                _ => self.repeat_effects(),
            }
        }
    }

    /// Publishes the pending step, or the end of the run, once more.
    pub(super) fn repeat_effects(&mut self) {
        let external = self.external().is_some();
        match self.progress.status {
            Status::Running if !self.progress.started || external => self.publish_again(),
            Status::Success => self.repeat_end(),
            _ => {}
        }
    }

    /// Publishes the step at the position once more. That is a change: the copy has a version of its own, which differs from
    /// that of the record that may be on its way.
    pub(super) fn publish_again(&mut self) {
        self.changed = true;
        self.publish();
    }

    /// Repeats the effects of a failed attempt.
    pub(super) fn repeat_failure(&mut self) {
        match self.progress.status {
            Status::Failed => self.repeat_end(),
            Status::Pending | Status::Running => self.publish(),
            Status::Success | Status::Cancelled => {}
        }
    }

    /// Repeats the dead letter. It belongs to the record of the last attempt: a record that was published again has none.
    pub(super) fn repeat_letter(&mut self, seen: u64) {
        if seen == self.progress.started_by_version {
            self.repeat_end();
        }
    }

    pub(super) fn repeat_end(&mut self) {
        let to = self.progress.status;
        let from = match self.progress.position {
            0 => Status::Pending,
            _ => Status::Running,
        };
        if to == Status::Failed {
            self.effects.push(Effect::DeadLetter);
        }
        self.effects.push(Effect::StatusChanged { from, to });
    }

    pub(super) fn publish(&mut self) {
        self.effects.push(Effect::Publish {
            position: self.progress.position,
            not_before: self.progress.not_before,
        });
    }

    pub(super) fn begin(&mut self, lease: Option<Lease>) {
        self.progress.started = true;
        self.progress.attempts = self.progress.attempts.saturating_add(1);
        self.progress.lease = lease;
        self.progress.not_before = None;
        self.changed = true;
    }

    /// Counts the attempt in flight as one that ended without a report.
    pub(super) fn lose_attempt(&mut self) {
        self.progress.crash_count = self.progress.crash_count.saturating_add(1);
        self.progress.uncounted = self.progress.uncounted.saturating_add(1);
    }

    pub(super) fn clear_attempt(&mut self) {
        self.progress.started = false;
        self.progress.lease = None;
        self.progress.not_before = None;
        self.changed = true;
    }

    pub(super) const fn clear_counts(&mut self) {
        self.progress.first_failed = None;
        self.progress.attempts = 0;
        self.progress.uncounted = 0;
        self.progress.crash_count = 0;
    }

    pub(super) fn set_status(&mut self, to: Status) {
        let from = std::mem::replace(&mut self.progress.status, to);
        if from != to {
            self.changed = true;
            self.effects.push(Effect::StatusChanged { from, to });
        }
    }

    /// Returns the limit and the attempts of the step at the position; `None` when a consumer of kser runs it.
    pub(super) fn external(&self) -> Option<External> {
        self.window.current.and_then(|current| current.external)
    }

    /// Compares the position of a step with that of the progress.
    pub(super) fn locate(&self, step: &StepKey) -> Result<StepPosition, Rejected> {
        let position = self.progress.position;
        if step.position > position {
            return Err(Rejected::Ahead { position });
        }
        if step.position < position {
            return Ok(StepPosition::Completed);
        }
        match self.window.current {
            Some(current) if current.key != *step => Err(Rejected::UnknownStep),
            None if position > 0 => Err(Rejected::UnknownStep),
            _ => Ok(StepPosition::Current),
        }
    }

    pub(super) fn must_be_latest(&self, attempt: u32) -> Result<(), Rejected> {
        if self.progress.started && self.progress.attempts == attempt {
            Ok(())
        } else {
            Err(Rejected::Fenced)
        }
    }

    /// Refuses a step that another consumer has leased, unless that is an earlier life of the same instance.
    pub(super) fn must_be_free(&self, taker: Option<&Lease>) -> Result<(), Rejected> {
        let Some(lease) = &self.progress.lease else {
            return Ok(());
        };
        let superseded = taker.is_some_and(|taker| taker.owner.supersedes(&lease.owner));
        if lease.until > self.now && !superseded {
            return Err(Rejected::Leased { until: lease.until });
        }
        Ok(())
    }

    /// Counts the change, and sets the time of the next check by a sweep.
    pub(super) fn count_change(&mut self, swept: bool) {
        if !swept {
            self.progress.sweeps_since_change = 0;
        }
        self.progress.version = self.progress.version.saturating_add(1);
        self.progress.updated = self.now;
        self.progress.check_at = self.progress.next_check(self.now);
    }
}
