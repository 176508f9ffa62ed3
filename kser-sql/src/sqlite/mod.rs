mod database;
mod due;
mod failure;
mod inserts;
mod lists;
mod presence;
mod reads;
mod rows;
mod schema;
mod standing;
mod swaps;
mod transaction;
mod waiters;
mod writes;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use kser_clock::SystemClock;
use kser_core::presence::PresenceStore;
use kser_core::sequencing::{Owner, PlannedStep, Progress, Revision};
use kser_core::store::{
    Attempt, Cursor, DueRun, Found, Inserted, NewRun, Output, OutputId, Page, RunFilter, RunInfo,
    RunSummary, StoreHealth, Swapped, Timed, Watch, Write, page_size,
};
use kser_core::{Clock, Error, Instance, RunId, StateStore, StoreId, Timestamp, Topic};
use tokio::time::timeout;

use self::database::Database;
use self::due::{DueRow, OutputRow};
use self::failure::BACKEND;
use self::inserts::{Insert, InsertAnswer};
use self::reads::whole;
use self::rows::read_step;
use self::swaps::{Swap, SwapAnswer};
use self::waiters::Wake;
use crate::encoding::{millis, signed};
use crate::pages::{SummaryRow, attempt_place, attempts_page, place, unsigned};

/// The first and the longest pause between two looks for changes by other processes.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// The writes that remove old runs in one sweep at most.
const MOST_REMOVALS: usize = 50;

/// Keeps runs in a file of SQLite, which all processes of one machine may use at once. Clones share its connections.
///
/// A write is on the disk when its call returns (WAL, `synchronous = FULL`). Writes that wait at the same moment go into one
/// transaction. The tables begin with `kser_`, so that the file may be that of the program.
///
/// **Time.** The store's time is that of [`SystemClock`] unless it is given another, which follows tokio's clock where a
/// test has paused it. All processes have to share one clock: a file on a network drive is not for SQLite.
///
/// **Waking.** A change by this process wakes its waiters at once, one by another process within a second.
///
/// The store keeps every run, unless [`with_retention`](Self::with_retention) limits the age of the finished ones, or
/// [`purge`](StateStore::purge) removes a run.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    inner: Arc<Inner>,
    /// The age at which a finished run is removed.
    retention: Option<Duration>,
}

#[derive(Debug)]
struct Inner {
    database: Database,
    id: StoreId,
    clock: Arc<dyn Clock>,
    /// The latest time that was told, in milliseconds.
    latest: AtomicU64,
}

