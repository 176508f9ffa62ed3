//! Moves a run whose state is stored: read, decide, swap, and again when another writer was faster.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kser_core::sequencing::{Event, PlannedStep, Rejected, Revision, Transition, apply};
use kser_core::store::{Attempt, Found, Intervention, OutputId, RunInfo, Swapped, Write};
use kser_core::{
    Error, Message, Mode, NotPublished, Outcome, Record, RunId, StateStore, Status, Timestamp,
};

use crate::engine::run_change::RunChange;
use crate::engine::run_ref::RunRef;
use crate::engine::run_view::RunView;
use crate::engine::store_clock::unknown_answer;
use crate::shared::Shared;

/// How often a write whose answer was lost is repeated before its caller learns of it: within 0.7 s.
const REPEATS: u32 = 5;
/// The wait before the first repetition; it doubles with each one.
const FIRST_REPEAT: Duration = Duration::from_millis(20);

/// The rows that are written with a swap, beside the progress.
#[derive(Debug, Clone, Default)]
pub(crate) struct WriteExtras {
    pub(crate) plan: Option<Vec<PlannedStep>>,
    pub(crate) attempt: Option<Attempt>,
    pub(crate) outputs: Vec<Record>,
    /// Set if the write begins the step that follows, too, so that its follower has to be known.
    pub(crate) begins_next: bool,
}

/// The change of a run by an event: written, or without effect.
#[derive(Debug)]
pub(crate) struct Applied {
    pub(crate) before: RunView,
    pub(crate) after: Transition,
}

/// The change of a run by an event, and whether the records that follow from it are published.
#[derive(Debug)]
pub(crate) struct CarriedOut {
    pub(crate) after: Transition,
    /// The store keeps the records that are not published, and a sweep publishes them.
    pub(crate) published: Result<(), NotPublished>,
}

/// The stored runs of a client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stored<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) store: &'a Arc<dyn StateStore>,
}

