//! The runs and the outputs that are due, and their claims.

use kser_core::store::{DueRun, Output, OutputId};
use kser_core::{Error, RunId, Topic};
use rusqlite::{Connection, Result, params};

use super::failure::BACKEND;
use super::lists::InfoRow;
use super::rows::read_step;
use crate::encoding::{RecordRow, unreadable};

/// A run that is due as its columns.
pub(super) struct DueRow {
    info: InfoRow,
    position: u32,
    here: Option<String>,
    next: Option<String>,
}

impl DueRow {
    pub(super) fn read(self) -> std::result::Result<DueRun, Error> {
        let id = self.info.id.clone();
        let read = |step: Option<String>, position: u32| {
            step.map(|step| read_step(&step, &id, position)).transpose()
        };
        let here = read(self.here, self.position)?;
        let next = read(self.next, self.position.saturating_add(1))?;
        Ok(DueRun::new(self.info.read()?, here, next))
    }
}

/// Says whether a run of a topic is due at `at`, which is rare.
pub(super) fn is_any_due(connection: &Connection, topic: &Topic, at: i64) -> Result<bool> {
    let mut find = connection.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM kser_runs WHERE topic = ?1 AND look_at IS NOT NULL AND look_at <= ?2)",
    )?;
    find.query_row(params![topic.as_str(), at], |row| row.get(0))
}

/// Lists the runs of a topic that are due at `at`, with their numbers.
pub(super) fn due(
    connection: &Connection,
    topic: &Topic,
    at: i64,
    limit: i64,
) -> Result<Vec<(i64, DueRow)>> {
    let mut list = connection.prepare_cached(
        "SELECT id, name, message, created, progress, (SELECT outcomes FROM kser_outcomes o WHERE o.run = r.number), position,
             (SELECT step FROM kser_steps s WHERE s.run = r.number AND s.position = r.position),
             (SELECT step FROM kser_steps s WHERE s.run = r.number AND s.position = r.position + 1), number
         FROM kser_runs r JOIN kser_launches ON run = number
         WHERE topic = ?1 AND look_at IS NOT NULL AND look_at <= ?2 ORDER BY look_at, number LIMIT ?3",
    )?;
    let due = list.query_map(params![topic.as_str(), at, limit], |row| {
        let due = DueRow {
            info: InfoRow::of(row)?,
            position: row.get(6)?,
            here: row.get(7)?,
            next: row.get(8)?,
        };
        Ok((row.get(9)?, due))
    })?;
    due.collect()
}

/// Returns the earliest time at which a run or an output is due. It asks the index once for each topic.
pub(super) fn earliest_due(connection: &Connection) -> Result<Option<i64>> {
    let mut find = connection.prepare_cached(
        "WITH RECURSIVE topics (topic) AS (
             SELECT min(topic) FROM kser_runs WHERE look_at IS NOT NULL
             UNION ALL
             SELECT (SELECT min(topic) FROM kser_runs WHERE look_at IS NOT NULL AND topic > topics.topic)
             FROM topics WHERE topic IS NOT NULL
         )
         SELECT min(due) FROM (
             SELECT (
                 SELECT min(look_at) FROM kser_runs WHERE look_at IS NOT NULL AND kser_runs.topic = topics.topic
             ) AS due FROM topics
             UNION ALL
             SELECT min(due) FROM kser_outputs
         )",
    )?;
    find.query_row((), |row| row.get(0))
}

/// An output as its columns.
pub(super) struct OutputRow {
    id: OutputId,
    record: RecordRow,
}

impl OutputRow {
    pub(super) fn read(self) -> std::result::Result<Output, Error> {
        let record = self.record.read();
        let record = record.ok_or_else(|| unreadable(BACKEND, "an output"))?;
        Ok(Output::new(self.id, record))
    }
}

/// Says whether an output is due at `at`, which is rare.
pub(super) fn is_any_output_due(connection: &Connection, at: i64) -> Result<bool> {
    let mut find =
        connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM kser_outputs WHERE due <= ?1)")?;
    find.query_row([at], |row| row.get(0))
}

/// Lists the outputs that are due at `at`, with their numbers.
pub(super) fn outputs_due(
    connection: &Connection,
    at: i64,
    limit: i64,
) -> Result<Vec<(i64, OutputRow)>> {
    let mut list = connection.prepare_cached(
        "SELECT r.id, o.version, o.place, o.topic, o.record_key, o.headers, o.payload, o.not_before, o.number
         FROM kser_outputs o JOIN kser_runs r ON r.number = o.run
         WHERE o.due <= ?1 ORDER BY o.due, o.number LIMIT ?2",
    )?;
    let outputs = list.query_map(params![at, limit], |row| {
        let output = OutputRow {
            id: OutputId {
                run: RunId::from(row.get_ref(0)?.as_str()?),
                version: row.get::<_, i64>(1)?.cast_unsigned(),
                index: row.get(2)?,
            },
            record: RecordRow {
                topic: row.get(3)?,
                key: row.get(4)?,
                headers: row.get(5)?,
                payload: row.get(6)?,
                not_before: row.get(7)?,
            },
        };
        Ok((row.get(8)?, output))
    })?;
    outputs.collect()
}

/// Lists the runs of a topic that are due at `at`, and claims them until `until`.
pub(super) fn claim(
    connection: &Connection,
    topic: &Topic,
    at: i64,
    limit: i64,
    until: i64,
) -> Result<Vec<DueRow>> {
    let due = due(connection, topic, at, limit)?;
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
    let due = outputs_due(connection, at, limit)?;
    let mut claim =
        connection.prepare_cached("UPDATE kser_outputs SET due = ?1 WHERE number = ?2")?;
    let mut rows = Vec::with_capacity(due.len());
    for (number, row) in due {
        claim.execute([until, number])?;
        rows.push(row);
    }
    Ok(rows)
}
