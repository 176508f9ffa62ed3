use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use kser::message::Name;
use kser::run::{
    Attempt, Cursor, Intervention, RunFilter, RunId, RunSummary, Runs, Status, Timestamp,
};
use kser::{Error, Outcome};
use serde::Serialize;

use crate::error::OpsError;
use crate::fingerprint::{CauseId, pattern};
use crate::ops::Ops;

/// The number of characters from which on a text may be the beginning of an id.
const SHORTEST: usize = 4;

/// The number of ids that are named when a beginning fits several.
const NAMED: usize = 5;

/// The number of runs that are read at the same time.
const AT_ONCE: usize = 16;

/// A run of a list.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RunLine {
    /// The id of the run.
    pub id: RunId,
    /// The name of the operation.
    pub operation: Name,
    /// The status.
    pub status: Status,
    /// The position of the step at which the run stands, from 1; 0 is the build, one past the last the end.
    pub position: u32,
    /// The number of steps; 0 while it is not known.
    pub steps: u32,
    /// The time of the launch, by the clock of the store.
    #[serde(serialize_with = "crate::json::at")]
    pub launched: Timestamp,
    /// The time of the last change.
    #[serde(serialize_with = "crate::json::at")]
    pub changed: Timestamp,
    /// The failure of a run that has failed.
    pub failure: Option<RunFailure>,
}

/// The failure of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RunFailure {
    /// The cause, the same as that of the dead letter of the run.
    pub cause: CauseId,
    /// The entrypoint of the step, if it has run.
    pub entrypoint: Option<String>,
    /// The code of the error; `None` where the outcome cannot be read.
    pub code: Option<i64>,
    /// The text of the error.
    pub error: String,
    /// The pattern of that text.
    pub pattern: String,
}

/// A page of a list of runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RunPage {
    /// The runs, the latest launched first.
    pub runs: Vec<RunLine>,
    /// The cursor of the next page; `None` at the end of the list.
    pub next: Option<Cursor>,
}

/// A run with its history.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RunShown {
    /// The run.
    #[serde(flatten)]
    pub run: RunLine,
    /// The last attempts at its steps, in the order in which they ended.
    pub attempts: Vec<AttemptLine>,
    /// Whether there are earlier attempts.
    pub has_earlier: bool,
}

/// An attempt at a step, or a verb of a person.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct AttemptLine {
    /// The position of the step, from 1; 0 is the build.
    pub position: u32,
    /// The name of the task.
    pub entrypoint: Name,
    /// The number of the attempt.
    pub attempt: u32,
    /// The time of the start.
    #[serde(serialize_with = "crate::json::time")]
    pub started: Option<Timestamp>,
    /// The time of the end.
    #[serde(serialize_with = "crate::json::at")]
    pub ended: Timestamp,
    /// The consumer that ran it.
    pub worker: String,
    /// The status at the end.
    pub status: Status,
    /// The message of a success, the error of a failure.
    pub text: String,
    /// The verb, its actor and the reason, if it is no attempt.
    pub by: Option<Intervention>,
    /// The outcome, which is not shown unless it is asked for: it may have secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
}

impl RunLine {
    fn new(run: RunSummary, failure: Option<RunFailure>) -> Self {
        Self {
            id: run.id,
            operation: run.name,
            status: run.status,
            position: run.position,
            steps: run.steps,
            launched: run.created,
            changed: run.updated,
            failure,
        }
    }

    /// Reads the failure of a run that has failed, too.
    pub(crate) async fn read(runs: &Runs, run: RunSummary) -> Result<Self, OpsError> {
        let failure = match run.status {
            Status::Failed => RunFailure::read(runs, &run).await?,
            _ => None,
        };
        Ok(Self::new(run, failure))
    }
}

impl RunFailure {
    /// Reads the failure; `None` for a run that is purged meanwhile. An outcome that cannot be read, as an encrypted one without the key,
    /// is a cause of its own.
    async fn read(runs: &Runs, run: &RunSummary) -> Result<Option<Self>, OpsError> {
        let outcome = match runs.status(&run.id).await {
            Ok(state) => Ok(state.outcome),
            Err(Error::UnknownRun { .. }) => return Ok(None),
            Err(error) if error.is_temporary() => return Err(error.into()),
            Err(error) => Err(error),
        };
        let entrypoint = match runs.latest_attempts(&run.id, 1).await {
            Ok(attempts) => attempts.into_iter().next(),
            Err(error) if error.is_temporary() => return Err(error.into()),
            Err(_) => None,
        };
        let entrypoint = entrypoint.filter(|last| last.position == run.position);
        let entrypoint = entrypoint.map(|last| last.entrypoint.to_string());
        let (error, code) = match outcome.as_ref().map(Outcome::error) {
            Ok(Some(error)) => (error.to_string(), Some(error.code())),
            Ok(None) => ("no error was given".to_owned(), None),
            Err(error) => (
                format!("the outcome cannot be read: {}", error.report()),
                None,
            ),
        };
        let pattern = pattern(&error);
        Ok(Some(Self {
            cause: CauseId::new(entrypoint.as_deref(), code, &pattern),
            entrypoint,
            code,
            error,
            pattern,
        }))
    }
}

