mod columns;
mod config;
mod database;
mod failure;
mod inserts;
mod link;
mod presence;
mod queue;
mod reader;
mod reads;
mod retention;
mod schema;
mod session;
mod snapshots;
mod statements;
mod swaps;
mod tls;
mod transaction;
mod waiters;
mod writer;
mod writes;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use kser_core::presence::PresenceStore;
use kser_core::sequencing::{Owner, PlannedStep, Progress, Revision};
use kser_core::store::{
    Attempt, Cursor, DueRun, Found, Inserted, NewRun, Output, OutputId, Page, RunFilter, RunInfo,
    RunSummary, StoreHealth, Swapped, Timed, Watch, Write, page_size,
};
use kser_core::{Error, Instance, RunId, StateStore, StoreId, Timestamp, Topic};
use tokio::time::timeout;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use self::columns::{Answer, read_step, wait, whole};
pub use self::config::PostgresConfig;
use self::database::Database;
use self::failure::{BACKEND, Failure};
use self::inserts::{Insert, InsertAnswer};
use self::queue::Write as Job;
use self::reads::value;
use self::swaps::{Swap, SwapAnswer};
use self::waiters::{Until, Woken};
use crate::encoding::{millis, signed, time};
use crate::pages::{SummaryRow, attempt_place, attempts_page, place, unsigned};

/// The longest pause between two looks for something that another process has made due.
const PAUSE: Duration = Duration::from_secs(1);

/// Keeps runs in a PostgreSQL database, which all processes of all machines use at once. Clones share its five connections.
///
/// A write is as durable as a commit of the database is when its call returns. Writes that wait at the same moment go into one
/// statement, and a lone one goes at once: a swap is one round trip. The tables stand in a schema of their own.
///
/// **Time.** The store's time is that of the database, so that the clocks of the processes do not matter. Tests that pause
/// tokio's clock cannot use it.
///
/// **Waking.** A change by this process wakes its waiters at once. The end of a run in another process does so by `NOTIFY`, any
/// other change within a second.
///
/// **Faults.** After the loss of a connection another one is made. A call is tried again for ten seconds, a write by its stamp,
/// which tells whether it was written; then its error is a temporary one.
///
/// The store keeps every run, unless [`with_retention`](Self::with_retention) limits the age of the finished ones, or
/// [`purge`](StateStore::purge) removes a run.
#[derive(Debug, Clone)]
pub struct PostgresStore {
    inner: Arc<Inner>,
    /// The age at which a finished run is removed.
    retention: Option<Duration>,
}

#[derive(Debug)]
struct Inner {
    database: Database,
    id: StoreId,
    /// The latest time that was told, in milliseconds.
    latest: AtomicI64,
}

impl PostgresStore {
    /// Connects to the database of a URL, see [`PostgresConfig::from_url`], and brings its tables up to date.
    ///
    /// # Errors
    ///
    /// As [`open_with`](Self::open_with), and [`Error::Invalid`] for a URL that is none.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the database with the tables or without.
    pub async fn open(url: &str) -> Result<Self, Error> {
        Self::open_with(PostgresConfig::from_url(url)?).await
    }

    /// Connects to a database, and brings its tables up to date.
    ///
    /// # Errors
    ///
    /// [`Error::Backend`] when the database cannot be reached, which is temporary, when it refuses the user, when it has tables of
    /// a later version of kser that this one may not use, and when there is a pooler in between that shares connections.
    ///
    /// # Cancel safety
    ///
    /// As [`open`](Self::open).
    pub async fn open_with(config: PostgresConfig) -> Result<Self, Error> {
        let database = Database::open(config).await?;
        let rows = database.read(&database.statements.store_id, &[]).await?;
        let row = one(&rows)?;
        let id: String = value(row, 0)?;
        let latest = AtomicI64::new(value(row, 1)?);
        let inner = Arc::new(Inner {
            database,
            id: id.into(),
            latest,
        });
        Ok(Self {
            inner,
            retention: None,
        })
    }

