//! Inserts of many runs by one statement.

use kser_core::store::NewRun;
use kser_core::{Error, RunId, Timestamp};
use tokio_postgres::Row;

use super::columns::{
    Answer, Columns, Lists, Outputs, ProgressRow, Value, by_id, earliest_due, size, steps, wait,
};
use super::failure::Failure;
use super::reads::{FoundRow, TombstoneRow};
use super::session::Query;
use super::statements::{Parts, Statements};
use crate::encoding::{RecordRow, time};

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
            progress: ProgressRow::of(&run.progress, false)?,
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
            &progress.outcomes,
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
