//! The values of the rows that are read.

use bytes::Bytes;
use kser_core::store::{Attempt, DueRun, Found, Output, OutputId, RunInfo, Standing, Tombstone};
use kser_core::{Error, RunId};
use tokio_postgres::Row;

use super::columns::read_step;
use super::failure::{BACKEND, Failure};
use crate::encoding::{RecordRow, read_progress, time, unreadable};
use crate::pages::SummaryRow;

/// The state of an id as its columns.
#[derive(Debug)]
pub(super) enum FoundRow {
    Stands {
        progress: Vec<u8>,
        outcomes: Option<Vec<u8>>,
        position: u32,
        here: Option<Vec<u8>>,
        next: Option<Vec<u8>>,
    },
    Purged(TombstoneRow),
    Unknown,
}

/// The rest of a run as its columns.
#[derive(Debug)]
pub(super) struct TombstoneRow {
    pub(super) name: Vec<u8>,
    pub(super) digest: String,
    status: String,
    purged: i64,
}

impl TombstoneRow {
    pub(super) fn read(self) -> Result<Box<Tombstone>, Error> {
        let unreadable = || unreadable(BACKEND, "the rest of a purged run");
        let name = String::from_utf8(self.name).map_err(|_| unreadable())?;
        let status = self.status.parse().map_err(|_| unreadable())?;
        let purged = time(self.purged);
        Ok(Box::new(Tombstone::new(
            name.into(),
            self.digest,
            status,
            purged,
        )))
    }
}

impl FoundRow {
    /// Takes the columns of the statement `found`.
    pub(super) fn of(row: &Row) -> Result<Self, Failure> {
        if let Some(progress) = row.try_get(3)? {
            let position: i64 = row.try_get(6)?;
            return Ok(Self::Stands {
                progress,
                outcomes: row.try_get(13)?,
                position: u32::try_from(position).unwrap_or(u32::MAX),
                here: row.try_get(7)?,
                next: row.try_get(8)?,
            });
        }
        Ok(match row.try_get(9)? {
            Some(name) => Self::Purged(TombstoneRow {
                name,
                digest: row.try_get(10)?,
                status: row.try_get(11)?,
                purged: row.try_get(12)?,
            }),
            None => Self::Unknown,
        })
    }

    pub(super) fn read(self, id: &RunId) -> Result<Found, Error> {
        Ok(match self {
            Self::Stands {
                progress,
                outcomes,
                position,
                here,
                next,
            } => {
                let read = |step: Option<Vec<u8>>, position: u32| {
                    step.map(|step| read_step(&step, id, position)).transpose()
                };
                let here = read(here, position)?;
                let next = read(next, position.saturating_add(1))?;
                let progress = read_progress(BACKEND, &progress, outcomes.as_deref())?;
                Found::Stands(Box::new(Standing::new(progress, here, next)))
            }
            Self::Purged(tombstone) => Found::Purged(tombstone.read()?),
            Self::Unknown => Found::Unknown,
        })
    }
}

/// Reads a text that is stored as bytes.
fn text(row: &Row, column: usize, what: &'static str) -> Result<String, Error> {
    let bytes: &[u8] = value(row, column)?;
    let text = std::str::from_utf8(bytes).map_err(|_| unreadable(BACKEND, what))?;
    Ok(text.to_owned())
}

/// Reads a value of a row.
pub(super) fn value<'a, T: tokio_postgres::types::FromSql<'a>>(
    row: &'a Row,
    column: usize,
) -> Result<T, Error> {
    row.try_get(column)
        .map_err(|error| Failure::from(error).into())
}

/// Reads the id of a run, which is stored as bytes.
pub(super) fn run_id(bytes: &[u8]) -> Result<RunId, Error> {
    let text = std::str::from_utf8(bytes).map_err(|_| unreadable(BACKEND, "the id of a run"))?;
    Ok(RunId::from(text))
}

/// Reads an output.
pub(super) fn output(row: &Row) -> Result<Output, Error> {
    let record = RecordRow {
        topic: value(row, 4)?,
        key: value(row, 5)?,
        headers: value(row, 6)?,
        payload: value(row, 7)?,
        not_before: value(row, 8)?,
    };
    let id = OutputId {
        run: run_id(value(row, 1)?)?,
        version: value::<i64>(row, 2)?.cast_unsigned(),
        index: number(row, 3)?,
    };
    let record = record
        .read()
        .ok_or_else(|| unreadable(BACKEND, "an output"))?;
    Ok(Output::new(id, record))
}

/// Reads the description of a run.
pub(super) fn info(row: &Row) -> Result<RunInfo, Error> {
    let launch: &[u8] = value(row, 2)?;
    Ok(RunInfo::new(
        run_id(value(row, 0)?)?,
        text(row, 1, "the name of an operation")?.into(),
        Bytes::copy_from_slice(launch),
        time(value(row, 3)?),
        read_progress(BACKEND, value(row, 4)?, value(row, 5)?)?,
    ))
}

/// Reads a run that is due; `None` for the row that only tells the time.
pub(super) fn due(row: &Row) -> Result<Option<DueRun>, Error> {
    if value::<Option<&[u8]>>(row, 0)?.is_none() {
        return Ok(None);
    }
    let info = info(row)?;
    let position = number(row, 6)?;
    let read = |step: Option<&[u8]>, position: u32| {
        step.map(|step| read_step(step, &info.id, position))
            .transpose()
    };
    let here = read(value(row, 7)?, position)?;
    let next = read(value(row, 8)?, position.saturating_add(1))?;
    Ok(Some(DueRun::new(info, here, next)))
}

/// Reads a row of a list.
pub(super) fn summary(row: &Row) -> Result<SummaryRow<Vec<u8>>, Error> {
    Ok(SummaryRow {
        id: run_id(value(row, 0)?)?,
        name: text(row, 1, "the name of an operation")?,
        status: value(row, 2)?,
        position: value(row, 3)?,
        steps: value(row, 4)?,
        updated: value(row, 5)?,
        created: value(row, 6)?,
        number: value(row, 7)?,
        progress: value(row, 8)?,
    })
}

/// Reads an attempt, with its version.
pub(super) fn attempt(row: &Row) -> Result<(i64, Attempt), Error> {
    let unreadable = || unreadable(BACKEND, "an attempt");
    let outcome = serde_json::from_slice(value(row, 7)?).map_err(|_| unreadable())?;
    let entrypoint = text(row, 1, "the name of a task")?;
    let mut attempt = Attempt::new(
        number(row, 0)?,
        entrypoint.into(),
        number(row, 2)?,
        time(value(row, 4)?),
        outcome,
    );
    attempt.started = value::<Option<i64>>(row, 3)?.map(time);
    attempt.worker = text(row, 5, "the name of a consumer")?;
    attempt.status = value::<&str>(row, 6)?.parse().map_err(|_| unreadable())?;
    let by: Option<&[u8]> = value(row, 8)?;
    let by = by.map(serde_json::from_slice).transpose();
    attempt.by = by.map_err(|_| unreadable())?;
    Ok((value(row, 9)?, attempt))
}

fn number(row: &Row, column: usize) -> Result<u32, Error> {
    let number: i64 = value(row, column)?;
    u32::try_from(number).map_err(|_| unreadable(BACKEND, "a number"))
}
