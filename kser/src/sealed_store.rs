use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use kser_core::presence::PresenceStore;
use kser_core::sequencing::{Outcomes, Owner, PlannedStep, Progress, Revision};
use kser_core::store::{
    Attempt, Cursor, DueRun, Found, Inserted, NewRun, Output, OutputId, Page, RunFilter, RunInfo,
    RunSummary, Standing, StoreHealth, Swapped, Timed, Watch, Write,
};
use kser_core::{Error, Instance, Outcome, Raw, RunId, StateStore, StoreId, Topic};
use uuid::Uuid;

use crate::payloads::Payloads;

/// Seals the values that a store keeps: launches, params and outcomes. Ids, names, topics, versions, codes and times stay readable, by
/// which the store selects. Records to relay are sealed already.
#[derive(Debug)]
pub(crate) struct SealedStore {
    store: Arc<dyn StateStore>,
    payloads: Payloads,
}

/// The place of the values of a run, which is the topic of their envelopes: a value of another run, or of another field, is refused.
struct Place {
    run: Uuid,
}

impl Place {
    fn of(run: &RunId) -> Self {
        Self {
            run: kser_core::name_based_uuid(&[run.as_str()]),
        }
    }

    fn field(&self, name: &str) -> Result<Topic, Error> {
        Ok(Topic::new(format!("kser.store.{}.{name}", self.run))?)
    }

    fn params(&self, position: u32) -> Result<Topic, Error> {
        self.field(&format!("params.{position}"))
    }
}

const LAUNCH: &str = "launch";
const OUTCOME: &str = "outcome";
const FAILURE: &str = "failure";

/// The field of the outcome of an attempt at a step. The count of attempts begins anew after a repair, and the time of the end does not.
fn attempt_field(attempt: &Attempt) -> String {
    let ended = attempt.ended.as_millis();
    format!("attempt.{}.{}.{ended}", attempt.position, attempt.attempt)
}

impl SealedStore {
    /// Puts a store behind the cipher of a client, if there is one.
    pub(crate) fn around(store: Arc<dyn StateStore>, payloads: &Payloads) -> Arc<dyn StateStore> {
        match payloads.is_encrypted() {
            true => Arc::new(Self {
                store,
                payloads: payloads.clone(),
            }),
            false => store,
        }
    }

    /// Seals the values of a run that another writer than a store inserts, if the client encrypts.
    pub(crate) fn seal(
        store: &Arc<dyn StateStore>,
        payloads: &Payloads,
        run: NewRun,
    ) -> Result<NewRun, Error> {
        match payloads.is_encrypted() {
            true => {
                let (store, payloads) = (Arc::clone(store), payloads.clone());
                Self { store, payloads }.seal_run(run)
            }
            false => Ok(run),
        }
    }

    fn seal_run(&self, mut run: NewRun) -> Result<NewRun, Error> {
        let place = Place::of(&run.id);
        run.launch = self.payloads.seal_row(run.launch, &place.field(LAUNCH)?)?;
        run.digest = self.payloads.digest(run.digest);
        run.progress = self.seal_progress(run.progress, &place)?;
        run.plan = self.seal_plan(run.plan, &place)?;
        Ok(run)
    }

    /// Seals an outcome: its id and code stay readable.
    fn seal_outcome(&self, outcome: &Outcome, topic: &Topic) -> Result<Outcome, Error> {
        let text = Bytes::from(Raw::new(outcome)?.as_str().to_owned());
        let sealed = self.payloads.seal_row(text.clone(), topic)?;
        if sealed == text {
            // Nothing is encrypted yet.
            return Ok(outcome.clone());
        }
        let kept = Outcome::default().with_code(outcome.code());
        let kept = kept.with_data(Raw::from_slice(&sealed)?.parse()?);
        Ok(match outcome.uuid() {
            Some(uuid) => kept.with_uuid(uuid.clone()),
            None => kept,
        })
    }

    async fn open_outcome(&self, kept: &Outcome, topic: &Topic) -> Result<Outcome, Error> {
        let row = Bytes::from(kept.data().as_str().to_owned());
        let text = self.payloads.open_row(&row, topic).await?;
        match text == row {
            // It was written before there was a cipher.
            true => Ok(kept.clone()),
            false => Ok(Raw::from_slice(&text)?.parse()?),
        }
    }

    fn seal_progress(&self, progress: Progress, place: &Place) -> Result<Progress, Error> {
        progress.try_map_outcomes(
            |outcome| self.seal_outcome(&outcome, &place.field(OUTCOME)?),
            |failure| self.seal_outcome(&failure, &place.field(FAILURE)?),
        )
    }

