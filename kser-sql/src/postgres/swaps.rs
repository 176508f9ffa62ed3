//! Swaps of many runs by one statement.

use kser_core::sequencing::Revision;
use kser_core::store::{Attempt, Write};
use kser_core::{Error, RunId, Timestamp};
use tokio_postgres::Row;

use super::columns::{
    Answer, Columns, Lists, Outputs, ProgressRow, Value, by_id, earliest_due, size, steps, wait,
    whole,
};
use super::failure::Failure;
use super::reads::FoundRow;
use super::session::Session;
use super::statements::{Parts, Statements};
use super::waiters::Woken;
use crate::encoding::{RecordRow, json, millis, signed, time};

/// A swap.
#[derive(Debug)]
pub(super) struct Swap {
    id: RunId,
    expected: (i64, i64),
    progress: ProgressRow,
    topic: Option<String>,
    steps: Option<Vec<String>>,
    attempt: Option<AttemptRow>,
    outputs: Vec<RecordRow>,
    /// The milliseconds after which the outputs are due.
    due_in: i64,
    fetch: Option<u32>,
}

/// The answer of a swap.
#[derive(Debug)]
pub(super) enum SwapAnswer {
    Written(Option<Vec<u8>>),
    Conflict(FoundRow),
}

impl Swap {
    pub(super) fn new(id: &RunId, expected: Revision, write: &Write) -> Result<Self, Error> {
        Ok(Self {
            id: id.clone(),
            expected: (signed(expected.version), signed(expected.stamp)),
            progress: ProgressRow::of(&write.progress, write.keeps_outcomes)?,
            topic: write.topic.as_ref().map(ToString::to_string),
            steps: write.plan.as_ref().map(|plan| steps(id, plan)),
            attempt: write.attempt.as_ref().map(AttemptRow::of).transpose()?,
            outputs: write.outputs.iter().map(RecordRow::of).collect(),
            due_in: wait(write.outputs_due_in),
            fetch: write.fetch,
        })
    }

    pub(super) const fn id(&self) -> &RunId {
        &self.id
    }

    /// Returns the answer to the callers that wait for the end of the run, if the swap has written that.
    pub(super) fn end(&self, answer: &Answer<SwapAnswer>) -> Option<Woken> {
        let is_written = matches!(answer.value, SwapAnswer::Written(_));
        let (now, text) = (answer.now, &self.progress.text);
        (is_written && self.progress.ended).then(|| match text.outcomes {
            Some(_) => Woken::Ended(Answer {
                now,
                value: text.clone(),
            }),
            None => Woken::Changed,
        })
    }

    /// Says whether the swap may be repeated, which its stamp allows.
    pub(super) const fn is_repeatable(&self) -> bool {
        self.progress.stamp != 0
    }

    /// Returns the earliest time at which the run, or an output that was written at `now`, is due.
    pub(super) fn due(&self, now: Timestamp) -> Option<i64> {
        earliest_due(&self.progress, &self.outputs, now, self.due_in)
    }

    /// Returns about how many bytes the rows have.
    pub(super) fn size(&self) -> usize {
        let steps: usize = self.steps.iter().flatten().map(String::len).sum();
        let attempt = self
            .attempt
            .as_ref()
            .map_or(0, |attempt| attempt.outcome.len());
        self.progress.text.len() + steps + attempt + size(&self.outputs)
    }

