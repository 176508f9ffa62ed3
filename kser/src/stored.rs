//! Moves a run whose state is stored: read, decide, swap, and again when somebody else was faster.

use std::sync::Arc;

use bytes::Bytes;
use kser_core::sequencing::{Event, Near, PlannedStep, Progress, Rejected, Transition, apply};
use kser_core::store::{Attempt, RunInfo, Swapped, Write};
use kser_core::{Error, Message, Mode, Record, RunId, StateStore, Status, Timestamp};

use crate::connection::Shared;
use crate::post::{Moved, RunRef};

/// What goes with a swap beside the progress.
#[derive(Debug, Clone, Default)]
pub(crate) struct Along {
    pub(crate) plan: Option<Vec<PlannedStep>>,
    pub(crate) attempt: Option<Attempt>,
    pub(crate) outputs: Vec<Record>,
}

/// A run as it is known: where it stands, and the two steps that the rules need.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    // Boxed, because it is moved from hand to hand on every step.
    pub(crate) progress: Box<Progress>,
    pub(crate) here: Option<Box<PlannedStep>>,
    pub(crate) next: Option<Box<PlannedStep>>,
}

impl Known {
    pub(crate) fn near(&self) -> Near<'_> {
        Near {
            here: self.here.as_deref(),
            next: self.next.as_deref(),
        }
    }
}

/// What an event has made of a run: written, or unchanged.
#[derive(Debug)]
pub(crate) struct Applied {
    pub(crate) before: Known,
    pub(crate) after: Transition,
}

/// The stored runs of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stored<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) store: &'a Arc<dyn StateStore>,
}

