//! Removes runs that ended long ago.

use std::time::Duration;

use kser_core::Error;
use kser_core::sequencing::Progress;
use tokio_postgres::Row;

use super::PostgresStore;
use super::columns::wait;
use super::failure::BACKEND;
use super::reads::value;
use crate::encoding::read_progress;

/// The statuses of a run that has ended.
const ENDED: [&str; 3] = ["SUCCESS", "FAILED", "CANCELLED"];

/// The pages of runs that one sweep looks at, at most.
const MOST_PAGES: usize = 50;

/// A run that was launched before the age of the retention.
struct Old<'a> {
    id: &'a [u8],
    version: i64,
    progress: Progress,
}

impl<'a> Old<'a> {
    fn of(row: &'a Row) -> Result<Self, Error> {
        Ok(Self {
            id: value(row, 0)?,
            version: value(row, 1)?,
            progress: read_progress(BACKEND, value(row, 2)?, None)?,
        })
    }

    /// Says whether the run ended before `at`, and no attempt of it is under way.
    fn is_over(&self, at: i64) -> bool {
        let ended = i64::try_from(self.progress.updated().as_millis()).unwrap_or(i64::MAX);
        ended < at && !self.progress.is_started()
    }
}

/// Removes the runs that ended so long ago, at most as many as one sweep does.
pub(super) async fn remove_old(store: &PostgresStore, age: Duration) -> Result<(), Error> {
    let mut pages = 0;
    for status in ENDED {
        let mut after = (0, 0);
        while pages < MOST_PAGES {
            pages += 1;
            match remove_page(store, age, status, after).await? {
                Some(next) => after = next,
                None => break,
            }
        }
    }
    Ok(())
}

/// Looks at a page of the runs with a status, those launched first come first, and removes those that are over. Returns the place of
/// the next page.
async fn remove_page(
    store: &PostgresStore,
    age: Duration,
    status: &str,
    (created, number): (i64, i64),
) -> Result<Option<(i64, i64)>, Error> {
    let statements = &store.inner.database.statements;
    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
        [&status, &wait(age), &created, &number];
    let rows = store.read_rows(&statements.old, &values).await?;
    let Some(last) = rows.last() else {
        return Ok(None);
    };
    let mut over = Vec::new();
    for row in &rows {
        let old = Old::of(row)?;
        if old.is_over(value(row, 5)?) {
            over.push((old.id, old.version));
        }
    }
    // In the order of the ids, as all statements lock runs.
    over.sort_unstable();
    let (ids, versions): (Vec<&[u8]>, Vec<i64>) = over.into_iter().unzip();
    if !ids.is_empty() {
        store
            .read_rows(&statements.remove, &[&ids, &versions])
            .await?;
    }
    Ok(Some((value(last, 3)?, value(last, 4)?)))
}
