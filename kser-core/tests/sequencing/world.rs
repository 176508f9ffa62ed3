//! A little world: one stored run, records on their way, workers that crash, and an oracle that knows what is right.

use std::time::Duration;

use kser_core::sequencing::{
    Effect, Event, Lease, Owner, Plan, PlannedStep, Progress, Rejected, StepKey, StepWindow,
    Transition, apply,
};
use kser_core::{Entrypoint, Outcome, Step, Timestamp};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Go {}

impl Entrypoint for Go {
    const PATH: &'static str = "test.Go";
}

use crate::act::{Act, How};

pub(crate) const LEASE: Duration = Duration::from_secs(30);

/// A record on its way: which step, and the version it was written with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct OnItsWay {
    pub(crate) position: u32,
    pub(crate) seen: u64,
}

/// An attempt that a worker believes to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct InFlight {
    pub(crate) record: OnItsWay,
    pub(crate) attempt: u32,
    /// When its lease runs out.
    pub(crate) until: Timestamp,
}

#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) steps: Vec<PlannedStep>,
    pub(crate) progress: Progress,
    pub(crate) records: Vec<OnItsWay>,
    pub(crate) in_flight: Vec<InFlight>,
    pub(crate) now: Timestamp,
    /// The oracle: what each step that is done has left, in order.
    pub(crate) accepted: Vec<String>,
    /// How often the run has ended since the last repair.
    pub(crate) ends: usize,
    told: u64,
    pub(crate) letters: usize,
    /// How many records were published, the launch among them.
    pub(crate) published: usize,
}

impl World {
    /// A run that was just launched. It says of each step whether someone else runs it.
    pub(crate) fn new(external: &[bool]) -> Self {
        let step = |external: &bool| match external {
            true => Step::new(Go {}).external(LEASE).with_attempts(2),
            false => Step::new(Go {}),
        };
        let plan = external.iter().map(step).collect();
        let plan = Plan::of("run".into(), "test.Run".into(), plan).unwrap();
        let now = Timestamp::from_millis(1_000_000);
        let progress = Progress::launched(now);
        Self {
            steps: plan.into_steps(),
            records: vec![OnItsWay {
                position: 0,
                seen: progress.version(),
            }],
            progress,
            in_flight: Vec::new(),
            now,
            accepted: Vec::new(),
            ends: 0,
            told: 0,
            letters: 0,
            published: 1,
        }
    }

    pub(crate) fn act(&mut self, act: Act) {
        match act {
            Act::Deliver { record, duplicate } => self.deliver(record, duplicate),
            Act::End {
                attempt,
                how,
                crash,
            } => self.end(attempt, how, crash),
            Act::GiveUp { record } => self.give_up(record),
            Act::Renew { attempt } => self.renew(attempt),
            Act::Launch => drop(self.apply(Event::Launched, false)),
            Act::Die { attempt } => self.die(attempt),
            Act::GiveBack { attempt } => self.give_back(attempt),
            Act::Sweep { crash } => self.sweep(crash),
            Act::Cancel => drop(self.apply(Event::Cancelled, false)),
            Act::Resume => self.repair(Event::Resumed),
            Act::Retry => {
                let step = self.key(self.progress.position());
                self.repair(Event::Retried { step });
            }
            Act::Skip => {
                let step = self.key(self.progress.position());
                let outcome = Outcome::text("skipped");
                self.repair(Event::Skipped { step, outcome });
            }
        }
        self.check();
    }

    fn deliver(&mut self, record: usize, duplicate: bool) {
        let Some(index) = record.checked_rem(self.records.len()) else {
            return;
        };
        let record = match duplicate {
            true => self.records[index],
            false => self.records.remove(index),
        };
        if self.is_external(record.position) {
            let (attempt, until) = (0, self.now);
            let taken = InFlight {
                record,
                attempt,
                until,
            };
            return self.in_flight.push(taken);
        }
        let before = self.progress.clone();
        let begun = match self.apply(self.started(record, false), false) {
            // Then nothing else is done beside it.
            Err(Rejected::Suspect) => self.apply(self.started(record, true), false),
            begun => begun,
        };
        match begun {
            Ok(after)
                if after.changed
                    && after.progress.is_started()
                    && after.progress.position() == record.position =>
            {
                self.begun(&before, record);
            }
            Ok(_) => {}
            // What cannot be decided now is delivered again.
            Err(Rejected::Leased { .. } | Rejected::NotYet { .. } | Rejected::Ahead { .. }) => {
                if !duplicate {
                    self.records.push(record);
                }
            }
            Err(_) => {}
        }
    }

    fn started(&self, record: OnItsWay, alone: bool) -> Event {
        Event::Started {
            step: self.key(record.position),
            lease: Some(Lease::new(self.now + LEASE, owner())),
            alone,
            seen: record.seen,
        }
    }

    fn end(&mut self, attempt: usize, how: How, crash: bool) {
        let Some(index) = attempt.checked_rem(self.in_flight.len()) else {
            return;
        };
        let InFlight {
            record,
            attempt,
            until,
        } = self.in_flight[index];
        let live = until > self.now;
        self.in_flight.remove(index);
        let text = format!("{}#{attempt}", record.position);
        let (outcome, retry_at) = match how {
            How::Success => (Outcome::text(&text), None),
            How::Again => (Outcome::default().with_code(500), Some(self.now)),
            How::Failure => (Outcome::default().with_code(500), None),
        };
        let (steps, step) = (self.steps.len(), self.key(record.position));
        let steps = u32::try_from(steps).unwrap();
        let before = self.progress.position();
        let event = match (record.position, how) {
            (0, How::Success) => Event::Built { attempt, steps },
            (0, _) => Event::NotBuilt {
                attempt,
                outcome,
                retry_at,
            },
            (position, _) if self.is_external(position) => Event::Reported {
                step,
                outcome,
                seen: record.seen,
            },
            _ => Event::Ended {
                step,
                attempt,
                outcome,
                retry_at,
            },
        };
        let ended = self.apply(event, crash);
        let moved = self.progress.position() > before;
        if moved {
            assert_eq!(how, How::Success);
            self.accepted.extend(Some(text).filter(|_| before > 0));
        }
        if let Ok(after) = &ended {
            assert!(
                !after.changed
                    || live
                    || self.is_external(before)
                    || !self.taken_over(before, attempt),
                "a stale attempt"
            );
        }
        if crash {
            self.records.push(record);
        }
    }

