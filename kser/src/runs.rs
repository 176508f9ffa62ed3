mod fork;

use std::sync::Arc;

use kser_core::sequencing::{Event, Progress, Rejected, StepKey};
use kser_core::store::{Attempt, Cursor, Intervention, Page, RunFilter, RunInfo, RunSummary};
use kser_core::{Error, NotPublished, Outcome, RunId, Status, TaskId, Timestamp};
use tracing::Instrument;

use crate::engine::run_view::RunView;
use crate::engine::stored::{Stored, run_ref};
use crate::events::end_since;
use crate::observer::Observation;
use crate::publish::is_refusal;
use crate::run::RunState;
use crate::shared::Shared;
use crate::traces::verb_span;

/// The number of attempts that are read at once: each may have a large outcome.
const PAGE: usize = 100;

/// Looks at runs, and repairs them, by their ids. All of it but [`wait_since`](Self::wait_since) needs a state store; without one
/// nothing is sent.
#[derive(Debug, Clone)]
pub struct Runs {
    shared: Arc<Shared>,
    /// The actor of the verbs, and the reason.
    by: Option<(String, String)>,
}

impl Runs {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared, by: None }
    }

    /// Names the person or program that asks for the verbs that follow, and the reason. Both are kept with the attempts of the run
    /// ([`Attempt::by`]), by [`cancel`](Self::cancel), [`resume`](Self::resume), [`retry_step`](Self::retry_step),
    /// [`skip_step`](Self::skip_step) and [`report`](Self::report). They are not encrypted.
    ///
    /// ```no_run
    /// # async fn main_() -> Result<(), kser::Error> {
    /// # let kser = kser::connect("memory://").await?;
    /// let runs = kser.runs().by("ada", "the customer has called");
    /// runs.cancel(&"order-7".into()).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn by(&self, actor: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            by: Some((actor.into(), reason.into())),
        }
    }

    /// Returns where a run stands.
    ///
    /// # Errors
    ///
    /// [`Error::NeedsStore`] without a store, [`Error::UnknownRun`] for an id that the store does not know,
    /// [`Error::Backend`] when it does not answer. This holds for all of these.
    pub async fn status(&self, id: &RunId) -> Result<RunState, Error> {
        let progress = self.stored("status")?.view(id).await?.progress;
        Ok(state(id, &progress))
    }

    /// Waits until a run has ended, however it ended. Without a store see [`wait_since`](Self::wait_since).
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status), and [`Error::ConsumerFailed`] when a consumer of this client has failed and no
    /// other one of it receives from the same topics.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn wait(&self, id: &RunId) -> Result<RunState, Error> {
        let progress = self.stored("wait")?.view(id).await?.progress;
        match progress.status().is_terminal() {
            true => Ok(state(id, &progress)),
            false => self.wait_launched(id).await,
        }
    }

    /// Waits for the end of a run that has probably not ended: the store is not asked first.
    pub(crate) async fn wait_launched(&self, id: &RunId) -> Result<RunState, Error> {
        let Stored { shared, store } = self.stored("wait")?;
        loop {
            let ended = tokio::select! {
                biased;
                ended = store.await_end(id) => ended?,
                error = shared.failures.failed() => return Err(error),
            };
            let progress = shared.store_clock.observe(ended);
            let progress = progress.ok_or_else(|| Error::UnknownRun { id: id.clone() })?;
            if progress.status().is_terminal() {
                return Ok(state(id, &progress));
            }
        }
    }

    /// Waits until a run has ended that was launched since `from`, a time of day, however it ended. It needs no store, and so
    /// finds a run whose state is carried from any process, by its id.
    ///
    /// A run that the store knows is read there. For any other, the [events](crate::Client::events) since `from` are read,
    /// with a subscription for each call: let `from` be no earlier than needed, and a few minutes before the launch if the clocks
    /// of the machines differ. Where many runs are waited for, read the events once.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownRun`] when the events since `from`, as they were when this was called, have none of the run: it was not
    /// launched, or its events are no longer kept. [`Error::MissingTopic`] and [`Error::Unsupported`] as for the events,
    /// [`Error::ConsumerFailed`] and [`Error::Backend`] as [`wait`](Self::wait).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn wait_since(
        &self,
        id: &RunId,
        from: impl Into<Timestamp> + Send,
    ) -> Result<RunState, Error> {
        if self.shared.store.is_some() {
            match self.wait(id).await {
                Err(Error::UnknownRun { .. }) => {}
                ended => return ended,
            }
        }
        let ended = end_since(&self.shared, id, from.into()).await?;
        Ok(RunState::of_event(ended))
    }

    /// Returns the outcomes of the finished steps, in order. The outcomes that a fork took over are listed with the run that
    /// it was forked from.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub async fn outcomes(&self, id: &RunId) -> Result<Vec<Outcome>, Error> {
        let attempts = self.all_attempts(id).await?;
        let done = attempts
            .into_iter()
            .filter(|attempt| attempt.position > 0 && attempt.status == Status::Success);
        Ok(done.map(|attempt| attempt.outcome).collect())
    }

    /// Returns a page of the attempts at the steps, in the order in which they ended: those that follow the cursor of the page before,
    /// at most `limit`.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status), and [`Error::Invalid`] for a cursor of another run.
    pub async fn attempts(
        &self,
        id: &RunId,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<Attempt>, Error> {
        let stored = self.stored("attempts")?;
        let page = stored.store.attempts(id, after, limit).await?;
        if page.rows.is_empty() {
            info(stored, id).await?;
        }
        Ok(page)
    }

    /// Returns every attempt at every step, in the order in which they ended.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub async fn all_attempts(&self, id: &RunId) -> Result<Vec<Attempt>, Error> {
        let mut all = Vec::new();
        let mut after = None;
        loop {
            let page = self.attempts(id, after.as_ref(), PAGE).await?;
            all.extend(page.rows);
            after = page.next;
            if after.is_none() {
                return Ok(all);
            }
        }
    }

    /// Returns the description of a run, with its launch message and its progress.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub async fn info(&self, id: &RunId) -> Result<RunInfo, Error> {
        info(self.stored("look at a run")?, id).await
    }

    /// Returns a page of the runs that fit a filter, the latest launched first. The cursor of the page leads to the next one, also
    /// while runs are launched and purged:
    ///
    /// ```
    /// # use kser::run::{RunFilter, Status};
    /// # async fn print(kser: kser::Client) -> Result<(), kser::Error> {
    /// let mut failed = RunFilter::default().with_status(Status::Failed);
    /// loop {
    ///     let page = kser.runs().list(&failed).await?;
    ///     page.rows.iter().for_each(|run| println!("{run}"));
    ///     if page.next.is_none() {
    ///         return Ok(());
    ///     }
    ///     failed = failed.with_after(page.next);
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status), and [`Error::Invalid`] for a cursor of another filter.
    pub async fn list(&self, filter: &RunFilter) -> Result<Page<RunSummary>, Error> {
        self.stored("list")?.store.list(filter).await
    }

    /// Counts the runs that fit a filter, and stops at `most`: for a display such as "1,000+", which costs the same however many there
    /// are. The cursor and the limit of the filter have no effect.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub async fn count(&self, filter: &RunFilter, most: u64) -> Result<u64, Error> {
        self.stored("count")?.store.count(filter, most).await
    }

    /// Cancels a run: no further step starts. A running attempt is told, and its outcome is kept.
    ///
    /// # Errors
    ///
    /// [`Error::Rejected`] for a run that has succeeded or failed; cancelling one twice is no error. Otherwise as
    /// [`status`](Self::status).
    pub async fn cancel(&self, id: &RunId) -> Result<(), Error> {
        self.apply("cancel", id, |_| Event::Cancelled).await
    }

    /// Resumes a run at the step at which it failed or was cancelled. Finished steps do not run again.
    ///
    /// # Errors
    ///
    /// [`Error::Rejected`] for a run that has not failed and was not cancelled. Otherwise as [`status`](Self::status).
    pub async fn resume(&self, id: &RunId) -> Result<(), Error> {
        self.apply("resume", id, |_| Event::Resumed).await
    }

    /// Tries the step at which a run stands again, now. The build is the step whose id is the run's.
    ///
    /// # Errors
    ///
    /// [`Error::Rejected`] when the run does not stand at that step. Otherwise as [`status`](Self::status).
    pub async fn retry_step(&self, id: &RunId, step: &TaskId) -> Result<(), Error> {
        let event = |view: &RunView| Event::Retried {
            step: step_named(view, id, step),
        };
        self.apply("retry step", id, event).await
    }

    /// Counts the step at which a run stands as done with this outcome, and goes on.
    ///
    /// # Errors
    ///
    /// As [`retry_step`](Self::retry_step), and [`Error::Rejected`] for an outcome that is a failure.
    pub async fn skip_step(
        &self,
        id: &RunId,
        step: &TaskId,
        outcome: Outcome,
    ) -> Result<(), Error> {
        let event = |view: &RunView| Event::Skipped {
            step: step_named(view, id, step),
            outcome: outcome.clone(),
        };
        self.apply("skip step", id, event).await
    }

    /// Ends the external step at which a run stands, as a report from outside does.
    ///
    /// # Errors
    ///
    /// [`Error::Rejected`] when the run does not stand at that step, or it is no external one. Otherwise as
    /// [`status`](Self::status).
    pub async fn report(&self, id: &RunId, step: &TaskId, outcome: Outcome) -> Result<(), Error> {
        let event = |view: &RunView| Event::Reported {
            step: step_named(view, id, step),
            outcome: outcome.clone(),
            seen: 0,
        };
        self.apply("report", id, event).await
    }

    /// Forgets a run that has ended. Says whether there was one.
    ///
    /// # Errors
    ///
    /// [`Error::Rejected`] for a run that goes on. Otherwise as [`status`](Self::status), but for an unknown id.
    pub async fn purge(&self, id: &RunId) -> Result<bool, Error> {
        let stored = self.stored("purge")?;
        if stored.store.purge(id).await? {
            return Ok(true);
        }
        let progress = stored
            .shared
            .store_clock
            .observe(stored.store.read(id).await?);
        match progress.progress().map(Progress::status) {
            Some(status) if !status.is_terminal() => Err(Error::Rejected {
                id: id.clone(),
                source: Rejected::NotEnded(status),
            }),
            _ => Ok(false),
        }
    }

    async fn apply<F>(&self, verb: &'static str, id: &RunId, event: F) -> Result<(), Error>
    where
        F: Fn(&RunView) -> Event + Send,
    {
        let stored = self.stored(verb)?;
        let info = info(stored, id).await?;
        let mut run = run_ref(&info)?;
        let span = verb_span(stored.shared.tracer(), verb, id, &mut run.metadata);
        let launch = Some(&info.launch);
        let fits = |view: &RunView, event| stored.must_fit(&run, view, event, launch);
        let by = self.by.as_ref().map(|(actor, reason)| {
            Intervention::new(verb.to_owned(), actor.clone(), reason.clone())
        });
        let view = stored.view(id).await?;
        let done = stored.carry_out(&run, view, launch, by.as_ref(), event, fits);
        let done = done.instrument(span).await?;
        let operation = &run.name;
        stored
            .shared
            .observe(&Observation::RunRepaired { operation, verb });
        match done.published.map_err(NotPublished::into_error) {
            Err(error) if is_refusal(&error) => Err(error),
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(target: "kser", run = ?id, verb, error, "publishing what follows from a verb failed; a sweep publishes it");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    fn stored(&self, verb: &'static str) -> Result<Stored<'_>, Error> {
        let shared: &Shared = &self.shared;
        let store = shared.store(verb)?;
        Ok(Stored { shared, store })
    }
}

async fn info(stored: Stored<'_>, id: &RunId) -> Result<RunInfo, Error> {
    let info = stored.store.run(id).await?;
    info.ok_or_else(|| Error::UnknownRun { id: id.clone() })
}

fn state(id: &RunId, progress: &Progress) -> RunState {
    RunState::new(
        id.clone(),
        progress.status(),
        progress.position(),
        progress.steps(),
        progress.last_outcome().clone(),
    )
}

/// The step of that id, if the run stands there; else one that the rules refuse.
fn step_named(view: &RunView, run: &RunId, step: &TaskId) -> StepKey {
    let position = view.progress.position();
    match &view.here {
        Some(here) if here.key.uuid == *step => here.key.clone(),
        _ => StepKey {
            // The rules do not know the name of a build: it is the run's.
            position: match step.as_str() == run.as_str() {
                true => position,
                false => position.max(1),
            },
            uuid: step.clone(),
            entrypoint: "".into(),
        },
    }
}
