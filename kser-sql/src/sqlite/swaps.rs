//! Swaps of the progress of a run.

use kser_core::sequencing::Revision;
use kser_core::store::{Attempt, Write};
use kser_core::{Error, Outcome, RunId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Result, params};

use super::reads::step_text;
use super::rows::{
    ProgressRow, keep_outcomes, rows, steps, wake, write_outcomes, write_outputs, write_steps,
};
use super::standing::{FoundRow, found};
use super::waiters::Wake;
use crate::encoding::{RecordRow, json, millis, signed};

/// A swap.
pub(super) struct Swap {
    id: RunId,
    expected: (i64, i64),
    progress: ProgressRow,
    topic: Option<String>,
    steps: Option<Vec<String>>,
    attempt: Option<AttemptRow>,
    outputs: Vec<RecordRow>,
    due: i64,
    fetch: Option<u32>,
}

/// The answer of a swap.
pub(super) enum SwapAnswer {
    Written(Option<String>),
    Conflict(FoundRow),
}

impl Swap {
    pub(super) fn new(
        id: &RunId,
        expected: Revision,
        write: &Write,
        now: Timestamp,
    ) -> std::result::Result<Self, Error> {
        Ok(Self {
            id: id.clone(),
            expected: (signed(expected.version), signed(expected.stamp)),
            progress: ProgressRow::of(&write.progress, write.keeps_outcomes)?,
            topic: write.topic.as_ref().map(ToString::to_string),
            steps: write.plan.as_ref().map(|plan| steps(id, plan)),
            attempt: write.attempt.as_ref().map(AttemptRow::of).transpose()?,
            outputs: rows(&write.outputs),
            due: millis(now + write.outputs_due_in),
            fetch: write.fetch,
        })
    }

    pub(super) fn write(&self, connection: &Connection) -> Result<(SwapAnswer, Wake)> {
        let progress = &self.progress;
        let Some(number) = self.number(connection, self.expected)? else {
            return Ok((self.refused(connection)?, Wake::default()));
        };
        match &progress.text.outcomes {
            Some(outcomes) => write_outcomes(connection, number, outcomes)?,
            None => keep_outcomes(connection, number)?,
        }
        // `RETURNING` would make a table with a page cache of its own, of 87 KB, each time.
        connection
            .prepare_cached(
                "UPDATE kser_runs SET status = ?1, version = ?2, stamp = ?3, look_at = ?4, progress = ?5, topic = coalesce(?6, topic),
                     position = ?8, ended = ?9, steps = ?10, updated = ?11, noted = ?2
                 WHERE number = ?7",
            )?
            .execute(params![
                progress.status,
                progress.version,
                progress.stamp,
                progress.look_at,
                progress.text.progress,
                self.topic,
                number,
                progress.position,
                progress.finished,
                progress.steps,
                progress.updated,
            ])?;
        if let Some(steps) = &self.steps {
            connection
                .prepare_cached("DELETE FROM kser_steps WHERE run = ?1")?
                .execute([number])?;
            write_steps(connection, number, steps)?;
        }
        if let Some(attempt) = &self.attempt {
            attempt.write(connection, number, progress.version)?;
        }
        write_outputs(
            connection,
            number,
            progress.version,
            &self.outputs,
            self.due,
        )?;
        let wake = wake(Some(&self.id), progress, &self.outputs, self.due);
        Ok((SwapAnswer::Written(self.fetched(connection, number)?), wake))
    }

    /// Returns the number of the run, if it stands at a revision.
    fn number(&self, connection: &Connection, (version, stamp): (i64, i64)) -> Result<Option<i64>> {
        let mut find = connection.prepare_cached(
            "SELECT number FROM kser_runs WHERE id = ?1 AND version = ?2 AND stamp = ?3",
        )?;
        let number = find.query_row(params![self.id.as_str(), version, stamp], |row| row.get(0));
        number.optional()
    }

    /// Answers a swap that has not written now: it is repeated, or the run stands elsewhere.
    fn refused(&self, connection: &Connection) -> Result<SwapAnswer> {
        let ours = (self.progress.version, self.progress.stamp);
        let repeated = match ours.1 {
            0 => None,
            _ => self.number(connection, ours)?,
        };
        Ok(match repeated {
            Some(number) => SwapAnswer::Written(self.fetched(connection, number)?),
            None => SwapAnswer::Conflict(found(connection, &self.id)?),
        })
    }

    fn fetched(&self, connection: &Connection, number: i64) -> Result<Option<String>> {
        match self.fetch {
            Some(position) => step_text(connection, number, position),
            None => Ok(None),
        }
    }
}

/// An attempt as its columns.
struct AttemptRow {
    attempt: Attempt,
    outcome: String,
    by: Option<String>,
}

impl AttemptRow {
    fn of(attempt: &Attempt) -> std::result::Result<Self, Error> {
        let outcome: &Outcome = &attempt.outcome;
        Ok(Self {
            outcome: json(outcome)?,
            by: attempt.by.as_ref().map(json).transpose()?,
            attempt: attempt.clone(),
        })
    }

    fn write(&self, connection: &Connection, number: i64, version: i64) -> Result<()> {
        let attempt = &self.attempt;
        let mut insert = connection.prepare_cached(
            "INSERT INTO kser_attempts VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?;
        insert.execute(params![
            number,
            version,
            attempt.position,
            attempt.entrypoint.as_str(),
            attempt.attempt,
            attempt.started.map(millis),
            millis(attempt.ended),
            attempt.worker,
            attempt.status.as_str(),
            self.outcome,
            self.by,
        ])?;
        Ok(())
    }
}
