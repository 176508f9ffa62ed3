//! The statements that write. All of them run in a transaction.

use kser_core::sequencing::{PlannedStep, Progress, Revision, carried};
use kser_core::store::{Attempt, NewRun, OutputId, TOMBSTONE_KEPT, Write};
use kser_core::{Error, Outcome, Raw, Record, RunId, Timestamp, Topic};
use rusqlite::{Connection, OptionalExtension as _, Result, params};

use super::failure::BACKEND;
use super::reads::{
    self, DueRow, FoundRow, OutputRow, StandingRow, TombstoneRow, found, standing, step_text,
    tombstone,
};
use super::waiters::{End, Wake};
use crate::encoding::{ProgressText, RecordRow, json, millis, signed, unreadable};

/// A progress as its columns.
pub(super) struct ProgressRow {
    status: &'static str,
    /// Whether the run has ended.
    ended: bool,
    position: u32,
    steps: u32,
    updated: i64,
    version: i64,
    stamp: i64,
    look_at: Option<i64>,
    /// The time of the end of a run of which no attempt is under way.
    finished: Option<i64>,
    text: ProgressText,
}

impl ProgressRow {
    fn of(progress: &Progress, keeps_outcomes: bool) -> std::result::Result<Self, Error> {
        let revision = progress.revision();
        Ok(Self {
            status: progress.status().as_str(),
            ended: progress.status().is_terminal(),
            position: progress.position(),
            steps: progress.steps(),
            updated: millis(progress.updated()),
            version: signed(revision.version),
            stamp: signed(revision.stamp),
            look_at: progress.check_at().map(millis),
            finished: (progress.status().is_terminal() && !progress.is_started())
                .then(|| millis(progress.updated())),
            text: ProgressText::of(progress, keeps_outcomes)?,
        })
    }
}

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
            insert_outcomes(connection, number, outcomes)?;
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
        // `RETURNING` would make a table for the rows, and a journal for the statement.
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

/// Lists the runs of a topic that are due at `at`, and claims them until `until`.
pub(super) fn claim(
    connection: &Connection,
    topic: &Topic,
    at: i64,
    limit: i64,
    until: i64,
) -> Result<Vec<DueRow>> {
    let due = reads::due(connection, topic, at, limit)?;
    let mut claim =
        connection.prepare_cached("UPDATE kser_runs SET look_at = ?1 WHERE number = ?2")?;
    let mut rows = Vec::with_capacity(due.len());
    for (number, row) in due {
        claim.execute([until, number])?;
        rows.push(row);
    }
    Ok(rows)
}

/// Lists the outputs that are due at `at`, and claims them until `until`.
pub(super) fn claim_outputs(
    connection: &Connection,
    at: i64,
    limit: i64,
    until: i64,
) -> Result<Vec<OutputRow>> {
    let due = reads::outputs_due(connection, at, limit)?;
    let mut claim =
        connection.prepare_cached("UPDATE kser_outputs SET due = ?1 WHERE number = ?2")?;
    let mut rows = Vec::with_capacity(due.len());
    for (number, row) in due {
        claim.execute([until, number])?;
        rows.push(row);
    }
    Ok(rows)
}

/// Marks an output as published.
pub(super) fn relayed(connection: &Connection, output: &OutputId) -> Result<()> {
    connection
        .prepare_cached(
            "DELETE FROM kser_outputs WHERE run = (SELECT number FROM kser_runs WHERE id = ?1) AND version = ?2 AND place = ?3",
        )?
        .execute(params![output.run.as_str(), signed(output.version), output.index])?;
    Ok(())
}

/// The old tombstones that a purge removes at most, so that it is short.
const FORGOTTEN: i64 = 8;

/// Removes a run that has ended, and leaves its tombstone.
pub(super) fn purge(connection: &Connection, id: &RunId, now: Timestamp) -> Result<(bool, Wake)> {
    let mut bury = connection.prepare_cached(
        "INSERT OR REPLACE INTO kser_tombstones SELECT id, name, digest, status, ?2 FROM kser_runs
         WHERE id = ?1 AND status IN ('SUCCESS', 'FAILED', 'CANCELLED')",
    )?;
    if bury.execute(params![id.as_str(), millis(now)])? == 0 {
        return Ok((false, Wake::default()));
    }
    let kept = i64::try_from(TOMBSTONE_KEPT.as_millis()).unwrap_or(i64::MAX);
    let mut forget = connection.prepare_cached(
        "DELETE FROM kser_tombstones WHERE id IN
             (SELECT id FROM kser_tombstones WHERE purged < ?1 ORDER BY purged LIMIT ?2)",
    )?;
    forget.execute([millis(now).saturating_sub(kept), FORGOTTEN])?;
    let mut delete = connection.prepare_cached(
        "DELETE FROM kser_runs WHERE id = ?1 AND status IN ('SUCCESS', 'FAILED', 'CANCELLED') RETURNING number",
    )?;
    let deleted = delete.query_row([id.as_str()], |row| row.get::<_, i64>(0));
    let Some(number) = deleted.optional()? else {
        return Ok((false, Wake::default()));
    };
    for sql in [
        "DELETE FROM kser_launches WHERE run = ?1",
        "DELETE FROM kser_outcomes WHERE run = ?1",
        "DELETE FROM kser_steps WHERE run = ?1",
        "DELETE FROM kser_attempts WHERE run = ?1",
        "DELETE FROM kser_outputs WHERE run = ?1",
    ] {
        connection.prepare_cached(sql)?.execute([number])?;
    }
    let wake = Wake {
        run: Some(id.clone()),
        end: Some(End::Removed),
        due: None,
    };
    Ok((true, wake))
}

