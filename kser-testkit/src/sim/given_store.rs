use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use async_trait::async_trait;
use kser_core::sequencing::{Owner, PlannedStep, Progress, Revision};
use kser_core::store::{
    Attempt, Cursor, DueRun, Found, Inserted, NewRun, Output, OutputId, Page, RunFilter, RunInfo,
    RunSummary, StoreHealth, Swapped, Timed, Watch, Write,
};
use kser_core::{Error, Instance, RunId, StateStore, StoreId, Topic};
use tokio::sync::watch;

/// The time between two sweeps of an idle consumer, beside its sweep interval.
const BETWEEN_SWEEPS: Duration = Duration::from_secs(5);

/// A store of the test, such as a file of SQLite, whose calls leave the thread of the simulation.
///
/// The simulation stands still during a call, so that a run is the same each time. Waiting for a change is done here: all writes
/// pass through this value, and a wait of the store itself would look at the database while the simulation goes on.
#[derive(Debug)]
pub(crate) struct GivenStore {
    store: Box<dyn StateStore>,
    /// The number of writes.
    written: watch::Sender<u64>,
}

/// Wakes a thread that waits for an answer of the store.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Makes a call, during which the thread of the simulation stands still: a task that waited would be polled as often as the answer
/// is late, and a handler beside it with it.
async fn stand_still<T>(call: impl Future<Output = T>) -> T {
    let mut call = pin!(tokio::task::unconstrained(call));
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        match call.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(answer) => return answer,
            Poll::Pending => thread::park(),
        }
    }
}

impl GivenStore {
    pub(crate) fn new(store: impl StateStore) -> Self {
        Self {
            store: Box::new(store),
            written: watch::Sender::new(0),
        }
    }

    /// Makes a call that may change a run.
    async fn write<T>(&self, call: impl Future<Output = T>) -> T {
        let answer = stand_still(call).await;
        self.written.send_modify(|written| *written += 1);
        answer
    }

    /// Reads a run after each write, until `is_enough`.
    async fn read_until(
        &self,
        id: &RunId,
        is_enough: impl Fn(Option<&Progress>) -> bool,
    ) -> Result<Timed<Found>, Error> {
        let mut written = self.written.subscribe();
        loop {
            let found = self.read(id).await?;
            if is_enough(found.value.progress()) {
                return Ok(found);
            }
            // The sender is a part of this value.
            let _ = written.changed().await;
        }
    }
}

#[async_trait]
impl StateStore for GivenStore {
    async fn id(&self) -> Result<Timed<StoreId>, Error> {
        stand_still(self.store.id()).await
    }

    async fn register(&self, instance: &Instance) -> Result<Timed<Owner>, Error> {
        self.write(self.store.register(instance)).await
    }

    async fn insert(&self, run: NewRun) -> Result<Timed<Inserted>, Error> {
        self.write(self.store.insert(run)).await
    }

    async fn read(&self, id: &RunId) -> Result<Timed<Found>, Error> {
        stand_still(self.store.read(id)).await
    }

    async fn swap(
        &self,
        id: &RunId,
        expected: Revision,
        write: Write,
    ) -> Result<Timed<Swapped>, Error> {
        self.write(self.store.swap(id, expected, write)).await
    }

    async fn step(&self, id: &RunId, position: u32) -> Result<Option<PlannedStep>, Error> {
        stand_still(self.store.step(id, position)).await
    }

    async fn due(
        &self,
        topic: &Topic,
        waited: Duration,
        limit: usize,
        hold: Duration,
    ) -> Result<Timed<Vec<DueRun>>, Error> {
        stand_still(self.store.due(topic, waited, limit, hold)).await
    }

    async fn outputs_due(&self, limit: usize, hold: Duration) -> Result<Timed<Vec<Output>>, Error> {
        stand_still(self.store.outputs_due(limit, hold)).await
    }

    async fn relayed(&self, outputs: &[OutputId]) -> Result<(), Error> {
        self.write(self.store.relayed(outputs)).await
    }

    async fn changed(&self, id: &RunId, version: u64) -> Result<(), Error> {
        let is_other =
            |progress: Option<&Progress>| progress.map(Progress::version) != Some(version);
        self.read_until(id, is_other).await.map(drop)
    }

    async fn await_end(&self, id: &RunId) -> Result<Timed<Option<Progress>>, Error> {
        let has_ended =
            |progress: Option<&Progress>| progress.is_none_or(|run| run.status().is_terminal());
        let found = self.read_until(id, has_ended).await?;
        Ok(Timed::new(found.now, found.value.into_progress()))
    }

    async fn await_due(&self) -> Result<(), Error> {
        tokio::time::sleep(BETWEEN_SWEEPS).await;
        Ok(())
    }

    async fn run(&self, id: &RunId) -> Result<Option<RunInfo>, Error> {
        stand_still(self.store.run(id)).await
    }

    async fn attempts(
        &self,
        id: &RunId,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<Attempt>, Error> {
        stand_still(self.store.attempts(id, after, limit)).await
    }

    async fn latest_attempts(&self, id: &RunId, limit: usize) -> Result<Vec<Attempt>, Error> {
        stand_still(self.store.latest_attempts(id, limit)).await
    }

    async fn find(&self, prefix: &str, limit: usize) -> Result<Vec<RunId>, Error> {
        stand_still(self.store.find(prefix, limit)).await
    }

    async fn list(&self, filter: &RunFilter) -> Result<Page<RunSummary>, Error> {
        stand_still(self.store.list(filter)).await
    }

    async fn count(&self, filter: &RunFilter, most: u64) -> Result<u64, Error> {
        stand_still(self.store.count(filter, most)).await
    }

    async fn purge(&self, id: &RunId) -> Result<bool, Error> {
        self.write(self.store.purge(id)).await
    }

    fn watch(&self, id: &RunId) -> Watch {
        self.store.watch(id)
    }

    fn health(&self) -> StoreHealth {
        self.store.health()
    }
}
