//! The values of statements that write many rows at once.

use std::collections::BTreeMap;
use std::time::Duration;

use kser_core::sequencing::{PlannedStep, Progress, carried};
use kser_core::{Error, Raw, RunId, Timestamp};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::failure::{BACKEND, Failure};
use crate::encoding::{ProgressText, RecordRow, millis, signed, unreadable};

/// A value of a statement.
pub(super) type Value<'a> = &'a (dyn ToSql + Sync);

/// An answer, with the time of the database.
#[derive(Debug, Clone)]
pub(super) struct Answer<T> {
    pub(super) now: Timestamp,
    pub(super) value: T,
}

impl<T> Answer<T> {
    /// Changes the value, which may fail.
    pub(super) fn try_map<U, E>(self, map: impl FnOnce(T) -> Result<U, E>) -> Result<Answer<U>, E> {
        Ok(Answer {
            now: self.now,
            value: map(self.value)?,
        })
    }
}

/// A progress as its columns.
#[derive(Debug)]
pub(super) struct ProgressRow {
    pub(super) status: &'static str,
    /// Whether the run has ended.
    pub(super) ended: bool,
    pub(super) position: i64,
    pub(super) steps: i64,
    pub(super) updated: i64,
    pub(super) version: i64,
    pub(super) stamp: i64,
    pub(super) look_at: Option<i64>,
    pub(super) text: ProgressText,
}

impl ProgressRow {
    pub(super) fn of(progress: &Progress, keeps_outcomes: bool) -> Result<Self, Error> {
        let revision = progress.revision();
        Ok(Self {
            status: progress.status().as_str(),
            ended: progress.status().is_terminal(),
            position: progress.position().into(),
            steps: progress.steps().into(),
            updated: millis(progress.updated()),
            version: signed(revision.version),
            stamp: signed(revision.stamp),
            look_at: progress.check_at().map(millis),
            text: ProgressText::of(progress, keeps_outcomes)?,
        })
    }
}

/// The columns of a group: the values of each row, and for values of which a row has several, the place of its first one.
#[derive(Debug)]
pub(super) struct Lists<'a, T> {
    pub(super) first: Vec<i64>,
    pub(super) count: Vec<i64>,
    pub(super) all: Vec<&'a T>,
}

impl<T> Default for Lists<'_, T> {
    fn default() -> Self {
        Self {
            first: Vec::new(),
            count: Vec::new(),
            all: Vec::new(),
        }
    }
}

impl<'a, T> Lists<'a, T> {
    pub(super) fn push(&mut self, row: &'a [T]) {
        // SQL counts from 1.
        self.first.push(whole(self.all.len() + 1));
        self.count.push(whole(row.len()));
        self.all.extend(row);
    }

    pub(super) fn map<U>(&self, value: impl Fn(&'a T) -> U) -> Vec<U> {
        self.all.iter().map(|one| value(one)).collect()
    }
}

/// Converts a number to the one that a statement takes.
pub(super) fn whole(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The columns of the outputs of a group.
pub(super) struct Outputs<'a> {
    pub(super) topics: Vec<&'a str>,
    pub(super) keys: Vec<Option<&'a [u8]>>,
    pub(super) headers: Vec<&'a [u8]>,
    pub(super) payloads: Vec<Option<&'a [u8]>>,
    pub(super) not_before: Vec<Option<i64>>,
}

impl<'a> Outputs<'a> {
    pub(super) fn of(rows: &Lists<'a, RecordRow>) -> Self {
        Self {
            topics: rows.map(|row| row.topic.as_str()),
            keys: rows.map(|row| row.key.as_deref()),
            headers: rows.map(|row| &row.headers[..]),
            payloads: rows.map(|row| row.payload.as_deref()),
            not_before: rows.map(|row| row.not_before),
        }
    }

    pub(super) fn values(&self) -> [Value<'_>; 5] {
        [
            &self.topics,
            &self.keys,
            &self.headers,
            &self.payloads,
            &self.not_before,
        ]
    }
}

/// The columns of the progress of each row of a group.
#[derive(Debug, Default)]
pub(super) struct Columns<'a> {
    pub(super) statuses: Vec<&'static str>,
    pub(super) positions: Vec<i64>,
    pub(super) steps: Vec<i64>,
    pub(super) updated: Vec<i64>,
    pub(super) versions: Vec<i64>,
    pub(super) stamps: Vec<i64>,
    pub(super) looks: Vec<Option<i64>>,
    pub(super) texts: Vec<&'a [u8]>,
    pub(super) outcomes: Vec<Option<&'a [u8]>>,
}

impl<'a> Columns<'a> {
    pub(super) fn of(rows: impl Iterator<Item = &'a ProgressRow>) -> Self {
        let mut columns = Self::default();
        for row in rows {
            columns.statuses.push(row.status);
            columns.positions.push(row.position);
            columns.steps.push(row.steps);
            columns.updated.push(row.updated);
            columns.versions.push(row.version);
            columns.stamps.push(row.stamp);
            columns.looks.push(row.look_at);
            columns.texts.push(row.text.progress.as_bytes());
            let outcomes = row.text.outcomes.as_deref();
            columns.outcomes.push(outcomes.map(str::as_bytes));
        }
        columns
    }
}

/// Finds the rows of answers by the id in their first column.
pub(super) fn by_id(rows: &[Row]) -> Result<BTreeMap<&[u8], &Row>, Failure> {
    let row = |row| Ok((Row::try_get(row, 0)?, row));
    rows.iter().map(row).collect()
}

/// Converts a wait to the milliseconds that a statement adds to the time of the database.
pub(super) fn wait(wait: Duration) -> i64 {
    let millis = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
    millis.min(i64::MAX / 4)
}

pub(super) fn earliest_due(
    progress: &ProgressRow,
    outputs: &[RecordRow],
    now: Timestamp,
    due_in: i64,
) -> Option<i64> {
    let outputs = (!outputs.is_empty()).then(|| millis(now).saturating_add(due_in));
    progress.look_at.into_iter().chain(outputs).min()
}

pub(super) fn size(outputs: &[RecordRow]) -> usize {
    let payload = |row: &RecordRow| row.payload.as_ref().map_or(0, Vec::len) + row.headers.len();
    outputs.iter().map(payload).sum()
}

pub(super) fn steps(run: &RunId, plan: &[PlannedStep]) -> Vec<String> {
    let text = |step: &PlannedStep| {
        carried::encode(run, std::slice::from_ref(step))
            .as_str()
            .to_owned()
    };
    plan.iter().map(text).collect()
}

/// Reads a step that [`steps`] has encoded.
pub(super) fn read_step(text: &[u8], run: &RunId, position: u32) -> Result<PlannedStep, Error> {
    let raw = Raw::from_slice(text).ok();
    let read = raw.and_then(|raw| carried::split(&raw, run, position).ok());
    read.map(|(step, _)| step)
        .ok_or_else(|| unreadable(BACKEND, "a step"))
}
