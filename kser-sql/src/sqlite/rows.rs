//! The rows of a run that an insert and a swap write.

use kser_core::sequencing::{PlannedStep, Progress, carried};
use kser_core::{Error, Raw, Record, RunId};
use rusqlite::{Connection, Result, params};

use super::failure::BACKEND;
use super::waiters::{End, Wake};
use crate::encoding::{ProgressText, RecordRow, millis, signed, unreadable};

/// A progress as its columns.
pub(super) struct ProgressRow {
    pub(super) status: &'static str,
    /// Whether the run has ended.
    pub(super) ended: bool,
    pub(super) position: u32,
    pub(super) steps: u32,
    pub(super) updated: i64,
    pub(super) version: i64,
    pub(super) stamp: i64,
    pub(super) look_at: Option<i64>,
    /// The time of the end of a run of which no attempt is under way.
    pub(super) finished: Option<i64>,
    pub(super) text: ProgressText,
}

impl ProgressRow {
    pub(super) fn of(
        progress: &Progress,
        keeps_outcomes: bool,
    ) -> std::result::Result<Self, Error> {
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

pub(super) fn steps(run: &RunId, plan: &[PlannedStep]) -> Vec<String> {
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

pub(super) fn rows(records: &[Record]) -> Vec<RecordRow> {
    records.iter().map(RecordRow::of).collect()
}

/// Writes the outcomes of a run.
pub(super) fn write_outcomes(connection: &Connection, number: i64, outcomes: &str) -> Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO kser_outcomes VALUES (?1, ?2)")?
        .execute(params![number, outcomes])?;
    Ok(())
}

/// Keeps the outcomes of a run that a program before the fourth migration has written last.
pub(super) fn keep_outcomes(connection: &Connection, number: i64) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO kser_outcomes SELECT number, progress FROM kser_runs WHERE number = ?1
             AND NOT EXISTS (SELECT 1 FROM kser_outcomes WHERE run = ?1)",
        )?
        .execute([number])?;
    Ok(())
}

pub(super) fn write_steps(connection: &Connection, number: i64, steps: &[String]) -> Result<()> {
    if steps.is_empty() {
        return Ok(());
    }
    let mut insert = connection.prepare_cached("INSERT INTO kser_steps VALUES (?1, ?2, ?3)")?;
    for (position, step) in (1_u32..).zip(steps) {
        insert.execute(params![number, position, step])?;
    }
    Ok(())
}

pub(super) fn write_outputs(
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

pub(super) fn wake(
    run: Option<&RunId>,
    progress: &ProgressRow,
    outputs: &[RecordRow],
    due: i64,
) -> Wake {
    let outputs = Some(due).filter(|_| !outputs.is_empty());
    Wake {
        run: run.cloned(),
        end: progress.ended.then(|| End::Ended(progress.text.clone())),
        due: progress.look_at.into_iter().chain(outputs).min(),
    }
}