impl Stored<'_> {
    /// Applies an event to a run as it is stored, and writes what changes. `event` may look at where the run stands.
    pub(crate) async fn apply<F>(&self, id: &RunId, event: F) -> Result<Applied, Error>
    where
        F: Fn(&Known) -> Event + Send,
    {
        self.apply_if(id, event, |_, _| Ok(())).await
    }

    /// As [`apply`](Self::apply), if `fits` has nothing against it.
    pub(crate) async fn apply_if<F, C>(
        &self,
        id: &RunId,
        event: F,
        fits: C,
    ) -> Result<Applied, Error>
    where
        F: Fn(&Known) -> Event + Send,
        C: Fn(&Known, Event) -> Result<(), Error> + Send,
    {
        loop {
            let known = self.known(id).await?;
            let event = event(&known);
            fits(&known, event.clone())?;
            let applied = self.apply_to(id, known, event, Along::default()).await?;
            match applied {
                Tried::Applied(applied) => return Ok(*applied),
                Tried::Rejected(source, _) => {
                    let id = id.clone();
                    return Err(Error::Rejected { id, source });
                }
                Tried::Conflict(_) => {}
            }
        }
    }

    /// Says whether what an event asks for could be written, before it is: else the run could go no further.
    pub(crate) fn must_fit(
        &self,
        run: &RunRef,
        known: &Known,
        event: Event,
        launch: Option<&Bytes>,
    ) -> Result<(), Error> {
        let now = self.shared.store_clock.now();
        let Ok(after) = apply(&known.progress, known.near(), event, now) else {
            return Ok(());
        };
        let moved = Moved {
            before: &known.progress,
            after: &after,
            near: known.near(),
            launch,
            rest: None,
        };
        self.shared.post.must_fit(run, moved)
    }

    /// Applies an event to a run that is known, perhaps only from a hint, and writes what changes if it still stands
    /// there.
    pub(crate) async fn apply_to(
        &self,
        id: &RunId,
        known: Known,
        event: Event,
        mut along: Along,
    ) -> Result<Tried, Error> {
        let now = self.shared.store_clock.now();
        let after = match apply(&known.progress, known.near(), event, now) {
            Ok(after) => after,
            Err(rejected) => return Ok(Tried::Rejected(rejected, known)),
        };
        if !after.changed {
            let before = known;
            return Ok(Tried::Applied(Box::new(Applied { before, after })));
        }
        if along.attempt.is_none() {
            along.attempt = told_from_outside(&known, &after, now);
        }
        self.write(id, known, after, along).await
    }

    /// Writes a transition, if the run still stands where it began.
    pub(crate) async fn write(
        &self,
        id: &RunId,
        known: Known,
        after: Transition,
        along: Along,
    ) -> Result<Tried, Error> {
        let mut write = Write::new(after.progress.clone());
        write.plan = along.plan;
        write.attempt = along.attempt;
        write.outputs = along.outputs;
        let unknown_next = known.next.is_none() && after.progress.position() > 0;
        let position = after.progress.position() + 1;
        write.fetch = Some(position).filter(|_| unknown_next && position <= after.progress.steps());
        let version = known.progress.version();
        let swapped = self.store.swap(id, version, write).await?;
        match self.shared.store_clock.heard(swapped) {
            Swapped::Written(step) => {
                let mut before = known;
                let moved = after.progress.position() > before.progress.position();
                if before.next.is_none() && !moved {
                    before.next = step.map(Box::new);
                }
                Ok(Tried::Applied(Box::new(Applied { before, after })))
            }
            Swapped::Conflict(actual) => Ok(Tried::Conflict(actual)),
        }
    }

    /// Reads where a run stands, and the steps near.
    pub(crate) async fn known(&self, id: &RunId) -> Result<Known, Error> {
        let read = self.store.read(id).await?;
        match self.shared.store_clock.heard(read) {
            Some(progress) => self.known_at(id, Box::new(progress)).await,
            None => Err(Error::UnknownRun { id: id.clone() }),
        }
    }

    /// Reads the steps near a progress that was read.
    pub(crate) async fn known_at(
        &self,
        id: &RunId,
        progress: Box<Progress>,
    ) -> Result<Known, Error> {
        let position = progress.position();
        let here = self.step(id, &progress, position).await?;
        let next = self.step(id, &progress, position + 1).await?;
        Ok(Known {
            progress,
            here: here.map(Box::new),
            next: next.map(Box::new),
        })
    }

    async fn step(
        &self,
        id: &RunId,
        progress: &Progress,
        position: u32,
    ) -> Result<Option<PlannedStep>, Error> {
        match position {
            0 => Ok(None),
            _ if position > progress.steps() => Ok(None),
            _ => self.store.step(id, position).await,
        }
    }

    /// Writes the records that an applied event asks for.
    pub(crate) fn records(
        &self,
        run: &RunRef,
        applied: &Applied,
        launch: Option<&Bytes>,
    ) -> Result<Vec<Record>, Error> {
        let moved = Moved {
            before: &applied.before.progress,
            after: &applied.after,
            near: applied.before.near(),
            launch,
            rest: None,
        };
        let now = self.shared.store_clock.now();
        let mut records = self.shared.post.effects(run, moved, now)?;
        for record in &mut records {
            let not_before = record.not_before;
            record.not_before = not_before.map(|at| self.shared.store_clock.here(at));
        }
        Ok(records)
    }
}

/// The row of a step that is done without an attempt of ours: skipped, or reported by whoever ran it.
fn told_from_outside(known: &Known, after: &Transition, now: Timestamp) -> Option<Attempt> {
    let here = known.here.as_ref()?;
    let done = after.progress.position() > known.progress.position();
    let outcome = match done {
        true => after.progress.outcome().clone(),
        false if here.external.is_some() && after.progress.status() == Status::Failed => {
            after.progress.last_outcome().clone()
        }
        false => return None,
    };
    let attempts = known.progress.attempts();
    let (position, entrypoint) = (here.key.position, here.key.entrypoint.clone());
    Some(Attempt::new(position, entrypoint, attempts, now, outcome))
}

/// What came of one try to move a run.
#[derive(Debug)]
pub(crate) enum Tried {
    /// It moved, or nothing had to change.
    Applied(Box<Applied>),
    /// The rules do not allow it. The run stands here.
    Rejected(Rejected, Known),
    /// It stands elsewhere, or is unknown.
    Conflict(Option<Box<Progress>>),
}

/// What a stored run's messages have in common, as its launch told it.
pub(crate) fn run_ref(info: &RunInfo) -> Result<RunRef, Error> {
    let message = Message::decode(&info.launch)?;
    Ok(RunRef {
        id: info.id.clone(),
        name: info.name.clone(),
        mode: Mode::Stored,
        metadata: message.metadata.with_envelope(None),
    })
}
