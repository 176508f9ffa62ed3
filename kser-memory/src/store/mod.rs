mod finished;
mod listed;
mod presence;
mod run;
mod runs;
mod tombstones;

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use kser_core::presence::PresenceStore;
use kser_core::sequencing::{Owner, PlannedStep, Progress, Revision};
use kser_core::store::{
    Attempt, Cursor, DueRun, Found, Inserted, NewRun, Output, OutputId, Page, RunFilter, RunInfo,
    RunSummary, StoreHealth, Swapped, Timed, Watch, Write, page_size,
};
use kser_core::{Clock, Error, Instance, RunId, StateStore, StoreId, Topic};

use self::finished::Limits;
use self::presence::Announcements;
use self::runs::{Dropped, InsertAnswer, Known, Runs, SwapAnswer};
use crate::MemoryClock;

/// The longest sleep between two reads of the store's clock, which may differ from tokio's.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The number of failed runs that are removed between two warnings.
const SAID: u64 = 10_000;

/// The number of the next store of this process.
static MADE: AtomicU64 = AtomicU64::new(1);

/// A random number of this process, in the ids of its stores, because messages on another transport may outlive the process.
static PROCESS: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one("kser-memory"));

/// Keeps runs in this process. Clones share them. It needs no runtime; its time is that of [`MemoryClock`]
/// unless it is given another.
///
/// Of the runs that have succeeded it keeps 10,000 ([`with_finished_kept`](Self::with_finished_kept)), and of those that
/// failed or were cancelled 100,000 or 256 MiB ([`with_failed_kept`](Self::with_failed_kept)), so that a program that runs
/// for long does not grow: the run that was finished first is removed first, as by [`purge`](StateStore::purge). A run is
/// finished when it has ended, no attempt is under way, and its outputs are relayed. A run that a handle of `kser` watches
/// is kept. Of a run that was removed the store knows for 14 days that it was purged, of the latest 100,000 at most. A failed run that was removed cannot be repaired, nor can its dead letter be replayed: a warning is logged, and
/// [`health`](StateStore::health) counts such runs.
#[derive(Debug, Clone)]
pub struct MemoryStore {
    runs: Arc<Mutex<Runs>>,
    announcements: Arc<Mutex<Announcements>>,
    id: StoreId,
    limits: Limits,
}

