//! The runs of operations: their state, waiting for them, and repairing them.
//!
//! A launch returns a [`Run`]. [`Runs`] finds runs by their ids, and lists them; that needs a state store. Without one, the
//! events of the runs ([`RunEvent`]) tell their status.
//!
//! ```
//! use std::time::Duration;
//!
//! use kser::run::{RunFilter, Status};
//! # use kser::{Entrypoint, Registry, Step, TaskError};
//! # use serde::{Deserialize, Serialize};
//! # #[derive(Serialize, Deserialize, Entrypoint)]
//! # #[entrypoint("image.Resize")]
//! # struct Resize {}
//! # async fn resize(_: Resize) -> Result<(), TaskError> { Err(TaskError::permanent("NoImage", "no image")) }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), kser::Error> {
//! # let kser = kser::connect("memory://").await?;
//! # let consumer = kser.consumer(Registry::new().task(resize).build()?).spawn();
//! let run = kser.producer().launch_steps("image.One", vec![Step::new(Resize {})]).await?;
//! let state = run.wait_timeout(Duration::from_secs(60)).await?;
//! assert_eq!(state.status, Status::Failed);
//! run.resume().await?; // The step that failed runs again.
//! run.wait().await?;
//!
//! let failed = RunFilter::default().with_status(Status::Failed);
//! for run in kser.runs().list(&failed).await?.rows {
//!     println!("{run}");
//! }
//! # consumer.stop().await
//! # }
//! ```

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use kser_core::sequencing::Rejected;
use kser_core::store::Watch;
pub use kser_core::store::{
    Attempt, Cursor, Intervention, InvalidCursor, Page, RunFilter, RunInfo, RunSummary,
};
use kser_core::{Error, Name, Outcome, TaskId};
pub use kser_core::{RunId, Status, Timestamp, UnknownStatus};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

pub use crate::engine::event::RunEvent;
use crate::engine::event_watcher::WatchedRun;
pub use crate::events::Events;
pub use crate::runs::{RunPlace, RunVerb, Runs, StepPlace};
use crate::shared::Shared;

/// The age of a handle up to which its run has probably not ended, so that a wait does not ask the store first.
const FRESH: Duration = Duration::from_millis(20);

/// A handle of a run of an operation, as its launch returns it. Cloning is cheap.
///
/// Most methods look the run up by its id and need a state store; [`wait`](Self::wait) and [`result`](Self::result) work
/// without, on the handle that the launch returned. Without the handle, [`Runs::wait_since`] waits by the id.
#[derive(Debug, Clone)]
pub struct Run {
    shared: Arc<Shared>,
    id: RunId,
    name: Name,
    made: Instant,
    /// Set for a carried run.
    watched: Option<WatchedRun>,
    /// Keeps the run in the store while a handle of it exists.
    _kept: Arc<Watch>,
}

/// The state of a run.
///
/// Displays as one line: id, status, step and, of a failed run, the error.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RunState {
    /// The id of the run.
    pub id: RunId,
    /// The status of the run.
    pub status: Status,
    /// The first step that is not done, counted from 1; 0 is the build, one past the last is the end.
    pub position: u32,
    /// The number of steps; 0 before the build is done.
    pub steps: u32,
    /// The final outcome, once the run has ended; before, the outcome that the next step is given.
    pub outcome: Outcome,
}

impl RunState {
    pub(crate) const fn new(
        id: RunId,
        status: Status,
        position: u32,
        steps: u32,
        outcome: Outcome,
    ) -> Self {
        Self {
            id,
            status,
            position,
            steps,
            outcome,
        }
    }

    pub(crate) fn of_event(event: RunEvent) -> Self {
        let outcome = event.outcome.unwrap_or_default();
        Self::new(event.run, event.status, event.position, event.of, outcome)
    }

    /// Returns the outcome of a run that succeeded.
    ///
    /// # Errors
    ///
    /// [`Error::Unsuccessful`] with the error of the last step, for any other status.
    pub fn into_result(self) -> Result<Outcome, Error> {
        if self.status == Status::Success {
            return Ok(self.outcome);
        }
        let error = self.outcome.error();
        Err(Error::Unsuccessful {
            error: error.unwrap_or_else(|| {
                let text = format!("it stands at step {} of {}", self.position, self.steps);
                kser_core::TaskError::new("NotDone", text)
            }),
            id: self.id,
            status: self.status,
        })
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.id, self.status)?;
        match self.steps {
            0 => f.write_str("not built")?,
            steps => write!(f, "step {} of {steps}", self.position.min(steps))?,
        }
        match self.outcome.error() {
            Some(error) if self.status == Status::Failed => write!(f, ": {error}"),
            _ => Ok(()),
        }
    }
}

impl Run {
    pub(crate) fn stored(shared: Arc<Shared>, id: RunId, name: Name, kept: Watch) -> Self {
        Self {
            shared,
            id,
            name,
            made: Instant::now(),
            watched: None,
            _kept: Arc::new(kept),
        }
    }

    pub(crate) fn carried(shared: Arc<Shared>, id: RunId, name: Name, watched: WatchedRun) -> Self {
        Self {
            shared,
            id,
            name,
            made: Instant::now(),
            watched: Some(watched),
            _kept: Arc::default(),
        }
    }

