//! The state store: the trait, and the values of its methods.

mod rows;
mod watch;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub use self::rows::{
    Attempt, Inserted, NewRun, Output, OutputId, RunFilter, RunInfo, Swapped, Timed, Write,
};
pub use self::watch::{StoreHealth, Watch};
use crate::sequencing::{Owner, PlannedStep, Progress, Revision};
use crate::{Error, Instance, RunId, StoreId, Topic};

/// The time that the writer of an output has to publish it before other consumers may.
pub const OUTPUT_PATIENCE: Duration = Duration::from_secs(30);

/// Keeps the state of runs, which all consumers share, as the rules of [`sequencing`](crate::sequencing) need it.
///
/// The sections are the contract. Each sentence is a test of the same meaning in `kser-testkit`.
///
/// # Inserting
///
/// A run is inserted once: a second insert of its id changes nothing, and says whether the content is the same. A text
/// that differs in one byte is another id. Of many that insert one id at once, one is told that it is new. A run may be
/// inserted with its plan or without. Outputs that come with a run are kept exactly if the run is new.
///
/// # Swapping
///
/// A swap writes if the stored version is the expected one, and says so. A swap that expects another stamp than the stored
/// one does not write. Of many that expect the same version, one writes. A swap that does not write changes nothing, and
/// answers with the progress that is stored. A swap that is repeated with its stamp answers that it has written, and writes
/// nothing a second time. What goes with a swap (the plan, an attempt, outputs) is written exactly if the progress is. What
/// a swap has written is there for the next read of anybody. A swap answers with the step of the plan that was asked for,
/// also one that it wrote.
///
/// # Plans
///
/// A step is read by its position. A plan comes back as it was written. Reading a step costs the same in a plan of any
/// length.
///
/// # Time
///
/// The store's time never goes back. Every answer that a decision depends on tells the time of the store.
///
/// # Due
///
/// A run is due when its `check_at` is not after the store's time. With a wait it is due that much later. It is due for the
/// topic that was written last with it, and for no other. The earliest comes first, and never more than the limit. A run
/// without `check_at` is never due.
///
/// # Outputs
///
/// An output is not due before [`OUTPUT_PATIENCE`] has passed since it was written, and is due
/// from then on until it is relayed. A relayed output never comes back. Relaying twice changes nothing.
///
/// # Waking
///
/// [`changed`](Self::changed) returns when the run's version is no longer the given one, or the run is purged. It
/// returns at once when that is so already, or there is no such run. [`await_due`](Self::await_due) returns when a run or an
/// output is due, also one that was written later. Either may return for no reason.
///
/// # History
///
/// The attempts of a run are told in the order in which they were written, with their outcomes byte for byte.
/// A list has the runs that fit its filter, the latest launched first, and pages through all of them once.
///
/// # Purging
///
/// A purged run is gone with its plan, attempts and outputs. Only a run that has ended can be purged.
///
/// # Instances
///
/// Registering an instance answers an incarnation that is larger than every one before it.
///
/// # Cancel safety
///
/// Dropping the future of a write leaves the write done or not done, never half done.
#[async_trait]
pub trait StateStore: Debug + Send + Sync + 'static {
    /// Returns the id of the store, which is the same for all its users. It is called first, so that the time of the
    /// store is known before the first write.
    ///
    /// # Errors
    ///
    /// [`Error::Backend`] when the store does not answer; this holds for every method.
    async fn id(&self) -> Result<Timed<StoreId>, Error>;

    /// Begins a new life of an instance, which may take over the leases of the life before.
    async fn register(&self, instance: &Instance) -> Result<Timed<Owner>, Error>;

    /// Inserts a new run.
    async fn insert(&self, run: NewRun) -> Result<Timed<Inserted>, Error>;

    /// Returns the progress of a run; `None` when there is no such run.
    async fn read(&self, id: &RunId) -> Result<Timed<Option<Progress>>, Error>;

    /// Writes the progress of a run, if the stored revision is `expected`.
    ///
    /// A swap whose answer was lost is repeated as it was: [`Progress::stamp`] tells the store whether it was written. A
    /// stamp of 0 is none, and tells nothing.
    async fn swap(
        &self,
        id: &RunId,
        expected: Revision,
        write: Write,
    ) -> Result<Timed<Swapped>, Error>;

    /// Returns one step of a run's plan, counted from 1; `None` when there is none.
    async fn step(&self, id: &RunId, position: u32) -> Result<Option<PlannedStep>, Error>;

    /// Lists runs that wait for a record of `topic` and that a sweep should check, at most `limit`.
    ///
    /// `waited` is how long the oldest record of the topic has waited: a run whose record may still wait, too, is not due.
    async fn due(
        &self,
        topic: &Topic,
        waited: Duration,
        limit: usize,
    ) -> Result<Timed<Vec<RunId>>, Error>;

    /// Lists outputs that were written and perhaps not published, the earliest first, at most `limit`.
    async fn outputs_due(&self, limit: usize) -> Result<Timed<Vec<Output>>, Error>;

    /// Marks outputs as published.
    async fn relayed(&self, outputs: &[OutputId]) -> Result<(), Error>;

    /// Waits until the version of a run is no longer `version`, at most for a while that the store chooses.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    async fn changed(&self, id: &RunId, version: u64) -> Result<(), Error>;

    /// Waits until a run or an output is due, so that an idle consumer does not poll the store. The store may return
    /// earlier, because the consumer sweeps after each return. A store that cannot wait returns at once: the consumer then
    /// sweeps once in each sweep interval.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    async fn await_due(&self) -> Result<(), Error>;

    /// Returns the description of a run, for people; `None` when there is no such run.
    async fn run(&self, id: &RunId) -> Result<Option<RunInfo>, Error>;

    /// Returns the attempts at the steps of a run after the first `skip` of them, at most `limit`.
    async fn attempts(&self, id: &RunId, skip: usize, limit: usize) -> Result<Vec<Attempt>, Error>;

    /// Lists runs, the latest launched first.
    async fn list(&self, filter: &RunFilter) -> Result<Vec<RunInfo>, Error>;

    /// Removes a run that has ended. Returns whether there was one.
    async fn purge(&self, id: &RunId) -> Result<bool, Error>;

    /// Keeps a run, also one that is not inserted yet, until the returned value is dropped: a store that removes runs by
    /// itself does not remove it meanwhile.
    fn watch(&self, id: &RunId) -> Watch;

    /// Returns the health of the store, without a call to a backend.
    fn health(&self) -> StoreHealth;
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: StateStore + ?Sized> StateStore for Arc<T> {
    async fn id(&self) -> Result<Timed<StoreId>, Error> {
        (**self).id().await
    }

    async fn register(&self, instance: &Instance) -> Result<Timed<Owner>, Error> {
        (**self).register(instance).await
    }

    async fn insert(&self, run: NewRun) -> Result<Timed<Inserted>, Error> {
        (**self).insert(run).await
    }

    async fn read(&self, id: &RunId) -> Result<Timed<Option<Progress>>, Error> {
        (**self).read(id).await
    }

    async fn swap(
        &self,
        id: &RunId,
        expected: Revision,
        write: Write,
    ) -> Result<Timed<Swapped>, Error> {
        (**self).swap(id, expected, write).await
    }

    async fn step(&self, id: &RunId, position: u32) -> Result<Option<PlannedStep>, Error> {
        (**self).step(id, position).await
    }

    async fn due(
        &self,
        topic: &Topic,
        waited: Duration,
        limit: usize,
    ) -> Result<Timed<Vec<RunId>>, Error> {
        (**self).due(topic, waited, limit).await
    }

    async fn outputs_due(&self, limit: usize) -> Result<Timed<Vec<Output>>, Error> {
        (**self).outputs_due(limit).await
    }

    async fn relayed(&self, outputs: &[OutputId]) -> Result<(), Error> {
        (**self).relayed(outputs).await
    }

    async fn changed(&self, id: &RunId, version: u64) -> Result<(), Error> {
        (**self).changed(id, version).await
    }

    async fn await_due(&self) -> Result<(), Error> {
        (**self).await_due().await
    }

    async fn run(&self, id: &RunId) -> Result<Option<RunInfo>, Error> {
        (**self).run(id).await
    }

    async fn attempts(&self, id: &RunId, skip: usize, limit: usize) -> Result<Vec<Attempt>, Error> {
        (**self).attempts(id, skip, limit).await
    }

    async fn list(&self, filter: &RunFilter) -> Result<Vec<RunInfo>, Error> {
        (**self).list(filter).await
    }

    async fn purge(&self, id: &RunId) -> Result<bool, Error> {
        (**self).purge(id).await
    }

    fn watch(&self, id: &RunId) -> Watch {
        (**self).watch(id)
    }

    fn health(&self) -> StoreHealth {
        (**self).health()
    }
}

// The trait must stay usable as a trait object.
const _: Option<&dyn StateStore> = None;
