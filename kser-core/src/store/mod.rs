//! The state store: the trait, and the values of its methods.

mod browse;
mod contract;
mod cursor;
mod rows;
mod standing;
mod watch;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub use self::browse::{LARGEST_PAGE, Page, RunFilter, RunSummary, page_size};
pub use self::cursor::{Cursor, InvalidCursor};
pub use self::rows::{
    Attempt, DueRun, Inserted, Intervention, NewRun, Output, OutputId, RunInfo, Swapped, Timed,
    Write,
};
pub use self::standing::{Found, Standing, TOMBSTONE_KEPT, Tombstone};
pub use self::watch::{StoreHealth, Watch};
use crate::presence::PresenceStore;
use crate::sequencing::{Owner, PlannedStep, Progress, Revision};
use crate::{Error, Instance, RunId, StoreId, Topic};

/// The time that the writer of an output has to publish it before other consumers may.
pub const OUTPUT_PATIENCE: Duration = Duration::from_secs(30);

/// The most bytes of the id of a run, which an index of a database can hold.
pub const LONGEST_ID: usize = 1024;

/// Keeps the state of runs, which all consumers share, as the rules of [`sequencing`](crate::sequencing) need it.
///
/// The sections are the contract. Each sentence is a test of the same meaning in `kser-testkit`.
///
#[doc = crate::__store_contract!([crate::__contract_text])]
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

    /// Returns the state of a run.
    async fn read(&self, id: &RunId) -> Result<Timed<Found>, Error>;

    /// Writes the progress of a run, if the stored revision is `expected`.
    ///
    /// A swap whose answer was lost is repeated as it was: the [stamp](crate::sequencing::Progress::stamp) of its progress
    /// tells the store whether it was written. A stamp of 0 is none, and tells nothing.
    async fn swap(
        &self,
        id: &RunId,
        expected: Revision,
        write: Write,
    ) -> Result<Timed<Swapped>, Error>;

    /// Returns one step of a run's plan, counted from 1; `None` when there is none.
    async fn step(&self, id: &RunId, position: u32) -> Result<Option<PlannedStep>, Error>;

    /// Lists runs that wait for a record of `topic` and that a sweep should check, at most `limit`, and claims them for the time
    /// `hold`: no other caller gets them meanwhile.
    ///
    /// `waited` is how long the oldest record of the topic has waited: a run whose record may still wait, too, is not due.
    async fn due(
        &self,
        topic: &Topic,
        waited: Duration,
        limit: usize,
        hold: Duration,
    ) -> Result<Timed<Vec<DueRun>>, Error>;

    /// Lists outputs that were written and perhaps not published, the earliest first, at most `limit`, and claims them for the
    /// time `hold`.
    async fn outputs_due(&self, limit: usize, hold: Duration) -> Result<Timed<Vec<Output>>, Error>;

    /// Marks outputs as published.
    async fn relayed(&self, outputs: &[OutputId]) -> Result<(), Error>;

    /// Waits until the version of a run is no longer `version`, at most for a while that the store chooses.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    async fn changed(&self, id: &RunId, version: u64) -> Result<(), Error>;

    /// Waits until a run has ended or is purged, at most for a while that the store chooses, and returns its progress; `None` when
    /// there is no such run. So its caller reads no change before the end.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    async fn await_end(&self, id: &RunId) -> Result<Timed<Option<Progress>>, Error>;

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

    /// Returns a page of the attempts at the steps of a run, those that follow the cursor `after`; the first ones without one. A page
    /// has [`page_size(limit)`](page_size) attempts at most.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for a cursor of another run.
    async fn attempts(
        &self,
        id: &RunId,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<Attempt>, Error>;

    /// Returns the last attempts at the steps of a run, at most [`page_size(limit)`](page_size), in the order in which they were written.
    async fn latest_attempts(&self, id: &RunId, limit: usize) -> Result<Vec<Attempt>, Error>;

    /// Returns the ids of runs that begin with `prefix`, in the order of their bytes, at most [`page_size(limit)`](page_size).
    async fn find(&self, prefix: &str, limit: usize) -> Result<Vec<RunId>, Error>;

    /// Returns a page of the runs that fit a filter, the latest launched first. Its rows are small: no content of the runs is read.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for a cursor of another filter.
    async fn list(&self, filter: &RunFilter) -> Result<Page<RunSummary>, Error>;

    /// Counts the runs that fit a filter, whatever its cursor and its limit are, and stops at `most`: so many are there, or more.
    async fn count(&self, filter: &RunFilter, most: u64) -> Result<u64, Error>;

    /// Removes a run that has ended, but for its [`Tombstone`]. Returns whether there was one.
    async fn purge(&self, id: &RunId) -> Result<bool, Error>;

    /// Keeps a run, also one that is not inserted yet, until the returned value is dropped: a store that removes runs by
    /// itself does not remove it meanwhile.
    fn watch(&self, id: &RunId) -> Watch;

    /// Returns the health of the store, without a call to a backend.
    fn health(&self) -> StoreHealth;

    /// Returns the part of the store that keeps the announcements of consumers; `None`, as by default, when it keeps none.
    fn presence(&self) -> Option<Arc<dyn PresenceStore>> {
        None
    }
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

    async fn read(&self, id: &RunId) -> Result<Timed<Found>, Error> {
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
        hold: Duration,
    ) -> Result<Timed<Vec<DueRun>>, Error> {
        (**self).due(topic, waited, limit, hold).await
    }

    async fn outputs_due(&self, limit: usize, hold: Duration) -> Result<Timed<Vec<Output>>, Error> {
        (**self).outputs_due(limit, hold).await
    }

    async fn relayed(&self, outputs: &[OutputId]) -> Result<(), Error> {
        (**self).relayed(outputs).await
    }

    async fn changed(&self, id: &RunId, version: u64) -> Result<(), Error> {
        (**self).changed(id, version).await
    }

    async fn await_end(&self, id: &RunId) -> Result<Timed<Option<Progress>>, Error> {
        (**self).await_end(id).await
    }

    async fn await_due(&self) -> Result<(), Error> {
        (**self).await_due().await
    }

    async fn run(&self, id: &RunId) -> Result<Option<RunInfo>, Error> {
        (**self).run(id).await
    }

    async fn attempts(
        &self,
        id: &RunId,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<Attempt>, Error> {
        (**self).attempts(id, after, limit).await
    }

    async fn latest_attempts(&self, id: &RunId, limit: usize) -> Result<Vec<Attempt>, Error> {
        (**self).latest_attempts(id, limit).await
    }

    async fn find(&self, prefix: &str, limit: usize) -> Result<Vec<RunId>, Error> {
        (**self).find(prefix, limit).await
    }

    async fn list(&self, filter: &RunFilter) -> Result<Page<RunSummary>, Error> {
        (**self).list(filter).await
    }

    async fn count(&self, filter: &RunFilter, most: u64) -> Result<u64, Error> {
        (**self).count(filter, most).await
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

    fn presence(&self) -> Option<Arc<dyn PresenceStore>> {
        (**self).presence()
    }
}

// The trait must stay usable as a trait object.
const _: Option<&dyn StateStore> = None;
