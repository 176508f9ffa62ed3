//! The rows of lists: of runs, and of the attempts at their steps.

use bytes::Bytes;
use kser_core::store::{Attempt, RunFilter, RunInfo};
use kser_core::{Error, RunId, Status};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Result, Row, params, params_from_iter};

use super::failure::BACKEND;
use super::reads::whole;
use super::standing::ProgressColumns;
use crate::encoding::{millis, time, unreadable};
use crate::pages::SummaryRow;

/// The description of a run as its columns.
pub(super) struct InfoRow {
    pub(super) id: RunId,
    name: String,
    launch: Vec<u8>,
    created: i64,
    progress: ProgressColumns,
}

const INFO: &str =
    "SELECT id, name, message, created, progress, (SELECT outcomes FROM kser_outcomes o WHERE o.run = r.number)
     FROM kser_runs r JOIN kser_launches ON run = number";

impl InfoRow {
    pub(super) fn of(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            id: RunId::from(row.get_ref(0)?.as_str()?),
            name: row.get(1)?,
            launch: row.get(2)?,
            created: row.get(3)?,
            progress: ProgressColumns::of(row, (4, 5))?,
        })
    }

    pub(super) fn read(self) -> std::result::Result<RunInfo, Error> {
        let progress = self.progress.read()?;
        let launch = Bytes::from(self.launch);
        Ok(RunInfo::new(
            self.id,
            self.name.into(),
            launch,
            time(self.created),
            progress,
        ))
    }
}

/// Returns the description of a run.
pub(super) fn run(connection: &Connection, id: &RunId) -> Result<Option<InfoRow>> {
    let mut find = connection.prepare_cached(&format!("{INFO} WHERE id = ?1"))?;
    find.query_row([id.as_str()], InfoRow::of).optional()
}

/// A row of a list.
pub(super) type Summary = SummaryRow<Vec<u8>>;

fn summary(row: &Row<'_>) -> Result<Summary> {
    let progress: Option<String> = row.get(8)?;
    Ok(Summary {
        id: RunId::from(row.get_ref(0)?.as_str()?),
        name: row.get(1)?,
        status: row.get(2)?,
        position: row.get(3)?,
        steps: row.get(4)?,
        updated: row.get(5)?,
        created: row.get(6)?,
        number: row.get(7)?,
        progress: progress.map(String::into_bytes),
    })
}

/// Makes the statement that selects `columns` of the runs that fit a filter, and its values. `?1` and `?2` are the place before which
/// the runs were launched, `?3` the time since which, `?4` the most rows.
///
/// Each status is looked up on its own, the latest first, so that no more rows are read than one page for each.
fn fitting(
    filter: &RunFilter,
    (created, number): (i64, i64),
    most: i64,
    (columns, order): (&str, &str),
) -> (String, Vec<Value>) {
    let from = filter.launched_from.map_or(0, millis);
    let mut values: Vec<Value> = [created, number, from, most].map(Value::from).into();
    let mut named = "";
    if let Some(name) = &filter.name {
        values.push(name.as_str().to_owned().into());
        named = "name = ?5 AND";
    }
    let of_status = |status: &Status| {
        format!(
            "SELECT * FROM (SELECT {columns} FROM kser_runs WHERE {named} status = '{status}'
                 AND (created, number) < (?1, ?2) AND created >= ?3 {order} LIMIT ?4)"
        )
    };
    let statuses: Vec<String> = filter.statuses().iter().map(of_status).collect();
    (statuses.join(" UNION ALL "), values)
}

/// Lists runs, the latest launched first: one more than a page has.
pub(super) fn list(
    connection: &Connection,
    filter: &RunFilter,
    place: (i64, i64),
) -> Result<Vec<Summary>> {
    const COLUMNS: &str = "id, name, status, position, steps, updated, created, number,
        CASE WHEN noted IS version THEN NULL ELSE progress END AS written";
    const ORDER: &str = "ORDER BY created DESC, number DESC";
    let most = whole(filter.page_size() + 1);
    let (fitting, values) = fitting(filter, place, most, (COLUMNS, ORDER));
    let sql = format!("SELECT * FROM ({fitting}) {ORDER} LIMIT ?4");
    let mut list = connection.prepare_cached(&sql)?;
    list.query_map(params_from_iter(values), summary)?.collect()
}

