//! A state store with one flaw.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use kser_core::presence::PresenceStore;
use kser_core::sequencing::{Owner, PlannedStep, Progress, Revision};
use kser_core::store::{
    Attempt, Cursor, DueRun, Found, Inserted, LARGEST_PAGE, NewRun, OUTPUT_PATIENCE, Output,
    OutputId, Page, RunFilter, RunInfo, RunSummary, StoreHealth, Swapped, Timed, Watch, Write,
};
use kser_core::{Error, Instance, RunId, StateStore, StoreId, Timestamp, Topic};
use kser_memory::MemoryStore;

use crate::presence::SloppyPresence;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Slip {
    None,
    SaysNewTwice,
    FoldsCase,
    TakesAnyId,
    InsertsNoPlan,
    WritesNothing,
    ComparesNoVersion,
    ConflictsTellNothing,
    WritesTheRestAnyway,
    ReadsStale,
    WritesAllOutcomes,
    FetchesTheFirst,
    CountsFromZero,
    ForgetsKeys,
    SearchesPlans,
    TellsNoNeighbour,
    TimeGoesBack,
    InsertsWithoutTime,
    ComparesNoStamp,
    WritesTwice,
    InsertsNoOutputs,
    DueWithoutWait,
    DueForOneTopic,
    AllAreDue,
    ClaimsNothing,
    ClaimsForEver,
    DueTheLatestFirst,
    IgnoresLimits,
    ForgetsOutputs,
    DueAlwaysAfterTheSame,
    DropsAbsentHeaders,
    KeepsRelayed,
    RelaysAnotherInstead,
    NeverWakes,
    SleepsForAnHour,
    ForgetsAttempts,
    ForgetsActors,
    ListsTheOldestFirst,
    IgnoresTimes,
    ListsAsLaunched,
    PagesForEver,
    PagesByOffset,
    LosesPlaces,
    TakesAnyCursor,
    CountsAll,
    CountsThePage,
    ForgetsCursors,
    TellsTheFirst,
    FindsWithoutLimit,
    FindsAnyCase,
    PurgesNothing,
    LeavesNoTombstone,
    RevivesAlways,
    PurgesTheLiving,
    ForgetsLives,
    KeepsTheFirstAnnouncement,
    ListsAllAnnouncements,
    IgnoresWithdrawals,
    ListingForgets,
    WritesInTwo,
}

#[derive(Debug)]
pub(crate) struct Sloppy {
    inner: MemoryStore,
    slip: Slip,
    reads: AtomicU64,
    first_read: Mutex<BTreeMap<RunId, Progress>>,
    relayed: Mutex<BTreeSet<OutputId>>,
    claimed: Mutex<BTreeSet<RunId>>,
    places: Mutex<BTreeMap<String, RunId>>,
}

impl Sloppy {
    pub(crate) fn new(slip: Slip) -> Self {
        Self {
            inner: MemoryStore::new(),
            slip,
            reads: AtomicU64::new(0),
            first_read: Mutex::default(),
            relayed: Mutex::default(),
            claimed: Mutex::default(),
            places: Mutex::default(),
        }
    }

    fn id_of(&self, id: &RunId) -> RunId {
        match self.slip {
            Slip::FoldsCase => id.as_str().to_lowercase().into(),
            _ => id.clone(),
        }
    }

    fn spoil(&self, write: &mut Write) {
        match self.slip {
            Slip::WritesAllOutcomes => write.keeps_outcomes = false,
            Slip::ForgetsAttempts => write.attempt = None,
            Slip::ForgetsActors => {
                if let Some(attempt) = &mut write.attempt {
                    attempt.by = None;
                }
            }
            Slip::ForgetsOutputs => write.outputs.clear(),
            Slip::DueAlwaysAfterTheSame => write.outputs_due_in = OUTPUT_PATIENCE,
            Slip::FetchesTheFirst => write.fetch = write.fetch.map(|_| 1),
            Slip::DropsAbsentHeaders => {
                let outputs = write.outputs.iter_mut();
                outputs.for_each(|record| record.headers.retain(|(_, value)| value.is_some()));
            }
            _ => {}
        }
    }

