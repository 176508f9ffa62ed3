use std::fmt;

use serde::Serialize;

use super::cursor::Cursor;
use super::rows::RunInfo;
use crate::sequencing::Progress;
use crate::{Error, Name, RunId, Status, Timestamp};

/// The most rows of a page, whatever its limit is, so that a page stays small.
pub const LARGEST_PAGE: usize = 1_000;

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Page<T> {
    /// The rows, in the order of the list.
    pub rows: Vec<T>,
    /// The cursor of the next page; `None` at the end of the list.
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    /// Makes a page from its parts.
    #[must_use]
    pub const fn new(rows: Vec<T>, next: Option<Cursor>) -> Self {
        Self { rows, next }
    }

    /// Makes a page of `limit` rows at most from rows of which there may be one more: it shows that the list goes on. `cursor` makes
    /// the cursor that follows a row.
    #[must_use]
    pub fn of(mut rows: Vec<T>, limit: usize, cursor: impl FnOnce(&T) -> Cursor) -> Self {
        let goes_on = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| goes_on).map(cursor);
        Self { rows, next }
    }

    /// Changes each row.
    #[must_use]
    pub fn map<U>(self, row: impl FnMut(T) -> U) -> Page<U> {
        Page {
            rows: self.rows.into_iter().map(row).collect(),
            next: self.next,
        }
    }
}

/// Converts the limit of a page to the number of its rows: 1 to [`LARGEST_PAGE`].
#[must_use]
pub fn page_size(limit: usize) -> usize {
    limit.clamp(1, LARGEST_PAGE)
}

/// A row of a list: a run without its launch message, its params and its outcomes.
///
/// Displays as one line: id, entrypoint, status, step and the time of the last change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RunSummary {
    /// The id of the run.
    pub id: RunId,
    /// The operation's entrypoint.
    pub name: Name,
    /// The status.
    pub status: Status,
    /// The position of the step at which the run stands, counted from 1; 0 is the build, one past the last the end.
    pub position: u32,
    /// The number of steps; 0 while it is not known.
    pub steps: u32,
    /// The time of the launch, by the clock of the store.
    pub created: Timestamp,
    /// The time of the last change.
    pub updated: Timestamp,
}

impl RunSummary {
    /// Makes the row of a run that was launched at `created` and stands at `progress`.
    #[must_use]
    pub const fn new(id: RunId, name: Name, created: Timestamp, progress: &Progress) -> Self {
        Self {
            id,
            name,
            status: progress.status(),
            position: progress.position(),
            steps: progress.steps(),
            created,
            updated: progress.updated(),
        }
    }

    /// Makes the row from the columns of a table: the status, the position and the number of steps, the times of the launch and of
    /// the last change.
    #[must_use]
    pub const fn from_columns(
        id: RunId,
        name: Name,
        status: Status,
        (position, steps): (u32, u32),
        (created, updated): (Timestamp, Timestamp),
    ) -> Self {
        Self {
            id,
            name,
            status,
            position,
            steps,
            created,
            updated,
        }
    }
}

impl From<&RunInfo> for RunSummary {
    fn from(info: &RunInfo) -> Self {
        let (id, name) = (info.id.clone(), info.name.clone());
        Self::new(id, name, info.created, &info.progress)
    }
}

impl fmt::Display for RunSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} ", self.id, self.name, self.status)?;
        match self.steps {
            0 => f.write_str("not built")?,
            steps => write!(f, "step {} of {steps}", self.position.min(steps))?,
        }
        write!(f, ", changed {}", self.updated)
    }
}

/// A filter for the list of runs.
///
/// ```
/// use kser_core::Status;
/// use kser_core::store::RunFilter;
///
/// let failed = RunFilter::default().with_name("shop.Order").with_status(Status::Failed);
/// assert_eq!(failed.limit, 100);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunFilter {
    /// The operation of the runs; `None` for any.
    pub name: Option<Name>,
    /// The status of the runs; `None` for any.
    pub status: Option<Status>,
    /// The time since which the runs were launched; `None` for any.
    pub launched_from: Option<Timestamp>,
    /// The time before which the runs were launched; `None` for any.
    pub launched_until: Option<Timestamp>,
    /// The cursor of the page, from the page before; `None` for the first page.
    pub after: Option<Cursor>,
    /// The largest number of runs of a page. Defaults to 100; a page has [`LARGEST_PAGE`] at most, and one at least.
    pub limit: usize,
}

