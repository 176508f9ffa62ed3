use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kser_core::sequencing::{Owner, PlannedStep, Progress, Revision};
use kser_core::store::{
    Attempt, Cursor, DueRun, Found, Inserted, NewRun, Output, OutputId, Page, RunFilter, RunInfo,
    RunSummary, StoreHealth, Swapped, Timed, Watch, Write,
};
use kser_core::{Error, Instance, RunId, StateStore, StoreId, Topic};
use kser_memory::MemoryStore;

use super::labels::stand;
use super::mark::Act;
use super::port::Port;
use super::state::{Shared, State};
use super::{Idle, Setup};
use crate::faults::Kind;
use crate::invariants;

/// Keeps the runs of a simulated run: a [`MemoryStore`] on simulated time, unless the [`Setup`] gives another store.
///
/// Inside a [`Sim`](crate::Sim) each consumer has its own handle, and each call waits until the simulation lets it
/// through. A store that is made with [`new`](Self::new) stands alone, as the conformance suite tests it.
#[derive(Debug, Clone)]
pub struct SimStore {
    port: Port,
    runs: Arc<dyn StateStore>,
}

impl SimStore {
    /// Makes a store that no simulation drives. Its time is tokio's, which should be paused.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with time.
    #[must_use]
    pub fn new() -> Self {
        let shared = Shared::new(Setup::default(), Idle::default(), false);
        let runs = Arc::new(in_memory(&shared));
        let port = Port::open(&shared, "alone", None);
        Self { port, runs }
    }

    pub(crate) const fn with_port(port: Port, runs: Arc<dyn StateStore>) -> Self {
        Self { port, runs }
    }

    async fn read_call<T>(
        &self,
        path: String,
        read: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        self.port.call(Kind::Read, path, read).await?
    }

    async fn write_call<T>(
        &self,
        path: String,
        write: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        self.port.call(Kind::Write, path, write).await?
    }

    fn of(&self, run: &RunId, verb: &str) -> String {
        let shared = &self.port.shared;
        shared.with(|state| format!("{}/{verb}", state.labels.known_run(run)))
    }

    fn own(&self, verb: &str) -> String {
        format!("{}/{verb}", self.port.name)
    }

    fn note(&self, about: &str, note: impl FnOnce(&mut State) -> (bool, String)) {
        self.port.shared.change(|state, _| {
            let (accepted, line) = note(state);
            let mark = Act::Write { accepted }.of(about);
            self.port.note(state, mark, line);
        });
    }

    /// Returns the path of a swap: of the step that it begins, renews or ends.
    fn swapped(&self, run: &RunId, write: &Write) -> String {
        self.port.shared.with(|state| {
            if let Some(plan) = &write.plan {
                state.labels.learn(run, plan);
            }
            let (progress, labels) = (&write.progress, &state.labels);
            match &write.attempt {
                Some(attempt) => format!("{}/end", labels.step(run, attempt.position)),
                None if progress.is_started() => {
                    let stored = state
                        .facts
                        .runs
                        .get(run)
                        .and_then(|run| run.stored.as_ref());
                    let same = |stored: &Progress| stored.attempts() == progress.attempts();
                    let verb = match stored.is_some_and(same) {
                        true => "renew",
                        false => "start",
                    };
                    format!("{}/{verb}", labels.step(run, progress.position()))
                }
                None => format!("{}/write", labels.known_run(run)),
            }
        })
    }
}

/// Makes the store of a simulated run that is given none.
pub(crate) fn in_memory(shared: &Shared) -> MemoryStore {
    MemoryStore::with_clock(*shared.clock()).with_id("sim")
}

impl Default for SimStore {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl StateStore for SimStore {
    async fn id(&self) -> Result<Timed<StoreId>, Error> {
        self.runs.id().await
    }

    async fn register(&self, instance: &Instance) -> Result<Timed<Owner>, Error> {
        let write = async { self.runs.register(instance).await };
        self.write_call(self.own("register"), write).await
    }

    async fn insert(&self, run: NewRun) -> Result<Timed<Inserted>, Error> {
        let id = run.id.clone();
        let path = self.port.shared.with(|state| {
            state.labels.learn(&id, &run.plan);
            format!("{}/insert", state.labels.run(&id, &run.name))
        });
        let what = path.clone();
        let insert = async {
            let progress = run.progress.clone();
            let outputs = run.outputs.clone();
            let inserted = self.runs.insert(run).await?;
            self.note(&what, |state| {
                let label = state.labels.known_run(&id);
                match inserted.value {
                    Inserted::New => {
                        state.wrote(self.port.life, &id, (&progress, false), inserted.now);
                        state.kept(&id, progress.version(), outputs);
                        (true, format!("inserts {label}"))
                    }
                    Inserted::Same(_) => (true, format!("finds {label} inserted")),
                    Inserted::Purged(_) => (false, format!("finds {label} purged")),
                    _ => (false, format!("finds another {label} inserted")),
                }
            });
            Ok(inserted)
        };
        self.write_call(path, insert).await
    }

