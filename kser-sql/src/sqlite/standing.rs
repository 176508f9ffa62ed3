//! The state of a run as it is stored, or what is left of a purged one.

use kser_core::sequencing::Progress;
use kser_core::store::{Found, NewRun, Standing, Tombstone};
use kser_core::{Error, RunId};
use rusqlite::{Connection, OptionalExtension as _, Result, Row};

use super::failure::BACKEND;
use super::rows::read_step;
use crate::encoding::{read_progress, time, unreadable};

/// A progress as its columns.
pub(super) struct ProgressColumns {
    progress: String,
    outcomes: Option<String>,
}

impl ProgressColumns {
    /// Takes the columns `progress` and `outcomes` from these places of a row.
    pub(super) fn of(row: &Row<'_>, (progress, outcomes): (usize, usize)) -> Result<Self> {
        Ok(Self {
            progress: row.get(progress)?,
            outcomes: row.get(outcomes)?,
        })
    }

    pub(super) fn read(&self) -> std::result::Result<Progress, Error> {
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