impl Default for RunFilter {
    fn default() -> Self {
        Self {
            name: None,
            status: None,
            launched_from: None,
            launched_until: None,
            after: None,
            limit: 100,
        }
    }
}

impl RunFilter {
    /// Lists runs of this operation only.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<Name>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Lists runs with this status only.
    #[must_use]
    pub const fn with_status(mut self, status: Status) -> Self {
        self.status = Some(status);
        self
    }

    /// Lists runs only that were launched at `from` or later, and before `until`; `None` sets no bound.
    #[must_use]
    pub const fn with_launched(
        mut self,
        from: Option<Timestamp>,
        until: Option<Timestamp>,
    ) -> Self {
        self.launched_from = from;
        self.launched_until = until;
        self
    }

    /// Lists the page that follows a cursor, with the same filter as the page before. `None` is the first page.
    #[must_use]
    pub fn with_after(mut self, after: Option<Cursor>) -> Self {
        self.after = after;
        self
    }

    /// Lists at most so many runs in a page.
    #[must_use]
    pub const fn with_limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Returns the statuses of the runs.
    #[must_use]
    pub fn statuses(&self) -> Vec<Status> {
        match self.status {
            Some(status) => vec![status],
            None => Status::ALL.to_vec(),
        }
    }

    /// Returns the number of rows of a page.
    #[must_use]
    pub fn page_size(&self) -> usize {
        page_size(self.limit)
    }

    /// Makes the cursor that follows a run, which was launched at `created`. Of runs with one time the store tells by a number, 1
    /// or more, which is the latest first.
    #[must_use]
    pub fn cursor(&self, created: Timestamp, number: u64) -> Cursor {
        Cursor::new(&self.scope(), (created.as_millis(), number))
    }

    /// Returns the place before which the runs of the page were launched: a time and a number, of which each run has a smaller pair.
    /// It is that of the cursor, or the end of the time in which the runs were launched.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for a cursor of another filter.
    pub fn place(&self) -> Result<(Timestamp, u64), Error> {
        let end = match self.launched_until {
            Some(until) => (until, 0),
            None => (Timestamp::from_millis(u64::MAX), u64::MAX),
        };
        Ok(match &self.after {
            Some(cursor) => {
                let (created, number) = cursor.place(&self.scope())?;
                end.min((Timestamp::from_millis(created), number))
            }
            None => end,
        })
    }

    /// Returns a text that differs for filters that differ.
    fn scope(&self) -> String {
        let launched = (self.launched_from, self.launched_until);
        format!("runs {:?}", (&self.name, self.status, launched))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn a_page_ends_at_its_limit_and_knows_whether_the_list_goes_on() {
        let cursor = |number: &u64| Cursor::new("numbers", (*number, 0));
        let page = Page::of(vec![9, 8, 7], 2, cursor);
        assert_eq!(page, Page::new(vec![9, 8], Some(cursor(&8))));
        assert_eq!(Page::of(vec![9, 8], 2, cursor).next, None);
        assert_eq!(Page::of(Vec::new(), 2, cursor).next, None);
        assert_eq!(
            [page_size(0), page_size(7), page_size(usize::MAX)],
            [1, 7, LARGEST_PAGE]
        );
    }

    #[test]
    fn each_part_of_a_filter_makes_another_list() {
        let plain = RunFilter::default();
        let filters = [
            plain.clone().with_name("Some(Failed)"),
            plain.clone().with_status(Status::Failed),
            plain.clone().with_launched(Some(at(1)), None),
            plain.clone().with_launched(None, Some(at(1))),
        ];
        for (index, filter) in filters.iter().enumerate() {
            let cursor = filter.cursor(at(5), 7);
            let same = filter
                .clone()
                .with_limit(3)
                .with_after(Some(cursor.clone()));
            assert!(same.place().is_ok(), "the limit may change");
            let others = filters
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != index);
            for (_, other) in others.chain([(9, &plain)]) {
                let error = other.clone().with_after(Some(cursor.clone())).place();
                let error = error.unwrap_err();
                assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
                assert!(error.to_string().contains("another filter"), "{error}");
            }
        }
    }

    #[test]
    fn a_page_begins_at_its_cursor_or_at_the_end_of_the_time() {
        let until = RunFilter::default().with_launched(None, Some(at(9)));
        assert_eq!(until.place().unwrap(), (at(9), 0));
        let cursor = until.cursor(at(5), 7);
        assert_eq!(until.with_after(Some(cursor)).place().unwrap(), (at(5), 7));
    }
}