impl MemoryStore {
    /// Makes an empty store, whose id no other store has.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(MemoryClock::new())
    }

    /// Makes an empty store whose time is that of `clock`, such as that of a simulation. All memory clocks agree, so that
    /// one of them makes no difference to [`new`](Self::new).
    #[must_use]
    pub fn with_clock(clock: impl Clock) -> Self {
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        Self {
            runs: Arc::new(Mutex::new(Runs::new(Arc::new(clock)))),
            announcements: Arc::default(),
            id: StoreId::from(format!("memory-{:016x}-{number}", *PROCESS)),
            limits: Limits::default(),
        }
    }

    /// Sets the id of the store, as for a simulation, whose ids must not differ between runs.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<StoreId>) -> Self {
        self.id = id.into();
        self
    }

    /// Keeps this many runs that have succeeded, 10,000 unless set, beside those that a handle watches. With 0 a run is
    /// gone as soon as it is finished.
    #[must_use]
    pub const fn with_finished_kept(mut self, runs: usize) -> Self {
        self.limits.succeeded = runs;
        self
    }

    /// Keeps this many runs that failed or were cancelled, 100,000 unless set, and about so many bytes of them, 256 MiB
    /// unless set, beside those that a handle watches.
    #[must_use]
    pub const fn with_failed_kept(mut self, runs: usize, bytes: usize) -> Self {
        self.limits.failed = runs;
        self.limits.failed_bytes = bytes;
        self
    }

    /// Removes the runs beyond the limits, and releases the lock.
    fn forget(&self, mut runs: MutexGuard<'_, Runs>, dropped: &mut Dropped) {
        let before = runs.finished.forgotten();
        runs.purge_beyond(self.limits, dropped);
        let after = runs.finished.forgotten();
        drop(runs);
        // One line for the first, and one for each `SAID` more.
        if before < after && (before == 0 || before / SAID != after / SAID) {
            tracing::warn!(target: "kser", forgotten = after, "failed runs were removed from the memory store, which keeps no more of them; they cannot be repaired");
        }
    }

    fn runs(&self) -> MutexGuard<'_, Runs> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn announcements(&self) -> MutexGuard<'_, Announcements> {
        let announcements = self.announcements.lock();
        announcements.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl StateStore for MemoryStore {
    async fn id(&self) -> Result<Timed<StoreId>, Error> {
        let (now, value) = (self.runs().now(), self.id.clone());
        Ok(Timed::new(now, value))
    }

    async fn register(&self, instance: &Instance) -> Result<Timed<Owner>, Error> {
        let mut runs = self.runs();
        let now = runs.now();
        let value = Owner::new(instance.clone(), runs.next_incarnation());
        Ok(Timed::new(now, value))
    }

    async fn insert(&self, run: NewRun) -> Result<Timed<Inserted>, Error> {
        NewRun::check_id(&run.id)?;
        let mut dropped = Dropped::default();
        let mut runs = self.runs();
        let now = runs.now();
        let answer = runs.insert(run, now);
        self.forget(runs, &mut dropped);
        let value = match answer {
            InsertAnswer::New => Inserted::New,
            InsertAnswer::Same(shown) => Inserted::Same(shown.into_standing()),
            InsertAnswer::Other => Inserted::Other,
            InsertAnswer::Purged(tombstone) => Inserted::Purged(Box::new(tombstone)),
        };
        Ok(Timed::new(now, value))
    }

    async fn read(&self, id: &RunId) -> Result<Timed<Found>, Error> {
        let mut runs = self.runs();
        let now = runs.now();
        let known = runs.known(id);
        drop(runs);
        Ok(Timed::new(now, found(known)))
    }

    async fn swap(
        &self,
        id: &RunId,
        expected: Revision,
        write: Write,
    ) -> Result<Timed<Swapped>, Error> {
        let mut dropped = Dropped::default();
        let mut runs = self.runs();
        let now = runs.now();
        let answer = runs.swap(id, expected, write, now, &mut dropped);
        self.forget(runs, &mut dropped);
        let value = match answer {
            SwapAnswer::Written(step) => Swapped::Written(step),
            SwapAnswer::Conflict(known) => Swapped::Conflict(found(known)),
        };
        Ok(Timed::new(now, value))
    }

    async fn step(&self, id: &RunId, position: u32) -> Result<Option<PlannedStep>, Error> {
        Ok(self.runs().get(id).and_then(|run| run.step(position)))
    }

    async fn due(
        &self,
        topic: &Topic,
        waited: Duration,
        limit: usize,
        hold: Duration,
    ) -> Result<Timed<Vec<DueRun>>, Error> {
        let mut runs = self.runs();
        let now = runs.now();
        let value = runs.due(topic, now, waited, limit, hold);
        Ok(Timed::new(now, value))
    }

    async fn outputs_due(&self, limit: usize, hold: Duration) -> Result<Timed<Vec<Output>>, Error> {
        let mut runs = self.runs();
        let now = runs.now();
        let value = runs.outputs_due(now, limit, hold);
        Ok(Timed::new(now, value))
    }

    async fn relayed(&self, outputs: &[OutputId]) -> Result<(), Error> {
        let mut dropped = Dropped::default();
        let mut runs = self.runs();
        runs.relayed(outputs);
        self.forget(runs, &mut dropped);
        Ok(())
    }

    /// Waits without a limit: every change of the run wakes it.
    async fn changed(&self, id: &RunId, version: u64) -> Result<(), Error> {
        let changed = {
            let mut runs = self.runs();
            let run = runs.get_mut(id);
            let Some(run) = run.filter(|run| run.progress.version() == version) else {
                return Ok(());
            };
            // Made under the lock: it sees every change from here on.
            Arc::clone(run.watched.get_or_insert_default()).notified_owned()
        };
        changed.await;
        Ok(())
    }

    /// Waits without a limit.
    async fn await_end(&self, id: &RunId) -> Result<Timed<Option<Progress>>, Error> {
        let ended = {
            let mut runs = self.runs();
            let run = runs.get_mut(id);
            // Made under the lock: it sees every change from here on.
            run.filter(|run| !run.progress.status().is_terminal())
                .map(|run| Arc::clone(run.awaited_end.get_or_insert_default()).notified_owned())
        };
        if let Some(ended) = ended {
            ended.await;
        }
        let mut runs = self.runs();
        let progress = runs.get(id).map(|run| Arc::clone(&run.progress));
        let now = runs.now();
        drop(runs);
        Ok(Timed::new(now, progress.map(Arc::unwrap_or_clone)))
    }

    /// Sleeps until the earliest run or output is due, and looks again when an earlier one is written. Needs a tokio runtime
    /// with time.
    async fn await_due(&self) -> Result<(), Error> {
        loop {
            let (earlier, wait) = {
                let mut runs = self.runs();
                let now = runs.now();
                match runs.await_due() {
                    (Some(at), _) if at <= now => return Ok(()),
                    (at, earlier) => (earlier, at.map_or(LONGEST_WAIT, |at| at.since(now))),
                }
            };
            let _ = tokio::time::timeout(wait.min(LONGEST_WAIT), earlier).await;
        }
    }

    async fn run(&self, id: &RunId) -> Result<Option<RunInfo>, Error> {
        Ok(self.runs().get(id).map(|run| run.info(id)))
    }

    async fn attempts(
        &self,
        id: &RunId,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<Attempt>, Error> {
        let after = after.map_or(Ok(0), |cursor| cursor.attempt(id))?;
        let (skip, size) = (
            usize::try_from(after).unwrap_or(usize::MAX),
            page_size(limit),
        );
        let runs = self.runs();
        let attempts = runs.get(id).into_iter().flat_map(|run| &run.attempts);
        let rows = (after + 1..).zip(attempts.skip(skip).take(size + 1).cloned());
        let rows = rows.collect();
        drop(runs);
        let page = Page::of(rows, size, |(number, _)| Cursor::after_attempt(id, *number));
        Ok(page.map(|(_, attempt)| attempt))
    }

    async fn latest_attempts(&self, id: &RunId, limit: usize) -> Result<Vec<Attempt>, Error> {
        let runs = self.runs();
        let attempts = runs.get(id).map_or(&[][..], |run| &run.attempts);
        let skipped = attempts.len().saturating_sub(page_size(limit));
        Ok(attempts.iter().skip(skipped).cloned().collect())
    }

    async fn find(&self, prefix: &str, limit: usize) -> Result<Vec<RunId>, Error> {
        Ok(self.runs().find(prefix, page_size(limit)))
    }

    /// Reads the rows of the page only, however many runs there are.
    async fn list(&self, filter: &RunFilter) -> Result<Page<RunSummary>, Error> {
        self.runs().list(filter)
    }

    async fn count(&self, filter: &RunFilter, most: u64) -> Result<u64, Error> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let count = self.runs().count(filter, most);
        Ok(u64::try_from(count).unwrap_or(u64::MAX))
    }

    async fn purge(&self, id: &RunId) -> Result<bool, Error> {
        let purged = self.runs().purge(id);
        Ok(purged.is_some())
    }

    fn watch(&self, id: &RunId) -> Watch {
        self.runs().finished.watch(id);
        Watch::new(Watching {
            store: self.clone(),
            id: id.clone(),
        })
    }

    fn health(&self) -> StoreHealth {
        let mut health = StoreHealth::default();
        health.forgotten = self.runs().finished.forgotten();
        health
    }

    fn presence(&self) -> Option<Arc<dyn PresenceStore>> {
        Some(Arc::new(self.clone()))
    }
}

fn found(known: Known) -> Found {
    match known {
        Known::Stands(shown) => Found::Stands(shown.into_standing()),
        Known::Purged(tombstone) => Found::Purged(Box::new(tombstone)),
        Known::Unknown => Found::Unknown,
    }
}

/// A handle that watches a run.
struct Watching {
    store: MemoryStore,
    id: RunId,
}

impl Drop for Watching {
    fn drop(&mut self) {
        let mut dropped = Dropped::default();
        let mut runs = self.store.runs();
        runs.unwatch(&self.id);
        self.store.forget(runs, &mut dropped);
    }
}
