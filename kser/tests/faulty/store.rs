//! A memory store whose answers to inserts get lost on demand.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kser::core::sequencing::{Owner, PlannedStep, Progress};
use kser::core::store::{Inserted, NewRun, Output, OutputId, Swapped, Timed, Write};
use kser::core::{Instance, StoreId};
use kser::{Attempt, Error, MemoryStore, RunFilter, RunId, RunInfo, StateStore};

#[derive(Debug, Clone)]
pub(crate) struct Deaf {
    inner: Arc<MemoryStore>,
    deaf: Arc<AtomicBool>,
}

impl Deaf {
    pub(crate) fn new(inner: MemoryStore) -> Self {
        Self {
            inner: Arc::new(inner),
            deaf: Arc::default(),
        }
    }

    pub(crate) fn lose_answers(&self, lose: bool) {
        self.deaf.store(lose, Ordering::Relaxed);
    }
}

#[async_trait::async_trait]
impl StateStore for Deaf {
    async fn insert(&self, run: NewRun) -> Result<Timed<Inserted>, Error> {
        let inserted = self.inner.insert(run).await;
        match self.deaf.load(Ordering::Relaxed) {
            true => Err(super::failed(true)),
            false => inserted,
        }
    }

    async fn id(&self) -> Result<StoreId, Error> {
        self.inner.id().await
    }

    async fn register(&self, instance: &Instance) -> Result<Timed<Owner>, Error> {
        self.inner.register(instance).await
    }

    async fn read(&self, id: &RunId) -> Result<Timed<Option<Progress>>, Error> {
        self.inner.read(id).await
    }

    async fn swap(&self, id: &RunId, expected: u64, write: Write) -> Result<Timed<Swapped>, Error> {
        self.inner.swap(id, expected, write).await
    }

    async fn step(&self, id: &RunId, position: u32) -> Result<Option<PlannedStep>, Error> {
        self.inner.step(id, position).await
    }

    async fn due(&self, limit: usize) -> Result<Timed<Vec<RunId>>, Error> {
        self.inner.due(limit).await
    }

    async fn outputs_due(&self, limit: usize) -> Result<Timed<Vec<Output>>, Error> {
        self.inner.outputs_due(limit).await
    }

    async fn relayed(&self, outputs: &[OutputId]) -> Result<(), Error> {
        self.inner.relayed(outputs).await
    }

    async fn changed(&self, id: &RunId, version: u64) -> Result<(), Error> {
        self.inner.changed(id, version).await
    }

    async fn run(&self, id: &RunId) -> Result<Option<RunInfo>, Error> {
        self.inner.run(id).await
    }

    async fn attempts(&self, id: &RunId, skip: usize, limit: usize) -> Result<Vec<Attempt>, Error> {
        self.inner.attempts(id, skip, limit).await
    }

    async fn list(&self, filter: &RunFilter) -> Result<Vec<RunInfo>, Error> {
        self.inner.list(filter).await
    }

    async fn purge(&self, id: &RunId) -> Result<bool, Error> {
        self.inner.purge(id).await
    }
}
