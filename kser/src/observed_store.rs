use std::fmt::{self, Debug};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kser_core::presence::PresenceStore;
use kser_core::sequencing::{Owner, PlannedStep, Progress, Revision};
use kser_core::store::{
    Attempt, Cursor, DueRun, Found, Inserted, NewRun, Output, OutputId, Page, RunFilter, RunInfo,
    RunSummary, StoreHealth, Swapped, Timed, Watch, Write,
};
use kser_core::{Clock, Error, Instance, RunId, StateStore, StoreId, Topic};

use crate::observer::{ClientObserver, Observation, StoreAnswer};

/// Tells the observer of the client of each call to its store, but for those that wait for a change.
pub(crate) struct ObservedStore {
    store: Arc<dyn StateStore>,
    observer: Arc<dyn ClientObserver>,
    clock: Arc<dyn Clock>,
}

impl ObservedStore {
    /// Wraps the store of a client that has an observer.
    pub(crate) fn around(
        store: Arc<dyn StateStore>,
        observer: Option<&Arc<dyn ClientObserver>>,
        clock: &Arc<dyn Clock>,
    ) -> Arc<dyn StateStore> {
        let Some(observer) = observer else {
            return store;
        };
        Arc::new(Self {
            store,
            observer: Arc::clone(observer),
            clock: Arc::clone(clock),
        })
    }

    async fn call<T>(
        &self,
        call: &'static str,
        answer: impl Future<Output = Result<T, Error>> + Send,
        is_conflict: fn(&T) -> bool,
    ) -> Result<T, Error>
    where
        T: Send,
    {
        let began = self.clock.now();
        let answered = answer.await;
        let duration = self.clock.now().since(began);
        let answer = match &answered {
            Ok(value) if is_conflict(value) => StoreAnswer::Conflict,
            Ok(_) => StoreAnswer::Done,
            Err(_) => StoreAnswer::Failed,
        };
        self.observer.observe(&Observation::StoreCalled {
            call,
            answer,
            duration,
        });
        answered
    }
}

const fn never<T>(_: &T) -> bool {
    false
}

impl Debug for ObservedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl StateStore for ObservedStore {
    async fn id(&self) -> Result<Timed<StoreId>, Error> {
        self.store.id().await
    }

    async fn register(&self, instance: &Instance) -> Result<Timed<Owner>, Error> {
        self.call("register", self.store.register(instance), never)
            .await
    }

    async fn insert(&self, run: NewRun) -> Result<Timed<Inserted>, Error> {
        self.call("insert", self.store.insert(run), never).await
    }

    async fn read(&self, id: &RunId) -> Result<Timed<Found>, Error> {
        self.call("read", self.store.read(id), never).await
    }

    async fn swap(
        &self,
        id: &RunId,
        expected: Revision,
        write: Write,
    ) -> Result<Timed<Swapped>, Error> {
        let is_conflict = |swapped: &Timed<Swapped>| matches!(swapped.value, Swapped::Conflict(_));
        let swap = self.store.swap(id, expected, write);
        self.call("swap", swap, is_conflict).await
    }

    async fn step(&self, id: &RunId, position: u32) -> Result<Option<PlannedStep>, Error> {
        self.call("step", self.store.step(id, position), never)
            .await
    }

    async fn due(
        &self,
        topic: &Topic,
        waited: Duration,
        limit: usize,
        hold: Duration,
    ) -> Result<Timed<Vec<DueRun>>, Error> {
        let due = self.store.due(topic, waited, limit, hold);
        self.call("due", due, never).await
    }

    async fn outputs_due(&self, limit: usize, hold: Duration) -> Result<Timed<Vec<Output>>, Error> {
        let due = self.store.outputs_due(limit, hold);
        self.call("outputs_due", due, never).await
    }

    async fn relayed(&self, outputs: &[OutputId]) -> Result<(), Error> {
        self.call("relayed", self.store.relayed(outputs), never)
            .await
    }

    async fn changed(&self, id: &RunId, version: u64) -> Result<(), Error> {
        self.store.changed(id, version).await
    }

    async fn await_end(&self, id: &RunId) -> Result<Timed<Option<Progress>>, Error> {
        self.store.await_end(id).await
    }

    async fn await_due(&self) -> Result<(), Error> {
        self.store.await_due().await
    }

    async fn run(&self, id: &RunId) -> Result<Option<RunInfo>, Error> {
        self.call("run", self.store.run(id), never).await
    }

    async fn attempts(
        &self,
        id: &RunId,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<Attempt>, Error> {
        let attempts = self.store.attempts(id, after, limit);
        self.call("attempts", attempts, never).await
    }

    async fn latest_attempts(&self, id: &RunId, limit: usize) -> Result<Vec<Attempt>, Error> {
        let attempts = self.store.latest_attempts(id, limit);
        self.call("attempts", attempts, never).await
    }

    async fn find(&self, prefix: &str, limit: usize) -> Result<Vec<RunId>, Error> {
        self.call("find", self.store.find(prefix, limit), never)
            .await
    }

    async fn list(&self, filter: &RunFilter) -> Result<Page<RunSummary>, Error> {
        self.call("list", self.store.list(filter), never).await
    }

    async fn count(&self, filter: &RunFilter, most: u64) -> Result<u64, Error> {
        self.call("count", self.store.count(filter, most), never)
            .await
    }

    async fn purge(&self, id: &RunId) -> Result<bool, Error> {
        self.call("purge", self.store.purge(id), never).await
    }

    fn watch(&self, id: &RunId) -> Watch {
        self.store.watch(id)
    }

    fn health(&self) -> StoreHealth {
        self.store.health()
    }

    fn presence(&self) -> Option<Arc<dyn PresenceStore>> {
        self.store.presence()
    }
}