impl SqliteStore {
    /// Opens a file, or makes it. Its folder has to exist.
    ///
    /// # Errors
    ///
    /// [`Error::Backend`] when the file cannot be opened, is no database, or has tables of a later version of kser that this
    /// one may not use.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the file with its tables or without.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::open_with_clock(path, SystemClock::new()).await
    }

    /// Opens a file whose times are those of `clock`.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    ///
    /// # Cancel safety
    ///
    /// As [`open`](Self::open).
    pub async fn open_with_clock(path: impl AsRef<Path>, clock: impl Clock) -> Result<Self, Error> {
        let database = Database::open(path.as_ref().to_owned()).await?;
        let id: String = database.read(reads::store_id).await?;
        let inner = Arc::new(Inner {
            database,
            id: id.into(),
            clock: Arc::new(clock),
            latest: AtomicU64::new(0),
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

    /// Removes runs whose retention is over.
    async fn remove_old(&self) -> Result<(), Error> {
        let Some(age) = self.retention else {
            return Ok(());
        };
        let now = self.now();
        let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        let at = Timestamp::from_millis(now.as_millis().saturating_sub(age));
        for _ in 0..MOST_REMOVALS {
            let remove = move |connection: &_| {
                let removed = writes::purge_ended(connection, at, now)?;
                Ok((removed, Wake::default()))
            };
            let (_, is_full) = self.inner.database.write(remove).await?;
            if !is_full {
                break;
            }
        }
        Ok(())
    }

    /// Returns the time, which never goes back.
    fn now(&self) -> Timestamp {
        let now = self.inner.clock.now().as_millis();
        let latest = self.inner.latest.fetch_max(now, Ordering::Relaxed);
        Timestamp::from_millis(latest.max(now))
    }

    fn timed<T>(&self, value: T) -> Timed<T> {
        Timed::new(self.now(), value)
    }

    /// Waits for `changed`, or until the file has changed, also by another process.
    async fn wait(
        &self,
        changed: impl Future<Output = ()> + Send,
        looks: &mut Looks,
    ) -> Result<(), Error> {
        let mut changed = std::pin::pin!(changed);
        loop {
            if timeout(looks.next_pause(), changed.as_mut()).await.is_ok() {
                return Ok(());
            }
            let seen = self.inner.database.read(reads::data_version).await?;
            if looks.seen.replace(seen) != Some(seen) {
                return Ok(());
            }
        }
    }
}

/// The looks for changes by other processes while a caller waits: often at first, then each second.
struct Looks {
    pause: Duration,
    seen: Option<i64>,
}

impl Looks {
    const fn new() -> Self {
        Self {
            pause: PAUSES.0,
            seen: None,
        }
    }

    fn next_pause(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 3 / 2).min(PAUSES.1);
        pause
    }
}

/// Reads the answer of an insert.
fn inserted(answer: InsertAnswer, id: &RunId) -> Result<Inserted, Error> {
    Ok(match answer {
        InsertAnswer::New => Inserted::New,
        InsertAnswer::Same(standing) => Inserted::Same(standing.read(id)?),
        InsertAnswer::Other => Inserted::Other,
        InsertAnswer::Purged(tombstone) => Inserted::Purged(tombstone.read()?),
    })
}

#[async_trait]
impl StateStore for SqliteStore {
    async fn id(&self) -> Result<Timed<StoreId>, Error> {
        Ok(self.timed(self.inner.id.clone()))
    }

    async fn register(&self, instance: &Instance) -> Result<Timed<Owner>, Error> {
        let (name, now) = (instance.to_string(), millis(self.now()));
        let register = move |connection: &_| {
            let life = writes::register(connection, &name, now)?;
            Ok((life, Wake::default()))
        };
        let life = self.inner.database.write(register).await?;
        Ok(self.timed(Owner::new(instance.clone(), life)))
    }

    async fn insert(&self, run: NewRun) -> Result<Timed<Inserted>, Error> {
        let id = run.id.clone();
        let insert = Insert::new(run, self.now())?;
        let answer = self
            .inner
            .database
            .write(move |connection| insert.write(connection))
            .await?;
        let inserted = inserted(answer, &id)?;
        Ok(self.timed(inserted))
    }

    async fn read(&self, id: &RunId) -> Result<Timed<Found>, Error> {
        let run = id.clone();
        let read = self
            .inner
            .database
            .read(move |connection| standing::found(connection, &run));
        let found = read.await?.read(id)?;
        Ok(self.timed(found))
    }

    async fn swap(
        &self,
        id: &RunId,
        expected: Revision,
        write: Write,
    ) -> Result<Timed<Swapped>, Error> {
        let swap = Swap::new(id, expected, &write, self.now())?;
        let fetch = write.fetch;
        drop(write);
        let answer = self
            .inner
            .database
            .write(move |connection| swap.write(connection))
            .await?;
        Ok(self.timed(match answer {
            SwapAnswer::Written(step) => {
                let read = |(step, position): (String, _)| read_step(&step, id, position);
                Swapped::Written(step.zip(fetch).map(read).transpose()?)
            }
            SwapAnswer::Conflict(found) => Swapped::Conflict(found.read(id)?),
        }))
    }

    async fn step(&self, id: &RunId, position: u32) -> Result<Option<PlannedStep>, Error> {
        let run = id.clone();
        let read = self
            .inner
            .database
            .read(move |connection| reads::step(connection, &run, position));
        let step = read.await?;
        step.map(|step| read_step(&step, id, position)).transpose()
    }

    async fn due(
        &self,
        topic: &Topic,
        waited: Duration,
        limit: usize,
        hold: Duration,
    ) -> Result<Timed<Vec<DueRun>>, Error> {
        let (database, now) = (&self.inner.database, self.now());
        let waited = i64::try_from(waited.as_millis()).unwrap_or(i64::MAX);
        let (at, limit) = (millis(now).saturating_sub(waited), whole(limit));
        let asked = topic.clone();
        let is_any = move |connection: &_| due::is_any_due(connection, &asked, at);
        let topic = topic.clone();
        // Most of the time nothing is due, and nothing is written.
        let due = match database.read(is_any).await? {
            false => Vec::new(),
            true if hold.is_zero() => {
                let read = move |connection: &_| due::due(connection, &topic, at, limit);
                let due = database.read(read).await?;
                due.into_iter().map(|(_, due)| due).collect()
            }
            true => {
                let until = millis(now + hold);
                let claim = move |connection: &_| {
                    let due = due::claim(connection, &topic, at, limit, until)?;
                    Ok((due, Wake::default()))
                };
                database.write(claim).await?
            }
        };
        let due: Result<Vec<DueRun>, Error> = due.into_iter().map(DueRow::read).collect();
        Ok(self.timed(due?))
    }

    async fn outputs_due(&self, limit: usize, hold: Duration) -> Result<Timed<Vec<Output>>, Error> {
        self.remove_old().await?;
        let (database, now) = (&self.inner.database, self.now());
        let (at, limit) = (millis(now), whole(limit));
        let is_any = move |connection: &_| due::is_any_output_due(connection, at);
        let due = match database.read(is_any).await? {
            false => Vec::new(),
            true if hold.is_zero() => {
                let read = move |connection: &_| due::outputs_due(connection, at, limit);
                let due = database.read(read).await?;
                due.into_iter().map(|(_, due)| due).collect()
            }
            true => {
                let until = millis(now + hold);
                let claim = move |connection: &_| {
                    let due = due::claim_outputs(connection, at, limit, until)?;
                    Ok((due, Wake::default()))
                };
                database.write(claim).await?
            }
        };
        let outputs: Result<Vec<Output>, Error> = due.into_iter().map(OutputRow::read).collect();
        Ok(self.timed(outputs?))
    }

    async fn relayed(&self, outputs: &[OutputId]) -> Result<(), Error> {
        let outputs = outputs.to_vec();
        let relay = move |connection: &_| {
            for output in &outputs {
                writes::relayed(connection, output)?;
            }
            Ok(((), Wake::default()))
        };
        Ok(self.inner.database.write(relay).await?)
    }

    /// Waits without a limit. A change by another process is seen within a second.
    async fn changed(&self, id: &RunId, version: u64) -> Result<(), Error> {
        let mut looks = Looks::new();
        loop {
            // Made before the look, so that no change is missed.
            let changed = self.inner.database.waiters.change_of(id);
            let run = id.clone();
            let stored = self
                .inner
                .database
                .read(move |connection| reads::version(connection, &run))
                .await?;
            if stored != Some(signed(version)) {
                drop(changed);
                self.inner.database.waiters.forget(id);
                return Ok(());
            }
            self.wait(changed, &mut looks).await?;
        }
    }

    /// Waits without a limit. The end in another process is seen within a second.
    async fn await_end(&self, id: &RunId) -> Result<Timed<Option<Progress>>, Error> {
        let waiters = &self.inner.database.waiters;
        let mut looks = Looks::new();
        let _forgets = waiters.forget_later(id);
        let end = waiters.end_of(id);
        let mut came = std::pin::pin!(end.came.notified());
        // From here on it sees the end.
        came.as_mut().enable();
        loop {
            if timeout(looks.next_pause(), came.as_mut()).await.is_ok() {
                if let Some(progress) = end.progress.get() {
                    return Ok(self.timed(Some(progress.read(BACKEND)?)));
                }
                break;
            }
            // It may have ended before, or in another process.
            let run = id.clone();
            let read = self
                .inner
                .database
                .read(move |connection| reads::has_ended(connection, &run));
            if read.await? {
                break;
            }
        }
        let Timed { now, value, .. } = self.read(id).await?;
        Ok(Timed::new(now, value.into_progress()))
    }

    /// Sleeps until the earliest run or output is due, and looks again when an earlier one is written; one of another process is
    /// seen within a second. Needs a tokio runtime with time.
    async fn await_due(&self) -> Result<(), Error> {
        let mut looks = Looks::new();
        loop {
            // Made before the look, so that no write is missed.
            let earlier = self.inner.database.waiters.earlier_due();
            let due = self.inner.database.read(due::earliest_due).await?;
            let now = millis(self.now());
            let wait = due.map(|due| due.saturating_sub(now));
            self.inner
                .database
                .waiters
                .sleep_until(due.unwrap_or(i64::MAX));
            match wait.map(u64::try_from) {
                Some(Err(_) | Ok(0)) => return Ok(()),
                Some(Ok(wait)) => {
                    let changed = self.wait(earlier, &mut looks);
                    // The time may have come when the pause is over.
                    let _ = timeout(Duration::from_millis(wait).min(PAUSES.1 * 60), changed).await;
                }
                None => self.wait(earlier, &mut looks).await?,
            }
        }
    }

    async fn run(&self, id: &RunId) -> Result<Option<RunInfo>, Error> {
        let id = id.clone();
        let read = self
            .inner
            .database
            .read(move |connection| lists::run(connection, &id));
        read.await?.map(lists::InfoRow::read).transpose()
    }

    async fn attempts(
        &self,
        id: &RunId,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<Attempt>, Error> {
        let (run, after) = (id.clone(), attempt_place(id, after)?);
        let most = whole(page_size(limit) + 1);
        let read = move |connection: &_| lists::attempts(connection, &run, after, most);
        let rows = self.inner.database.read(read).await?.into_iter();
        let rows: Result<Vec<_>, Error> = rows.map(lists::AttemptRow::read).collect();
        Ok(attempts_page(rows?, id, limit))
    }

    async fn latest_attempts(&self, id: &RunId, limit: usize) -> Result<Vec<Attempt>, Error> {
        let (run, most) = (id.clone(), whole(page_size(limit)));
        let read = move |connection: &_| lists::latest_attempts(connection, &run, most);
        let rows = self.inner.database.read(read).await?.into_iter();
        let attempts = rows.rev().map(|row| Ok(row.read()?.1));
        attempts.collect()
    }

    async fn find(&self, prefix: &str, limit: usize) -> Result<Vec<RunId>, Error> {
        let (from, most) = (prefix.to_owned(), whole(page_size(limit)));
        let read = move |connection: &_| lists::find(connection, &from, most);
        let mut found = self.inner.database.read(read).await?;
        found.retain(|id| id.as_str().starts_with(prefix));
        Ok(found)
    }

    async fn list(&self, filter: &RunFilter) -> Result<Page<RunSummary>, Error> {
        let (asked, place) = (filter.clone(), place(filter)?);
        let read = move |connection: &_| lists::list(connection, &asked, place);
        let rows = self.inner.database.read(read).await?;
        SummaryRow::page(rows, filter, BACKEND)
    }

    async fn count(&self, filter: &RunFilter, most: u64) -> Result<u64, Error> {
        let filter = filter.clone().with_after(None);
        let place = place(&filter)?;
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let read = move |connection: &_| lists::count(connection, &filter, place, most);
        Ok(unsigned(self.inner.database.read(read).await?))
    }

    async fn purge(&self, id: &RunId) -> Result<bool, Error> {
        let (id, now) = (id.clone(), self.now());
        Ok(self
            .inner
            .database
            .write(move |connection| writes::purge(connection, &id, now))
            .await?)
    }

    fn watch(&self, _: &RunId) -> Watch {
        Watch::none()
    }

    fn health(&self) -> StoreHealth {
        StoreHealth::default()
    }

    fn presence(&self) -> Option<Arc<dyn PresenceStore>> {
        Some(Arc::new(self.clone()))
    }
}
