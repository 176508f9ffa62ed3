mod fork;
mod place;
mod planned;
mod verb;

use std::sync::Arc;

use kser_core::sequencing::{Progress, Rejected};
use kser_core::store::{Attempt, Cursor, Page, RunFilter, RunInfo, RunSummary};
use kser_core::{Error, Outcome, RunId, Status, TaskId, Timestamp};

pub use self::place::{RunPlace, StepPlace};
pub use self::verb::RunVerb;
use crate::engine::stored::Stored;
use crate::events::end_since;
use crate::run::RunState;
use crate::shared::Shared;

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
        self.act(id, &RunVerb::Cancel).await
    }

    /// Resumes a run at the step at which it failed or was cancelled. Finished steps do not run again.
    ///
    /// # Errors
    ///
    /// [`Error::Rejected`] for a run that has not failed and was not cancelled. Otherwise as [`status`](Self::status).
    pub async fn resume(&self, id: &RunId) -> Result<(), Error> {
        self.act(id, &RunVerb::Resume).await
    }

    /// Tries the step at which a run stands again, now. The build is the step whose id is the run's.
    ///
    /// # Errors
    ///
    /// [`Error::Rejected`] when the run does not stand at that step. Otherwise as [`status`](Self::status).
    pub async fn retry_step(&self, id: &RunId, step: &TaskId) -> Result<(), Error> {
        self.act(id, &RunVerb::RetryStep(step.clone())).await
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
        let verb = RunVerb::SkipStep(step.clone(), outcome);
        self.act(id, &verb).await
    }

    /// Ends the external step at which a run stands, as a report from outside does.
    ///
    /// # Errors
    ///
    /// [`Error::Rejected`] when the run does not stand at that step, or it is no external one. Otherwise as
    /// [`status`](Self::status).
    pub async fn report(&self, id: &RunId, step: &TaskId, outcome: Outcome) -> Result<(), Error> {
        let verb = RunVerb::Report(step.clone(), outcome);
        self.act(id, &verb).await
    }

    /// Returns the ids of runs that begin with `prefix`, in the order of their bytes, at most `limit`: a person writes a part of an id.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub async fn find(&self, prefix: &str, limit: usize) -> Result<Vec<RunId>, Error> {
        self.stored("find")?.store.find(prefix, limit).await
    }

    /// Returns the last attempts at the steps of a run, at most `limit`, in the order in which they ended. Those of a run of many steps
    /// cost no more than those of a small one.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub async fn latest_attempts(&self, id: &RunId, limit: usize) -> Result<Vec<Attempt>, Error> {
        let stored = self.stored("attempts")?;
        let attempts = stored.store.latest_attempts(id, limit).await?;
        if attempts.is_empty() {
            info(stored, id).await?;
        }
        Ok(attempts)
    }

    /// Forgets a run that has ended. Says whether there was one.
    ///
    /// # Errors
    ///
    /// [`Error::Rejected`] for a run that goes on. Otherwise as [`status`](Self::status), but for an unknown id.
    pub async fn purge(&self, id: &RunId) -> Result<bool, Error> {
        if self.stored("purge")?.store.purge(id).await? {
            return Ok(true);
        }
        match self.check_purge(id).await {
            Ok(()) | Err(Error::UnknownRun { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Says whether [`purge`](Self::purge) would be refused now.
    ///
    /// # Errors
    ///
    /// [`Error::Rejected`] for a run that goes on. Otherwise as [`status`](Self::status).
    pub async fn check_purge(&self, id: &RunId) -> Result<(), Error> {
        let progress = self.stored("purge")?.view(id).await?.progress;
        let (id, status) = (id.clone(), progress.status());
        let source = Rejected::NotEnded(status);
        let ended = status.is_terminal().then_some(());
        ended.ok_or(Error::Rejected { id, source })
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