    /// Removes runs that ended this long ago, as [`purge`](StateStore::purge) does: also those that failed or were cancelled,
    /// which cannot be repaired from then on. A run with an attempt under way or an output to relay is kept. Unless set, all runs
    /// are kept.
    ///
    /// The sweeps of the consumers of this store remove them, a few thousand in a sweep.
    #[must_use]
    pub const fn with_retention(mut self, age: Duration) -> Self {
        self.retention = Some(age);
        self
    }

    /// Adds the time of the database, which never goes back.
    fn timed<T>(&self, now: Timestamp, value: T) -> Timed<T> {
        let now = millis(now);
        let latest = self.inner.latest.fetch_max(now, Ordering::Relaxed);
        Timed::new(time(latest.max(now)), value)
    }

    async fn read_rows(
        &self,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        Ok(self.inner.database.read(sql, values).await?)
    }

    /// Reads the runs that fit a filter, at most `most`.
    async fn read_fitting<'a>(
        &'a self,
        filter: &RunFilter,
        most: i64,
        statement: impl FnOnce(bool) -> &'a str + Send,
    ) -> Result<Vec<Row>, Error> {
        let statuses: Vec<&str> = filter.statuses().iter().map(|one| one.as_str()).collect();
        let (created, number) = place(filter)?;
        let from = filter.launched_from.map_or(0, millis);
        let name = filter.name.as_ref().map(|name| name.as_str().as_bytes());
        let mut values: Vec<&(dyn ToSql + Sync)> = vec![&statuses, &created, &number, &from, &most];
        values.extend(name.iter().map(|name| name as &(dyn ToSql + Sync)));
        self.read_rows(statement(name.is_some()), &values).await
    }

    /// Returns the time of the database, and that at which something is due.
    async fn earliest_due(&self) -> Result<(i64, Option<i64>), Error> {
        let rows = self
            .read_rows(&self.inner.database.statements.earliest_due, &[])
            .await?;
        let row = one(&rows)?;
        Ok((value(row, 0)?, value(row, 1)?))
    }
}

/// Reads the answer of an insert.
fn inserted(answer: InsertAnswer, id: &RunId) -> Result<Inserted, Error> {
    Ok(match answer {
        InsertAnswer::New => Inserted::New,
        InsertAnswer::Same(found) => match found.read(id)? {
            Found::Stands(standing) => Inserted::Same(standing),
            // It was purged since.
            _ => return Err(Failure::lost("the run has gone since").into()),
        },
        InsertAnswer::Other => Inserted::Other,
        InsertAnswer::Purged(tombstone) => Inserted::Purged(tombstone.read()?),
    })
}

/// Returns the row of a statement that always has one.
fn one(rows: &[Row]) -> Result<&Row, Failure> {
    rows.first()
        .ok_or_else(|| Failure::permanent("a statement has no row"))
}

#[async_trait]
impl StateStore for PostgresStore {
    async fn id(&self) -> Result<Timed<StoreId>, Error> {
        let rows = self
            .read_rows(&self.inner.database.statements.store_id, &[])
            .await?;
        let now = time(value(one(&rows)?, 1)?);
        Ok(self.timed(now, self.inner.id.clone()))
    }

    async fn register(&self, instance: &Instance) -> Result<Timed<Owner>, Error> {
        let name = instance.to_string();
        let life: Answer<u64> = self
            .inner
            .database
            .write(|caller| Job::Register(name, caller))
            .await?;
        Ok(self.timed(life.now, Owner::new(instance.clone(), life.value)))
    }

    async fn insert(&self, run: NewRun) -> Result<Timed<Inserted>, Error> {
        let id = run.id.clone();
        let insert = Box::new(Insert::new(run)?);
        let answer = self
            .inner
            .database
            .write(|caller| Job::Insert(insert, caller))
            .await?;
        let answer = answer.try_map(|answer| inserted(answer, &id))?;
        Ok(self.timed(answer.now, answer.value))
    }

