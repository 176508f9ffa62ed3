//! The values of the rows that are read.

use bytes::Bytes;
use kser_core::sequencing::Progress;
use kser_core::store::{Attempt, Output, OutputId, RunInfo};
use kser_core::{Error, RunId};
use tokio_postgres::Row;

use super::failure::{BACKEND, Failure};
use crate::encoding::{RecordRow, time, unreadable};

/// Reads a progress as it is stored.
pub(super) fn read_progress(text: &[u8]) -> Result<Progress, Error> {
    serde_json::from_slice(text).map_err(|_| unreadable(BACKEND, "the progress of a run"))
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
        read_progress(value(row, 4)?)?,
    ))
}

/// Reads an attempt.
pub(super) fn attempt(row: &Row) -> Result<Attempt, Error> {
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
    Ok(attempt)
}

fn number(row: &Row, column: usize) -> Result<u32, Error> {
    let number: i64 = value(row, column)?;
    u32::try_from(number).map_err(|_| unreadable(BACKEND, "a number"))
}