    async fn open_progress(&self, progress: Progress, place: &Place) -> Result<Progress, Error> {
        let outcome = self
            .open_outcome(progress.outcome(), &place.field(OUTCOME)?)
            .await?;
        let failure = match progress.failure() {
            Some(failure) => Some(self.open_outcome(failure, &place.field(FAILURE)?).await?),
            None => None,
        };
        progress.try_map_outcomes(|_| Ok(outcome), |kept| Ok(failure.unwrap_or(kept)))
    }

    fn seal_step(&self, mut step: PlannedStep, place: &Place) -> Result<PlannedStep, Error> {
        let text = Bytes::from(step.params.as_str().to_owned());
        let sealed = self
            .payloads
            .seal_row(text, &place.params(step.key.position)?)?;
        step.params = Raw::from_slice(&sealed)?.parse()?;
        Ok(step)
    }

    async fn open_step(&self, mut step: PlannedStep, place: &Place) -> Result<PlannedStep, Error> {
        let sealed = Bytes::from(step.params.as_str().to_owned());
        let place = place.params(step.key.position)?;
        let text = self.payloads.open_row(&sealed, &place).await?;
        step.params = Raw::from_slice(&text)?.parse()?;
        Ok(step)
    }

    fn seal_plan(&self, plan: Vec<PlannedStep>, place: &Place) -> Result<Vec<PlannedStep>, Error> {
        plan.into_iter()
            .map(|step| self.seal_step(step, place))
            .collect()
    }

    async fn open_standing(
        &self,
        mut standing: Box<Standing>,
        place: &Place,
    ) -> Result<Box<Standing>, Error> {
        standing.progress = self.open_progress(standing.progress, place).await?;
        for step in [&mut standing.here, &mut standing.next] {
            if let Some(sealed) = step.take() {
                *step = Some(self.open_step(sealed, place).await?);
            }
        }
        Ok(standing)
    }

    async fn open_found(&self, found: Found, place: &Place) -> Result<Found, Error> {
        match found {
            Found::Stands(standing) => {
                Ok(Found::Stands(self.open_standing(standing, place).await?))
            }
            other => Ok(other),
        }
    }

    async fn open_due(&self, run: DueRun) -> Result<DueRun, Error> {
        let place = Place::of(&run.info.id);
        let (mut here, mut next) = (run.here, run.next);
        for step in [&mut here, &mut next] {
            if let Some(sealed) = step.take() {
                *step = Some(self.open_step(sealed, &place).await?);
            }
        }
        Ok(DueRun::new(self.open_info(run.info).await?, here, next))
    }

    async fn open_info(&self, mut info: RunInfo) -> Result<RunInfo, Error> {
        let place = Place::of(&info.id);
        info.launch = self
            .payloads
            .open_row(&info.launch, &place.field(LAUNCH)?)
            .await?;
        info.progress = self.open_progress(info.progress, &place).await?;
        Ok(info)
    }