    async fn read(&self, id: &RunId) -> Result<Timed<Found>, Error> {
        let answer = self.inner.database.found(id).await?;
        let answer = answer.try_map(|found| found.read(id))?;
        Ok(self.timed(answer.now, answer.value))
    }

    async fn swap(
        &self,
        id: &RunId,
        expected: Revision,
        write: Write,
    ) -> Result<Timed<Swapped>, Error> {
        let swap = Box::new(Swap::new(id, expected, &write)?);
        let fetch = write.fetch;
        drop(write);
        let answer = self
            .inner
            .database
            .write(|caller| Job::Swap(swap, caller))
            .await?;
        let answer = answer.try_map(|answer| {
            Ok::<_, Error>(match answer {
                SwapAnswer::Written(step) => {
                    let read = |(step, position): (Vec<u8>, _)| read_step(&step, id, position);
                    Swapped::Written(step.zip(fetch).map(read).transpose()?)
                }
                SwapAnswer::Conflict(found) => Swapped::Conflict(found.read(id)?),
            })
        })?;
        Ok(self.timed(answer.now, answer.value))
    }

    async fn step(&self, id: &RunId, position: u32) -> Result<Option<PlannedStep>, Error> {
        let bytes = id.as_str().as_bytes();
        let sql = &self.inner.database.statements.step;
        let rows = self.read_rows(sql, &[&bytes, &i64::from(position)]).await?;
        let read = |row| read_step(value(row, 0)?, id, position);
        rows.first().map(read).transpose()
    }

    async fn due(
        &self,
        topic: &Topic,
        waited: Duration,
        limit: usize,
        hold: Duration,
    ) -> Result<Timed<Vec<DueRun>>, Error> {
        // The sum with the time of the database has to fit.
        let (waited, hold) = (wait(waited), wait(hold));
        let sql = &self.inner.database.statements.due;
        let rows = self
            .read_rows(sql, &[&topic.as_str(), &waited, &whole(limit), &hold])
            .await?;
        let now = time(value(one(&rows)?, 9)?);
        let mut due = Vec::with_capacity(rows.len());
        for row in &rows {
            due.extend(reads::due(row)?);
        }
        Ok(self.timed(now, due))
    }

    async fn outputs_due(&self, limit: usize, hold: Duration) -> Result<Timed<Vec<Output>>, Error> {
        if let Some(age) = self.retention {
            retention::remove_old(self, age).await?;
        }
        let sql = &self.inner.database.statements.outputs_due;
        let rows = self.read_rows(sql, &[&whole(limit), &wait(hold)]).await?;
        let outputs: Result<Vec<Output>, Error> = rows.iter().map(reads::output).collect();
        let now = match rows.first() {
            Some(row) => time(value(row, 0)?),
            None => time(self.inner.latest.load(Ordering::Relaxed)),
        };
        Ok(self.timed(now, outputs?))
    }

    async fn relayed(&self, outputs: &[OutputId]) -> Result<(), Error> {
        let outputs = outputs.to_vec();
        Ok(self
            .inner
            .database
            .write(|caller| Job::Relay(outputs, caller))
            .await?)
    }

    /// Waits without a limit. A change by another process is seen within a second.
    async fn changed(&self, id: &RunId, version: u64) -> Result<(), Error> {
        let until = Until::VersionIsNot(signed(version));
        self.inner.database.waiters.wait(id, until).await;
        Ok(())
    }

    /// Waits without a limit. The end in another process is seen at once by a notification, or within a second.
    async fn await_end(&self, id: &RunId) -> Result<Timed<Option<Progress>>, Error> {
        let waiters = &self.inner.database.waiters;
        match waiters.wait(id, Until::Ended).await {
            Woken::Ended(Answer { now, value }) => Ok(self.timed(now, Some(value.read(BACKEND)?))),
            Woken::Changed => {
                let Timed { now, value, .. } = self.read(id).await?;
                Ok(Timed::new(now, value.into_progress()))
            }
        }
    }

