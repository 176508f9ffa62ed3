//! Short questions.

use kser_core::RunId;
use rusqlite::{Connection, OptionalExtension as _, Result, params};

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

/// Converts a limit to the number that a statement takes.
pub(super) fn whole(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
