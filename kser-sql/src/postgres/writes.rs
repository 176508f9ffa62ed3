//! The values of the statements that write: many swaps, or many inserts, at once.

use std::collections::BTreeMap;
use std::time::Duration;

use kser_core::sequencing::{PlannedStep, Progress, Revision, carried};
use kser_core::store::{Attempt, NewRun, OutputId, Write};
use kser_core::{Error, Raw, RunId, Timestamp};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::failure::{BACKEND, Failure};
use super::reads::{FoundRow, TombstoneRow};
use super::session::{Query, Session};
use super::statements::{Parts, Statements};
use crate::encoding::{RecordRow, millis, signed, time, unreadable};

/// A value of a statement.
type Value<'a> = &'a (dyn ToSql + Sync);

/// An answer, with the time of the database.
#[derive(Debug, Clone)]
pub(super) struct Answer<T> {
    pub(super) now: Timestamp,
    pub(super) value: T,
}

impl<T> Answer<T> {
    /// Changes the value, which may fail.
    pub(super) fn try_map<U, E>(self, map: impl FnOnce(T) -> Result<U, E>) -> Result<Answer<U>, E> {
        Ok(Answer {
            now: self.now,
            value: map(self.value)?,
        })
    }
}

/// A progress as its columns.
#[derive(Debug)]
struct ProgressRow {
    status: &'static str,
    /// Whether the run has ended.
    ended: bool,
    position: i64,
    steps: i64,
    updated: i64,
    version: i64,
    stamp: i64,
    look_at: Option<i64>,
    text: String,
}

impl ProgressRow {
    fn of(progress: &Progress) -> Result<Self, Error> {
        let revision = progress.revision();
        Ok(Self {
            status: progress.status().as_str(),
            ended: progress.status().is_terminal(),
            position: progress.position().into(),
            steps: progress.steps().into(),
            updated: millis(progress.updated()),
            version: signed(revision.version),
            stamp: signed(revision.stamp),
            look_at: progress.check_at().map(millis),
            text: json(progress)?,
        })
    }
}

fn json(value: &impl serde::Serialize) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|source| Error::Encode {
        source: source.into(),
    })
}

/// The columns of a group: the values of each row, and for values of which a row has several, the place of its first one.
#[derive(Debug)]
struct Lists<'a, T> {
    first: Vec<i64>,
    count: Vec<i64>,
    all: Vec<&'a T>,
}

impl<T> Default for Lists<'_, T> {
    fn default() -> Self {
        Self {
            first: Vec::new(),
            count: Vec::new(),
            all: Vec::new(),
        }
    }
}

impl<'a, T> Lists<'a, T> {
    fn push(&mut self, row: &'a [T]) {
        // SQL counts from 1.
        self.first.push(whole(self.all.len() + 1));
        self.count.push(whole(row.len()));
        self.all.extend(row);
    }

    fn map<U>(&self, value: impl Fn(&'a T) -> U) -> Vec<U> {
        self.all.iter().map(|one| value(one)).collect()
    }
}

/// Converts a number to the one that a statement takes.
pub(super) fn whole(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The columns of the outputs of a group.
struct Outputs<'a> {
    topics: Vec<&'a str>,
    keys: Vec<Option<&'a [u8]>>,
    headers: Vec<&'a [u8]>,
    payloads: Vec<Option<&'a [u8]>>,
    not_before: Vec<Option<i64>>,
}

impl<'a> Outputs<'a> {
    fn of(rows: &Lists<'a, RecordRow>) -> Self {
        Self {
            topics: rows.map(|row| row.topic.as_str()),
            keys: rows.map(|row| row.key.as_deref()),
            headers: rows.map(|row| &row.headers[..]),
            payloads: rows.map(|row| row.payload.as_deref()),
            not_before: rows.map(|row| row.not_before),
        }
    }

    fn values(&self) -> [Value<'_>; 5] {
        [
            &self.topics,
            &self.keys,
            &self.headers,
            &self.payloads,
            &self.not_before,
        ]
    }
}

/// A run that is inserted.
#[derive(Debug)]
pub(super) struct Insert {
    run: NewRun,
    progress: ProgressRow,
    steps: Vec<String>,
    outputs: Vec<RecordRow>,
    /// The milliseconds after which the outputs are due.
    due_in: i64,
}

/// The answer of an insert.
#[derive(Debug)]
pub(super) enum InsertAnswer {
    New,
    /// The run existed with the same content.
    Same(FoundRow),
    Other,
    Purged(TombstoneRow),
}

impl Insert {
    pub(super) fn new(run: NewRun) -> Result<Self, Error> {
        NewRun::check_id(&run.id)?;
        Ok(Self {
            progress: ProgressRow::of(&run.progress)?,
            steps: steps(&run.id, &run.plan),
            due_in: wait(run.outputs_due_in),
            outputs: run.outputs.iter().map(RecordRow::of).collect(),
            run,
        })
    }

    pub(super) const fn id(&self) -> &RunId {
        &self.run.id
    }

