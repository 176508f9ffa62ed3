use bytes::Bytes;
use kser_core::sequencing::{
    Event, Lease, Progress, Rejected, StepKey, StepWindow, Transition, apply,
};
use kser_core::{Error, Message, Raw, Record, RunId, Timestamp, Topic};

use crate::engine::records::{RunChange, RunRef};
use crate::engine::stored::{Applied, RunView, Stored, SwapOutcome, WriteExtras};
use crate::shared::Shared;

/// A run, or a lone task, as seen from one of its messages: where its state lives, and how to write on.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    pub(crate) shared: &'a Shared,
    /// What its messages have in common; `None` for a lone task.
    pub(crate) of: Option<RunRef>,
    /// Set where the state is stored.
    pub(crate) stored: Option<Stored<'a>>,
    /// Carried: the steps behind the next one.
    pub(crate) rest: Option<Raw>,
    /// The message at hand, where it asks for the run.
    pub(crate) launch: Option<Bytes>,
    /// Someone else's step, run by us: where its end is reported to.
    pub(crate) reply: Option<Topic>,
}

impl Run<'_> {
    /// Names the run, or the lone task.
    pub(crate) fn id(&self) -> Option<&RunId> {
        self.of.as_ref().map(|of| &of.id)
    }

    /// The time that counts for this run: the store's, where there is one.
    pub(crate) fn now(&self) -> Timestamp {
        match &self.stored {
            Some(stored) => stored.shared.store_clock.now(),
            None => self.shared.clock.now(),
        }
    }

    /// Applies an event, and writes what changes where the state is stored.
    pub(crate) async fn apply_to(
        &self,
        known: RunView,
        event: Event,
        along: WriteExtras,
    ) -> Result<SwapOutcome, Error> {
        match (&self.stored, &self.of) {
            // Boxed, because the other kinds of task should not have to carry it.
            (Some(stored), Some(of)) => Box::pin(stored.apply_to(of, known, event, along)).await,
            _ => Ok(self.apply_here(known, event)),
        }
    }

    /// Says what an event makes of a run that stands here.
    pub(crate) fn decide(&self, known: &RunView, event: Event) -> Result<Transition, Rejected> {
        match &self.stored {
            Some(stored) => stored.decide(known, event),
            None => apply(&known.progress, known.near(), event, self.now()),
        }
    }

    /// Applies an event to a run whose state is carried: what changes is written with the records.
    fn apply_here(&self, known: RunView, event: Event) -> SwapOutcome {
        match self.decide(&known, event) {
            Ok(after) => {
                let before = known;
                SwapOutcome::Applied(Box::new(Applied { before, after }))
            }
            Err(rejected) => SwapOutcome::Rejected(rejected, known),
        }
    }

    /// Says whether what an event asks for could be written, before it is: else the run could go no further.
    pub(crate) fn must_fit(&self, known: &RunView, event: Event) -> Result<(), Error> {
        let Ok(after) = apply(&known.progress, known.near(), event, self.now()) else {
            return Ok(());
        };
        match &self.of {
            Some(of) => self
                .shared
                .writer
                .must_fit(of, self.moved(&known.progress, &after, known.near())),
            None => self.shared.writer.outcome_fits(after.progress.outcome()),
        }
    }

    /// Reads the steps near a progress that the store told.
    pub(crate) async fn known_at(&self, progress: Box<Progress>) -> Result<RunView, Error> {
        match (&self.stored, &self.of) {
            (Some(stored), Some(of)) => stored.known_at(&of.id, progress).await,
            _ => Ok(RunView {
                progress,
                here: None,
                next: None,
            }),
        }
    }

    /// Writes the records that a transition asks for.
    pub(crate) fn records(
        &self,
        before: &Progress,
        after: &Transition,
        near: StepWindow<'_>,
    ) -> Result<Vec<Record>, Error> {
        let Some(of) = &self.of else {
            return Ok(Vec::new());
        };
        let moved = self.moved(before, after, near);
        let mut records = self.shared.writer.effects(of, moved, self.wall())?;
        self.to_our_clock(&mut records);
        Ok(records)
    }

    /// Returns the time that people read in what this run tells: the store's, where there is one.
    fn wall(&self) -> Timestamp {
        match &self.stored {
            Some(stored) => stored.shared.store_clock.now(),
            None => self.shared.clock.wall(),
        }
    }

    /// Has records that wait by the clock of this run wait by ours, by which transports go.
    pub(crate) fn to_our_clock(&self, records: &mut [Record]) {
        if let Some(stored) = &self.stored {
            for record in records {
                record.not_before = record
                    .not_before
                    .map(|at| stored.shared.store_clock.here(at));
            }
        }
    }

    fn moved<'m>(
        &'m self,
        before: &'m Progress,
        after: &'m Transition,
        near: StepWindow<'m>,
    ) -> RunChange<'m> {
        RunChange {
            before,
            after,
            near,
            launch: self.launch.as_ref(),
            rest: self.rest.as_ref(),
        }
    }

    /// The lease that a start asks for.
    pub(crate) fn lease(
        &self,
        owner: &kser_core::sequencing::Owner,
        length: std::time::Duration,
    ) -> Option<Lease> {
        let stored = self.stored.as_ref();
        stored.map(|_| Lease::new(self.now() + length, owner.clone()))
    }
}

/// The step that a message is about.
pub(crate) fn step_key(message: &Message, position: u32) -> StepKey {
    StepKey {
        position,
        uuid: message.uuid.clone(),
        entrypoint: message.entrypoint.clone(),
    }
}
