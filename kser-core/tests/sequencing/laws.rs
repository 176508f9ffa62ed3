//! The rules as laws on one event: what was, what happened, what is. Written from the text, not from the code.

use kser_core::sequencing::{Effect, Event};
use kser_core::{Outcome, Status};

use crate::case::{Case, Told, told};

impl Case<'_> {
    /// Whether the law holds for all of it.
    pub(crate) fn check(&self) {
        let laws: [(&str, bool); 22] = [
            ("the version counts changes", self.versions()),
            ("what runs is looked after", self.awaited()),
            ("a status is told when it changes", self.statuses()),
            ("steps are done one by one, by a success", self.moves()),
            ("what is done is forwarded", self.forwards()),
            ("a success has done every step", self.success()),
            ("an end is left by repairs alone", self.ends()),
            (
                "a past step moves nothing, and only its record asks again",
                self.past(),
            ),
            (
                "the record under which a lost attempt began wakes its run",
                self.woken(),
            ),
            ("a later step waits", self.ahead()),
            ("a stale attempt changes nothing", self.stale()),
            ("a start finds the step free and due", self.starts()),
            ("an end of the latest attempt is taken", self.taken()),
            ("what was told may be told again", self.again()),
            ("suspects run alone, and not a fourth time", self.suspects()),
            ("attempts only grow", self.attempts()),
            ("repairs wait for leases and begin anew", self.repairs()),
            ("a cancelled run sends nothing", self.cancelled()),
            ("a failure ends the run, or is tried again", self.failures()),
            (
                "a second launch publishes what nobody has begun",
                self.launches(),
            ),
            ("nobody gives up what somebody is at", self.gives_up()),
            ("sweeps publish what does not move", self.sweeps()),
        ];
        for (law, holds) in laws {
            assert!(holds, "{law}: {self:#?}");
        }
    }

    fn versions(&self) -> bool {
        let grown = self.after().version() == self.before.version() + 1;
        match self.changed() {
            true => grown && self.after().updated() == self.now,
            false => self.after() == self.before,
        }
    }

    fn awaited(&self) -> bool {
        self.after().status().is_terminal() == self.after().check_at().is_none()
    }

    /// A skip of the last step goes on and ends in one.
    fn statuses(&self) -> bool {
        let (from, to) = (self.before.status(), self.after().status());
        let change = |effect: &Effect| match effect {
            Effect::StatusChanged { from, to } => Some((*from, *to)),
            _ => None,
        };
        let changes: Vec<_> = self.effects().iter().filter_map(change).collect();
        if from == to {
            // What is asked for once more changes nothing.
            let again = !self.changed() && changes.iter().all(|change| change.1 == to);
            return again || changes.is_empty();
        }
        let linked = changes.windows(2).all(|pair| pair[0].1 == pair[1].0);
        let ends = (
            changes.first().map(|first| first.0),
            changes.last().map(|last| last.1),
        );
        self.changed() && linked && ends == (Some(from), Some(to))
    }

    fn moves(&self) -> bool {
        let (from, to) = (self.before.position(), self.after().position());
        if from == to {
            return true;
        }
        let success = |told: Told<'_>| told.outcome.is_none_or(Outcome::is_success);
        let by = match self.event {
            Event::Built { steps, .. } => *steps > 0 && self.before.is_started(),
            Event::Ended { .. } => self.before.is_started(),
            Event::Reported { .. } => Self::external(self.here),
            Event::Skipped { .. } => from > 0,
            _ => false,
        };
        let sent = self.after().status() == Status::Cancelled
            || to > self.after().steps()
            || self.publishes(to);
        let begun = Self::external(self.next) && self.after().status() == Status::Running;
        to == from + 1
            && by
            && sent
            && self.told_here().is_some_and(success)
            && self.after().is_started() == begun
            && self.after().crash_count() == 0
            && self.after().attempts() == u32::from(begun)
            && self.after().uncounted() == 0
    }

    fn forwards(&self) -> bool {
        let outcome = self.after().outcome();
        if !self.moved() {
            return outcome == self.before.outcome();
        }
        let (Some(here), Some(left)) = (self.here, told(self.event).and_then(|told| told.outcome))
        else {
            return outcome == &Outcome::default();
        };
        outcome.message() == left.message() && outcome.uuid() == Some(&here.key.uuid)
    }

    fn success(&self) -> bool {
        let after = self.after();
        let over = after.position() > after.steps() && after.steps() > 0;
        match after.status() {
            Status::Success => over,
            Status::Cancelled => true,
            Status::Pending => after.position() == 0,
            _ => !over,
        }
    }

    fn ends(&self) -> bool {
        let kept = self.after().status() == self.before.status();
        !self.before.status().is_terminal() || self.is_repair() || kept
    }

    fn past(&self) -> bool {
        let past = told(self.event).is_some_and(|told| told.position < self.before.position());
        if !past || self.wakes() {
            return true;
        }
        let due = match self.before.status() {
            Status::Running => !self.before.is_started() || Self::external(self.here),
            status => matches!(status, Status::Success | Status::Failed),
        };
        let again = due && self.by_the_record_before();
        // A copy of the pending step is written down first, so that it has a version of its own.
        let copied = again && self.before.status() == Status::Running;
        let (before, after) = (self.before, self.after());
        let stands = before.position() == after.position()
            && before.attempts() == after.attempts()
            && before.is_started() == after.is_started();
        stands && self.changed() == copied && self.effects().is_empty() != again
    }

    /// The step whose attempt was lost is published, so that its own record begins the next one.
    fn woken(&self) -> bool {
        if !self.wakes() {
            return true;
        }
        let (before, after) = (self.before, self.after());
        if !self.is_free() {
            return self.result.is_err();
        }
        let follows = match (before.status(), after.status()) {
            (Status::Cancelled, Status::Cancelled) => self.effects().is_empty(),
            (_, Status::Failed) => after.crash_count() == 3 && self.letter(),
            (_, status) => status == before.status() && self.publishes(before.position()),
        };
        follows
            && self.changed()
            && !after.is_started()
            && after.position() == before.position()
            && after.attempts() == before.attempts()
            && after.crash_count() == before.crash_count() + 1
    }

    fn ahead(&self) -> bool {
        let ahead = told(self.event).is_some_and(|told| told.position > self.before.position());
        !ahead || self.result.is_err()
    }

    fn stale(&self) -> bool {
        let stale = told(self.event).is_some_and(|told| {
            let other = |attempt| attempt != self.before.attempts();
            told.position >= self.before.position() && told.attempt.is_some_and(other)
        });
        !stale || self.result.is_err()
    }

    fn starts(&self) -> bool {
        let Event::Started { alone, .. } = self.event else {
            return true;
        };
        let before = self.before;
        let waits = before.not_before().is_some_and(|until| until > self.now);
        let runs = !before.status().is_terminal();
        let free = self.is_free();
        if before.status() == Status::Cancelled && self.told_here().is_some() {
            // A crashed attempt of a cancelled run ends, and none begins.
            let ends = before.is_started() && free;
            return self.changed() == ends && (!ends || !self.after().is_started());
        }
        let may = self.told_here().is_some() && runs && free && !waits;
        let lost = before.crash_count() + u32::from(before.is_started());
        let begun = self.changed() && self.after().is_started() && self.told_here().is_some();
        if !begun {
            return !may || lost >= 3 || (lost == 2 && !alone);
        }
        may && self.after().attempts() == before.attempts() + 1 && self.effects().is_empty()
    }

    fn taken(&self) -> bool {
        let ends = matches!(
            self.event,
            Event::Ended { .. }
                | Event::Built { .. }
                | Event::NotBuilt { .. }
                | Event::Interrupted { .. }
                | Event::Renewed { .. }
        );
        if !ends || self.told_here().is_none() {
            return true;
        }
        // A build is done when its steps are known.
        let unbuilt = told(self.event).and_then(|told| told.outcome);
        let unbuilt = unbuilt.is_some_and(Outcome::is_success) && self.before.position() == 0;
        match self.before.is_started() {
            true => self.changed() != unbuilt,
            // Given back, failed or repaired away before: at most the effects are missing.
            false => !self.changed(),
        }
    }

    /// A failure that was told before asks once more for what followed.
    fn again(&self) -> bool {
        let (before, failed) = (self.before, self.event);
        let told = self.told_here().filter(|told| told.attempt.is_some());
        let failing = told.and_then(|told| told.outcome);
        let failing = failing.is_some_and(|outcome| !outcome.is_success());
        if !failing || before.is_started() || matches!(failed, Event::Built { .. }) {
            return true;
        }
        match before.status() {
            Status::Pending | Status::Running => self.publishes(before.position()),
            Status::Failed => self.letter(),
            Status::Success | Status::Cancelled => self.effects().is_empty(),
        }
    }

    fn suspects(&self) -> bool {
        let (before, after) = (self.before, self.after());
        let Event::Started { alone, .. } = self.event else {
            let kept = after.crash_count() == before.crash_count();
            return kept || (after.crash_count() == 0 && (self.moved() || self.is_repair()));
        };
        if self.wakes() {
            return true;
        }
        if !self.changed() || self.told_here().is_none() {
            return after.crash_count() == before.crash_count();
        }
        let lost = before.crash_count() + u32::from(before.is_started());
        let ended = after.status() == Status::Failed && self.letter();
        let cancelled = after.status() == Status::Cancelled;
        after.crash_count() == lost
            && (cancelled || lost < 2 || (lost == 2 && *alone) || (lost == 3 && ended))
    }

    fn attempts(&self) -> bool {
        let (before, after) = (self.before, self.after());
        if self.moved() {
            return true;
        }
        let begun = after.attempts() - before.attempts();
        let counted = match self.event {
            Event::Interrupted { .. } if self.changed() => before.counted_attempts() - 1,
            _ if self.is_repair() && self.changed() => begun,
            // What was lost does not count, and what was begun does.
            Event::Started { .. }
                if before.is_started()
                    && self.changed()
                    && (self.told_here().is_some() || self.wakes()) =>
            {
                before.counted_attempts() - 1 + begun
            }
            _ => before.counted_attempts() + begun,
        };
        begun <= 1 && after.counted_attempts() == counted
    }

    fn repairs(&self) -> bool {
        if !self.is_repair() {
            return true;
        }
        let before = self.before;
        let stopped = matches!(before.status(), Status::Failed | Status::Cancelled);
        let may = match self.event {
            Event::Resumed => stopped,
            Event::Skipped { outcome, .. } => {
                outcome.is_success() && before.position() > 0 && self.told_here().is_some()
            }
            _ => self.told_here().is_some(),
        };
        let exists =
            matches!(self.event, Event::Resumed) || before.position() != before.steps() + 1;
        let may = may && !self.leased() && (exists || before.position() == 0);
        let position = self.after().position();
        let goes_on = match (position, position > self.after().steps()) {
            (0, _) => self.after().status() == Status::Pending && self.publishes(0),
            (_, true) => self.after().status() == Status::Success,
            _ => self.after().status() == Status::Running && self.publishes(position),
        };
        match self.changed() {
            true => {
                let forgotten = self.after().last_outcome() == self.after().outcome();
                may && goes_on && forgotten && !self.letter()
            }
            false => !may && self.result.is_err(),
        }
    }

    fn cancelled(&self) -> bool {
        if self.event == &Event::Cancelled {
            let end = self.before.status().is_terminal();
            return end || self.after().status() == Status::Cancelled && !self.letter();
        }
        let cancelled = self.before.status() == Status::Cancelled && !self.is_repair();
        !cancelled || self.effects().is_empty()
    }

    /// A failure that is told by the latest attempt, or for want of one.
    fn failures(&self) -> bool {
        let (before, after) = (self.before, self.after());
        let failing = |told: &Told<'_>| told.outcome.is_some_and(|outcome| !outcome.is_success());
        let Some(told) = self.told_here().filter(failing).filter(|_| self.changed()) else {
            return true;
        };
        let again = match self.event {
            Event::Reported { .. } => before.counted_attempts() < 2,
            Event::GivenUp { .. } => false,
            _ => told.retry_at.is_some(),
        };
        let left = Some(after.last_outcome()) == told.outcome;
        match (before.status(), again) {
            (Status::Cancelled, _) => after.status() == Status::Cancelled && left,
            (status, true) => {
                let publish = Effect::Publish {
                    position: before.position(),
                    not_before: told.retry_at,
                };
                after.status() == status && self.effects() == [publish]
            }
            (_, false) => after.status() == Status::Failed && self.letter() && left,
        }
    }

    fn launches(&self) -> bool {
        if self.event != &Event::Launched {
            return true;
        }
        let (before, position) = (self.before, self.before.position());
        let goes_on = matches!(before.status(), Status::Pending | Status::Running);
        let begun = before.is_started() && !Self::external(self.here);
        let due = position <= 1 && goes_on && !begun;
        self.result.is_ok() && self.changed() == due && self.publishes(position) == due
    }

    fn gives_up(&self) -> bool {
        let here = self.told_here().is_some();
        if !here || !matches!(self.event, Event::GivenUp { .. }) {
            return true;
        }
        match self.before.status() {
            Status::Pending | Status::Running if !self.leased() => {
                self.changed() && self.after().status() == Status::Failed && self.letter()
            }
            Status::Failed => !self.changed(),
            _ => self.result.is_err(),
        }
    }

    fn sweeps(&self) -> bool {
        if self.event != &Event::Swept {
            return true;
        }
        let (before, after) = (self.before, self.after());
        let due = before.check_at().is_some_and(|due| due <= self.now);
        let silent = Self::external(self.here) && before.is_started();
        if !due {
            return !self.changed() && self.effects().is_empty();
        }
        if silent && before.counted_attempts() >= 2 {
            return after.status() == Status::Failed && !self.letter();
        }
        let later = after.check_at().is_some_and(|again| again > self.now);
        self.publishes(before.position()) && later && after.status() == before.status()
    }
}