    /// Returns the earliest time at which the run, or an output that was written at `now`, is due.
    pub(super) fn due(&self, now: Timestamp) -> Option<i64> {
        earliest_due(&self.progress, &self.outputs, now, self.due_in)
    }

    /// Returns about how many bytes the row has.
    pub(super) fn size(&self) -> usize {
        let steps: usize = self.steps.iter().map(String::len).sum();
        self.run.launch.len() + self.progress.text.len() + steps + size(&self.outputs)
    }

    /// Inserts runs, whose ids differ, and answers in their order.
    pub(super) async fn write_all(
        runs: &[&Self],
        session: &impl Query,
        statements: &Statements,
    ) -> Result<Vec<Answer<InsertAnswer>>, Failure> {
        let mut sorted: Vec<&Self> = runs.to_vec();
        sorted.sort_unstable_by(|one, other| one.id().as_str().cmp(other.id().as_str()));
        let runs_of = |value: fn(&Self) -> &[u8]| -> Vec<&[u8]> {
            sorted.iter().map(|run| value(run)).collect()
        };
        let texts = |value: fn(&Self) -> &str| -> Vec<&str> {
            sorted.iter().map(|run| value(run)).collect()
        };
        let ids = runs_of(|run| run.id().as_str().as_bytes());
        let names = runs_of(|run| run.run.name.as_str().as_bytes());
        let topics = texts(|run| run.run.topic.as_str());
        let digests = texts(|run| &run.run.digest);
        let launches = runs_of(|run| &run.run.launch);
        let stays: Vec<bool> = sorted.iter().map(|run| run.run.unless_purged).collect();
        let dues: Vec<i64> = sorted.iter().map(|run| run.due_in).collect();
        let progress = Columns::of(sorted.iter().map(|run| &run.progress));
        let (mut plans, mut outputs) = (Lists::default(), Lists::default());
        for run in &sorted {
            plans.push(&run.steps);
            outputs.push(&run.outputs);
        }
        let parts = Parts {
            plans: !plans.all.is_empty(),
            outputs: !outputs.all.is_empty(),
            ..Parts::default()
        };
        let steps = plans.map(|step| step.as_bytes());
        let kept = Outputs::of(&outputs);
        let mut values: Vec<Value<'_>> = vec![
            &ids,
            &names,
            &topics,
            &digests,
            &progress.statuses,
            &progress.versions,
            &progress.stamps,
            &progress.looks,
            &progress.texts,
            &launches,
            &progress.positions,
            &stays,
            &progress.steps,
            &progress.updated,
        ];
        if parts.plans {
            values.extend([&plans.first as Value<'_>, &plans.count, &steps]);
        }
        if parts.outputs {
            values.extend([&outputs.first as Value<'_>, &outputs.count, &dues]);
            values.extend(kept.values());
        }
        let rows = session.rows(statements.insert(parts), &values).await?;
        let written = by_id(&rows)?;
        // The steps near a run that another transaction has just inserted are seen by a later statement only.
        let mut known = Vec::new();
        for run in &sorted {
            let id = run.id().as_str().as_bytes();
            if run.is_looked_up(written.get(id).copied())? {
                known.push(id);
            }
        }
        let looked = match known.is_empty() {
            true => Vec::new(),
            false => {
                let wanted: Vec<Option<i64>> = known.iter().map(|_| None).collect();
                session.rows(&statements.found, &[&known, &wanted]).await?
            }
        };
        let looked = by_id(&looked)?;
        let answer = |run: &&Self| {
            let id = run.id().as_str().as_bytes();
            let (row, found) = (written.get(id).copied(), looked.get(id).copied());
            let now = match (found, row) {
                (Some(found), _) => found.try_get(4)?,
                (None, Some(row)) => row.try_get(1)?,
                (None, None) => return Err(Failure::permanent("an insert has no answer")),
            };
            Ok(Answer {
                now: time(now),
                value: match found {
                    Some(found) => run.answer(FoundRow::of(found)?),
                    None if run.is_written(row)? => InsertAnswer::New,
                    None => InsertAnswer::Other,
                },
            })
        };
        runs.iter().map(answer).collect()
    }

    /// Says whether the run is new. An insert whose answer was lost is repeated, and finds its own row.
    fn is_written(&self, row: Option<&Row>) -> Result<bool, Failure> {
        let Some(row) = row else {
            return Ok(false);
        };
        let found: (i64, i64) = (row.try_get(5)?, row.try_get(6)?);
        let ours = (self.progress.version, self.progress.stamp);
        Ok(row.try_get(2)? || (ours.1 != 0 && found == ours))
    }

    /// Says whether the answer needs the state that the database has: the run was purged, or existed with the same content.
    fn is_looked_up(&self, row: Option<&Row>) -> Result<bool, Failure> {
        let Some(row) = row else {
            return Ok(true);
        };
        let (name, digest): (&[u8], &str) = (row.try_get(3)?, row.try_get(4)?);
        Ok(!self.is_written(Some(row))? && self.is_same(name, digest))
    }

    fn is_same(&self, name: &[u8], digest: &str) -> bool {
        name == self.run.name.as_str().as_bytes() && digest == self.run.digest
    }

    fn answer(&self, found: FoundRow) -> InsertAnswer {
        match found {
            FoundRow::Purged(tombstone) => match self.is_same(&tombstone.name, &tombstone.digest) {
                true => InsertAnswer::Purged(tombstone),
                false => InsertAnswer::Other,
            },
            found => InsertAnswer::Same(found),
        }
    }
}

/// The columns of the progress of each row of a group.
#[derive(Debug, Default)]
struct Columns<'a> {
    statuses: Vec<&'static str>,
    positions: Vec<i64>,
    steps: Vec<i64>,
    updated: Vec<i64>,
    versions: Vec<i64>,
    stamps: Vec<i64>,
    looks: Vec<Option<i64>>,
    texts: Vec<&'a [u8]>,
}

impl<'a> Columns<'a> {
    fn of(rows: impl Iterator<Item = &'a ProgressRow>) -> Self {
        let mut columns = Self::default();
        for row in rows {
            columns.statuses.push(row.status);
            columns.positions.push(row.position);
            columns.steps.push(row.steps);
            columns.updated.push(row.updated);
            columns.versions.push(row.version);
            columns.stamps.push(row.stamp);
            columns.looks.push(row.look_at);
            columns.texts.push(row.text.as_bytes());
        }
        columns
    }
}

/// Finds the rows of answers by the id in their first column.
fn by_id(rows: &[Row]) -> Result<BTreeMap<&[u8], &Row>, Failure> {
    let row = |row| Ok((Row::try_get(row, 0)?, row));
    rows.iter().map(row).collect()
}

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
            progress: ProgressRow::of(&write.progress)?,
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

    /// Returns the progress with which the run has ended, if the swap has written that.
    pub(super) fn ended_at(&self, answer: &Answer<SwapAnswer>) -> Option<Answer<String>> {
        let is_written = matches!(answer.value, SwapAnswer::Written(_));
        (is_written && self.progress.ended).then(|| Answer {
            now: answer.now,
            value: self.progress.text.clone(),
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

/// Marks outputs as published.
pub(super) async fn relay(
    mut outputs: Vec<&OutputId>,
    session: &Session,
    statements: &Statements,
) -> Result<(), Failure> {
    outputs.sort_unstable();
    let ids: Vec<&[u8]> = outputs
        .iter()
        .map(|output| output.run.as_str().as_bytes())
        .collect();
    let versions: Vec<i64> = outputs
        .iter()
        .map(|output| signed(output.version))
        .collect();
    let places: Vec<i64> = outputs.iter().map(|output| output.index.into()).collect();
    session
        .query(&statements.relay, &[&ids, &versions, &places])
        .await
        .map(drop)
}

/// Removes a run that has ended.
pub(super) async fn purge(
    id: &RunId,
    session: &Session,
    statements: &Statements,
    (channel, process): (&str, i64),
) -> Result<bool, Failure> {
    let rows = session
        .query(
            &statements.purge,
            &[&id.as_str().as_bytes(), &channel, &process],
        )
        .await?;
    Ok(!rows.is_empty())
}

/// Begins a life of an instance. Its number is at least the time, so that it grows also after a backup was restored.
pub(super) async fn register(
    instance: &str,
    session: &Session,
    statements: &Statements,
) -> Result<Answer<u64>, Failure> {
    let rows = session
        .query(&statements.register, &[&instance.as_bytes()])
        .await?;
    let row = rows
        .first()
        .ok_or_else(|| Failure::permanent("a registration has no answer"))?;
    let life: i64 = row.try_get(0)?;
    Ok(Answer {
        now: time(row.try_get(1)?),
        value: life.cast_unsigned(),
    })
}

/// Converts a wait to the milliseconds that a statement adds to the time of the database.
pub(super) fn wait(wait: Duration) -> i64 {
    let millis = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
    millis.min(i64::MAX / 4)
}

fn earliest_due(
    progress: &ProgressRow,
    outputs: &[RecordRow],
    now: Timestamp,
    due_in: i64,
) -> Option<i64> {
    let outputs = (!outputs.is_empty()).then(|| millis(now).saturating_add(due_in));
    progress.look_at.into_iter().chain(outputs).min()
}

fn size(outputs: &[RecordRow]) -> usize {
    let payload = |row: &RecordRow| row.payload.as_ref().map_or(0, Vec::len) + row.headers.len();
    outputs.iter().map(payload).sum()
}

fn steps(run: &RunId, plan: &[PlannedStep]) -> Vec<String> {
    let text = |step: &PlannedStep| {
        carried::encode(run, std::slice::from_ref(step))
            .as_str()
            .to_owned()
    };
    plan.iter().map(text).collect()
}

/// Reads a step that [`steps`] has encoded.
pub(super) fn read_step(text: &[u8], run: &RunId, position: u32) -> Result<PlannedStep, Error> {
    let raw = Raw::from_slice(text).ok();
    let read = raw.and_then(|raw| carried::split(&raw, run, position).ok());
    read.map(|(step, _)| step)
        .ok_or_else(|| unreadable(BACKEND, "a step"))
}