impl AttemptLine {
    pub(crate) fn new(attempt: Attempt, with_outcome: bool) -> Self {
        Self {
            position: attempt.position,
            entrypoint: attempt.entrypoint,
            attempt: attempt.attempt,
            started: attempt.started,
            ended: attempt.ended,
            worker: attempt.worker,
            status: attempt.status,
            text: text_of(&attempt.outcome),
            by: attempt.by,
            outcome: with_outcome.then_some(attempt.outcome),
        }
    }
}

/// Returns the text of an outcome for people: its error, or its message.
fn text_of(outcome: &Outcome) -> String {
    let error = outcome.error().map(|error| error.to_string());
    error.unwrap_or_else(|| outcome.message().to_owned())
}

impl Ops {
    pub(crate) fn store_runs(&self, what: &'static str) -> Result<Runs, OpsError> {
        self.needs_store(what)?;
        Ok(self.client.runs())
    }

    /// Returns a page of the runs that fit a filter, the latest launched first, with the failures of those that have failed. A page
    /// costs the same in a store of any size.
    ///
    /// # Errors
    ///
    /// [`OpsError::Needs`] without a store, [`OpsError::Kser`] when it does not answer, or refuses the cursor.
    pub async fn runs(&self, filter: &RunFilter) -> Result<RunPage, OpsError> {
        let runs = self.store_runs("a list of runs")?;
        let page = runs.list(filter).await?;
        let next = page.next;
        let read = stream::iter(page.rows).map(move |run| {
            let runs = runs.clone();
            async move { RunLine::read(&runs, run).await }
        });
        let runs = read.buffered(AT_ONCE).try_collect().await?;
        Ok(RunPage { runs, next })
    }

    /// Counts the runs that fit a filter, and stops at `most`.
    ///
    /// # Errors
    ///
    /// As [`runs`](Self::runs).
    pub async fn count_runs(&self, filter: &RunFilter, most: u64) -> Result<u64, OpsError> {
        let runs = self.store_runs("a count of runs")?;
        Ok(runs.count(filter, most).await?)
    }

    /// Finds the run whose id is `text`, or begins with it: four characters or more, if no other run's id does.
    ///
    /// # Errors
    ///
    /// [`OpsError::NotFound`] when there is none, [`OpsError::Invalid`] when there are several. Otherwise as [`runs`](Self::runs).
    pub async fn find_run(&self, text: &str) -> Result<RunId, OpsError> {
        let runs = self.store_runs("a look for a run")?;
        let mut found = runs.find(text, NAMED + 1).await?;
        // The id itself is the first of those that begin with it.
        if found.first().is_some_and(|id| id.as_str() == text) {
            return Ok(found.swap_remove(0));
        }
        let is_short = text.chars().count() < SHORTEST;
        match found.len() {
            1 if !is_short => Ok(found.swap_remove(0)),
            0 => Err(OpsError::NotFound {
                what: format!("no run begins with {text}"),
            }),
            several => Err(OpsError::Invalid {
                what: format!("the beginning of an id {text:?}"),
                reason: match is_short {
                    true => format!("it is too short: {SHORTEST} characters tell runs apart"),
                    false => named(&found, several),
                },
            }),
        }
    }

    /// Reads a run with its last attempts, at most `limit`.
    ///
    /// # Errors
    ///
    /// As [`runs`](Self::runs), and [`Error::UnknownRun`] for a run that is purged.
    pub async fn run(
        &self,
        id: &RunId,
        limit: usize,
        with_outcomes: bool,
    ) -> Result<RunShown, OpsError> {
        let runs = self.store_runs("a look at a run")?;
        let info = runs.info(id).await?;
        let run = RunLine::read(&runs, RunSummary::from(&info)).await?;
        let mut attempts = match runs.latest_attempts(id, limit + 1).await {
            Ok(attempts) => attempts,
            // It was purged after it was read.
            Err(Error::UnknownRun { .. }) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let has_earlier = attempts.len() > limit;
        if has_earlier {
            attempts.remove(0);
        }
        let attempts = attempts.into_iter();
        let attempts = attempts.map(|attempt| AttemptLine::new(attempt, with_outcomes));
        Ok(RunShown {
            run,
            attempts: attempts.collect(),
            has_earlier,
        })
    }
}

fn named(found: &[RunId], several: usize) -> String {
    let names: Vec<&str> = found.iter().take(NAMED).map(RunId::as_str).collect();
    let more = match several > NAMED {
        true => ", and others",
        false => "",
    };
    format!("several runs begin with it: {}{more}", names.join(", "))
}
