//! Asks once where the state of a run lives, and hides the answer from all that moves runs.

mod carried;
mod lone;
pub(crate) mod message;
mod open;
mod records;
mod stored;
mod view;

use std::time::Duration;

use kser_core::sequencing::{
    Event, Lease, Owner, PlannedStep, Progress, Rejected, Revision, Transition, apply,
};
use kser_core::{Error, Metadata, RunId, Timestamp, Topic};

use self::carried::CarriedScope;
use self::lone::LoneScope;
pub(crate) use self::stored::Inserting;
use self::stored::StoredScope;
use super::failed_attempts::FailedAttempts;
use super::run_ref::RunRef;
use super::run_view::RunView;
use super::stored::{Applied, SwapOutcome, WriteExtras, WriteOutcome};
use crate::shared::Shared;
use crate::traces::set_context;

/// A run, or a lone task, as seen from one of its messages: reads its state, applies events, and writes on.
#[derive(Debug)]
pub(crate) enum RunScope<'a> {
    /// A task that is no step of a run of this consumer.
    Lone(LoneScope<'a>),
    /// A run whose state rides in its messages.
    Carried(CarriedScope<'a>),
    /// A run whose state is in the store.
    Stored(StoredScope<'a>),
}

/// The attempts that deliveries count, where no store does.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    /// The attempts that failed.
    pub(crate) failed: u32,
    /// The deliveries that ended in a crash.
    pub(crate) crashed: u32,
}

/// An external step, as the store or its report tells it.
#[derive(Debug)]
pub(crate) struct ExternalStep {
    pub(crate) view: RunView,
    /// The user's metadata that the step was given.
    pub(crate) metadata: Metadata,
}

impl<'a> RunScope<'a> {
    pub(crate) const fn shared(&self) -> &'a Shared {
        match self {
            Self::Lone(lone) => lone.shared,
            Self::Carried(carried) => carried.shared,
            Self::Stored(scope) => scope.stored.shared,
        }
    }

    /// Returns the run; `None` for a lone task.
    pub(crate) const fn run(&self) -> Option<&RunRef> {
        match self {
            Self::Lone(_) => None,
            Self::Carried(carried) => Some(&carried.run),
            Self::Stored(stored) => Some(&stored.run),
        }
    }

    /// Names the run; `None` for a lone task.
    pub(crate) fn id(&self) -> Option<&RunId> {
        self.run().map(|run| &run.id)
    }

    /// Returns the topic to which the end of the task is reported, if another service waits for it.
    pub(crate) const fn reply(&self) -> Option<&Topic> {
        match self {
            Self::Lone(lone) => lone.reply.as_ref(),
            _ => None,
        }
    }

    /// Returns the run if its attempts hold a lease: only the store tells consumers of each other's attempts.
    pub(crate) const fn leased_run(&self) -> Option<&RunRef> {
        match self {
            Self::Stored(stored) => Some(&stored.run),
            _ => None,
        }
    }

    /// Returns the time that counts for the run: the store's, where the state is stored.
    pub(crate) fn now(&self) -> Timestamp {
        match self {
            Self::Stored(scope) => scope.stored.now(),
            _ => self.shared().clock.now(),
        }
    }

    /// Returns the time that people read in the events of the run.
    fn wall(&self) -> Timestamp {
        match self {
            Self::Stored(scope) => scope.stored.now(),
            _ => self.shared().clock.wall(),
        }
    }

    /// Returns the lease that a start asks for.
    pub(crate) fn lease(&self, owner: &Owner, length: Duration) -> Option<Lease> {
        self.leased_run()
            .map(|_| Lease::new(self.now() + length, owner.clone()))
    }

    /// Returns the number by which other systems tell a later attempt from an earlier one.
    pub(crate) fn fence(&self, view: &RunView) -> Option<u64> {
        self.leased_run().map(|_| view.progress.version())
    }

    /// Applies the rules to an event, and writes nothing.
    pub(crate) fn decide(&self, view: &RunView, event: Event) -> Result<Transition, Rejected> {
        match self {
            Self::Stored(scope) => scope.stored.decide(view, event),
            _ => apply(&view.progress, view.near(), event, self.now()),
        }
    }

    /// Applies an event, and writes the change where the state is stored. Carried, it is written with the records.
    ///
    /// # Errors
    ///
    /// [`Error::Backend`] when the store does not answer.
    pub(crate) async fn apply_to(&self, view: RunView, event: Event) -> Result<SwapOutcome, Error> {
        match self {
            // Boxed, because the other kinds of task should not have to carry it.
            Self::Stored(scope) => {
                let extras = WriteExtras::default();
                Box::pin(scope.stored.apply_to(&scope.run, view, event, extras)).await
            }
            _ => Ok(self.apply_here(view, event)),
        }
    }

    /// Applies the start of an attempt, as [`apply_to`](Self::apply_to). `unsure` has the revisions of starts whose writes
    /// the store did not answer.
    ///
    /// # Errors
    ///
    /// [`Error::Backend`] when the store does not answer.
    pub(crate) async fn start(
        &self,
        view: RunView,
        event: Event,
        extras: WriteExtras,
        unsure: &mut Vec<Revision>,
    ) -> Result<SwapOutcome, Error> {
        match self {
            Self::Stored(stored) => Box::pin(stored.start(view, event, extras, unsure)).await,
            _ => Ok(self.apply_here(view, event)),
        }
    }

    fn apply_here(&self, view: RunView, event: Event) -> SwapOutcome {
        match self.decide(&view, event) {
            Ok(after) => {
                self.observe_change(&after);
                let before = view;
                SwapOutcome::Applied(Box::new(Applied { before, after }))
            }
            Err(rejected) => SwapOutcome::Rejected(rejected, view),
        }
    }

    /// Makes the rows that are written with a transition, where a store keeps them.
    pub(crate) fn extras(&self, make: impl FnOnce() -> WriteExtras) -> WriteExtras {
        match self {
            Self::Stored(_) => make(),
            _ => WriteExtras::default(),
        }
    }

    /// Writes a transition where the state is stored, if the run still stands where it began.
    ///
    /// # Errors
    ///
    /// [`Error::Backend`] when the store does not answer.
    pub(crate) async fn write(
        &self,
        view: &mut RunView,
        after: &Transition,
        extras: &WriteExtras,
    ) -> Result<WriteOutcome, Error> {
        match self {
            Self::Stored(scope) => {
                let write = scope.stored.write(&scope.run, view, after, extras);
                Box::pin(write).await
            }
            _ => {
                self.observe_change(after);
                Ok(WriteOutcome::Yes)
            }
        }
    }

    fn observe_change(&self, after: &Transition) {
        if let Some(run) = self.run() {
            self.shared().observe_change(&run.name, after);
        }
    }

    /// Says whether the end of an attempt is dropped, because the store has accepted another attempt at the step: it changes
    /// nothing, and asks for no effect again.
    pub(crate) fn drops_end(&self, after: &Transition) -> bool {
        self.leased_run().is_some() && !after.changed && after.effects.is_empty()
    }

    /// Gives an attempt back that has not ended, where the store has counted it.
    ///
    /// # Errors
    ///
    /// [`Error::Backend`] when the store does not answer.
    pub(crate) async fn give_back(&self, view: RunView, event: Event) -> Result<(), Error> {
        match self {
            Self::Stored(stored) => stored.give_back(view, event).await,
            _ => Ok(()),
        }
    }

    /// Counts a failed attempt with its delivery, unless the store counts it.
    pub(crate) fn count_failure(&self, attempts: &mut FailedAttempts) {
        if self.leased_run().is_none() {
            attempts.add(self.now());
        }
    }

    /// Has the messages that follow carry a trace context.
    pub(crate) fn follow_trace(&mut self, traceparent: &str) {
        let run = match self {
            Self::Lone(_) => return,
            Self::Carried(carried) => &mut carried.run,
            Self::Stored(stored) => &mut stored.run,
        };
        set_context(&mut run.metadata, Some(traceparent.to_owned()));
    }

    /// Has the steps of a plan that was just built ride along, where the state is carried.
    pub(crate) fn carry(&mut self, plan: &[PlannedStep]) {
        if let Self::Carried(carried) = self {
            carried.carry(plan);
        }
    }
}

impl Counts {
    fn add_to(self, progress: Progress) -> Progress {
        progress.with_counts(self.failed, self.crashed)
    }
}