    /// Names the run.
    #[must_use]
    pub const fn id(&self) -> &RunId {
        &self.id
    }

    /// Names the operation, such as `dice.DiceLaunch`.
    #[must_use]
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// Waits until the run has ended, however it ended.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownRun`] when the store has forgotten it, [`Error::Backend`] when a backend does not answer,
    /// [`Error::Closed`] when the events are no longer received, [`Error::ConsumerFailed`] when a consumer of this
    /// client has failed and no other one of it receives from the same topics.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing: the run goes on, and can be waited for again.
    pub async fn wait(&self) -> Result<RunState, Error> {
        match &self.watched {
            Some(watched) => tokio::select! {
                biased;
                ended = watched.ended() => ended.map(RunState::of_event),
                error = self.shared.failures.failed() => Err(error),
            },
            None if self.made.elapsed() < FRESH => self.runs().wait_launched(&self.id).await,
            None => self.runs().wait(&self.id).await,
        }
    }

    /// Waits until the run has ended, at most for `limit`.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`] when that is over; the run goes on. Otherwise as [`wait`](Self::wait).
    #[doc(alias = "wait_for")]
    pub async fn wait_timeout(&self, limit: Duration) -> Result<RunState, Error> {
        let waited = tokio::time::timeout(limit, self.wait()).await;
        waited.unwrap_or(Err(Error::TimedOut {
            what: "the end of the operation",
        }))
    }

    /// Waits until the run has ended, and returns its outcome if it succeeded.
    ///
    /// # Errors
    ///
    /// [`Error::Unsuccessful`] for a run that failed or was cancelled. Otherwise as [`wait`](Self::wait).
    pub async fn result(&self) -> Result<Outcome, Error> {
        self.wait().await?.into_result()
    }

    /// Waits until the run has ended, and returns the data that it ended with if it succeeded.
    ///
    /// The outcomes of the steps are laid over one another, so that the data of one step has the fields of those before it,
    /// too, unless their outcome is [replacing](Outcome::replacing).
    ///
    /// # Errors
    ///
    /// [`Error::Decode`] when the data is not a `T`. Otherwise as [`result`](Self::result).
    pub async fn result_as<T: DeserializeOwned>(&self) -> Result<T, Error> {
        self.result().await?.data_as()
    }

    /// Returns where the run stands.
    ///
    /// # Errors
    ///
    /// [`Error::NeedsStore`] where the state is carried. Otherwise as [`Runs::status`].
    pub async fn status(&self) -> Result<RunState, Error> {
        self.by_id("status")?.status(&self.id).await
    }

    /// Returns the outcomes of the finished steps, in order.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub async fn outcomes(&self) -> Result<Vec<Outcome>, Error> {
        self.by_id("outcomes")?.outcomes(&self.id).await
    }

    /// Cancels the run: no further step starts. A running attempt is told, and its outcome is kept.
    ///
    /// # Errors
    ///
    /// [`Error::Rejected`] for a run that has succeeded or failed; cancelling one twice is no error. Otherwise as
    /// [`status`](Self::status).
    pub async fn cancel(&self) -> Result<(), Error> {
        self.by_id("cancel")?.cancel(&self.id).await
    }

    /// Resumes the run at the step at which it failed or was cancelled. Finished steps do not run again.
    ///
    /// # Errors
    ///
    /// [`Error::Rejected`] for a run that has not failed and was not cancelled. Otherwise as [`status`](Self::status).
    pub async fn resume(&self) -> Result<(), Error> {
        self.by_id("resume")?.resume(&self.id).await
    }

    /// Tries the step at which the run stands again, now.
    ///
    /// # Errors
    ///
    /// [`Error::Rejected`] when the run does not stand at that step. Otherwise as [`status`](Self::status).
    pub async fn retry_step(&self, step: &TaskId) -> Result<(), Error> {
        self.by_id("retry step")?.retry_step(&self.id, step).await
    }

    /// Counts the step at which the run stands as done with this outcome, and goes on.
    ///
    /// # Errors
    ///
    /// As [`retry_step`](Self::retry_step), and [`Error::Rejected`] for an outcome that is a failure.
    pub async fn skip_step(&self, step: &TaskId, outcome: Outcome) -> Result<(), Error> {
        let runs = self.by_id("skip step")?;
        runs.skip_step(&self.id, step, outcome).await
    }

    /// Launches a new run that repeats this one from step `from` on, counted from 1, with new ids and so new
    /// idempotency keys; the outcomes of the steps before are kept.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] when a step before `from` is not done. Otherwise as [`status`](Self::status).
    pub async fn fork(&self, from: u32) -> Result<Self, Error> {
        self.by_id("fork")?.fork(&self.id, from).await
    }

    /// Forgets a run that has ended. Says whether there was one.
    ///
    /// # Errors
    ///
    /// As [`Runs::purge`].
    pub async fn purge(&self) -> Result<bool, Error> {
        self.by_id("purge")?.purge(&self.id).await
    }

    fn by_id(&self, verb: &'static str) -> Result<Runs, Error> {
        match self.watched {
            Some(_) => Err(Error::NeedsStore { verb }),
            None => Ok(self.runs()),
        }
    }

    fn runs(&self) -> Runs {
        Runs::new(Arc::clone(&self.shared))
    }
}