    /// Lists runs by how many were listed before.
    async fn page_by_offset(&self, filter: &RunFilter) -> Result<Page<RunSummary>, Error> {
        let offset = match &filter.after {
            Some(_) => usize::try_from(filter.place()?.1).unwrap(),
            None => 0,
        };
        let all = filter.clone().with_after(None).with_limit(usize::MAX);
        let mut rows = self.inner.list(&all).await?.rows;
        rows.drain(..offset.min(rows.len()));
        let next = u64::try_from(offset + filter.limit).unwrap();
        let later = Timestamp::from_millis(u64::MAX);
        Ok(Page::of(rows, filter.limit, |_| filter.cursor(later, next)))
    }

    /// Writes an attempt, and leaves the progress as it is.
    async fn write_attempt(&self, id: &RunId, attempt: Option<Attempt>) -> Result<(), Error> {
        if let Some(stored) = self.inner.read(id).await?.value.into_progress() {
            let revision = stored.revision();
            let mut write = Write::new(stored);
            write.attempt = attempt;
            self.inner.swap(id, revision, write).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl StateStore for Sloppy {
    async fn id(&self) -> Result<Timed<StoreId>, Error> {
        self.inner.id().await
    }

    async fn register(&self, instance: &Instance) -> Result<Timed<Owner>, Error> {
        let mut registered = self.inner.register(instance).await?;
        if self.slip == Slip::ForgetsLives {
            registered.value.incarnation = 1;
        }
        Ok(registered)
    }

    async fn insert(&self, mut run: NewRun) -> Result<Timed<Inserted>, Error> {
        run.id = self.id_of(&run.id);
        match self.slip {
            Slip::InsertsNoPlan => run.plan.clear(),
            Slip::RevivesAlways => run.unless_purged = false,
            Slip::InsertsNoOutputs => run.outputs.clear(),
            Slip::DueForOneTopic => run.topic = Topic::new("one").unwrap(),
            Slip::ForgetsKeys => run.plan.iter_mut().for_each(|step| step.record_key = None),
            _ => {}
        }
        let mut inserted = match self.inner.insert(run).await {
            Err(Error::TooLarge { .. }) if self.slip == Slip::TakesAnyId => {
                Timed::new(Timestamp::default(), Inserted::New)
            }
            inserted => inserted?,
        };
        match self.slip {
            Slip::SaysNewTwice | Slip::FoldsCase => inserted.value = Inserted::New,
            Slip::InsertsWithoutTime => inserted.now = Timestamp::default(),
            _ => {}
        }
        Ok(inserted)
    }

    async fn read(&self, id: &RunId) -> Result<Timed<Found>, Error> {
        let mut read = self.inner.read(&self.id_of(id)).await?;
        let number = self.reads.fetch_add(1, Ordering::Relaxed);
        if self.slip == Slip::TimeGoesBack && number % 2 == 1 {
            read.now = Timestamp::from_millis(read.now.as_millis() - 20);
        }
        if let (Slip::ReadsStale, Found::Stands(standing)) = (self.slip, &mut read.value) {
            let mut first = self.first_read.lock().unwrap();
            let progress = &mut standing.progress;
            *progress = first.entry(id.clone()).or_insert(progress.clone()).clone();
        }
        if let (Slip::LeavesNoTombstone, Found::Purged(_)) = (self.slip, &read.value) {
            read.value = Found::Unknown;
        }
        if let (Slip::TellsNoNeighbour, Found::Stands(standing)) = (self.slip, &mut read.value) {
            standing.next = None;
        }
        Ok(read)
    }

    async fn swap(
        &self,
        id: &RunId,
        expected: Revision,
        mut write: Write,
    ) -> Result<Timed<Swapped>, Error> {
        let stored = self.inner.read(id).await?;
        let expected = match (self.slip, stored.value.progress()) {
            (Slip::ComparesNoStamp, Some(stored)) => Revision {
                stamp: stored.stamp(),
                ..expected
            },
            (Slip::WritesTwice, Some(stored))
                if stored.revision() == write.progress.revision() && stored.stamp() != 0 =>
            {
                stored.revision()
            }
            (Slip::ComparesNoVersion, Some(stored)) => stored.revision(),
            _ => expected,
        };
        self.spoil(&mut write);
        let rest = write.attempt.clone();
        match self.slip {
            Slip::WritesNothing => {
                let value = Swapped::Written(None);
                return Ok(Timed::new(stored.now, value));
            }
            Slip::WritesInTwo => {
                self.write_attempt(id, write.attempt.take()).await?;
                tokio::task::yield_now().await;
            }
            _ => {}
        }
        let mut swapped = self.inner.swap(id, expected, write).await?;
        if let Swapped::Conflict(told) = &mut swapped.value {
            match self.slip {
                Slip::ConflictsTellNothing => *told = Found::Unknown,
                Slip::WritesTheRestAnyway => self.write_attempt(id, rest).await?,
                _ => {}
            }
        }
        Ok(swapped)
    }

    async fn step(&self, id: &RunId, position: u32) -> Result<Option<PlannedStep>, Error> {
        match self.slip {
            Slip::CountsFromZero => self.inner.step(id, position + 1).await,
            Slip::SearchesPlans => {
                for before in 1..position {
                    self.inner.step(id, before).await?;
                }
                self.inner.step(id, position).await
            }
            _ => self.inner.step(id, position).await,
        }
    }

    async fn due(
        &self,
        topic: &Topic,
        waited: Duration,
        limit: usize,
        hold: Duration,
    ) -> Result<Timed<Vec<DueRun>>, Error> {
        let limit = match self.slip {
            Slip::IgnoresLimits => usize::MAX,
            _ => limit,
        };
        let waited = match self.slip {
            Slip::DueWithoutWait => Duration::ZERO,
            _ => waited,
        };
        let hold = match self.slip {
            Slip::ClaimsNothing => Duration::ZERO,
            _ => hold,
        };
        let mut due = self.inner.due(topic, waited, limit, hold).await?;
        match self.slip {
            Slip::ClaimsForEver => {
                let mut claimed = self.claimed.lock().unwrap();
                due.value.retain(|run| !claimed.contains(&run.info.id));
                if !hold.is_zero() {
                    claimed.extend(due.value.iter().map(|run| run.info.id.clone()));
                }
            }
            Slip::TellsNoNeighbour => due.value.iter_mut().for_each(|run| run.here = None),
            Slip::DueTheLatestFirst => due.value.reverse(),
            Slip::AllAreDue => {
                due.value.clear();
                for run in self.inner.list(&RunFilter::default()).await?.rows {
                    let info = self.inner.run(&run.id).await?.unwrap();
                    due.value.push(DueRun::new(info, None, None));
                }
            }
            _ => {}
        }
        Ok(due)
    }

    async fn outputs_due(&self, limit: usize, hold: Duration) -> Result<Timed<Vec<Output>>, Error> {
        let hold = match self.slip {
            Slip::ClaimsNothing => Duration::ZERO,
            _ => hold,
        };
        self.inner.outputs_due(limit, hold).await
    }

    async fn relayed(&self, outputs: &[OutputId]) -> Result<(), Error> {
        let mut outputs = outputs.to_vec();
        match self.slip {
            Slip::KeepsRelayed => outputs.clear(),
            Slip::RelaysAnotherInstead => {
                let mut relayed = self.relayed.lock().unwrap();
                for output in &mut outputs {
                    while !relayed.insert(output.clone()) {
                        output.index += 1;
                    }
                }
            }
            _ => {}
        }
        self.inner.relayed(&outputs).await
    }

    async fn changed(&self, id: &RunId, version: u64) -> Result<(), Error> {
        match self.slip {
            Slip::NeverWakes => std::future::pending().await,
            _ => self.inner.changed(id, version).await,
        }
    }

    async fn await_end(&self, id: &RunId) -> Result<Timed<Option<Progress>>, Error> {
        match self.slip {
            Slip::NeverWakes => std::future::pending().await,
            _ => self.inner.await_end(id).await,
        }
    }

    async fn await_due(&self) -> Result<(), Error> {
        match self.slip {
            Slip::SleepsForAnHour => {
                tokio::time::sleep(Duration::from_secs(3600)).await;
                Ok(())
            }
            _ => self.inner.await_due().await,
        }
    }

    async fn run(&self, id: &RunId) -> Result<Option<RunInfo>, Error> {
        self.inner.run(&self.id_of(id)).await
    }

    async fn attempts(
        &self,
        id: &RunId,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<Attempt>, Error> {
        let after = match self.slip {
            Slip::ForgetsCursors => None,
            Slip::TakesAnyCursor => after.filter(|cursor| cursor.attempt(id).is_ok()),
            _ => after,
        };
        self.inner.attempts(id, after, limit).await
    }

    async fn latest_attempts(&self, id: &RunId, limit: usize) -> Result<Vec<Attempt>, Error> {
        match self.slip {
            Slip::TellsTheFirst => Ok(self.inner.attempts(id, None, limit).await?.rows),
            _ => self.inner.latest_attempts(id, limit).await,
        }
    }

    async fn find(&self, prefix: &str, limit: usize) -> Result<Vec<RunId>, Error> {
        let limit = match self.slip {
            Slip::FindsWithoutLimit => LARGEST_PAGE,
            _ => limit,
        };
        match self.slip {
            Slip::FindsAnyCase => self.inner.find(&prefix.to_lowercase(), limit).await,
            _ => self.inner.find(prefix, limit).await,
        }
    }

    async fn list(&self, filter: &RunFilter) -> Result<Page<RunSummary>, Error> {
        let mut asked = filter.clone();
        match self.slip {
            Slip::PagesByOffset => return self.page_by_offset(filter).await,
            Slip::IgnoresTimes => asked = asked.with_launched(None, None).with_after(None),
            Slip::TakesAnyCursor if filter.place().is_err() => asked.after = None,
            Slip::LosesPlaces => {
                let place = filter.after.as_ref().map(ToString::to_string);
                let lost = place.and_then(|text| self.places.lock().unwrap().get(&text).cloned());
                if let Some(run) = lost
                    && self.inner.run(&run).await?.is_none()
                {
                    asked.after = Some(filter.cursor(Timestamp::default(), 0));
                }
            }
            _ => {}
        }
        let mut page = self.inner.list(&asked).await?;
        match self.slip {
            Slip::ListsTheOldestFirst => page.rows.reverse(),
            Slip::ListsAsLaunched => page
                .rows
                .iter_mut()
                .for_each(|run| run.updated = run.created),
            Slip::PagesForEver if page.next.is_none() => {
                page.next = Some(filter.cursor(Timestamp::default(), 0));
            }
            Slip::LosesPlaces => {
                if let (Some(next), Some(last)) = (&page.next, page.rows.last()) {
                    let mut places = self.places.lock().unwrap();
                    places.insert(next.to_string(), last.id.clone());
                }
            }
            _ => {}
        }
        Ok(page)
    }

    async fn count(&self, filter: &RunFilter, most: u64) -> Result<u64, Error> {
        match self.slip {
            Slip::CountsAll => self.inner.count(filter, u64::MAX).await,
            Slip::CountsThePage => {
                let page = self.inner.list(filter).await?;
                Ok(most.min(u64::try_from(page.rows.len()).unwrap()))
            }
            _ => self.inner.count(filter, most).await,
        }
    }

    async fn purge(&self, id: &RunId) -> Result<bool, Error> {
        match self.slip {
            Slip::PurgesTheLiving => Ok(true),
            Slip::PurgesNothing => Ok(self.inner.read(id).await?.value.progress().is_some()),
            _ => self.inner.purge(id).await,
        }
    }

    fn watch(&self, id: &RunId) -> Watch {
        self.inner.watch(id)
    }

    fn health(&self) -> StoreHealth {
        self.inner.health()
    }
    fn presence(&self) -> Option<Arc<dyn PresenceStore>> {
        Some(SloppyPresence::of(&self.inner, self.slip))
    }
}
