use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use kser::run::{RunFilter, RunId, Status, Timestamp};
use serde::Serialize;

use crate::error::OpsError;
use crate::fingerprint::CauseId;
use crate::ops::Ops;
use crate::ops::runs::{RunFailure, RunLine};

/// The number of runs of a page that is counted.
const PAGE: usize = 250;

/// Failed runs of one cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RunCause {
    /// The id of the cause.
    pub cause: CauseId,
    /// The number of runs.
    pub runs: u64,
    /// The entrypoint of the step, if it has run.
    pub entrypoint: Option<String>,
    /// The code of the error.
    pub code: Option<i64>,
    /// The pattern of the error texts.
    pub pattern: String,
    /// The earliest change of the runs, which is the failure.
    #[serde(serialize_with = "crate::json::at")]
    pub first: Timestamp,
    /// The latest change.
    #[serde(serialize_with = "crate::json::at")]
    pub last: Timestamp,
    /// The run of the cause that was launched last.
    pub sample: RunId,
}

/// The causes of the failed runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RunCauses {
    /// The causes, the one with the most runs first.
    pub causes: Vec<RunCause>,
    /// The number of runs that were read.
    pub runs: u64,
    /// Whether there are more failed runs, launched earlier, which were not read.
    pub has_earlier: bool,
}

impl RunCause {
    fn new(run: &RunLine, failure: RunFailure) -> Self {
        Self {
            cause: failure.cause,
            runs: 0,
            entrypoint: failure.entrypoint,
            code: failure.code,
            pattern: failure.pattern,
            first: run.changed,
            last: run.changed,
            sample: run.id.clone(),
        }
    }

    fn count(&mut self, run: &RunLine) {
        self.runs += 1;
        self.first = self.first.min(run.changed);
        self.last = self.last.max(run.changed);
    }
}

impl Ops {
    /// Groups the failed runs that fit a filter by their causes: at most `most` of them, those that were launched last. The status, the
    /// cursor and the limit of the filter have no effect.
    ///
    /// # Errors
    ///
    /// As [`runs`](Self::runs).
    pub async fn run_causes(&self, filter: RunFilter, most: usize) -> Result<RunCauses, OpsError> {
        let mut filter = filter
            .with_status(Status::Failed)
            .with_after(None)
            .with_limit(PAGE.min(most));
        let mut causes: BTreeMap<CauseId, RunCause> = BTreeMap::new();
        let mut read = 0;
        loop {
            let page = self.runs(&filter).await?;
            for mut run in page.runs {
                read += 1;
                let Some(failure) = run.failure.take() else {
                    continue;
                };
                let cause = match causes.entry(failure.cause) {
                    Entry::Occupied(cause) => cause.into_mut(),
                    Entry::Vacant(free) => free.insert(RunCause::new(&run, failure)),
                };
                cause.count(&run);
            }
            let left = most.saturating_sub(read);
            if page.next.is_none() || left == 0 {
                let mut causes: Vec<_> = causes.into_values().collect();
                causes.sort_by_key(|cause| (std::cmp::Reverse(cause.runs), cause.cause));
                return Ok(RunCauses {
                    causes,
                    runs: u64::try_from(read).unwrap_or(u64::MAX),
                    has_earlier: page.next.is_some(),
                });
            }
            filter = filter.with_after(page.next).with_limit(PAGE.min(left));
        }
    }
}