    fn die(&mut self, attempt: usize) {
        let Some(index) = attempt.checked_rem(self.in_flight.len()) else {
            return;
        };
        self.now = self.now + LEASE + Duration::from_millis(1);
        // Its lease has run out; it may still come back and report.
        let record = self.in_flight[index].record;
        self.records.push(record);
    }

    fn give_back(&mut self, attempt: usize) {
        let Some(index) = attempt.checked_rem(self.in_flight.len()) else {
            return;
        };
        let InFlight {
            record, attempt, ..
        } = self.in_flight.remove(index);
        let step = self.key(record.position);
        let counted = self.progress.counted_attempts();
        if !self.is_external(record.position)
            && self
                .apply(Event::Interrupted { step, attempt }, false)
                .is_ok_and(|after| after.changed)
        {
            assert_eq!(
                self.progress.counted_attempts() + 1,
                counted,
                "it costs no attempt"
            );
        }
        self.records.push(record);
    }

    /// A consumer that does not know the step gives it up.
    fn give_up(&mut self, record: usize) {
        let Some(index) = record.checked_rem(self.records.len()) else {
            return;
        };
        let record = self.records[index];
        let event = Event::GivenUp {
            step: self.key(record.position),
            outcome: Outcome::default().with_code(404),
            seen: record.seen,
        };
        let given_up = self.apply(event, false);
        if !matches!(
            given_up,
            Err(Rejected::Leased { .. } | Rejected::Ahead { .. })
        ) {
            self.records.remove(index);
        }
    }

    fn renew(&mut self, attempt: usize) {
        let Some(index) = attempt.checked_rem(self.in_flight.len()) else {
            return;
        };
        let InFlight {
            record, attempt, ..
        } = self.in_flight[index];
        let until = self.now + LEASE;
        let step = self.key(record.position);
        let event = Event::Renewed {
            step,
            attempt,
            until,
        };
        if self.apply(event, false).is_ok() {
            self.in_flight[index].until = until;
        }
    }

    fn sweep(&mut self, crash: bool) {
        if let Some(due) = self.progress.check_at() {
            self.now = self.now.max(due);
        }
        let again = self.progress.check_at();
        let swept = self.apply(Event::Swept, crash).unwrap();
        if swept.changed {
            assert!(
                self.progress.status().is_terminal() || self.progress.check_at() > again,
                "a sweep puts off the next"
            );
        }
    }

    fn repair(&mut self, event: Event) {
        let skipped = matches!(event, Event::Skipped { .. });
        let position = self.progress.position();
        if let Ok(after) = self.apply(event, false) {
            assert!(after.changed);
            assert!(
                !self
                    .in_flight
                    .iter()
                    .any(|attempt| attempt.until > self.now),
                "repaired under a live lease"
            );
            self.ends = usize::from(self.progress.status().is_terminal());
            if skipped {
                assert_eq!(self.progress.position(), position + 1);
                self.accepted.push("skipped".to_owned());
            }
        }
    }

    /// Applies an event as a worker does: the progress is written, and then what follows is published, unless it crashes
    /// in between.
    fn apply(&mut self, event: Event, crash: bool) -> Result<Transition, Rejected> {
        let index = usize::try_from(self.progress.position()).unwrap();
        let window = StepWindow {
            current: index.checked_sub(1).and_then(|index| self.steps.get(index)),
            following: self.steps.get(index),
        };
        let after = apply(&self.progress, window, event, self.now)?;
        let version = self.progress.version() + u64::from(after.changed);
        assert_eq!(
            after.progress.version(),
            version,
            "the version counts changes"
        );
        if !after.changed {
            assert_eq!(after.progress, self.progress, "unchanged is the same");
        }
        if after.progress.keeps_outcomes_of(&self.progress) {
            let kept = self.progress.outcomes();
            assert_eq!(
                after.progress.outcomes(),
                kept,
                "a store keeps the outcomes"
            );
        }
        let ended = after.progress.status().is_terminal() && !self.progress.status().is_terminal();
        self.ends += usize::from(ended);
        self.progress = after.progress.clone();
        if !crash {
            after.effects.iter().for_each(|effect| self.follow(effect));
        }
        Ok(after)
    }

    fn follow(&mut self, effect: &Effect) {
        match effect {
            Effect::Publish { position, .. } => {
                let seen = self.progress.version();
                self.published += 1;
                self.records.push(OnItsWay {
                    position: *position,
                    seen,
                });
            }
            Effect::DeadLetter => self.letters += 1,
            Effect::StatusChanged { .. } => self.told = self.progress.version(),
            _ => {}
        }
    }

    /// Step 0 is the build, and there is none past the last.
    fn key(&self, position: u32) -> StepKey {
        let index = usize::try_from(position).unwrap().checked_sub(1);
        let step = index.and_then(|index| self.steps.get(index));
        step.map_or_else(
            || StepKey {
                position,
                uuid: "run".into(),
                entrypoint: "test.Run".into(),
            },
            |step| step.key.clone(),
        )
    }
}

fn owner() -> Owner {
    Owner::new("worker".into(), 0)
}
