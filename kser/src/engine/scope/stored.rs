use bytes::Bytes;
use kser_core::sequencing::{Event, Progress, Revision};
use kser_core::store::{Inserted, NewRun};
use kser_core::{Envelope, Error, Message, Metadata};

use super::ExternalStep;
use super::carried::split;
use super::message::seen_alone;
use crate::engine::digest::digest;
use crate::engine::run_ref::RunRef;
use crate::engine::run_view::RunView;
use crate::engine::store_clock::unknown_answer;
use crate::engine::stored::{
    Applied, Elsewhere, Stored, SwapOutcome, WriteExtras, WriteOutcome, run_ref,
};

/// The answer to the launch message of a run.
#[derive(Debug)]
pub(crate) enum Inserting {
    /// The run stands here.
    Stands(RunView),
    /// The store has a run of this id with other content.
    OtherContent,
    /// The run was purged: the message comes late.
    Purged,
}

/// A run whose state is in the store of this consumer.
#[derive(Debug)]
pub(crate) struct StoredScope<'a> {
    pub(super) stored: Stored<'a>,
    pub(super) run: RunRef,
    /// The message at hand, where it asks for the run.
    pub(super) launch: Option<Bytes>,
}

impl<'a> StoredScope<'a> {
    pub(super) const fn new(stored: Stored<'a>, run: RunRef) -> Self {
        Self {
            stored,
            run,
            launch: None,
        }
    }

    /// Reads where the run stood when the message was written.
    pub(super) fn view(message: &Message, envelope: &Envelope) -> Result<RunView, Error> {
        let (next, _) = split(envelope)?;
        Ok(RunView {
            next: next.map(Box::new),
            ..seen_alone(message, envelope)
        })
    }

    /// Inserts a run whose launch message came without a row, and reads where it stands.
    pub(super) async fn insert(
        &self,
        message: &Message,
        payload: Option<&Bytes>,
    ) -> Result<Inserting, Error> {
        let envelope = message.metadata.envelope();
        if let Some(envelope) = envelope.filter(|envelope| envelope.store.is_some()) {
            // Its producer has inserted it.
            return Self::view(message, envelope).map(Inserting::Stands);
        }
        let Stored { shared, store } = self.stored;
        let step_events = envelope.is_some_and(|envelope| envelope.step_events);
        let progress = Progress::launched(self.stored.now()).with_step_events(step_events);
        let progress = progress.with_stamp(shared.next_stamp());
        let run = NewRun::new(
            message.uuid.clone().into(),
            message.entrypoint.clone(),
            shared.writer.routes.topic(&message.entrypoint)?,
            payload.cloned().unwrap_or_default(),
            digest(&message.entrypoint, &message.params.compact()),
            progress.clone(),
        );
        let run = run.unless_purged();
        let inserted = store.insert(run).await?;
        Ok(match shared.store_clock.observe(inserted) {
            Inserted::New => Inserting::Stands(RunView::of(progress)),
            Inserted::Same(standing) => Inserting::Stands(RunView::of_standing(*standing)),
            Inserted::Other => Inserting::OtherContent,
            Inserted::Purged(_) => Inserting::Purged,
            _ => return Err(unknown_answer()),
        })
    }

    /// Writes that an attempt begins. A write whose answer did not come is repeated with its stamp, by which the store knows
    /// it: the attempt that it began is this one. `unsure` has the revisions of such writes.
    pub(super) async fn start(
        &self,
        view: RunView,
        event: Event,
        extras: WriteExtras,
        unsure: &mut Vec<Revision>,
    ) -> Result<SwapOutcome, Error> {
        let mut after = match self.stored.decide(&view, event) {
            Ok(after) => after,
            Err(rejected) => return Ok(SwapOutcome::Rejected(rejected, view)),
        };
        let version = after.progress.version();
        let lost = unsure.iter().find(|unsure| unsure.version == version);
        let is_known = lost.is_some();
        if let Some(lost) = lost {
            after = after.with_stamp(lost.stamp);
        }
        let mut before = view;
        if after.changed {
            let write = self.stored.write(&self.run, &mut before, &after, &extras);
            match write.await {
                Ok(WriteOutcome::Yes) => unsure.clear(),
                Ok(WriteOutcome::Elsewhere(actual)) => return Ok(SwapOutcome::Conflict(actual)),
                Err(error) => {
                    if !is_known {
                        unsure.push(after.progress.revision());
                    }
                    return Err(error);
                }
            }
        }
        Ok(SwapOutcome::Applied(Box::new(Applied { before, after })))
    }

    /// Gives an attempt back that has not ended.
    pub(super) async fn give_back(&self, view: RunView, event: Event) -> Result<(), Error> {
        let apply = |view, event| {
            let extras = WriteExtras::default();
            self.stored.apply_to(&self.run, view, event, extras)
        };
        if let SwapOutcome::Conflict(Elsewhere::Stands(view)) = apply(view, event.clone()).await? {
            let _ = apply(view, event).await?;
        }
        Ok(())
    }

    /// Reads an external step from the store. `None` for a run that was purged.
    pub(super) async fn external_step(&self) -> Result<Option<ExternalStep>, Error> {
        let id = &self.run.id;
        let view = match self.stored.read(id).await? {
            Elsewhere::Stands(view) => view,
            Elsewhere::Purged => return Ok(None),
            Elsewhere::Unknown => return Err(Error::UnknownRun { id: id.clone() }),
        };
        let info = self.stored.store.run(id).await?;
        let info = info.ok_or_else(|| Error::UnknownRun { id: id.clone() })?;
        let metadata = run_ref(&info)?.metadata;
        Ok(Some(ExternalStep { view, metadata }))
    }

    pub(super) fn set_metadata(&mut self, metadata: Metadata) {
        self.run.metadata = metadata;
    }
}