    /// Sleeps until the earliest run or output is due, and looks again when an earlier one is written; one of another process is
    /// seen within a second. Needs a tokio runtime with time.
    async fn await_due(&self) -> Result<(), Error> {
        let waiters = &self.inner.database.waiters;
        let _interest = waiters.listen_for_due();
        loop {
            // Made before the look, so that no write is missed.
            let earlier = waiters.earlier_due();
            let (now, due) = self.earliest_due().await?;
            waiters.sleep_until(due.unwrap_or(i64::MAX));
            let wait = due.map_or(Ok(u64::MAX), |due| u64::try_from(due.saturating_sub(now)));
            match wait {
                Err(_) | Ok(0) => return Ok(()),
                Ok(wait) => {
                    let _ = timeout(Duration::from_millis(wait).min(PAUSE), earlier).await;
                }
            }
        }
    }

    async fn run(&self, id: &RunId) -> Result<Option<RunInfo>, Error> {
        let id = id.as_str().as_bytes();
        let rows = self
            .read_rows(&self.inner.database.statements.run, &[&id])
            .await?;
        rows.first().map(reads::info).transpose()
    }

    async fn attempts(
        &self,
        id: &RunId,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<Attempt>, Error> {
        let (run, after) = (id.as_str().as_bytes(), attempt_place(id, after)?);
        let most = whole(page_size(limit) + 1);
        let sql = &self.inner.database.statements.attempts;
        let rows = self.read_rows(sql, &[&run, &after, &most]).await?;
        let rows: Result<Vec<_>, Error> = rows.iter().map(reads::attempt).collect();
        Ok(attempts_page(rows?, id, limit))
    }

    async fn latest_attempts(&self, id: &RunId, limit: usize) -> Result<Vec<Attempt>, Error> {
        let (run, most) = (id.as_str().as_bytes(), whole(page_size(limit)));
        let sql = &self.inner.database.statements.latest_attempts;
        let rows = self.read_rows(sql, &[&run, &most]).await?;
        let attempts = rows.iter().rev().map(|row| Ok(reads::attempt(row)?.1));
        attempts.collect()
    }

    async fn find(&self, prefix: &str, limit: usize) -> Result<Vec<RunId>, Error> {
        let (from, most) = (prefix.as_bytes(), whole(page_size(limit)));
        let sql = &self.inner.database.statements.find;
        let rows = self.read_rows(sql, &[&from, &most]).await?;
        let found = rows.iter().map(|row| reads::run_id(value(row, 0)?));
        let mut found = found.collect::<Result<Vec<RunId>, Error>>()?;
        found.retain(|id| id.as_str().starts_with(prefix));
        Ok(found)
    }

    async fn list(&self, filter: &RunFilter) -> Result<Page<RunSummary>, Error> {
        let most = whole(filter.page_size() + 1);
        let statement = |by_name| self.inner.database.statements.list(by_name);
        let rows = self.read_fitting(filter, most, statement).await?;
        let rows: Result<Vec<_>, Error> = rows.iter().map(reads::summary).collect();
        SummaryRow::page(rows?, filter, BACKEND)
    }

    async fn count(&self, filter: &RunFilter, most: u64) -> Result<u64, Error> {
        let filter = filter.clone().with_after(None);
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let statement = |by_name| self.inner.database.statements.count(by_name);
        let rows = self.read_fitting(&filter, most, statement).await?;
        Ok(unsigned(value(one(&rows)?, 0)?))
    }

    async fn purge(&self, id: &RunId) -> Result<bool, Error> {
        let id = id.clone();
        Ok(self
            .inner
            .database
            .write(|caller| Job::Purge(id, caller))
            .await?)
    }

    fn watch(&self, _: &RunId) -> Watch {
        Watch::none()
    }

    /// The age of the oldest open transaction is that at an earlier call, of a second ago or more.
    fn health(&self) -> StoreHealth {
        let mut health = StoreHealth::default();
        health.oldest_snapshot = self.inner.database.oldest_snapshot.age();
        health
    }

    fn presence(&self) -> Option<Arc<dyn PresenceStore>> {
        Some(Arc::new(self.clone()))
    }
}
