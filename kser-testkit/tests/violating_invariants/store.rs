//! A store with one flaw, around the simulated one.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kser_core::sequencing::{Owner, PlannedStep, Progress, Revision};
use kser_core::store::{
    Attempt, Cursor, DueRun, Found, Inserted, NewRun, Output, OutputId, Page, RunFilter, RunInfo,
    RunSummary, StoreHealth, Swapped, Timed, Watch, Write,
};
use kser_core::{Error, Instance, RunId, StateStore, Status, StoreId, Topic};
use serde_json::{Value, json};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    ComparesNothing,
    KeepsNoLease,
    RunsAhead,
    SkipsAStep,
    GoesBack,
    EndsTwice,
    LosesOutputs,
    GivesUpWhenInDoubt,
    SweepsWhatWaits,
    KeepsNoEvents,
    SaysWritten,
}

#[derive(Debug, Clone)]
pub(crate) struct Bad {
    pub(crate) inner: Arc<dyn StateStore>,
    pub(crate) flaw: Flaw,
}

/// A progress with something changed in it.
fn changed(progress: &Progress, change: impl FnOnce(&mut Value)) -> Progress {
    let mut value = serde_json::to_value(progress).unwrap();
    change(&mut value);
    serde_json::from_value(value).unwrap()
}

impl Bad {
    fn shown<T>(&self, mut answer: Timed<T>) -> Timed<T> {
        if self.flaw == Flaw::RunsAhead {
            answer.now = answer.now + Duration::from_secs(3600);
        }
        answer
    }

    fn told(&self, progress: Progress) -> Progress {
        match self.flaw {
            Flaw::KeepsNoLease => changed(&progress, |value| value["lease"] = Value::Null),
            _ => progress,
        }
    }

    fn found(&self, mut found: Found) -> Found {
        if let Found::Stands(standing) = &mut found {
            standing.progress = self.told(standing.progress.clone());
        }
        found
    }

    /// Fails a run that goes on.
    async fn fail(&self, id: &RunId) -> Result<(), Error> {
        let stored = self.inner.read(id).await?.value.into_progress();
        if let Some(stored) = stored.filter(|stored| !stored.status().is_terminal()) {
            let version = stored.version();
            let failed = changed(&stored, |value| {
                value["status"] = json!("FAILED");
                value["lease"] = Value::Null;
                value["version"] = json!(version + 1);
            });
            self.inner
                .swap(id, stored.revision(), Write::new(failed))
                .await?;
        }
        Ok(())
    }

    fn spoil(&self, write: &mut Write) {
        if self.flaw == Flaw::KeepsNoEvents {
            let outputs = &mut write.outputs;
            outputs.retain(|record| !record.topic.as_str().ends_with("kser.events"));
        }
        let progress = &write.progress;
        let third = progress.position() == 3;
        let spoilt = match self.flaw {
            Flaw::SkipsAStep if third && write.attempt.is_some() => {
                changed(progress, |value| value["position"] = json!(4))
            }
            Flaw::GoesBack if third && progress.is_started() => {
                changed(progress, |value| value["status"] = json!("PENDING"))
            }
            _ => return,
        };
        write.progress = spoilt;
    }
}

#[async_trait]
impl StateStore for Bad {
    async fn id(&self) -> Result<Timed<StoreId>, Error> {
        self.inner.id().await
    }

    async fn register(&self, instance: &Instance) -> Result<Timed<Owner>, Error> {
        self.inner.register(instance).await
    }

    async fn insert(&self, run: NewRun) -> Result<Timed<Inserted>, Error> {
        self.inner.insert(run).await
    }

    async fn read(&self, id: &RunId) -> Result<Timed<Found>, Error> {
        let Timed { now, value, .. } = self.inner.read(id).await?;
        Ok(self.shown(Timed::new(now, self.found(value))))
    }

    async fn swap(
        &self,
        id: &RunId,
        expected: Revision,
        mut write: Write,
    ) -> Result<Timed<Swapped>, Error> {
        self.spoil(&mut write);
        if self.flaw == Flaw::SaysWritten && write.attempt.is_some() {
            let stored = self.inner.read(id).await?;
            let value = Swapped::Written(None);
            return Ok(Timed::new(stored.now, value));
        }
        let mut expected = expected;
        if self.flaw == Flaw::ComparesNothing {
            let stored = self.inner.read(id).await?.value.into_progress();
            expected = stored.map_or(expected, |stored| stored.revision());
        }
        let after = write.progress.clone();
        let swapped = self.inner.swap(id, expected, write).await;
        if swapped.is_err() && self.flaw == Flaw::GivesUpWhenInDoubt {
            self.fail(id).await?;
        }
        let Timed { now, value, .. } = swapped?;
        if self.flaw == Flaw::EndsTwice && after.status() == Status::Success {
            let version = after.version();
            let failed = changed(&after, |value| {
                value["status"] = json!("FAILED");
                value["version"] = json!(version + 1);
            });
            self.inner
                .swap(id, after.revision(), Write::new(failed))
                .await?;
        }
        let value = match value {
            Swapped::Conflict(found) => Swapped::Conflict(self.found(found)),
            other => other,
        };
        Ok(self.shown(Timed::new(now, value)))
    }

    async fn step(&self, id: &RunId, position: u32) -> Result<Option<PlannedStep>, Error> {
        self.inner.step(id, position).await
    }

    async fn due(
        &self,
        topic: &Topic,
        waited: Duration,
        limit: usize,
        hold: Duration,
    ) -> Result<Timed<Vec<DueRun>>, Error> {
        let waited = match self.flaw {
            Flaw::SweepsWhatWaits => Duration::ZERO,
            _ => waited,
        };
        self.inner
            .due(topic, waited, limit, hold)
            .await
            .map(|due| self.shown(due))
    }

    async fn outputs_due(&self, limit: usize, hold: Duration) -> Result<Timed<Vec<Output>>, Error> {
        let mut due = self.inner.outputs_due(limit, hold).await?;
        if self.flaw == Flaw::LosesOutputs {
            due.value.clear();
        }
        Ok(self.shown(due))
    }

    async fn relayed(&self, outputs: &[OutputId]) -> Result<(), Error> {
        self.inner.relayed(outputs).await
    }

    async fn changed(&self, id: &RunId, version: u64) -> Result<(), Error> {
        self.inner.changed(id, version).await
    }

    async fn await_end(&self, id: &RunId) -> Result<Timed<Option<Progress>>, Error> {
        self.inner.await_end(id).await
    }

    async fn await_due(&self) -> Result<(), Error> {
        self.inner.await_due().await
    }

    async fn run(&self, id: &RunId) -> Result<Option<RunInfo>, Error> {
        self.inner.run(id).await
    }

    async fn attempts(
        &self,
        id: &RunId,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<Attempt>, Error> {
        self.inner.attempts(id, after, limit).await
    }

    async fn latest_attempts(&self, id: &RunId, limit: usize) -> Result<Vec<Attempt>, Error> {
        self.inner.latest_attempts(id, limit).await
    }

    async fn find(&self, prefix: &str, limit: usize) -> Result<Vec<RunId>, Error> {
        self.inner.find(prefix, limit).await
    }

    async fn list(&self, filter: &RunFilter) -> Result<Page<RunSummary>, Error> {
        self.inner.list(filter).await
    }

    async fn count(&self, filter: &RunFilter, most: u64) -> Result<u64, Error> {
        self.inner.count(filter, most).await
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