    async fn read(&self, id: &RunId) -> Result<Timed<Found>, Error> {
        self.read_call(self.of(id, "read"), self.runs.read(id))
            .await
    }

    async fn swap(
        &self,
        id: &RunId,
        expected: Revision,
        write: Write,
    ) -> Result<Timed<Swapped>, Error> {
        let path = self.swapped(id, &write);
        let what = path.clone();
        let swap = async {
            let progress = write.progress.clone();
            let (outputs, keeps) = (write.outputs.clone(), write.keeps_outcomes);
            let swapped = self.runs.swap(id, expected, write).await?;
            let written = matches!(swapped.value, Swapped::Written(_));
            self.note(&what, |state| match written {
                true => {
                    state.wrote(self.port.life, id, (&progress, keeps), swapped.now);
                    state.kept(id, progress.version(), outputs);
                    (true, format!("writes {what}: {}", stand(&progress)))
                }
                false => {
                    let line =
                        format!("cannot write {what}: the run has changed since it was read");
                    (false, line)
                }
            });
            Ok(swapped)
        };
        self.write_call(path, swap).await
    }

    async fn step(&self, id: &RunId, position: u32) -> Result<Option<PlannedStep>, Error> {
        self.read_call(self.of(id, "step"), self.runs.step(id, position))
            .await
    }

    async fn due(
        &self,
        topic: &Topic,
        waited: Duration,
        limit: usize,
        hold: Duration,
    ) -> Result<Timed<Vec<DueRun>>, Error> {
        let read = self.runs.due(topic, waited, limit, hold);
        self.read_call(self.own("due"), read).await
    }

    async fn outputs_due(&self, limit: usize, hold: Duration) -> Result<Timed<Vec<Output>>, Error> {
        let read = self.runs.outputs_due(limit, hold);
        self.read_call(self.own("outputs due"), read).await
    }

    async fn relayed(&self, outputs: &[OutputId]) -> Result<(), Error> {
        let path = match outputs.first() {
            Some(first) => self.of(&first.run, "relayed"),
            None => self.own("relayed"),
        };
        let what = path.clone();
        let relayed = async {
            self.runs.relayed(outputs).await?;
            self.note(&what, |state| {
                for output in outputs {
                    if let Some(record) = state.outputs.remove(output) {
                        let (facts, view) = state.observe();
                        invariants::check_relayed(facts, view, output, &record);
                    }
                }
                (true, format!("marks {} outputs as relayed", outputs.len()))
            });
            Ok(())
        };
        self.write_call(path, relayed).await
    }

    async fn changed(&self, id: &RunId, version: u64) -> Result<(), Error> {
        self.runs.changed(id, version).await
    }

    async fn await_end(&self, id: &RunId) -> Result<Timed<Option<Progress>>, Error> {
        self.runs.await_end(id).await
    }

    async fn await_due(&self) -> Result<(), Error> {
        self.runs.await_due().await
    }

    async fn run(&self, id: &RunId) -> Result<Option<RunInfo>, Error> {
        self.read_call(self.of(id, "look up"), self.runs.run(id))
            .await
    }

    async fn attempts(
        &self,
        id: &RunId,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<Attempt>, Error> {
        let read = self.runs.attempts(id, after, limit);
        self.read_call(self.of(id, "attempts"), read).await
    }

    async fn latest_attempts(&self, id: &RunId, limit: usize) -> Result<Vec<Attempt>, Error> {
        let read = self.runs.latest_attempts(id, limit);
        self.read_call(self.of(id, "latest_attempts"), read).await
    }

    async fn find(&self, prefix: &str, limit: usize) -> Result<Vec<RunId>, Error> {
        let read = self.runs.find(prefix, limit);
        self.read_call(self.own("find"), read).await
    }

    async fn list(&self, filter: &RunFilter) -> Result<Page<RunSummary>, Error> {
        self.read_call(self.own("list"), self.runs.list(filter))
            .await
    }

    async fn count(&self, filter: &RunFilter, most: u64) -> Result<u64, Error> {
        self.read_call(self.own("count"), self.runs.count(filter, most))
            .await
    }

    async fn purge(&self, id: &RunId) -> Result<bool, Error> {
        self.write_call(self.of(id, "purge"), self.runs.purge(id))
            .await
    }

    fn watch(&self, id: &RunId) -> Watch {
        self.runs.watch(id)
    }

    fn health(&self) -> StoreHealth {
        self.runs.health()
    }
}