    /// Writes swaps of runs that differ, and answers in their order. Those that have not written are looked up.
    ///
    /// If a run of them has ended, the processes that listen on `channel` are notified, but for `process`.
    pub(super) async fn write_all(
        swaps: &[&Self],
        session: &Session,
        statements: &Statements,
        (channel, process): (&str, i64),
    ) -> Result<Vec<Answer<SwapAnswer>>, Failure> {
        let mut sorted: Vec<&Self> = swaps.to_vec();
        sorted.sort_unstable_by(|one, other| one.id.as_str().cmp(other.id.as_str()));
        let ids: Vec<&[u8]> = sorted
            .iter()
            .map(|swap| swap.id.as_str().as_bytes())
            .collect();
        let versions: Vec<i64> = sorted.iter().map(|swap| swap.expected.0).collect();
        let stamps: Vec<i64> = sorted.iter().map(|swap| swap.expected.1).collect();
        let topics: Vec<Option<&str>> = sorted.iter().map(|swap| swap.topic.as_deref()).collect();
        let progress = Columns::of(sorted.iter().map(|swap| &swap.progress));
        let fetches: Vec<Option<i64>> = sorted.iter().map(|swap| swap.fetch_stored()).collect();
        let attempts = Attempts::of(&sorted);
        let dues: Vec<i64> = sorted.iter().map(|swap| swap.due_in).collect();
        let ended = sorted.iter().any(|swap| swap.progress.ended);
        let (mut plans, mut outputs) = (Lists::default(), Lists::default());
        let mut plan_counts = Vec::new();
        for swap in &sorted {
            plans.push(swap.steps.as_deref().unwrap_or_default());
            plan_counts.push(swap.steps.as_ref().map(|steps| whole(steps.len())));
            outputs.push(&swap.outputs);
        }
        let parts = Parts {
            attempts: sorted.iter().any(|swap| swap.attempt.is_some()),
            plans: sorted.iter().any(|swap| swap.steps.is_some()),
            outputs: !outputs.all.is_empty(),
            fetches: fetches.iter().any(Option::is_some),
        };
        let steps = plans.map(|step| step.as_bytes());
        let kept = Outputs::of(&outputs);
        let mut values: Vec<Value<'_>> = vec![
            &ids,
            &versions,
            &stamps,
            &progress.statuses,
            &progress.versions,
            &progress.stamps,
            &progress.looks,
            &progress.texts,
            &topics,
            &channel,
            &ended,
            &process,
            &progress.outcomes,
            &progress.positions,
            &progress.steps,
            &progress.updated,
        ];
        if parts.fetches {
            values.push(&fetches);
        }
        if parts.attempts {
            values.extend(attempts.values());
        }
        if parts.plans {
            values.extend([&plans.first as Value<'_>, &plan_counts, &steps]);
        }
        if parts.outputs {
            values.extend([&outputs.first as Value<'_>, &outputs.count, &dues]);
            values.extend(kept.values());
        }
        let rows = session.query(statements.swap(parts), &values).await?;
        let written = by_id(&rows)?;
        let refused: Vec<&&Self> = sorted
            .iter()
            .filter(|swap| !written.contains_key(swap.id.as_str().as_bytes()))
            .collect();
        let looked = match refused.is_empty() {
            true => Vec::new(),
            false => {
                let ids: Vec<&[u8]> = refused
                    .iter()
                    .map(|swap| swap.id.as_str().as_bytes())
                    .collect();
                let fetches: Vec<Option<i64>> =
                    refused.iter().map(|swap| swap.fetch_stored()).collect();
                session.query(&statements.found, &[&ids, &fetches]).await?
            }
        };
        let looked = by_id(&looked)?;
        let latest = looked
            .values()
            .map(|row| row.try_get(4))
            .chain(written.values().map(|row| row.try_get(1)));
        let latest = latest
            .collect::<Result<Vec<i64>, _>>()?
            .into_iter()
            .max()
            .unwrap_or_default();
        let answer = |swap: &&Self| {
            let id = swap.id.as_str().as_bytes();
            let value = match (written.get(id), looked.get(id)) {
                (Some(row), _) => SwapAnswer::Written(swap.fetched(row.try_get(2)?)),
                (None, Some(row)) => swap.refused(row)?,
                (None, None) => SwapAnswer::Conflict(FoundRow::Unknown),
            };
            Ok(Answer {
                now: time(latest),
                value,
            })
        };
        swaps.iter().map(answer).collect()
    }

    /// Returns the step that has to be read: a statement does not see the plan that it writes.
    fn fetch_stored(&self) -> Option<i64> {
        let fetch = self.fetch.filter(|_| self.steps.is_none());
        fetch.map(i64::from)
    }

    /// Returns the step that was asked for, from the plan of the swap or as it is stored.
    fn fetched(&self, stored: Option<Vec<u8>>) -> Option<Vec<u8>> {
        let Some(steps) = &self.steps else {
            return stored;
        };
        let index = usize::try_from(self.fetch?).ok()?.checked_sub(1)?;
        steps.get(index).map(|step| step.clone().into_bytes())
    }

    /// Answers a swap that has not written now: it is repeated, or the run stands elsewhere.
    fn refused(&self, row: &Row) -> Result<SwapAnswer, Failure> {
        let stored: (Option<i64>, Option<i64>) = (row.try_get(1)?, row.try_get(2)?);
        let ours = (Some(self.progress.version), Some(self.progress.stamp));
        Ok(match self.is_repeatable() && stored == ours {
            true => SwapAnswer::Written(self.fetched(row.try_get(5)?)),
            false => SwapAnswer::Conflict(FoundRow::of(row)?),
        })
    }
}

/// An attempt as its columns.
#[derive(Debug)]
struct AttemptRow {
    attempt: Attempt,
    outcome: String,
    by: Option<String>,
}

impl AttemptRow {
    fn of(attempt: &Attempt) -> Result<Self, Error> {
        Ok(Self {
            outcome: json(&attempt.outcome)?,
            by: attempt.by.as_ref().map(json).transpose()?,
            attempt: attempt.clone(),
        })
    }
}

/// The columns of the attempts of a group; each is absent where a swap has none.
#[derive(Debug)]
struct Attempts<'a> {
    positions: Vec<Option<i64>>,
    entrypoints: Vec<Option<&'a [u8]>>,
    attempts: Vec<Option<i64>>,
    started: Vec<Option<i64>>,
    ended: Vec<Option<i64>>,
    workers: Vec<Option<&'a [u8]>>,
    statuses: Vec<Option<&'static str>>,
    outcomes: Vec<Option<&'a [u8]>>,
    interventions: Vec<Option<&'a [u8]>>,
}

impl<'a> Attempts<'a> {
    fn of(swaps: &[&'a Swap]) -> Self {
        fn column<'a, T>(
            swaps: &[&'a Swap],
            value: impl Fn(&'a AttemptRow) -> T,
        ) -> Vec<Option<T>> {
            swaps
                .iter()
                .map(|swap| swap.attempt.as_ref().map(&value))
                .collect()
        }
        Self {
            positions: column(swaps, |row| row.attempt.position.into()),
            entrypoints: column(swaps, |row| row.attempt.entrypoint.as_str().as_bytes()),
            attempts: column(swaps, |row| row.attempt.attempt.into()),
            started: swaps
                .iter()
                .map(|swap| swap.attempt.as_ref()?.attempt.started.map(millis))
                .collect(),
            ended: column(swaps, |row| millis(row.attempt.ended)),
            workers: column(swaps, |row| row.attempt.worker.as_bytes()),
            statuses: column(swaps, |row| row.attempt.status.as_str()),
            outcomes: column(swaps, |row| row.outcome.as_bytes()),
            interventions: swaps
                .iter()
                .map(|swap| swap.attempt.as_ref()?.by.as_deref().map(str::as_bytes))
                .collect(),
        }
    }

    fn values(&self) -> [Value<'_>; 9] {
        [
            &self.positions,
            &self.entrypoints,
            &self.attempts,
            &self.started,
            &self.ended,
            &self.workers,
            &self.statuses,
            &self.outcomes,
            &self.interventions,
        ]
    }
}
