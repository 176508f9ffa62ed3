//! A transport with one flaw.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use kser_core::{
    Description, Error, Inspect, Interest, NotPublished, Record, Settling, Subscription, Timestamp,
    Topic, TopicSpec, Transport,
};
use kser_memory::MemoryTransport;

use crate::inspect::BrokenInspect;
use crate::member::Member;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Flaw {
    None,
    LosesRecords,
    NoticesNoDeath,
    TruncatesPayloads,
    SortsHeaders,
    DropsAbsentHeaders,
    StartsAtTheEnd,
    DeliversToAllMembers,
    PublishesTwice,
    ReversesBatches,
    IgnoresKeys,
    SettlesNothing,
    SettlesWithoutOutputs,
    PublishesOutputsLater,
    SettlesWhatIsRefused,
    PublishesBeforeItSettles,
    OrdersByCompletion,
    SettlesForOthers,
    SettlesOneAtATime,
    SettlesOnce,
    TakesNoHandIns,
    ReportsBeforeItPublishes,
    ReportsNoHandIn,
    HandsInWhatIsRefused,
    HandsInOutOfOrder,
    HandsInForOthers,
    CloseForgetsHandIns,
    NeverRevokes,
    ForgetsDelays,
    OutputsForgetDelays,
    DelaysWholeKeys,
    ReleasesForGood,
    IgnoresReleaseTimes,
    ReleasesToTheEnd,
    ForgetsFailures,
    CountsNoCrashes,
    BeginsEverything,
    GroupsShareRecords,
    MembersGetAllTopics,
    ObserversAreAGroup,
    ObserversStartAtTheEnd,
    ObserversForgetThePast,
    ObserversNeverCatchUp,
    TakesAnySize,
    IgnoresRecords,
    IgnoresBytes,
    LosesWhenCancelled,
    CloseDoesNotWait,
    CloseGoesOnReceiving,
    CloseIsNoGoodbye,
    NeverLeaves,
    LooksByJoining,
    ShowsNoHeaders,
    ViewsStartOver,
    ShowsJoinedGroupsOnly,
    CountsTheLog,
    ListsNoGroups,
}

/// Where a key is when keys are ignored.
pub(crate) const KEY: &str = "the key";

#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) inner: MemoryTransport,
    pub(crate) flaw: Flaw,
    pub(crate) count: AtomicU64,
    pub(crate) closed: AtomicU32,
    pub(crate) busy: AtomicBool,
    joined: Mutex<BTreeSet<Topic>>,
    delayed: Mutex<BTreeMap<Option<Bytes>, Timestamp>>,
}

/// Clones are the same transport.
#[derive(Debug, Clone)]
pub(crate) struct BrokenTransport(pub(crate) Arc<Broken>);

impl BrokenTransport {
    pub(crate) fn new(flaw: Flaw) -> Self {
        let inner = match flaw {
            Flaw::TakesAnySize => MemoryTransport::with_largest_record(usize::MAX),
            _ => MemoryTransport::new(),
        };
        Self(Arc::new(Broken {
            inner,
            flaw,
            count: AtomicU64::new(0),
            closed: AtomicU32::new(0),
            busy: AtomicBool::new(false),
            joined: Mutex::default(),
            delayed: Mutex::default(),
        }))
    }
}

impl Broken {
    fn spoil(&self, mut records: Vec<Record>) -> Vec<Record> {
        match self.flaw {
            Flaw::LosesRecords => records.truncate(records.len() / 2),
            Flaw::PublishesTwice => records.extend(records.clone()),
            Flaw::ReversesBatches => records.reverse(),
            Flaw::StartsAtTheEnd => {
                let joined = self.joined.lock().unwrap();
                records.retain(|record| joined.contains(&record.topic));
            }
            _ => records
                .iter_mut()
                .for_each(|record| self.spoil_record(record)),
        }
        records
    }

    fn spoil_record(&self, record: &mut Record) {
        match self.flaw {
            Flaw::TruncatesPayloads => {
                let payload = record.payload.as_mut();
                payload
                    .into_iter()
                    .for_each(|payload| payload.truncate(10_000));
            }
            Flaw::SortsHeaders => record.headers.sort(),
            Flaw::DropsAbsentHeaders => record.headers.retain(|(_, value)| value.is_some()),
            Flaw::IgnoresKeys => record.headers.push((KEY.to_owned(), record.key.take())),
            Flaw::ForgetsDelays => record.not_before = None,
            Flaw::DelaysWholeKeys => {
                let mut delayed = self.delayed.lock().unwrap();
                let until = delayed.get(&record.key).copied().max(record.not_before);
                record.not_before = until;
                delayed.extend(until.map(|until| (record.key.clone(), until)));
            }
            _ => {}
        }
    }

    fn spoil_interest(&self, interest: &mut Interest) {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let observes = interest.group.is_none();
        match self.flaw {
            Flaw::DeliversToAllMembers if !observes => interest.group = Some(number.to_string()),
            Flaw::GroupsShareRecords if !observes => interest.group = Some("all".to_owned()),
            Flaw::ObserversAreAGroup if observes => interest.group = Some("observers".to_owned()),
            Flaw::ObserversForgetThePast => interest.from = None,
            _ => {}
        }
        let mut joined = self.joined.lock().unwrap();
        joined.extend(interest.topics.iter().cloned());
        if self.flaw == Flaw::MembersGetAllTopics {
            interest.topics = joined.iter().cloned().collect();
        }
    }
}

#[async_trait]
impl Transport for BrokenTransport {
    async fn publish(&self, records: Vec<Record>) -> Result<(), NotPublished> {
        self.0.inner.publish(self.0.spoil(records)).await
    }

    async fn subscribe(&self, mut interest: Interest) -> Result<Box<dyn Subscription>, Error> {
        self.0.spoil_interest(&mut interest);
        if self.0.flaw == Flaw::ObserversStartAtTheEnd && interest.group.is_none() {
            return Ok(Box::new(Member::late(interest, Arc::clone(&self.0))));
        }
        let inner = self.0.inner.subscribe(interest).await?;
        Ok(Box::new(Member::new(inner, Arc::clone(&self.0))))
    }

    async fn ensure_topics(&self, topics: &[TopicSpec]) -> Result<(), Error> {
        self.0.inner.ensure_topics(topics).await
    }

    async fn describe(&self, topics: &[Topic]) -> Result<Description, Error> {
        match self.0.flaw {
            Flaw::TakesAnySize => Ok(Description::new(Settling::Together, 1000)),
            _ => self.0.inner.describe(topics).await,
        }
    }

    fn inspect(&self) -> Option<Arc<dyn Inspect>> {
        BrokenInspect::of(&self.0)
    }
}
