//! A memory store that fails on demand.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::sync::{Arc, Mutex};

use kser::core::sequencing::{Event, Near, Owner, PlannedStep, Progress, StepKey, apply};
use kser::core::store::{
    Inserted, NewRun, Output, OutputId, StoreHealth, Swapped, Timed, Watch, Write,
};
use kser::core::{Instance, StoreId};
use kser::{Attempt, Error, MemoryStore, RunFilter, RunId, RunInfo, StateStore};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(dead_code, reason = "not every test needs all of them")]
pub(crate) enum Loss {
    Nothing,
    /// Runs are inserted, and nobody hears of it.
    InsertAnswers,
    /// Nothing is written.
    Swaps,
    /// Nothing is written, and trying again does not help, as after a change of the password.
    ForGood,
    /// Somebody writes before a build is written, once.
    Race,
    /// Outputs cannot be marked as relayed, once.
    Relayed,
}

#[derive(Debug, Clone)]
pub(crate) struct Deaf {
    inner: Arc<MemoryStore>,
    loss: Arc<Mutex<Loss>>,
}

impl Deaf {
    pub(crate) fn new(inner: MemoryStore) -> Self {
        Self {
            inner: Arc::new(inner),
            loss: Arc::new(Mutex::new(Loss::Nothing)),
        }
    }

    pub(crate) fn lose(&self, loss: Loss) {
        *self.loss.lock().unwrap() = loss;
    }

    fn loses(&self, loss: Loss) -> bool {
        *self.loss.lock().unwrap() == loss
    }

    /// Renews the lease of a build, as a worker does that was about to when its build ended.
    async fn renew(&self, id: &RunId) -> Result<(), Error> {
        let read = self.inner.read(id).await?;
        let (progress, now) = (read.value.unwrap(), read.now);
        let event = Event::Renewed {
            step: StepKey {
                position: 0,
                uuid: id.as_str().into(),
                entrypoint: "".into(),
            },
            attempt: progress.attempts(),
            until: now + std::time::Duration::from_secs(60),
        };
        let nowhere = Near {
            here: None,
            next: None,
        };
        let renewed = apply(&progress, nowhere, event, now).unwrap();
        let write = Write::new(renewed.progress);
        let _ = self.inner.swap(id, progress.version(), write).await?;
        Ok(())
    }
}

#[async_trait::async_trait]
impl StateStore for Deaf {
    async fn insert(&self, run: NewRun) -> Result<Timed<Inserted>, Error> {
        let inserted = self.inner.insert(run).await;
        match self.loses(Loss::InsertAnswers) {
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
        if self.loses(Loss::ForGood) {
            return Err(super::failed(false));
        }
        if self.loses(Loss::Swaps) {
            return Err(super::failed(true));
        }
        if write.plan.is_some() && self.loses(Loss::Race) {
            self.lose(Loss::Nothing);
            self.renew(id).await?;
        }
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
        if self.loses(Loss::Relayed) {
            self.lose(Loss::Nothing);
            return Err(super::failed(true));
        }
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

    fn watch(&self, id: &RunId) -> Watch {
        self.inner.watch(id)
    }

    fn health(&self) -> StoreHealth {
        self.inner.health()
    }
}
