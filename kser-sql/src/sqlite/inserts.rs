//! Inserts of runs.

use kser_core::store::NewRun;
use kser_core::{Error, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Result, params};

use super::rows::{ProgressRow, rows, steps, wake, write_outcomes, write_outputs, write_steps};
use super::standing::{StandingRow, TombstoneRow, standing, tombstone};
use super::waiters::Wake;
use crate::encoding::{RecordRow, millis};

/// A run that is inserted.
pub(super) struct Insert {
    run: NewRun,
    progress: ProgressRow,
    steps: Vec<String>,
    outputs: Vec<RecordRow>,
    created: i64,
    due: i64,
}

/// The answer of an insert.
pub(super) enum InsertAnswer {
    New,
    Same(StandingRow),
    Other,
    Purged(TombstoneRow),
}

impl Insert {
    pub(super) fn new(run: NewRun, now: Timestamp) -> std::result::Result<Self, Error> {
        NewRun::check_id(&run.id)?;
        Ok(Self {
            progress: ProgressRow::of(&run.progress, false)?,
            steps: steps(&run.id, &run.plan),
            outputs: rows(&run.outputs),
            created: millis(now),
            due: millis(now + run.outputs_due_in),
            run,
        })
    }

    pub(super) fn write(&self, connection: &Connection) -> Result<(InsertAnswer, Wake)> {
        let run = &self.run;
        let mut find =
            connection.prepare_cached("SELECT digest, name FROM kser_runs WHERE id = ?1")?;
        let is_same = find.query_row([run.id.as_str()], |row| {
            Ok(row.get_ref(0)?.as_str()? == run.digest
                && row.get_ref(1)?.as_str()? == run.name.as_str())
        });
        match is_same.optional()? {
            Some(true) => {
                let standing = standing(connection, &run.id)?;
                let standing = standing.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
                return Ok((InsertAnswer::Same(standing), Wake::default()));
            }
            Some(false) => return Ok((InsertAnswer::Other, Wake::default())),
            None => {}
        }
        match tombstone(connection, &run.id)? {
            Some(tombstone) if run.unless_purged => {
                let answer = match tombstone.is_of(run) {
                    true => InsertAnswer::Purged(tombstone),
                    false => InsertAnswer::Other,
                };
                return Ok((answer, Wake::default()));
            }
            Some(_) => {
                let mut forget =
                    connection.prepare_cached("DELETE FROM kser_tombstones WHERE id = ?1")?;
                forget.execute([run.id.as_str()])?;
            }
            None => {}
        }
        let progress = &self.progress;
        connection
            .prepare_cached(
                "INSERT INTO kser_runs (id, name, topic, digest, created, status, position, version, stamp, look_at, progress, ended,
                     steps, updated, noted)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?8)",
            )?
            .execute(params![
                run.id.as_str(),
                run.name.as_str(),
                run.topic.as_str(),
                run.digest,
                self.created,
                progress.status,
                progress.position,
                progress.version,
                progress.stamp,
                progress.look_at,
                progress.text.progress,
                progress.finished,
                progress.steps,
                progress.updated,
            ])?;
        let number = connection.last_insert_rowid();
        connection
            .prepare_cached("INSERT INTO kser_launches VALUES (?1, ?2)")?
            .execute(params![number, &run.launch[..]])?;
        if let Some(outcomes) = &progress.text.outcomes {
            write_outcomes(connection, number, outcomes)?;
        }
        write_steps(connection, number, &self.steps)?;
        write_outputs(
            connection,
            number,
            progress.version,
            &self.outputs,
            self.due,
        )?;
        Ok((
            InsertAnswer::New,
            wake(None, progress, &self.outputs, self.due),
        ))
    }
}
