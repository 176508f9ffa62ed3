//! The pages of lists, from their rows.

use kser_core::sequencing::Progress;
use kser_core::store::{Attempt, Cursor, Page, RunFilter, RunSummary, page_size};
use kser_core::{Error, RunId};

use crate::encoding::{millis, time, unreadable};

/// Reads a number that grows from a column.
pub(crate) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

/// The place at which a page begins, as the columns `created` and `number`: the rows of the page have smaller ones.
pub(crate) fn place(filter: &RunFilter) -> Result<(i64, i64), Error> {
    let (created, number) = filter.place()?;
    Ok((millis(created), i64::try_from(number).unwrap_or(i64::MAX)))
}

/// A row of a list as its columns.
#[derive(Debug)]
pub(crate) struct SummaryRow<T> {
    pub(crate) id: RunId,
    pub(crate) name: String,
    pub(crate) status: String,
    pub(crate) position: i64,
    pub(crate) created: i64,
    pub(crate) number: i64,
    pub(crate) steps: Option<i64>,
    pub(crate) updated: Option<i64>,
    /// The progress, where the columns are not those of the last write: a program that did not know them has written the row.
    pub(crate) progress: Option<T>,
}

impl<T: AsRef<[u8]>> SummaryRow<T> {
    pub(crate) fn read(self, backend: &'static str) -> Result<RunSummary, Error> {
        let unreadable = || unreadable(backend, "a run of a list");
        let (name, created) = (self.name.into(), time(self.created));
        if let Some(progress) = &self.progress {
            let progress: Progress =
                serde_json::from_slice(progress.as_ref()).map_err(|_| unreadable())?;
            return Ok(RunSummary::new(self.id, name, created, &progress));
        }
        let number = |column: i64| u32::try_from(column).map_err(|_| unreadable());
        let status = self.status.parse().map_err(|_| unreadable())?;
        let steps = number(self.steps.unwrap_or_default())?;
        let position = number(self.position)?;
        let updated = time(self.updated.unwrap_or_default());
        let (id, times) = (self.id, (created, updated));
        Ok(RunSummary::from_columns(
            id,
            name,
            status,
            (position, steps),
            times,
        ))
    }

    /// Makes a page of rows, of which there may be one more than it has.
    pub(crate) fn page(
        rows: Vec<Self>,
        filter: &RunFilter,
        backend: &'static str,
    ) -> Result<Page<RunSummary>, Error> {
        let cursor = |row: &Self| filter.cursor(time(row.created), unsigned(row.number));
        let page = Page::of(rows, filter.page_size(), cursor);
        let rows: Result<Vec<RunSummary>, Error> =
            page.rows.into_iter().map(|row| row.read(backend)).collect();
        Ok(Page::new(rows?, page.next))
    }
}

/// Makes a page of attempts and their versions, of which there may be one more than it has.
pub(crate) fn attempts_page(rows: Vec<(i64, Attempt)>, run: &RunId, limit: usize) -> Page<Attempt> {
    let cursor = |(version, _): &(i64, Attempt)| Cursor::after_attempt(run, unsigned(*version));
    Page::of(rows, page_size(limit), cursor).map(|(_, attempt)| attempt)
}

/// Reads the version of the attempt that a cursor follows; that of no attempt without one.
pub(crate) fn attempt_place(run: &RunId, after: Option<&Cursor>) -> Result<i64, Error> {
    let version = after.map_or(Ok(0), |cursor| cursor.attempt(run))?;
    Ok(i64::try_from(version).unwrap_or(i64::MAX))
}
