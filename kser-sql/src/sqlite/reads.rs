//! The statements that read.

use bytes::Bytes;
use kser_core::sequencing::Progress;
use kser_core::store::{
    Attempt, DueRun, Found, NewRun, Output, OutputId, RunFilter, RunInfo, Standing, Tombstone,
};
use kser_core::{Error, RunId, Status, Topic};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Result, Row, params, params_from_iter};

use super::failure::BACKEND;
use super::writes::read_step;
use crate::encoding::{RecordRow, millis, read_progress, time, unreadable};
use crate::pages::SummaryRow;

/// A progress as its columns.
struct ProgressColumns {
    progress: String,
    outcomes: Option<String>,
}

impl ProgressColumns {
    /// Takes the columns `progress` and `outcomes` from these places of a row.
    fn of(row: &Row<'_>, (progress, outcomes): (usize, usize)) -> Result<Self> {
        Ok(Self {
            progress: row.get(progress)?,
            outcomes: row.get(outcomes)?,
        })
    }

    fn read(&self) -> std::result::Result<Progress, Error> {
        let outcomes = self.outcomes.as_deref().map(str::as_bytes);
        read_progress(BACKEND, self.progress.as_bytes(), outcomes)
    }
}

/// The state of a run as its columns.
pub(super) struct StandingRow {
    progress: ProgressColumns,
    position: u32,
    here: Option<String>,
    next: Option<String>,
}

impl StandingRow {
    pub(super) fn read(self, id: &RunId) -> std::result::Result<Box<Standing>, Error> {
        let progress = self.progress.read()?;
        let read = |step: Option<String>, position: u32| {
            step.map(|step| read_step(&step, id, position)).transpose()
        };
        let here = read(self.here, self.position)?;
        let next = read(self.next, self.position.saturating_add(1))?;
        Ok(Box::new(Standing::new(progress, here, next)))
    }
}

/// The rest of a run as its columns.
pub(super) struct TombstoneRow {
    name: String,
    pub(super) digest: String,
    status: String,
    purged: i64,
}

impl TombstoneRow {
    pub(super) fn is_of(&self, run: &NewRun) -> bool {
        self.digest == run.digest && self.name == run.name.as_str()
    }

    pub(super) fn read(self) -> std::result::Result<Box<Tombstone>, Error> {
        let status = self.status.parse();
        let status = status.map_err(|_| unreadable(BACKEND, "the rest of a purged run"))?;
        let (name, purged) = (self.name.into(), time(self.purged));
        Ok(Box::new(Tombstone::new(name, self.digest, status, purged)))
    }
}

/// Returns the rest of a run that was purged.
pub(super) fn tombstone(connection: &Connection, id: &RunId) -> Result<Option<TombstoneRow>> {
    let mut find = connection
        .prepare_cached("SELECT name, digest, status, purged FROM kser_tombstones WHERE id = ?1")?;
    let found = find.query_row([id.as_str()], |row| {
        Ok(TombstoneRow {
            name: row.get(0)?,
            digest: row.get(1)?,
            status: row.get(2)?,
            purged: row.get(3)?,
        })
    });
    found.optional()
}

/// The state of an id as its columns.
pub(super) enum FoundRow {
    Stands(StandingRow),
    Purged(TombstoneRow),
    Unknown,
}

impl FoundRow {
    pub(super) fn read(self, id: &RunId) -> std::result::Result<Found, Error> {
        Ok(match self {
            Self::Stands(standing) => Found::Stands(standing.read(id)?),
            Self::Purged(tombstone) => Found::Purged(tombstone.read()?),
            Self::Unknown => Found::Unknown,
        })
    }
}

/// Returns the state of an id.
pub(super) fn found(connection: &Connection, id: &RunId) -> Result<FoundRow> {
    if let Some(standing) = standing(connection, id)? {
        return Ok(FoundRow::Stands(standing));
    }
    Ok(match tombstone(connection, id)? {
        Some(tombstone) => FoundRow::Purged(tombstone),
        None => FoundRow::Unknown,
    })
}

/// Returns the state of a run.
pub(super) fn standing(connection: &Connection, id: &RunId) -> Result<Option<StandingRow>> {
    let mut find = connection.prepare_cached(
        "SELECT progress, position,
             (SELECT step FROM kser_steps s WHERE s.run = r.number AND s.position = r.position),
             (SELECT step FROM kser_steps s WHERE s.run = r.number AND s.position = r.position + 1),
             (SELECT outcomes FROM kser_outcomes o WHERE o.run = r.number)
         FROM kser_runs r WHERE id = ?1",
    )?;
    let found = find.query_row([id.as_str()], |row| {
        Ok(StandingRow {
            progress: ProgressColumns::of(row, (0, 4))?,
            position: row.get(1)?,
            here: row.get(2)?,
            next: row.get(3)?,
        })
    });
    found.optional()
}

/// Returns the id of the store, which the first program has given it.
pub(super) fn store_id(connection: &Connection) -> Result<String> {
    let mut find =
        connection.prepare_cached("SELECT value FROM kser_meta WHERE name = 'store_id'")?;
    find.query_row((), |row| row.get(0))
}

/// Returns the version of a run.
pub(super) fn version(connection: &Connection, id: &RunId) -> Result<Option<i64>> {
    let mut find = connection.prepare_cached("SELECT version FROM kser_runs WHERE id = ?1")?;
    find.query_row([id.as_str()], |row| row.get(0)).optional()
}

/// Says whether a run has ended, or is gone.
pub(super) fn has_ended(connection: &Connection, id: &RunId) -> Result<bool> {
    let mut find = connection.prepare_cached(
        "SELECT coalesce((SELECT status IN ('SUCCESS', 'FAILED', 'CANCELLED') FROM kser_runs WHERE id = ?1), 1)",
    )?;
    find.query_row([id.as_str()], |row| row.get(0))
}

/// Returns a number that is another one after another connection, such as the one that writes, has changed the file.
pub(super) fn data_version(connection: &Connection) -> Result<i64> {
    let mut find = connection.prepare_cached("PRAGMA data_version")?;
    find.query_row((), |row| row.get(0))
}

/// Returns a step of the run with that number.
pub(super) fn step_text(
    connection: &Connection,
    number: i64,
    position: u32,
) -> Result<Option<String>> {
    let mut find = connection
        .prepare_cached("SELECT step FROM kser_steps WHERE run = ?1 AND position = ?2")?;
    find.query_row(params![number, position], |row| row.get(0))
        .optional()
}

/// Returns a step of a run.
pub(super) fn step(connection: &Connection, id: &RunId, position: u32) -> Result<Option<String>> {
    let mut find = connection.prepare_cached(
        "SELECT step FROM kser_steps WHERE run = (SELECT number FROM kser_runs WHERE id = ?1) AND position = ?2",
    )?;
    find.query_row(params![id.as_str(), position], |row| row.get(0))
        .optional()
}

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

/// The description of a run as its columns.
pub(super) struct InfoRow {
    id: RunId,
    name: String,
    launch: Vec<u8>,
    created: i64,
    progress: ProgressColumns,
}

const INFO: &str =
    "SELECT id, name, message, created, progress, (SELECT outcomes FROM kser_outcomes o WHERE o.run = r.number)
     FROM kser_runs r JOIN kser_launches ON run = number";

impl InfoRow {
    fn of(row: &Row<'_>) -> Result<Self> {
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

/// Converts a limit to the number that a statement takes.
pub(super) fn whole(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
