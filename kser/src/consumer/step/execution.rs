use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kser_core::sequencing::{StepKey, Transition};
use kser_core::{Error, Message, Timestamp};

use super::ahead::late;
use super::give_up::refuse_other_content;
use super::job::Job;
use crate::consumer::delivery::disposition::Disposition;
use crate::consumer::delivery::tracked_record::TrackedRecord;
use crate::consumer::processor::Processor;
use crate::engine::run_view::RunView;
use crate::engine::scope::message::step_key;
use crate::engine::scope::{Counts, Inserting, RunScope};
use crate::observer::{AttemptResult, Observation};

/// A step, or a lone task, that is open: its message, its handler, and its run. It is kept from one attempt to the next.
#[derive(Debug)]
pub(crate) struct StepExecution<'p> {
    pub(super) processor: &'p Processor,
    pub(super) message: Arc<Message>,
    pub(super) job: Job<'p>,
    pub(super) scope: RunScope<'p>,
    pub(super) key: StepKey,
    /// Where the run stands; `None` while only the message tells it.
    view: Option<RunView>,
    /// The wait before the attempt, for the observer.
    pub(super) waited: Option<Duration>,
}

impl<'p> StepExecution<'p> {
    /// Opens the step of a message, given its payload.
    ///
    /// # Errors
    ///
    /// As [`RunScope::of_run`].
    pub(super) fn open(
        processor: &'p Processor,
        message: &Arc<Message>,
        job: Job<'p>,
        payload: Option<&Bytes>,
    ) -> Result<Box<Self>, Error> {
        let shared = &*processor.shared;
        let envelope = message.metadata.envelope();
        let (scope, position) = match (job, envelope) {
            (Job::Build(_), _) => (RunScope::of_launch(shared, message, payload.cloned())?, 0),
            // The external step of another service is a lone task here, whose end is reported.
            (Job::Task(_), Some(envelope)) if envelope.reply.is_none() => {
                (RunScope::of_run(shared, message, envelope)?, envelope.step)
            }
            (Job::Task(_), Some(envelope)) => (RunScope::lone(shared, envelope.reply.clone()), 1),
            (Job::Task(_) | Job::Hook(_), _) => (RunScope::lone(shared, None), 1),
        };
        Ok(Box::new(Self {
            processor,
            key: step_key(message, position),
            message: Arc::clone(message),
            job,
            scope,
            view: None,
            waited: None,
        }))
    }

    /// Takes where the run stands, as far as that is known without asking the store again.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidStep`] when the plan that rides along cannot be read, [`Error::Backend`] when a run that is to be
    /// inserted cannot be.
    pub(super) async fn take_view(
        &mut self,
        tracked: &TrackedRecord,
        counts: Counts,
    ) -> Result<ControlFlow<Disposition, RunView>, Error> {
        if let Some(view) = self.view.take() {
            return Ok(ControlFlow::Continue(view));
        }
        if let Job::Task(_) | Job::Hook(_) = self.job {
            return self
                .scope
                .view(&self.message, counts)
                .map(ControlFlow::Continue);
        }
        let payload = tracked.text();
        let viewing = Box::pin(self.scope.view_launch(&self.message, payload, counts));
        match viewing.await? {
            Inserting::Stands(view) => Ok(ControlFlow::Continue(view)),
            Inserting::Purged => Ok(ControlFlow::Break(late(self.scope.id()))),
            Inserting::OtherContent => {
                refuse_other_content(self.processor, tracked, &self.message).map(ControlFlow::Break)
            }
        }
    }

    /// Tells the observer of the end of an attempt that began at `began`, and returns the time of the end. Without an observer the
    /// clock is not read.
    pub(super) fn observe_end(&self, began: Timestamp, result: AttemptResult) -> Option<Timestamp> {
        let observer = self.processor.observer.as_ref()?;
        let ended = self.scope.now();
        observer.observe(&Observation::AttemptEnded {
            entrypoint: &self.message.entrypoint,
            result,
            duration: ended.since(began),
            waited: self.waited,
        });
        Some(ended)
    }

    /// Keeps where the run stands for the next start.
    pub(super) fn with_view(mut self: Box<Self>, view: RunView) -> Box<Self> {
        self.view = Some(view);
        self
    }

    /// Keeps where the run stands after an attempt that failed.
    pub(super) fn after_failure(
        self: Box<Self>,
        view: RunView,
        after: Transition,
        counts: Counts,
    ) -> Box<Self> {
        let view = self.scope.view_again(view, after, &self.message, counts);
        self.with_view(view)
    }
}
