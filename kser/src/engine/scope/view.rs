use bytes::Bytes;
use kser_core::sequencing::{Progress, Transition};
use kser_core::{Envelope, Error, Message, Metadata, Outcome};

use super::carried::CarriedScope;
use super::lone::LoneScope;
use super::message::seen_alone;
use super::stored::{Inserting, StoredScope};
use super::{Counts, ExternalStep, RunScope};
use crate::engine::refusal;
use crate::engine::run_view::RunView;

impl RunScope<'_> {
    /// Reads where the run stands, as far as the message of a step tells it.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidStep`] when the plan that rides along cannot be read.
    pub(crate) fn view(&mut self, message: &Message, counts: Counts) -> Result<RunView, Error> {
        match (self, message.metadata.envelope()) {
            (Self::Carried(carried), _) => carried.view(message, counts),
            (Self::Stored(_), Some(envelope)) => StoredScope::view(message, envelope),
            (Self::Lone(_) | Self::Stored(_), _) => Ok(LoneScope::view(message, counts)),
        }
    }

    /// Reads where the run stands that a message asks for. A stored one that nothing has inserted is inserted.
    ///
    /// # Errors
    ///
    /// [`Error::Backend`] when the store does not answer.
    pub(crate) async fn view_launch(
        &mut self,
        message: &Message,
        payload: Option<&Bytes>,
        counts: Counts,
    ) -> Result<Inserting, Error> {
        match self {
            Self::Stored(stored) => stored.insert(message, payload).await,
            _ => self.view(message, counts).map(Inserting::Stands),
        }
    }

    /// Inserts the run that a message asks for, if its state is stored and nothing has inserted it. `None` for a run that needs
    /// no row.
    ///
    /// # Errors
    ///
    /// [`Error::Backend`] when the store does not answer.
    pub(crate) async fn must_exist(
        &self,
        message: &Message,
        payload: Option<&Bytes>,
    ) -> Result<Option<Inserting>, Error> {
        match self {
            Self::Stored(stored) => stored.insert(message, payload).await.map(Some),
            _ => Ok(None),
        }
    }

    /// Reads where the run stands for another attempt at the step, after an attempt that failed.
    pub(crate) fn view_again(
        &self,
        mut view: RunView,
        after: Transition,
        message: &Message,
        counts: Counts,
    ) -> RunView {
        *view.progress = match self {
            Self::Lone(_) => LoneScope::progress(message, counts),
            Self::Carried(carried) => carried.progress(message, counts),
            Self::Stored(_) => after.progress,
        };
        view
    }

    /// Reads the external step that a report ends; `None` for a run that was purged.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidStep`] when the data that the report hands on cannot be read, [`Error::UnknownRun`] when the store has no
    /// such run.
    pub(crate) async fn external_step(
        &mut self,
        report: &Message,
        envelope: &Envelope,
    ) -> Result<Option<ExternalStep>, Error> {
        match self {
            Self::Stored(stored) => stored.external_step().await,
            Self::Carried(carried) => carried.external_step(report, envelope).map(Some),
            Self::Lone(_) => Ok(Some(ExternalStep {
                view: seen_alone(report, envelope),
                metadata: Metadata::default(),
            })),
        }
    }

    /// Prepares the next message of the run after a report, with the user's metadata that it is to carry.
    pub(crate) fn follow_report(
        &mut self,
        metadata: Metadata,
        envelope: &Envelope,
        is_success: bool,
    ) {
        match self {
            Self::Lone(_) => {}
            Self::Carried(carried) => carried.follow_report(metadata, envelope, is_success),
            Self::Stored(stored) => stored.set_metadata(metadata),
        }
    }

    /// Returns the progress with which the message of an external step was sent.
    pub(crate) fn progress_of_sent(&self, envelope: &Envelope, before: &RunView) -> Progress {
        match self {
            Self::Carried(_) => CarriedScope::first_sent(envelope, before),
            _ => Progress::clone(&before.progress),
        }
    }

    /// Makes the outcome of a report whose records cannot be written. Carried, the steps to come are the report's own.
    pub(crate) fn refuse_report(&self, error: &Error) -> Outcome {
        match (self, error) {
            (Self::Carried(_), Error::InvalidStep { .. }) => refusal::invalid_report(&format!(
                "the report does not hand on the metadata of its step: {error}"
            )),
            _ => refusal::outcome(error),
        }
    }
}