/// The runs that one write removes at most, so that other writes need not wait for long.
const REMOVED: i64 = 100;

/// Removes runs that ended before `at` and have no output to relay. Returns how many, and whether there may be more.
pub(super) fn purge_ended(
    connection: &Connection,
    at: Timestamp,
    now: Timestamp,
) -> Result<(usize, bool)> {
    let mut list = connection.prepare_cached(
        "SELECT id FROM kser_runs r WHERE ended < ?1
         AND NOT EXISTS (SELECT 1 FROM kser_outputs o WHERE o.run = r.number) ORDER BY ended LIMIT ?2",
    )?;
    let ids = list.query_map([millis(at), REMOVED], |row| {
        Ok(RunId::from(row.get_ref(0)?.as_str()?))
    })?;
    let ids: Vec<RunId> = ids.collect::<Result<_>>()?;
    for id in &ids {
        purge(connection, id, now)?;
    }
    let is_full = i64::try_from(ids.len()) == Ok(REMOVED);
    Ok((ids.len(), is_full))
}

/// Begins a life of an instance. Its number is at least the time, so that it grows also after a backup was restored.
pub(super) fn register(connection: &Connection, instance: &str, now: i64) -> Result<u64> {
    let mut register = connection.prepare_cached(
        "INSERT INTO kser_instances VALUES (?1, ?2)
         ON CONFLICT DO UPDATE SET incarnation = max(incarnation + 1, excluded.incarnation) RETURNING incarnation",
    )?;
    let life: i64 = register.query_row(params![instance, now.max(1)], |row| row.get(0))?;
    Ok(life.cast_unsigned())
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
pub(super) fn read_step(
    text: &str,
    run: &RunId,
    position: u32,
) -> std::result::Result<PlannedStep, Error> {
    let raw = Raw::from_slice(text.as_bytes()).ok();
    let read = raw.and_then(|raw| carried::split(&raw, run, position).ok());
    read.map(|(step, _)| step)
        .ok_or_else(|| unreadable(BACKEND, "a step"))
}

fn rows(records: &[Record]) -> Vec<RecordRow> {
    records.iter().map(RecordRow::of).collect()
}

/// Writes the outcomes of a run. `INSERT OR REPLACE` would make a journal for the statement.
fn write_outcomes(connection: &Connection, number: i64, outcomes: &str) -> Result<()> {
    let written = connection
        .prepare_cached("UPDATE kser_outcomes SET outcomes = ?2 WHERE run = ?1")?
        .execute(params![number, outcomes])?;
    match written {
        0 => insert_outcomes(connection, number, outcomes),
        _ => Ok(()),
    }
}

fn insert_outcomes(connection: &Connection, number: i64, outcomes: &str) -> Result<()> {
    connection
        .prepare_cached("INSERT INTO kser_outcomes VALUES (?1, ?2)")?
        .execute(params![number, outcomes])?;
    Ok(())
}

/// Keeps the outcomes of a run that a program before the fourth migration has written last.
fn keep_outcomes(connection: &Connection, number: i64) -> Result<()> {
    let mut find = connection.prepare_cached("SELECT 1 FROM kser_outcomes WHERE run = ?1")?;
    if !find.exists([number])? {
        connection
            .prepare_cached(
                "INSERT INTO kser_outcomes SELECT number, progress FROM kser_runs WHERE number = ?1",
            )?
            .execute([number])?;
    }
    Ok(())
}

fn write_steps(connection: &Connection, number: i64, steps: &[String]) -> Result<()> {
    if steps.is_empty() {
        return Ok(());
    }
    let mut insert = connection.prepare_cached("INSERT INTO kser_steps VALUES (?1, ?2, ?3)")?;
    for (position, step) in (1_u32..).zip(steps) {
        insert.execute(params![number, position, step])?;
    }
    Ok(())
}

fn write_outputs(
    connection: &Connection,
    number: i64,
    version: i64,
    outputs: &[RecordRow],
    due: i64,
) -> Result<()> {
    if outputs.is_empty() {
        return Ok(());
    }
    let mut insert = connection.prepare_cached(
        "INSERT INTO kser_outputs (run, version, place, due, topic, record_key, headers, payload, not_before)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    for (place, row) in (0_u32..).zip(outputs) {
        insert.execute(params![
            number,
            version,
            place,
            due,
            row.topic,
            row.key,
            row.headers,
            row.payload,
            row.not_before,
        ])?;
    }
    Ok(())
}

fn wake(run: Option<&RunId>, progress: &ProgressRow, outputs: &[RecordRow], due: i64) -> Wake {
    let outputs = Some(due).filter(|_| !outputs.is_empty());
    Wake {
        run: run.cloned(),
        end: progress.ended.then(|| End::Ended(progress.text.clone())),
        due: progress.look_at.into_iter().chain(outputs).min(),
    }
}