    async fn open_attempts(&self, id: &RunId, attempts: &mut [Attempt]) -> Result<(), Error> {
        let place = Place::of(id);
        for attempt in attempts {
            let field = place.field(&attempt_field(attempt))?;
            attempt.outcome = self.open_outcome(&attempt.outcome, &field).await?;
        }
        Ok(())
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl StateStore for SealedStore {
    async fn id(&self) -> Result<Timed<StoreId>, Error> {
        self.store.id().await
    }

    async fn register(&self, instance: &Instance) -> Result<Timed<Owner>, Error> {
        self.store.register(instance).await
    }

    async fn insert(&self, run: NewRun) -> Result<Timed<Inserted>, Error> {
        let place = Place::of(&run.id);
        let run = self.seal_run(run)?;
        let Timed { now, value, .. } = self.store.insert(run).await?;
        let value = match value {
            Inserted::Same(standing) => Inserted::Same(self.open_standing(standing, &place).await?),
            other => other,
        };
        Ok(Timed::new(now, value))
    }

    async fn read(&self, id: &RunId) -> Result<Timed<Found>, Error> {
        let Timed { now, value, .. } = self.store.read(id).await?;
        let value = self.open_found(value, &Place::of(id)).await?;
        Ok(Timed::new(now, value))
    }

    async fn swap(
        &self,
        id: &RunId,
        expected: Revision,
        mut write: Write,
    ) -> Result<Timed<Swapped>, Error> {
        let place = Place::of(id);
        write.progress = match write.keeps_outcomes {
            true => write.progress.with_outcomes(Outcomes::default()),
            false => self.seal_progress(write.progress, &place)?,
        };
        write.plan = match write.plan {
            Some(plan) => Some(self.seal_plan(plan, &place)?),
            None => None,
        };
        if let Some(attempt) = &mut write.attempt {
            let field = place.field(&attempt_field(attempt))?;
            attempt.outcome = self.seal_outcome(&attempt.outcome, &field)?;
        }
        let Timed { now, value, .. } = self.store.swap(id, expected, write).await?;
        let value = match value {
            Swapped::Written(Some(step)) => {
                Swapped::Written(Some(self.open_step(step, &place).await?))
            }
            Swapped::Conflict(found) => Swapped::Conflict(self.open_found(found, &place).await?),
            other => other,
        };
        Ok(Timed::new(now, value))
    }

    async fn step(&self, id: &RunId, position: u32) -> Result<Option<PlannedStep>, Error> {
        match self.store.step(id, position).await? {
            Some(step) => Ok(Some(self.open_step(step, &Place::of(id)).await?)),
            None => Ok(None),
        }
    }

    async fn due(
        &self,
        topic: &Topic,
        waited: Duration,
        limit: usize,
        hold: Duration,
    ) -> Result<Timed<Vec<DueRun>>, Error> {
        let mut due = self.store.due(topic, waited, limit, hold).await?;
        let mut opened = Vec::with_capacity(due.value.len());
        for run in std::mem::take(&mut due.value) {
            let id = run.info.id.clone();
            match self.open_due(run).await {
                Ok(run) => opened.push(run),
                // One run that cannot be read does not hold up the others.
                Err(error) => {
                    tracing::error!(target: "kser", run = ?id, error = kser_core::log::report(&error), "decrypting a run that does not move failed; it is tried again later");
                }
            }
        }
        due.value = opened;
        Ok(due)
    }

    async fn outputs_due(&self, limit: usize, hold: Duration) -> Result<Timed<Vec<Output>>, Error> {
        self.store.outputs_due(limit, hold).await
    }

    async fn relayed(&self, outputs: &[OutputId]) -> Result<(), Error> {
        self.store.relayed(outputs).await
    }

    async fn changed(&self, id: &RunId, version: u64) -> Result<(), Error> {
        self.store.changed(id, version).await
    }

    async fn await_end(&self, id: &RunId) -> Result<Timed<Option<Progress>>, Error> {
        let Timed { now, value, .. } = self.store.await_end(id).await?;
        let value = match value {
            Some(progress) => Some(self.open_progress(progress, &Place::of(id)).await?),
            None => None,
        };
        Ok(Timed::new(now, value))
    }

    async fn await_due(&self) -> Result<(), Error> {
        self.store.await_due().await
    }

    async fn run(&self, id: &RunId) -> Result<Option<RunInfo>, Error> {
        match self.store.run(id).await? {
            Some(info) => Ok(Some(self.open_info(info).await?)),
            None => Ok(None),
        }
    }

    async fn attempts(
        &self,
        id: &RunId,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<Attempt>, Error> {
        let mut attempts = self.store.attempts(id, after, limit).await?;
        self.open_attempts(id, &mut attempts.rows).await?;
        Ok(attempts)
    }

    async fn latest_attempts(&self, id: &RunId, limit: usize) -> Result<Vec<Attempt>, Error> {
        let mut attempts = self.store.latest_attempts(id, limit).await?;
        self.open_attempts(id, &mut attempts).await?;
        Ok(attempts)
    }

    async fn find(&self, prefix: &str, limit: usize) -> Result<Vec<RunId>, Error> {
        self.store.find(prefix, limit).await
    }

    async fn list(&self, filter: &RunFilter) -> Result<Page<RunSummary>, Error> {
        self.store.list(filter).await
    }

    async fn count(&self, filter: &RunFilter, most: u64) -> Result<u64, Error> {
        self.store.count(filter, most).await
    }

    async fn purge(&self, id: &RunId) -> Result<bool, Error> {
        self.store.purge(id).await
    }

    fn watch(&self, id: &RunId) -> Watch {
        self.store.watch(id)
    }

    fn health(&self) -> StoreHealth {
        self.store.health()
    }

    /// Announcements have names and ids only: see [`Presence`](kser_core::presence::Presence).
    fn presence(&self) -> Option<Arc<dyn PresenceStore>> {
        self.store.presence()
    }
}

#[cfg(all(test, feature = "encryption"))]
mod tests;