impl Stored<'_> {
    /// Returns the time of the store.
    pub(crate) fn now(&self) -> Timestamp {
        self.shared.store_clock.now()
    }

    /// Decides the transition of a run by an event, with the stamp of the write that is to follow.
    pub(crate) fn decide(&self, view: &RunView, event: Event) -> Result<Transition, Rejected> {
        let after = apply(&view.progress, view.near(), event, self.now())?;
        Ok(after.with_stamp(self.shared.next_stamp()))
    }

    /// Applies an event to a run as it was read, and publishes the records that follow. `event` makes the event from the
    /// state of the run, and `fits` may refuse it. `by` is the actor of a verb.
    ///
    /// The records are written with the run, and the store keeps them until they are published: neither a crash nor dropping
    /// the future loses them.
    pub(crate) async fn carry_out<F, C>(
        &self,
        run: &RunRef,
        mut view: RunView,
        launch: Option<&Bytes>,
        by: Option<&Intervention>,
        event: F,
        fits: C,
    ) -> Result<CarriedOut, Error>
    where
        F: Fn(&RunView) -> Event + Send,
        C: Fn(&RunView, Event) -> Result<(), Error> + Send,
    {
        loop {
            let event = event(&view);
            fits(&view, event.clone())?;
            let after = self.decide(&view, event);
            let after = after.map_err(|source| Error::Rejected {
                id: run.id.clone(),
                source,
            })?;
            let records = self.records(run, &view, &after, launch)?;
            if !after.changed {
                let published = self.shared.publish(self.to_local_clock(records)).await;
                return Ok(CarriedOut { after, published });
            }
            let along = WriteExtras {
                plan: None,
                attempt: verb_attempt(run, &view, &after, by, self.now()),
                outputs: records.clone(),
                begins_next: false,
            };
            match self.write(run, &mut view, &after, &along).await? {
                WriteOutcome::Yes => {
                    let version = after.progress.version();
                    let published = self.relay(&run.id, version, records).await;
                    return Ok(CarriedOut { after, published });
                }
                WriteOutcome::Elsewhere(actual) => view = actual.must_stand(&run.id)?,
            }
        }
    }

    /// Applies an event to a run as it is stored, without publishing the records that follow from it.
    pub(crate) async fn apply<F>(&self, run: &RunRef, event: F) -> Result<Applied, Error>
    where
        F: Fn(&RunView) -> Event + Send,
    {
        let mut view = self.view(&run.id).await?;
        loop {
            let event = event(&view);
            match self
                .apply_to(run, view, event, WriteExtras::default())
                .await?
            {
                SwapOutcome::Applied(applied) => return Ok(*applied),
                SwapOutcome::Rejected(source, _) => {
                    let id = run.id.clone();
                    return Err(Error::Rejected { id, source });
                }
                SwapOutcome::Conflict(actual) => view = actual.must_stand(&run.id)?,
            }
        }
    }

    /// Publishes the outputs of one write, and notes which of them need not be published again. One that its topic does not
    /// take now is not taken later either.
    pub(crate) async fn relay(
        &self,
        id: &RunId,
        version: u64,
        records: Vec<Record>,
    ) -> Result<(), NotPublished> {
        if records.is_empty() {
            return Ok(());
        }
        let ids = output_ids(id, version, records.len());
        let published = self.shared.publish(self.to_local_clock(records)).await;
        let failed = published.as_ref().err().into_iter();
        let again: Vec<usize> = failed
            .flat_map(|not| &not.failed)
            .filter(|(_, error)| !error.is_too_large())
            .map(|(index, _)| *index)
            .collect();
        let relayed = (0..).zip(ids).filter(|(index, _)| !again.contains(index));
        let relayed: Vec<OutputId> = relayed.map(|(_, id)| id).collect();
        if !relayed.is_empty()
            && let Err(error) = self.store.relayed(&relayed).await
        {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(target: "kser", run = ?id, error, "marking outputs as relayed failed; they may be published again");
        }
        published
    }

    /// Checks before the write that the outcome and the messages that an event leads to are within the limits. Otherwise the
    /// run would be stuck.
    pub(crate) fn must_fit(
        &self,
        run: &RunRef,
        view: &RunView,
        event: Event,
        launch: Option<&Bytes>,
    ) -> Result<(), Error> {
        let Ok(after) = apply(&view.progress, view.near(), event, self.now()) else {
            return Ok(());
        };
        let moved = RunChange {
            before: &view.progress,
            after: &after,
            near: view.near(),
            launch,
            rest: None,
        };
        self.shared.writer.must_fit(run, moved)
    }

    /// Applies an event to a run whose state is known, perhaps only from a hint, and writes the change if the stored state is
    /// still the same.
    pub(crate) async fn apply_to(
        &self,
        run: &RunRef,
        mut view: RunView,
        event: Event,
        mut along: WriteExtras,
    ) -> Result<SwapOutcome, Error> {
        let after = match self.decide(&view, event) {
            Ok(after) => after,
            Err(rejected) => return Ok(SwapOutcome::Rejected(rejected, view)),
        };
        if after.changed {
            if along.attempt.is_none() {
                along.attempt = outside_attempt(&view, &after, self.now());
            }
            match self.write(run, &mut view, &after, &along).await? {
                WriteOutcome::Yes => {}
                WriteOutcome::Elsewhere(actual) => return Ok(SwapOutcome::Conflict(actual)),
            }
        }
        let before = view;
        Ok(SwapOutcome::Applied(Box::new(Applied { before, after })))
    }

    /// Writes a transition, if the run still stands where it began. Learns the next step with it, where that is not known.
    pub(crate) async fn write(
        &self,
        run: &RunRef,
        view: &mut RunView,
        after: &Transition,
        along: &WriteExtras,
    ) -> Result<WriteOutcome, Error> {
        let (before, progress) = (&view.progress, &after.progress);
        let position = progress.position() + 1;
        let moved = progress.position() > before.position();
        let unknown_next = along.begins_next || view.next.is_none() && progress.position() > 0;
        let fetch = Some(position).filter(|_| unknown_next && position <= progress.steps());
        let goes_on = moved && progress.position() <= progress.steps();
        let next = view.next.as_deref().filter(|_| goes_on);
        let topic = next.and_then(|next| self.shared.writer.awaited(run, next).ok());
        let keeps_outcomes = progress.keeps_outcomes_of(before);
        let write = || {
            let mut write = Write::new(progress.clone());
            write.plan.clone_from(&along.plan);
            write.attempt.clone_from(&along.attempt);
            write.outputs.clone_from(&along.outputs);
            write.fetch = fetch;
            write.topic.clone_from(&topic);
            write.keeps_outcomes = keeps_outcomes;
            write
        };
        match self.swap(&run.id, before.revision(), write).await? {
            Swapped::Written(step) => {
                if along.begins_next {
                    view.here = view.next.take();
                    view.next = step.map(Box::new);
                } else if view.next.is_none() && !moved {
                    view.next = step.map(Box::new);
                }
                self.shared.observe_change(&run.name, after);
                Ok(WriteOutcome::Yes)
            }
            Swapped::Conflict(found) => Ok(WriteOutcome::Elsewhere(Elsewhere::of(found)?)),
            _ => Err(unknown_answer()),
        }
    }

    /// Swaps; a swap whose answer is lost is repeated: the store tells by its stamp whether it was written.
    async fn swap(
        &self,
        id: &RunId,
        expected: Revision,
        write: impl Fn() -> Write + Send,
    ) -> Result<Swapped, Error> {
        let mut repeats = 0;
        loop {
            match self.store.swap(id, expected, write()).await {
                Ok(swapped) => return Ok(self.shared.store_clock.observe(swapped)),
                Err(error) if error.is_temporary() && repeats < REPEATS => {
                    tokio::time::sleep(FIRST_REPEAT * (1 << repeats)).await;
                    repeats += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads where a run stands, and the steps near.
    pub(crate) async fn view(&self, id: &RunId) -> Result<RunView, Error> {
        self.read(id).await?.must_stand(id)
    }

    /// Reads the state of a run.
    pub(crate) async fn read(&self, id: &RunId) -> Result<Elsewhere, Error> {
        let read = self.store.read(id).await?;
        Elsewhere::of(self.shared.store_clock.observe(read))
    }

    /// Writes the records that a transition asks for. They wait by the clock of the store, as the outputs that it keeps do.
    pub(crate) fn records(
        &self,
        run: &RunRef,
        before: &RunView,
        after: &Transition,
        launch: Option<&Bytes>,
    ) -> Result<Vec<Record>, Error> {
        let moved = RunChange {
            before: &before.progress,
            after,
            near: before.near(),
            launch,
            rest: None,
        };
        self.shared.writer.effects(run, moved, self.now())
    }

    /// Converts the due times of records from the clock of the store to the local clock, which transports use.
    pub(crate) fn to_local_clock(self, mut records: Vec<Record>) -> Vec<Record> {
        for record in &mut records {
            let at = record.not_before;
            record.not_before = at.map(|at| self.shared.store_clock.to_local(at));
        }
        records
    }
}

/// Names the outputs that were written with a version of a run.
pub(crate) fn output_ids(run: &RunId, version: u64, count: usize) -> Vec<OutputId> {
    let indexes = 0..u32::try_from(count).unwrap_or(u32::MAX);
    let id = |index| OutputId {
        run: run.clone(),
        version,
        index,
    };
    indexes.map(id).collect()
}

/// Makes the attempt row of a step that ended without an attempt by kser: skipped, or an external step that was reported.
fn outside_attempt(view: &RunView, after: &Transition, now: Timestamp) -> Option<Attempt> {
    let here = view.here.as_ref()?;
    let done = after.progress.position() > view.progress.position();
    let outcome = match done {
        true => after.progress.outcome().clone(),
        false if here.external.is_some() && after.progress.status() == Status::Failed => {
            after.progress.last_outcome().clone()
        }
        false => return None,
    };
    let attempts = view.progress.counted_attempts();
    let (position, entrypoint) = (here.key.position, here.key.entrypoint.clone());
    Some(Attempt::new(position, entrypoint, attempts, now, outcome))
}

/// Makes the attempt row of a verb. Without an actor only a verb that ends a step has one.
fn verb_attempt(
    run: &RunRef,
    view: &RunView,
    after: &Transition,
    by: Option<&Intervention>,
    now: Timestamp,
) -> Option<Attempt> {
    let decided = || {
        let here = view.here.as_ref().map(|here| here.key.entrypoint.clone());
        let (position, name) = (view.progress.position(), here.unwrap_or(run.name.clone()));
        let attempts = view.progress.counted_attempts();
        let mut attempt = Attempt::new(position, name, attempts, now, Outcome::default());
        attempt.status = after.progress.status();
        attempt
    };
    let outside = outside_attempt(view, after, now);
    let mut attempt = outside.or_else(|| by.map(|_| decided()))?;
    attempt.by = by.cloned();
    Some(attempt)
}

/// The state that a store has of a run.
#[derive(Debug)]
pub(crate) enum Elsewhere {
    Stands(RunView),
    Purged,
    Unknown,
}

impl Elsewhere {
    /// Reads the answer of a store.
    pub(crate) fn of(found: Found) -> Result<Self, Error> {
        match found {
            Found::Stands(standing) => Ok(Self::Stands(RunView::of_standing(*standing))),
            Found::Purged(_) => Ok(Self::Purged),
            Found::Unknown => Ok(Self::Unknown),
            _ => Err(unknown_answer()),
        }
    }

    /// Returns the state of a run that the store has.
    fn must_stand(self, id: &RunId) -> Result<RunView, Error> {
        match self {
            Self::Stands(view) => Ok(view),
            Self::Purged | Self::Unknown => Err(Error::UnknownRun { id: id.clone() }),
        }
    }
}

/// The outcome of one write.
#[derive(Debug)]
pub(crate) enum WriteOutcome {
    Yes,
    /// The run is not where the writer expects it.
    Elsewhere(Elsewhere),
}

/// The outcome of one try to move a run.
#[derive(Debug)]
pub(crate) enum SwapOutcome {
    /// It moved, or nothing had to change.
    Applied(Box<Applied>),
    /// The rules do not allow it. The run stands here.
    Rejected(Rejected, RunView),
    /// The run is not where the writer expects it.
    Conflict(Elsewhere),
}

/// Reads the reference of a stored run from its launch.
pub(crate) fn run_ref(info: &RunInfo) -> Result<RunRef, Error> {
    let message = Message::decode(&info.launch)?;
    Ok(RunRef::of_message(
        info.id.clone(),
        info.name.clone(),
        Mode::Stored,
        &message,
    ))
}