/// Counts runs, but no more than `most`.
pub(super) fn count(
    connection: &Connection,
    filter: &RunFilter,
    place: (i64, i64),
    most: i64,
) -> Result<i64> {
    let (fitting, values) = fitting(filter, place, most, ("1", ""));
    let sql = format!("SELECT count(*) FROM (SELECT 1 FROM ({fitting}) LIMIT ?4)");
    let mut count = connection.prepare_cached(&sql)?;
    count.query_row(params_from_iter(values), |row| row.get(0))
}

/// An attempt as its columns.
pub(super) struct AttemptRow {
    version: i64,
    position: u32,
    entrypoint: String,
    attempt: u32,
    started: Option<i64>,
    ended: i64,
    worker: String,
    status: String,
    outcome: String,
    by: Option<String>,
}

/// The attempts at the steps of the run `?1`.
const ATTEMPTS: &str =
    "SELECT position, entrypoint, attempt, started, ended, worker, status, outcome, intervention, version
     FROM kser_attempts WHERE run = (SELECT number FROM kser_runs WHERE id = ?1)";

impl AttemptRow {
    fn of(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            version: row.get(9)?,
            position: row.get(0)?,
            entrypoint: row.get(1)?,
            attempt: row.get(2)?,
            started: row.get(3)?,
            ended: row.get(4)?,
            worker: row.get(5)?,
            status: row.get(6)?,
            outcome: row.get(7)?,
            by: row.get(8)?,
        })
    }

    pub(super) fn read(self) -> std::result::Result<(i64, Attempt), Error> {
        let unreadable = || unreadable(BACKEND, "an attempt");
        let outcome = serde_json::from_str(&self.outcome).map_err(|_| unreadable())?;
        let mut attempt = Attempt::new(
            self.position,
            self.entrypoint.into(),
            self.attempt,
            time(self.ended),
            outcome,
        );
        attempt.started = self.started.map(time);
        attempt.worker = self.worker;
        attempt.status = self.status.parse().map_err(|_| unreadable())?;
        let by = self.by.as_deref().map(serde_json::from_str).transpose();
        attempt.by = by.map_err(|_| unreadable())?;
        Ok((self.version, attempt))
    }
}

/// Returns the attempts at the steps of a run that follow the version `after`.
pub(super) fn attempts(
    connection: &Connection,
    id: &RunId,
    after: i64,
    limit: i64,
) -> Result<Vec<AttemptRow>> {
    let which = "AND version > ?2 ORDER BY version LIMIT ?3";
    let mut list = connection.prepare_cached(&format!("{ATTEMPTS} {which}"))?;
    let attempts = list.query_map(params![id.as_str(), after, limit], AttemptRow::of)?;
    attempts.collect()
}

/// Returns the last attempts at the steps of a run, the latest first.
pub(super) fn latest_attempts(
    connection: &Connection,
    id: &RunId,
    limit: i64,
) -> Result<Vec<AttemptRow>> {
    let which = "ORDER BY version DESC LIMIT ?2";
    let mut list = connection.prepare_cached(&format!("{ATTEMPTS} {which}"))?;
    let attempts = list.query_map(params![id.as_str(), limit], AttemptRow::of)?;
    attempts.collect()
}

/// Returns the ids from `from` on, by their bytes.
pub(super) fn find(connection: &Connection, from: &str, limit: i64) -> Result<Vec<RunId>> {
    let sql = "SELECT id FROM kser_runs WHERE id >= ?1 ORDER BY id LIMIT ?2";
    let mut find = connection.prepare_cached(sql)?;
    let ids = find.query_map(params![from, limit], |row| {
        Ok(RunId::from(row.get_ref(0)?.as_str()?))
    })?;
    ids.collect()
}
