use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use kser_core::sequencing::{Owner, PlannedStep, Progress};
use kser_core::store::{
    Attempt, Inserted, NewRun, Output, OutputId, RunFilter, RunInfo, Swapped, Timed, Write,
};
use kser_core::{Clock, Error, Instance, RunId, StateStore, StoreId};

use crate::MemoryClock;
use crate::runs::Runs;

/// How many runs that have ended are kept unless set.
const ENDED_KEPT: usize = 10_000;

/// Tells the stores of this process apart.
static MADE: AtomicU64 = AtomicU64::new(1);

/// Keeps runs in this process. Clones share them.
///
/// Of the runs that have ended, the last 10,000 are kept, so that a program that runs for long does not grow; set it
/// with [`with_ended_kept`](Self::with_ended_kept).
#[derive(Debug, Clone)]
pub struct MemoryStore {
    runs: Arc<Mutex<Runs>>,
    id: StoreId,
    clock: MemoryClock,
    ended_kept: usize,
}

impl MemoryStore {
    /// Makes an empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(MemoryClock::new())
    }

    /// Makes an empty store whose time is that of `clock`, such as the clock of a memory transport.
    #[must_use]
    pub fn with_clock(clock: MemoryClock) -> Self {
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        Self {
            runs: Arc::default(),
            id: StoreId::from(format!("memory-{number}")),
            clock,
            ended_kept: ENDED_KEPT,
        }
    }

    /// Keeps this many of the runs that have ended, and forgets those that ended first.
    #[must_use]
    pub const fn with_ended_kept(mut self, runs: usize) -> Self {
        self.ended_kept = runs;
        self
    }

    fn runs(&self) -> MutexGuard<'_, Runs> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn timed<T>(&self, value: T) -> Timed<T> {
        Timed {
            now: self.clock.now(),
            value,
        }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl StateStore for MemoryStore {
    async fn id(&self) -> Result<StoreId, Error> {
        Ok(self.id.clone())
    }

    async fn register(&self, instance: &Instance) -> Result<Timed<Owner>, Error> {
        let mut runs = self.runs();
        let incarnation = runs.instances.entry(instance.clone()).or_default();
        *incarnation += 1;
        let owner = Owner {
            instance: instance.clone(),
            incarnation: *incarnation,
        };
        Ok(self.timed(owner))
    }

    async fn insert(&self, run: NewRun) -> Result<Timed<Inserted>, Error> {
        let inserted = self.runs().insert(run, self.clock.now());
        Ok(self.timed(inserted))
    }

    async fn read(&self, id: &RunId) -> Result<Timed<Option<Progress>>, Error> {
        let progress = self.runs().read(id);
        Ok(self.timed(progress))
    }

    async fn swap(&self, id: &RunId, expected: u64, write: Write) -> Result<Timed<Swapped>, Error> {
        let now = self.clock.now();
        let mut runs = self.runs();
        let swapped = runs.swap(id, expected, write, now);
        runs.purge_beyond(self.ended_kept);
        drop(runs);
        let value = swapped;
        Ok(Timed { now, value })
    }

    async fn step(&self, id: &RunId, position: u32) -> Result<Option<PlannedStep>, Error> {
        Ok(self.runs().step(id, position))
    }

    async fn due(&self, limit: usize) -> Result<Timed<Vec<RunId>>, Error> {
        let due = self.runs().due(self.clock.now(), limit);
        Ok(self.timed(due))
    }

    async fn outputs_due(&self, limit: usize) -> Result<Timed<Vec<Output>>, Error> {
        let due = self.runs().outputs_due(self.clock.now(), limit);
        Ok(self.timed(due))
    }

    async fn relayed(&self, outputs: &[OutputId]) -> Result<(), Error> {
        self.runs().relayed(outputs);
        Ok(())
    }

    async fn changed(&self, id: &RunId, version: u64) -> Result<(), Error> {
        let Some(changed) = self.runs().watch(id, version) else {
            return Ok(());
        };
        let mut notified = std::pin::pin!(changed.notified());
        // Listening from here on; what changed in between is seen by looking again.
        notified.as_mut().enable();
        if self.runs().watch(id, version).is_some() {
            notified.await;
        }
        Ok(())
    }

    async fn run(&self, id: &RunId) -> Result<Option<RunInfo>, Error> {
        Ok(self.runs().run(id))
    }

    async fn attempts(&self, id: &RunId, skip: usize, limit: usize) -> Result<Vec<Attempt>, Error> {
        Ok(self.runs().attempts(id, skip, limit))
    }

    async fn list(&self, filter: &RunFilter) -> Result<Vec<RunInfo>, Error> {
        Ok(self.runs().list(filter))
    }

    async fn purge(&self, id: &RunId) -> Result<bool, Error> {
        Ok(self.runs().purge(id))
    }
}
