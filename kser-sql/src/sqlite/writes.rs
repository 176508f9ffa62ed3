//! The writes that are neither inserts nor swaps: purges, marks of published outputs, and lives of instances.

use kser_core::store::{OutputId, TOMBSTONE_KEPT};
use kser_core::{RunId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Result, params};

use super::waiters::{End, Wake};
use crate::encoding::{millis, signed};

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
    let mut find = connection.prepare_cached(
        "SELECT number FROM kser_runs WHERE id = ?1 AND status IN ('SUCCESS', 'FAILED', 'CANCELLED')",
    )?;
    let number = find.query_row([id.as_str()], |row| row.get::<_, i64>(0));
    let Some(number) = number.optional()? else {
        return Ok((false, Wake::default()));
    };
    let mut bury = connection.prepare_cached(
        "INSERT OR REPLACE INTO kser_tombstones SELECT id, name, digest, status, ?2 FROM kser_runs WHERE number = ?1",
    )?;
    bury.execute([number, millis(now)])?;
    let kept = i64::try_from(TOMBSTONE_KEPT.as_millis()).unwrap_or(i64::MAX);
    let mut forget = connection.prepare_cached(
        "DELETE FROM kser_tombstones WHERE id IN
             (SELECT id FROM kser_tombstones WHERE purged < ?1 ORDER BY purged LIMIT ?2)",
    )?;
    forget.execute([millis(now).saturating_sub(kept), FORGOTTEN])?;
    for sql in [
        "DELETE FROM kser_runs WHERE number = ?1",
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
